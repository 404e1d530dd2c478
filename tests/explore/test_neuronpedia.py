"""What is written for Neuronpedia, held against the columns of its database and against the activations themselves."""

from __future__ import annotations

import gzip
import json
import re
import shlex
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import msae
from msae.__main__ import main
from msae.explore import write_neuronpedia

# apps/webapp/prisma/schema.prisma of hijohnnylin/neuronpedia at commit 008d5040: the columns of each table, as they are declared there.
# "?" may be null, "=" has a default in the database; `@default(cuid())` is none, for Prisma makes it and the import is plain SQL. Relations
# are left out.
SCHEMA = {
    "Neuron": """
        modelId String, layer String, index String, sourceSetName String?, creatorId String?, createdAt DateTime=, maxActApprox
        Float?=, hasVector Boolean=, vector Float[]=, vectorLabel String?, vectorDefaultSteerStrength Float?=, hookName String?,
        topkCosSimIndices Int[]=, topkCosSimValues Float[]=, neuron_alignment_indices Int[]=, neuron_alignment_values Float[]=,
        neuron_alignment_l1 Float[]=, correlated_neurons_indices Int[]=, correlated_neurons_pearson Float[]=, correlated_neurons_l1
        Float[]=, correlated_features_indices Int[]=, correlated_features_pearson Float[]=, correlated_features_l1 Float[]=, neg_str
        String[]=, neg_values Float[]=, pos_str String[]=, pos_values Float[]=, frac_nonzero Float=, freq_hist_data_bar_heights
        Float[]=, freq_hist_data_bar_values Float[]=, logits_hist_data_bar_heights Float[]=, logits_hist_data_bar_values Float[]=,
        decoder_weights_dist Float[]=, umap_cluster Int?, umap_log_feature_sparsity Float?, umap_x Float?, umap_y Float?
    """,
    "Activation": """
        id String, tokens String[], dataIndex String?, index String, layer String, modelId String, dataSource String?, maxValue
        Float, maxValueTokenIndex Int, minValue Float, values Float[], dfaValues Float[]=, dfaTargetIndex Int?, dfaMaxValue Float?,
        zQIndices Int[]=, zKIndices Int[]=, zValues Float[]=, creatorId String, createdAt DateTime=, lossValues Float[]=,
        logitContributions String?, binMin Float?, binMax Float?, binContains Float?, qualifyingTokenIndex Int?
    """,
    "Explanation": """
        id String, modelId String, layer String, index String, description String, authorId String, triggeredByUserId String?, notes
        String?, scoreV1 Float=, scoreV2 Float?, umap_x Float?=, umap_y Float?=, umap_cluster Int?=, umap_log_feature_sparsity
        Float?=, typeName String?, explanationModelName String?, createdAt DateTime=, updatedAt DateTime=
    """,
    "Model": """
        id String, displayNameShort String=, displayName String=, creatorId String, tlensId String?, openRouterId String?, dimension
        Int?, thinking Boolean=, visibility Visibility=, defaultSourceSetName String?, defaultSourceId String?,
        defaultGraphSourceSetName String?, inferenceEnabled Boolean=, instruct Boolean=, layers Int, neuronsPerLayer Int, createdAt
        DateTime=, owner String, updatedAt DateTime=, website String?
    """,
    "SourceSet": """
        modelId String, name String, hasDashboards Boolean=, allowInferenceSearch Boolean=, visibility Visibility=, description
        String, type String=, creatorName String, urls String[]=, creatorEmail String?, creatorId String, releaseName String?,
        hasGraphs Boolean=, graphEnabled Boolean=, similarityMatrixEnabled Boolean=, defaultOfModelId String?, defaultGraphModelId
        String?, defaultRange Int=, defaultShowBreaks Boolean=, showDfa Boolean=, showCorrelated Boolean=, showHeadAttribution
        Boolean=, showUmap Boolean=, createdAt DateTime=
    """,
    "Source": """
        id String, modelId String, hasDashboards Boolean=, inferenceEnabled Boolean=, saelensConfig Json?, saelensRelease String?,
        saelensSaeId String?, hfRepoId String?, hfFolderId String?, visibility Visibility=, defaultOfModelId String?, setName
        String, creatorId String, hasUmap Boolean=, hasUmapLogSparsity Boolean=, hasUmapClusters Boolean=, num_prompts Int?,
        num_tokens_in_prompt Int?, dataset String?, notes String?, cosSimMatchModelId String?, cosSimMatchSourceId String?,
        createdAt DateTime=
    """,
}
TYPES: dict[str, Any] = {
    "String": lambda value: isinstance(value, str),
    "Int": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "Float": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool) and np.isfinite(value),
    "Boolean": lambda value: isinstance(value, bool),
    "Visibility": lambda value: value in ("PUBLIC", "UNLISTED", "PRIVATE"),
}
FILES = {"model": "Model", "sourceset": "SourceSet", "source": "Source", "features": "Neuron", "activations": "Activation"}
FILES |= {"explanations": "Explanation"}


def check_rows(table: str, rows: list[dict[str, Any]]) -> None:
    """As the import of Neuronpedia would: the columns of the first line, each with a value of its type."""
    found = re.findall(r"(\w+)\s+(\w+)(\[\])?(\?)?(=)?", SCHEMA[table])
    columns = {name: (kind, bool(is_list)) for name, kind, is_list, _, _ in found}
    needed = {name for name, _, _, may_be_null, has_default in found if not may_be_null and not has_default}
    assert rows, table
    assert needed <= rows[0].keys() <= columns.keys(), table
    for row in rows:
        assert row.keys() == rows[0].keys(), table
        for name, value in row.items():
            kind, is_list = columns[name]
            assert isinstance(value, list) == is_list, (table, name)
            assert all(TYPES[kind](each) for each in (value if is_list else [value])), (table, name, value)


def read(place: Path) -> dict[str, list[dict[str, Any]]]:
    """All rows of a folder, by table."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(place.rglob("*.jsonl*")):
        content = path.read_bytes()
        lines = (gzip.decompress(content) if path.suffix == ".gz" else content).decode().splitlines()
        table = FILES[path.parent.name if path.suffix == ".gz" else path.stem]
        rows.setdefault(table, []).extend(map(json.loads, lines))
    return rows


def some_latents(n: int = 9, n_vocab: int = 30) -> msae.Latents:
    generator = torch.Generator().manual_seed(0)
    sae = msae.SAE(4, n, hook_name="blocks.3.hook_resid_pre", generator=generator)
    sae.b_enc.data[2] = -100.0  # never fires
    tokens = torch.randint(n_vocab, (7, 6), generator=generator)
    mask = torch.rand(7, 6, generator=generator) < 0.8
    x = torch.randn(int(mask.sum()), 4, generator=generator)
    words = [f" w{i}" for i in range(n_vocab)]
    about = {"x": x, "tokens": tokens, "mask": mask, "story": torch.arange(7), "str_tokens": words, "hook_name": sae.hook_name}
    return msae.Latents({"S/2": sae}, types.SimpleNamespace(**about))


def a_model(n_vocab: int = 33, d_model: int = 4) -> Any:
    cfg = types.SimpleNamespace(n_layers=5, d_mlp=16)
    return types.SimpleNamespace(W_U=torch.randn(d_model, n_vocab, generator=torch.Generator().manual_seed(1)), cfg=cfg)


NAMES = {"model_id": "tiny-model", "creator": "me"}


def test_every_table_is_as_its_schema_says(tmp_path):
    latents = some_latents()
    place = write_neuronpedia(latents, "S/2", tmp_path, **NAMES, lm=a_model(), labels={"S/2/1": "names", "S/2/4": "ends"})
    assert place == tmp_path / "tiny-model" / "3-S2"
    rows = read(place)
    assert rows.keys() == SCHEMA.keys()
    for table, its in rows.items():
        check_rows(table, its)
    (model,), (source_set,), (source,) = rows["Model"], rows["SourceSet"], rows["Source"]
    assert (model["id"], model["layers"], model["neuronsPerLayer"], model["owner"]) == ("tiny-model", 5, 16, "me")
    assert (source_set["modelId"], source_set["name"], source_set["creatorName"]) == ("tiny-model", "S2", "me")
    assert (source["id"], source["setName"], source["num_prompts"], source["num_tokens_in_prompt"]) == ("3-S2", "S2", 7, 6)
    for row in [*rows["Neuron"], *rows["Activation"], *rows["Explanation"]]:
        assert (row["modelId"], row["layer"]) == ("tiny-model", "3-S2")
    assert {row["index"]: row["description"] for row in rows["Explanation"]} == {"1": "names", "4": "ends"}
    ids = [row["id"] for row in [*rows["Activation"], *rows["Explanation"]]]
    assert len(set(ids)) == len(ids)


def test_the_check_of_the_schema_can_fail():
    good = {"id": "a", "modelId": "m", "layer": "3-a", "index": "1", "description": "d", "authorId": "x"}
    check_rows("Explanation", [good])
    for bad in ({"index": 1}, {"description": None}, {"scoreV1": True}, {"unknown": "a"}, {"description": ["d"]}):
        with pytest.raises(AssertionError):
            check_rows("Explanation", [good | bad])
    with pytest.raises(AssertionError):
        check_rows("Explanation", [{name: value for name, value in good.items() if name != "id"}])


def test_latents_are_what_the_sae_computes(tmp_path):
    latents, lm = some_latents(), a_model()
    sae, read_by = latents.saes["S/2"], latents.activations
    rows = read(write_neuronpedia(latents, "S/2", tmp_path, **NAMES, lm=lm, n_examples=3))
    dense = np.zeros((7, 6, 9))
    dense[read_by.mask.numpy()] = sae.encode(read_by.x).detach().numpy()
    assert [row["index"] for row in rows["Neuron"]] == [str(i) for i in range(9)]
    for i, row in enumerate(rows["Neuron"]):
        acts = dense[..., i][read_by.mask.numpy()]
        assert row["frac_nonzero"] == pytest.approx((acts > 0).mean())
        assert row["maxActApprox"] == pytest.approx(acts.max(), rel=1e-3)
        assert sum(row["freq_hist_data_bar_heights"]) == (acts > 0).sum()
        assert row["vector"] == pytest.approx(sae.W_dec[i].tolist(), rel=1e-3)
        effect = (sae.W_dec[i] @ lm.W_U[:, :30]).detach().numpy()  # three columns stand for no token
        effect -= effect.mean()
        assert row["pos_str"] == [f" w{j}" for j in np.argsort(-effect)[:10]]
        assert row["neg_str"] == [f" w{j}" for j in np.argsort(effect)[:10]]
        assert row["pos_values"] == pytest.approx(np.sort(effect)[::-1][:10], rel=1e-2)
        heights, values = row["logits_hist_data_bar_heights"], row["logits_hist_data_bar_values"]
        assert (sum(heights), len(heights), len(values)) == (30, 50, 50)
        assert np.average(values, weights=heights) == pytest.approx(0, abs=float(np.ptp(effect)) / 50)
        its = [example for example in rows["Activation"] if example["index"] == str(i)]
        strongest = np.sort(dense[..., i].max(1))[::-1]
        assert [example["maxValue"] for example in its] == pytest.approx(strongest[strongest > 0][:3], rel=1e-3)
        for example in its:
            text = int(np.argmin(abs(dense[..., i].max(1) - example["maxValue"])))
            counts = read_by.mask[text].numpy()
            assert example["tokens"] == [f" w{j}" for j in read_by.tokens[text][counts].tolist()]
            assert example["values"] == pytest.approx(dense[text, :, i][counts], rel=1e-3)
            assert example["values"][example["maxValueTokenIndex"]] == example["maxValue"]
            assert (example["binMin"], example["binContains"], example["binMax"]) == (-1, -1, pytest.approx(strongest[0], rel=1e-3))
    dead = rows["Neuron"][2]
    assert (dead["frac_nonzero"], dead["maxActApprox"], dead["freq_hist_data_bar_heights"]) == (0, 0, [])


def test_some_latents_in_batches_and_the_same_bytes_twice(tmp_path, monkeypatch):
    monkeypatch.setattr("msae.explore.neuronpedia.BATCH", 2)
    latents, numbers = some_latents(), [7, 1, 4, 2, 0]
    places = [write_neuronpedia(latents, "S/2", tmp_path / name, **NAMES, numbers=numbers, source_set="mine") for name in "ab"]
    files = sorted(path.relative_to(places[0]) for path in places[0].rglob("*.gz"))
    assert [str(path) for path in files if path.parts[0] == "features"] == [f"features/batch-{i}.jsonl.gz" for i in range(3)]
    assert [(places[0] / name).read_bytes() for name in files] == [(places[1] / name).read_bytes() for name in files]
    rows = read(places[0])
    check_rows("Neuron", rows["Neuron"])
    assert [int(row["index"]) for row in rows["Neuron"]] == numbers
    assert all(row["pos_str"] == row["logits_hist_data_bar_values"] == [] for row in rows["Neuron"]), "nothing is known of the logits"
    with pytest.raises(ValueError, match=r"folder holds tiny-model/3-mine already"):
        write_neuronpedia(latents, "S/2", tmp_path / "a", **NAMES, numbers=[1], source_set="mine")


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.txt").write_text("\n\n".join(f"Lily has {i} cats. She said, I am happy." for i in range(100)))
    for name in ("S0", "S1"):
        msae.load_saes([name])[name].save(name)
    line = "explore --out np --sae S/0=S0 --sae S/1=S1 --stories s.txt --n-ctx 16 --neuronpedia tiny --creator me"
    assert main(shlex.split(line)) == 0, capsys.readouterr().err
    assert "10 latents on" in capsys.readouterr().out
    for name in ("3-S0", "3-S1"):
        for table, rows in read(Path("np/tiny") / name).items():
            check_rows(table, rows)
    (model,) = read(Path("np/tiny/3-S0"))["Model"]
    assert (model["layers"], model["neuronsPerLayer"] > 0) == (msae.load_language_model().cfg.n_layers, True)
    assert "Lily" in "".join(read(Path("np/tiny/3-S0"))["Activation"][0]["tokens"])
