"""What a type checker makes of a session with msae: every result has a type of its own, and a wrong call is seen before it runs."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from places import ROOT

pytest.importorskip("mypy")

OPEN: set[str] = set()
"""Parts of the session in which a type is still to be given; empty when the whole is typed."""

START = """\
import msae
import numpy as np
from msae import figures, metrics

lm = msae.load_language_model()
activations = msae.Activations(lm, msae.load_stories(), hook_name="blocks.3.hook_resid_pre")
config = msae.TrainConfig(n_latents=1024, target_l0=30, n_steps=1000)
saes = msae.load_saes()
concept = np.ones(8, dtype=bool)
"""

PARTS = {
    "stories and activations": """\
reveal_type(msae.split_stories(msae.load_stories()))  # tuple[list[str], list[str]]
reveal_type(activations)  # msae.activations.kept.Activations
reveal_type(activations.tokens)  # torch._tensor.Tensor
reveal_type(activations.x)  # torch._tensor.Tensor
""",
    "training on activations": """\
one = msae.train(config, activations)
reveal_type(one)  # msae.training.config.TrainResult
reveal_type(one.sae.encode(activations.x))  # torch._tensor.Tensor
several = msae.train({"wide": config, "narrow": config}, activations)
reveal_type(several["wide"])  # msae.training.config.TrainResult
msae.train([config], activations)  # error
""",
    "training on a toy": """\
tree = msae.FeatureTree.article()
reveal_type(tree)  # msae.toy.tree.FeatureTree
stream = msae.TreeStream(tree, msae.orthogonal_directions(tree.n_features, 20, seed=0))
reveal_type(msae.train(config, stream).sae)  # msae.sae.sae.SAE
""",
    "SAEs": """\
reveal_type(saes)  # dict[str, msae.sae.sae.SAE]
reveal_type(saes["S/0"].config)  # dict[str, Any]
reveal_type(msae.SAE.load("folder"))  # msae.sae.sae.SAE
reveal_type(msae.SAE(8, 16, msae.TopK(2)))  # msae.sae.sae.SAE
""",
    "measures": """\
firings = metrics.as_firings(saes["S/0"].encode(activations.x))
reveal_type(firings)  # msae.firings.firings.Firings
measured = metrics.reconstruction(saes["S/0"], activations.x, story=activations.x_story)
reveal_type(measured)  # msae.metrics.fidelity.Reconstruction
reveal_type(measured.fvu.low)  # float
reveal_type(metrics.fvu(activations.x, activations.x))  # float
reveal_type(metrics.concept_scores(firings, concept))  # msae.metrics.concepts.ConceptScores
reveal_type(metrics.cosines(saes["S/0"].W_dec, saes["S/1"].W_dec))  # torch._tensor.Tensor
""",
    "splicing": """\
reveal_type(metrics.splice(lm, saes["S/0"], activations))  # msae.metrics.costs.Splice
reveal_type(metrics.splice(lm, saes, activations))  # dict[str, msae.metrics.costs.Splice]
reveal_type(metrics.splice(lm, saes, activations)["S/0"].loss_spliced.value)  # float
""",
    "figures": """\
figures.heatmap(np.eye(2), title="A claim", alt="In words", rows=["a", "b"], columns=["a", "b"], row_axis="r", column_axis="c")
figures.heatmap(np.eye(2), title="A claim without words")  # error
figures.lines([1, 2], {"a": [1, 2]}, "A claim", "In words")  # error
""",
}


def by_name(kind: str) -> str:
    """A type with the names of named tuples instead of their parts."""
    while found := re.search(r", fallback=([\w.]+)\]", kind):
        depth, start = 0, found.start()
        while depth >= 0:  # back to the bracket that opens this tuple
            start -= 1
            depth += {"]": 1, "[": -1}.get(kind[start], 0)
        kind = kind[:start].removesuffix("tuple") + found[1] + kind[found.end() :]
    return kind


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[int, str]]:
    """What the checker says of each line of each part, in one run."""
    folder = tmp_path_factory.mktemp("session")
    for i, part in enumerate(PARTS.values()):
        (folder / f"msae_session_{i}.py").write_text(START + part, encoding="utf-8")
    options = ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(ROOT / ".mypy_cache")]
    # in a process of its own: mypy raises the recursion limit of the one it runs in
    command = [sys.executable, "-m", "mypy", *options, *map(str, sorted(folder.glob("*.py")))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    report = done.stdout
    assert not done.stderr, done.stderr
    found: dict[str, dict[int, str]] = {name: {} for name in PARTS}
    # by the file's name alone: of a file that has not changed, the checker says again what it said when the folder was another
    for match in re.finditer(r'msae_session_(\d+)\.py:(\d+): (?:note: Revealed type is "(.*)"|(error): .*)$', report, flags=re.MULTILINE):
        part, line, kind, error = match.groups()
        found[list(PARTS)[int(part)]][int(line)] = error or by_name(kind.replace("builtins.", ""))
    return found


@pytest.mark.parametrize("name", PARTS)
def test_a_session_is_typed_to_its_end(name: str, said: dict[str, dict[int, str]], request: pytest.FixtureRequest) -> None:
    if name in OPEN:
        request.applymarker(pytest.mark.xfail(reason="a type is still to be given"))
    lines = (START + PARTS[name]).splitlines()
    expected = {at: line.rpartition("  # ")[2] for at, line in enumerate(lines, start=1) if "  # " in line}
    assert said[name] == expected
