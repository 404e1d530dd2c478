"""Which form of a step is taken where: the rule against the measurements that it rests on."""

import json
from importlib.resources import files

import pytest
import torch

import msae
from msae.training.sparse import slots_worth

CPU, GPU = torch.device("cpu"), torch.device("cuda")
MEASURED = json.loads((files("msae") / "assets" / "step_on_gpu.json").read_text(encoding="utf-8"))["after"]["steps"]
LAWS = {"plain": msae.FullPrefix(), "all_prefixes": msae.SquareRootPrefixes()}
SLOTS = 1.3
"""Slots of an active latent, its share of the padding and of the input's own slot with it."""


@pytest.fixture(params=[False, True], ids=["float32", "tf32"])
def tf32(request):
    before, torch.backends.cuda.matmul.allow_tf32 = torch.backends.cuda.matmul.allow_tf32, request.param
    yield request.param
    torch.backends.cuda.matmul.allow_tf32 = before


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("size", MEASURED)
def test_on_a_gpu_the_faster_form_is_taken(size, law, tf32):
    there = MEASURED[size]
    config = msae.TrainConfig(there["n_latents"], there["l0"], n_steps=1, batch_size=there["batch"], prefixes=LAWS[law])
    ms = {form: there["ms"][f"relu, {law}, {form}, {'tf32' if tf32 else 'float32'}"] for form in ("sparse", "dense")}
    is_sparse = SLOTS * there["l0"] < slots_worth(config, there["d_model"], GPU)
    assert is_sparse == (ms["sparse"] < ms["dense"]), ms


def test_on_a_cpu_it_rests_on_the_number_of_latents_alone():
    for n, slots in ((512, 32), (2048, 128), (24576, 180)):
        assert slots_worth(msae.TrainConfig(n, 3.0, n_steps=1), 64, CPU) == slots
        assert slots_worth(msae.TrainConfig(n, 3.0, n_steps=1, batch_size=7, nonlinearity=msae.ReLU()), 9, CPU) == slots


def test_a_fixed_l0_needs_no_look_at_the_device_and_stays_sparse():
    config = msae.TrainConfig(8192, n_steps=1, target_l0=None, nonlinearity=msae.TopK(30))
    assert slots_worth(config, 256, GPU) == 180
