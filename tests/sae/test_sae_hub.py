"""SAEs pushed to a small hub on loopback and pulled from it by the real client: what arrives, what the card says, what is refused."""

from __future__ import annotations

import io
import json
import shlex
from collections.abc import Iterator

import pytest
import torch
from loopback_hub import COMMIT, LoopbackHub, ask_it
from tiny_models import Dangerous

import msae
from msae.__main__ import main
from msae.sae import model_card, pull_sae, push_sae, write_saelens

ModelCard = pytest.importorskip("huggingface_hub").ModelCard

HOOK = "blocks.1.hook_resid_pre"
HELD_OUT = {"l0": 3.25, "fvu": 0.125, "n_tokens": 1234, "stories": "every 20th of s.txt"}
RECIPE = {"prefixes": {"name": "SquareRootPrefixes", "n": 10}, "n_steps": 1500, "batch_size": 64}
DATA = {"data": {"model": "gpt2", "stories": "a|b.txt", "n_ctx": 32, "n_tokens": 4000}}


@pytest.fixture
def hub(monkeypatch, tmp_path) -> Iterator[LoopbackHub]:
    with LoopbackHub() as hub:
        ask_it(monkeypatch, hub.url, tmp_path / "cache")
        yield hub


def an_sae(nonlinearity=None, **config) -> msae.SAE:
    sae = msae.SAE(6, 20, nonlinearity, hook_name=HOOK, scale=1.5, config=config, generator=torch.Generator().manual_seed(0))
    sae.b_enc.data += 0.1
    return sae


def table(card: str) -> dict[str, str]:
    """The rows of a card's table."""
    cells = [line.strip("| ").split(" | ", 1) for line in card.splitlines() if line.startswith("| ") and " | " in line]
    return {row[0]: row[1] for row in cells if len(row) == 2}


@pytest.mark.parametrize("place", ["you/tiny", "you/tiny/some/folder"])
@pytest.mark.parametrize("kind", [None, msae.TopK(3), msae.JumpReLU(0.5)], ids=str)
def test_what_is_pushed_is_pulled_bit_for_bit(hub, place, kind):
    sae, x = an_sae(kind, **RECIPE, **DATA), torch.randn(50, 6, generator=torch.Generator().manual_seed(1))
    assert push_sae(sae, place, licence="mit") == f"{hub.url}/you/tiny/commit/{COMMIT}"
    back = pull_sae(place)
    assert torch.equal(back.encode(x), sae.encode(x))
    assert torch.equal(back(x), sae(x))
    assert (back.hook_name, back.scale, back.config, back.nonlinearity) == (sae.hook_name, sae.scale, sae.config, sae.nonlinearity)
    start = place.removeprefix("you/tiny").strip("/")
    names = {f"{start}/{name}".strip("/") for name in ("sae.json", "sae.safetensors", "README.md")}
    assert hub.repos["model", "you/tiny"].keys() == names
    assert list(hub.stored.values()) == [hub.repos["model", "you/tiny"][f"{start}/sae.safetensors".strip("/")]], "sent as large files are"
    hub.close()
    assert torch.equal(pull_sae(place).encode(x), sae.encode(x)), "what was fetched once is there without a network"


def test_a_second_push_replaces_the_first_and_keeps_what_is_beside(hub):
    push_sae(an_sae(), "you/many/a")
    push_sae(an_sae(msae.TopK(3)), "you/many/b")
    push_sae(an_sae(msae.TopK(2)), "you/many/b", private=True)
    assert (pull_sae("you/many/a").nonlinearity, pull_sae("you/many/b").nonlinearity) == (msae.ReLU(), msae.TopK(2))
    asked = [{name for name, value in made.items() if value in (True, "private")} for made in hub.made]
    assert asked[:2] == [set(), set()], "public unless asked otherwise"
    assert asked[2] & {"private", "visibility"}


def test_the_card_is_one_that_the_hub_reads(hub):
    push_sae(an_sae(**RECIPE, **DATA, held_out=HELD_OUT), "you/tiny", licence="mit")
    content = hub.repos["model", "you/tiny"]["README.md"].decode()
    card = ModelCard(content)
    assert card.data.to_dict() == {"library_name": "msae", "license": "mit", "tags": ["sparse-autoencoder", "matryoshka"]}
    assert table(card.text) == {
        "Reads": f"`{HOOK}` of the language model `gpt2`",
        "Trained on": "4,000 tokens of the stories `a\\|b.txt`, 32 tokens at most in a text",
        "Latents": "20 of vectors of width 6, ReLU()",
        "Prefixes": "SquareRootPrefixes(n=10)",
        "Steps": "1,500 of 64 inputs",
        "L0": "3.25 on 1,234 tokens of held-out stories (every 20th of s.txt)",
        "FVU": "0.1250 on 1,234 tokens of held-out stories (every 20th of s.txt)",
        "Holes": "not measured",
        "Licence": "mit",
    }
    assert 'msae.sae.pull_sae("you/tiny")' in card.text


def test_a_card_says_which_positions_were_left_out():
    skipped = {"data": DATA["data"] | {"skip_first": 2}}
    assert "32 tokens at most in a text, the first 2 of them left out" in model_card(an_sae(**RECIPE, **skipped), "you/tiny")


def test_a_card_invents_nothing():
    card = ModelCard(model_card(msae.SAE(4, 8), "you/tiny"))
    assert "license" not in card.data.to_dict()
    assert card.data.tags == ["sparse-autoencoder"]
    found = table(card.text)
    assert found.pop("Latents") == "8 of vectors of width 4, ReLU()"
    assert found == {
        "Reads": "a hook that is not recorded, of a language model that is not recorded",
        **dict.fromkeys(["Trained on", "Prefixes", "Steps"], "not recorded"),
        **dict.fromkeys(["L0", "FVU", "Holes"], "not measured"),
        "Licence": "not stated",
    }


def test_what_is_given_as_measured_counts_and_nothing_else():
    measured = {"fvu": 0.5, "holes": {"female words": 0.25, "animals": 0.5}, "on": "99 tokens"}
    found = table(model_card(an_sae(held_out=HELD_OUT), "you/tiny", measured=measured))
    assert found["L0"] == "not measured", "numbers of two measurements do not stand in one table"
    assert (found["FVU"], found["Holes"]) == ("0.5000 on 99 tokens", "female words 25.0 %; animals 50.0 % on 99 tokens")
    for odd in ({"held_out": "well"}, {"data": 3}, {"prefixes": "all"}, {"n_steps": "many"}, {"data": {"n_tokens": "all"}}):
        assert table(model_card(an_sae(**odd), "you/tiny"))["Licence"] == "not stated"


def test_an_sae_of_saelens_is_pulled_too(hub, tmp_path):
    sae, x = an_sae(msae.JumpReLU()), torch.randn(9, 6)
    write_saelens(sae, tmp_path / "made")
    hub.add(
        "google/scope", {f"layer_1/{path.name}": path.read_bytes() for path in (tmp_path / "made").iterdir()} | {"big.safetensors": b"0"}
    )
    torch.testing.assert_close(pull_sae("google/scope/layer_1").encode(x), sae.encode(x))
    assert not any("big" in request for request in hub.requests), "nothing is fetched that is not read"
    with pytest.raises(FileNotFoundError, match=r"'google/scope' on the hub holds no sae.json .*: SAEs lie in layer_1$"):
        pull_sae("google/scope")


def test_a_pickle_is_neither_fetched_nor_opened(hub, tmp_path):
    buffer = io.BytesIO()
    torch.save({"encoder.weight": Dangerous(tmp_path / "it ran")}, buffer)
    about = {"trainer": {"dict_class": "AutoEncoder", "activation_dim": 6, "dict_size": 20}}
    hub.add("someone/bad", {"ae.pt": buffer.getvalue(), "config.json": json.dumps(about).encode()})
    with pytest.raises(FileNotFoundError, match=r"ae.pt is a pickle, and from the hub only safetensors and JSON are read"):
        pull_sae("someone/bad")
    assert not any("ae.pt" in request for request in hub.requests)
    assert not (tmp_path / "it ran").exists()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ({"sae.safetensors": b"\x80\x04never a tensor"}, "does not hold a whole SAE"),
        ({"sae.json": b'{"format": "msae-sae/9"}'}, "is of format 'msae-sae/9', this version of msae reads 'msae-sae/1'"),
        ({"sae.json": b"[" * 5000}, "does not hold a whole SAE"),
    ],
)
def test_files_that_are_no_sae_are_refused(hub, damage, says):
    push_sae(an_sae(), "you/tiny")
    hub.add("you/tiny", hub.repos["model", "you/tiny"] | damage)
    with pytest.raises(ValueError, match=says):
        pull_sae("you/tiny")


def test_a_file_that_arrives_altered_is_refused(hub):
    push_sae(an_sae(), "you/tiny")
    files = hub.repos["model", "you/tiny"]
    hub.add("you/tiny", files, served={"sae.safetensors": files["sae.safetensors"][:-1] + b"!"})
    with pytest.raises(ValueError, match="a file of you/tiny arrived altered"):
        pull_sae("you/tiny")


def test_a_hub_that_lacks_it_or_lets_nobody_write_is_one_sentence(hub):
    with pytest.raises(
        ConnectionError, match=r"^the SAE 'no/model' could not be fetched from the Hugging Face hub \(.*404.*\): check the name"
    ):
        pull_sae("no/model")
    hub.add("no/sae", {"README.md": b"# Nothing"})
    with pytest.raises(FileNotFoundError, match=r"it holds README.md$"):
        pull_sae("no/sae")
    hub.may_write = False
    with pytest.raises(
        ConnectionError, match=r"^the SAE for 'you/tiny' could not be written to the Hugging Face hub \(.*403.*\): log in with"
    ):
        push_sae(an_sae(), "you/tiny")
    hub.close()
    with pytest.raises(ConnectionError, match=r"written to .* \(no connection to"):
        push_sae(an_sae(), "you/tiny")
    with pytest.raises(ConnectionError, match=r"fetched from .* \(no connection to"):
        pull_sae("you/tiny")


def test_offline_by_choice_is_named(hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for ask in (lambda: pull_sae("you/tiny"), lambda: push_sae(an_sae(), "you/tiny")):
        with pytest.raises(ConnectionError, match=r"\(HF_HUB_OFFLINE is set\)"):
            ask()
    assert hub.requests == []


def test_without_the_client_one_sentence(monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr("msae.support.hub.find_spec", lambda name: None if name == "huggingface_hub" else find(name))
    for ask in (lambda: pull_sae("you/tiny"), lambda: push_sae(an_sae(), "you/tiny"), lambda: model_card(an_sae(), "you/tiny")):
        with pytest.raises(ImportError, match=r"needs huggingface_hub: pip install 'msae\[hub\]'"):
            ask()


@pytest.mark.parametrize(
    "place",
    ["tiny", "/tiny", "you/", "you/tiny/", "a/b/../c", "../b", "you/ti ny", "you/t*", "https://x/y", "you/a--b", "you/b.git", "@main"],
)
def test_a_place_that_the_hub_cannot_have_is_refused_before_it_is_asked(hub, place):
    for ask in (lambda: pull_sae(place), lambda: push_sae(an_sae(), place), lambda: model_card(an_sae(), place)):
        with pytest.raises(ValueError, match="repo must be 'owner/name'"):
            ask()
    with pytest.raises(ValueError, match="repo names the revision 'main'"):
        push_sae(an_sae(), "you/tiny@main")
    assert hub.requests == []


def said(line: str, capsys) -> str:
    assert main(shlex.split(line)) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def test_the_commands(hub, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    sae = msae.load_saes(["S0"])["S0"]
    sae.save("mine")
    card = said("push mine you/s0 --licence mit --card", capsys)
    assert hub.requests == []
    assert ModelCard(card).data.license == "mit"
    assert f"is {hub.url}/you/s0/commit/{COMMIT}" in said("push mine you/s0 --licence mit", capsys)
    assert hub.repos["model", "you/s0"]["README.md"].decode() == card
    assert json.loads(said(f"about hf://you/s0@{COMMIT} --json", capsys)) == json.loads(said("about mine --json", capsys))
    (tmp_path / "s.txt").write_text("\n\n".join(f"Lily has {i} cats. She said, I am happy." for i in range(100)))
    assert said("evaluate hf://you/s0 --stories s.txt", capsys) == said("evaluate mine --stories s.txt", capsys)
    said("explore --out page --sae S=hf://you/s0 --stories s.txt --n-ctx 16", capsys)
    assert (tmp_path / "page" / "index.html").is_file()


def test_a_card_takes_what_was_measured_of_these_weights(tmp_path, monkeypatch, capsys):
    from msae.lm.sources import sha256_of_file

    monkeypatch.chdir(tmp_path)
    an_sae(held_out=HELD_OUT).save("mine")
    concepts = {"female words": {"best": {"holes": [0.25, 0.2, 0.3]}}}
    found = {"held_out": {"l0": [9.0, 8, 10], "fvu": [0.5, 0.4, 0.6], "n_tokens": 77, "concepts": concepts}}
    row = {"sha256": sha256_of_file(tmp_path / "mine" / "sae.safetensors"), "measured": found}
    (tmp_path / "mine" / "row.json").write_text(json.dumps(row))
    on = " on 77 tokens of held-out stories"
    rows = table(said("push mine you/tiny --card", capsys))
    assert (rows["L0"], rows["FVU"], rows["Holes"]) == (f"9.00{on}", f"0.5000{on}", f"female words 25.0 %{on}")
    for other in (json.dumps(row | {"sha256": "0"}), "[]", "{", json.dumps(row | {"measured": {}})):
        (tmp_path / "mine" / "row.json").write_text(other)
        assert table(said("push mine you/tiny --card", capsys))["L0"].startswith("3.25")
