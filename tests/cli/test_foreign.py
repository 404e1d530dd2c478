"""The commands on folders that SAELens and dictionary_learning write: the same numbers as on ours."""

import json
import shlex

import pytest
import torch

import msae
from msae.__main__ import main
from msae.sae import write_saelens

HOOK = "blocks.3.hook_resid_pre"


def weights_as_dictionary_learning(sae):
    """Of a ReLU: it takes its bias from the input, which ours has in b_enc."""
    W_enc, b_enc, W_dec, b_dec = (getattr(sae, name).detach() for name in ("W_enc", "b_enc", "W_dec", "b_dec"))
    return {"encoder.weight": W_enc.T, "encoder.bias": b_enc + b_dec @ W_enc, "decoder.weight": W_dec.T, "bias": b_dec}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("place")
    sae = msae.load_saes(["S1"])["S1"]
    sae.save(folder / "ours")
    write_saelens(sae, folder / "saelens")
    (folder / "dictionary").mkdir()
    torch.save(weights_as_dictionary_learning(sae), folder / "dictionary" / "ae.pt")
    about = {"dict_class": "AutoEncoder", "activation_dim": sae.d_model, "dict_size": sae.n_latents, "lm_name": "bundled"}
    (folder / "dictionary" / "config.json").write_text(json.dumps({"trainer": about}))
    (folder / "stories.txt").write_text("\n\n".join(f"Lily has {i} cats. She said, I am happy." for i in range(100)))
    return folder


def said(line, capsys):
    assert main(shlex.split(line)) == 0
    return capsys.readouterr().out


def test_evaluate_and_about(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    ours, *foreign = (
        json.loads(said(f"evaluate {line} --stories stories.txt --json", capsys))
        for line in ("ours", "saelens", f"dictionary --hook {HOOK}")
    )
    for found in foreign:
        assert (found["l0"], found["fvu"]) == pytest.approx((ours["l0"], ours["fvu"]), rel=1e-4)
        assert found["n_tokens"] == ours["n_tokens"]
    about = json.loads(said("about dictionary --json", capsys))
    assert (about["made_by"], about["n_latents"], about["trainer"]["dict_class"]) == ("dictionary_learning", ours_n(place), "AutoEncoder")
    assert "bundled" in said("about saelens", capsys)
    assert main(["evaluate", "dictionary", "--stories", "stories.txt"]) == 2
    assert "names no hook of a language model: it cannot be measured on stories; --hook says" in capsys.readouterr().err


def ours_n(place):
    return msae.SAE.load(place / "ours").n_latents


def test_explore(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    line = f"explore --out page --sae ours=ours --sae lens=saelens --sae dl=dictionary --hook {HOOK} --stories stories.txt --n-ctx 16"
    n = ours_n(place)
    assert f"{3 * n:,} latents" in said(line, capsys)
    assert (place / "page" / "index.html").is_file()
    assert main(shlex.split("explore --out other --sae dl=dictionary --stories stories.txt")) == 2
    assert (
        "the SAEs must all read one hook of a language model, got None: write one folder for each; --hook says" in capsys.readouterr().err
    )
