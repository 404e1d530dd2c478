"""What a result was measured on is said in one way, and a version in one place."""

import importlib.metadata
import subprocess
import sys

import torch

import msae
from msae.support.hardware import hardware, machine
from msae.support.version import __version__, version_of


def test_hardware_counts_the_cores_that_torch_uses():
    assert hardware().startswith(f"{torch.get_num_threads()} of ")
    assert "CPU cores" in hardware()


def test_machine_is_asked_without_torch():
    code = "import sys, json; from msae.support.hardware import machine; print(json.dumps([sorted(machine()), 'torch' in sys.modules]))"
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert said.strip() == '[["cpus", "processor", "system", "when"], false]'
    assert machine()["cpus"] >= 1


def test_the_version_is_the_one_of_the_source():
    assert msae.__version__ == __version__
    assert version_of("torch") == importlib.metadata.version("torch")
    assert version_of("no-such-package") is None
