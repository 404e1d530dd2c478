"""What SAELens and dictionary_learning compute, each in an environment of its own, beside what msae reads and writes.

Skipped where no variable names the Python of such an environment. To run it:

    python -m venv sae-lens && sae-lens/bin/pip install sae-lens
    python -m venv dl && dl/bin/pip install dictionary-learning
    MSAE_SAE_LENS=sae-lens/bin/python MSAE_DICTIONARY_LEARNING=dl/bin/python pytest tests/sae/test_formats_peers.py
"""

import json
import os
import subprocess
from pathlib import Path

import pytest
import torch
from places import ROOT
from safetensors.torch import load_file, save_file

import msae

PEER = ROOT / "tests" / "helpers" / "peer_formats.py"
PYTHONS = {"sae_lens": "MSAE_SAE_LENS", "dictionary_learning": "MSAE_DICTIONARY_LEARNING"}
CLOSE = 1e-5
"""Of activations and reconstructions of size 10."""


def run(library: str, what: str, folder: Path) -> str:
    python = os.environ.get(PYTHONS[library])
    if not python:
        pytest.skip(f"{library} is not here: {PYTHONS[library]} has to name the Python of an environment that has it")
    command = [os.path.abspath(python), "-I", str(PEER), library, what, str(folder)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("library", PYTHONS)
def test_what_a_peer_made_and_trained_computes_the_same_here(library, tmp_path):
    run(library, "make", tmp_path)
    found = {}
    for folder in sorted(tmp_path.iterdir()):
        sae, known = msae.sae.read_sae(folder), load_file(folder / "known.safetensors")
        acts = sae.encode(known["x"])
        assert 1 < (acts > 0).sum(1).float().mean() < 35, folder
        found[folder.name] = (acts - known["lengths"]).abs().max().item(), (sae.decode(acts) - known["x_hat"]).abs().max().item()
    print(json.dumps(found, indent=1))
    assert len(found) >= 14
    assert {name: both for name, both in found.items() if not max(both) < CLOSE} == {}


@pytest.mark.slow
def test_what_we_write_computes_the_same_in_saelens(tmp_path):
    g = torch.Generator().manual_seed(0)
    for kind in (msae.ReLU(), msae.TopK(3), msae.BatchTopK(3), msae.JumpReLU(0.2)):
        sae = msae.SAE(12, 40, kind, hook_name="blocks.1.hook_resid_post", generator=g)
        for name, weight in sae.named_parameters():
            if name != "W_dec":
                weight.data = 0.5 * torch.randn(weight.shape, generator=g)
        x = torch.randn(300, 12, generator=g)
        place = tmp_path / str(kind)
        msae.sae.write_saelens(sae, place)
        acts = sae.encode(x).detach()
        known = {"x": x, "lengths": acts, "x_hat": sae.decode(acts).detach()}
        save_file(known, place / "known.safetensors")
    found = json.loads(run("sae_lens", "read", tmp_path).splitlines()[-1])
    print(found)
    assert len(found) == 4
    assert {name: both for name, both in found.items() if not max(both.values()) < CLOSE} == {}
