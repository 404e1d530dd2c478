"""The pretend device refuses what a GPU refuses, computes the right numbers, and tells where the host waits."""

import gc

import pytest
import torch
from pretend_device import pretend_device

from msae.training.exchange import find_moves


def test_the_pretend_device_refuses_what_a_gpu_refuses():
    with pretend_device() as gpu:
        x, here = torch.arange(6.0).view(2, 3).to(gpu.device), torch.ones(3)
        for mixed in (lambda: x + here, lambda: here + x, lambda: x @ here, lambda: torch.cat([x, here[None]]), lambda: here[x[0].long()]):
            with pytest.raises(RuntimeError, match="mixes devices"):
                mixed()
        with pytest.raises(RuntimeError, match="mixes devices"):
            x[0] = x[0] + here
        with pytest.raises(RuntimeError, match="generator of the CPU"):
            torch.rand(3, device=gpu.device, generator=torch.Generator())
        with pytest.raises(TypeError, match=r"use Tensor\.cpu"):
            x.numpy()
        assert (x + torch.tensor(1.0)).sum().item() == 21
        assert x[:, [2, 0]].tolist() == x[:, torch.tensor([2, 0])].tolist() == [[2, 0], [5, 3]]
        x[1, [0]] = 7
        assert x.tolist() == [[0, 1, 2], [7, 4, 5]]
        assert torch.tensor([3.0], device=gpu.device).device == x.new_tensor([3]).device == gpu.device


def test_the_pretend_device_tells_where_the_host_waits():
    with pretend_device() as gpu:
        x = torch.ones(3).to(gpu.device)
        assert [wait.what for wait in gpu.sends] == ["_to_copy"]
        gpu.clear()
        waits = [
            lambda: x.sum().item(), lambda: bool(x[0]), lambda: x.tolist(), lambda: x.cpu(), lambda: x[x > 0], lambda: x.nonzero(),
            lambda: x.unique(), lambda: torch.equal(x, x), lambda: torch.empty(3).copy_(x), lambda: x.long().bincount(minlength=9),
            lambda: x.repeat_interleave(x.long()), lambda: int(x.argmax()),
        ]  # fmt: skip
        for wait in waits:
            wait()
        assert len(gpu.reads) == len(waits)
        assert all(wait.where.startswith("test_pretend_device.py:") for wait in gpu.reads)
        gpu.clear()
        x.add_(1).mul_(x).masked_fill_(x > 3, 0).topk(2)
        torch.where(x > 0, x, torch.inf).sort()
        x.repeat_interleave(x.long(), output_size=0)
        torch.nonzero_static(x > 3, size=3)
        assert (gpu.reads, gpu.sends) == ([], [])
        x.sum().item()
        find_moves(x[None, None], x[None, None], x[None])
        assert [wait.where.split(":")[0] for wait in gpu.reads] == [
            "test_pretend_device.py",
            *["msae/support/arguments/arrays.py"] * 3,
            "msae/training/exchange.py",
        ]


def test_the_pretend_device_tells_what_is_alive():
    with pretend_device() as gpu:
        kept = torch.ones(3).to(gpu.device)[1:]
        torch.ones(4).to(gpu.device)
        gc.collect()
        assert list(gpu.alive().values()) == [kept.elem.untyped_storage().nbytes()] == [12]
