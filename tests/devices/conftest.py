"""A language model with random weights, and what it holds at one hook: what devices are compared on."""

import pytest
import torch
from tiny_models import STORIES, tiny_language_model

import msae


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lm")
    tiny_language_model(folder, STORIES, d_model=16, n_layers=2)
    return folder


@pytest.fixture(scope="module")
def lm(folder):
    return msae.load_language_model(folder)


@pytest.fixture(scope="module")
def read(lm):
    return msae.Activations(lm, STORIES, "blocks.1.hook_resid_pre", n_ctx=16, dtype=torch.float32, progress=False)
