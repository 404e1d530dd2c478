"""A pretend accelerator, so that code for a GPU can be tested where there is none.

    with pretend_device() as gpu:
        x = torch.randn(3, 4).to(gpu.device)    # claims another device, is computed on the CPU beneath
        x + torch.zeros(4)                      # RuntimeError, as on a GPU
        x.sum().item()                          # gpu.reads == [Wait("_local_scalar_dense", "msae/training/active.py:70")]

What it tells: whether tensors of two devices meet where a GPU refuses it (allowed are a CPU scalar in a pointwise operation, a CPU index,
and copies); whether a number is drawn there by a CPU generator; how often the host waits for the device, and at which line: `reads` are
values that come back (an item, a copy, or the size of a result that depends on values, such as that of `nonzero`), `sends` are
copies that go there; and which tensors are alive.

What it does not tell: speed, kernels that a GPU lacks, streams, its rounding, its memory. The device is called "meta" because PyTorch asks
nothing of that one; code must not branch on the name but on `device.type == "cpu"`.
"""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import msae

DEVICE = torch.device("meta")
MSAE, TORCH = (os.path.join(os.path.dirname(module.__file__ or ""), "") for module in (msae, torch))

aten = torch.ops.aten
COPIES = {"copy_", "_to_copy"}
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_"}
SIZED_BY_VALUES = {"nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive", "bincount", "repeat_interleave"}
READING = {"_local_scalar_dense", "equal"} | SIZED_BY_VALUES
FROM_DATA = {torch.tensor, torch.as_tensor, torch.asarray}


class Wait(NamedTuple):
    """The host waits for the device."""

    what: str
    """The operation."""

    where: str
    """The line of msae that asks for it, or else of the test."""


class Pretend:
    """What happened on the device since it was made, or since the lists were cleared."""

    device = DEVICE

    def __init__(self) -> None:
        self.reads: list[Wait] = []
        self.sends: list[Wait] = []
        self._made: weakref.WeakSet[OnDevice] = weakref.WeakSet()

    def clear(self) -> None:
        self.reads.clear()
        self.sends.clear()

    def alive(self) -> dict[int, int]:
        """Address and bytes of every piece of the device's memory that some tensor still holds."""
        storages = [tensor.elem.untyped_storage() for tensor in self._made]
        return {storage.data_ptr(): storage.nbytes() for storage in storages}


_now: list[Pretend] = []


@contextmanager
def pretend_device() -> Iterator[Pretend]:
    """Have an accelerator within this block."""
    _now.append(Pretend())
    try:
        with _FromData(), _Operations():
            yield _now[-1]
    finally:
        _now.pop()


class OnDevice(Tensor):
    """A tensor that claims to be on the device; `elem` is where it is."""

    elem: Tensor
    is_meta = property(lambda self: False)
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, elem: Tensor) -> OnDevice:
        like = {"dtype": elem.dtype, "layout": elem.layout, "strides": elem.stride(), "storage_offset": elem.storage_offset()}
        made: OnDevice = Tensor._make_wrapper_subclass(cls, elem.size(), device=DEVICE, **like)
        made.elem = elem
        if _now:
            _now[-1]._made.add(made)
        return made

    def __init__(self, elem: Tensor) -> None: ...

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})

    def __repr__(self, **_: Any) -> str:
        return f"OnDevice({self.elem})"

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def numpy(self, **_: Any) -> Any:
        raise TypeError("can't convert a tensor of the pretend device to NumPy: use Tensor.cpu() first")


class _Operations(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _FromData(TorchFunctionMode):
    """Tensors made of Python numbers go past the dispatcher."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is Tensor.new_tensor and isinstance(args[0], OnDevice):
            kwargs = {"dtype": args[0].dtype, "device": DEVICE} | kwargs
            func, args = torch.tensor, args[1:]
        if func in FROM_DATA and kwargs.get("device") is not None:
            device = torch.device(kwargs.pop("device"))
            return func(*args, **kwargs).to(device)
        if func in (Tensor.__getitem__, Tensor.__setitem__) and isinstance(args[0], OnDevice):
            args = args[0], _index(args[1]), *args[2:]
        return func(*args, **kwargs)


def _index(index: Any) -> Any:
    """A list as an index is a tensor made of numbers."""
    parts = [torch.tensor(part).to(DEVICE) if isinstance(part, list) else part for part in (index if isinstance(index, tuple) else [index])]
    return tuple(parts) if isinstance(index, tuple) else parts[0]


def _run(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    name = func.overloadpacket.__name__
    tensors: list[Tensor] = []
    _each(tensors.append, (args, list(kwargs.values())))
    ours, cpu = [t for t in tensors if isinstance(t, OnDevice)], [t for t in tensors if not isinstance(t, OnDevice)]
    assert not any(t.is_meta for t in cpu), f"{func} has a tensor that was made past the dispatcher, without values"
    asked = kwargs.get("device")
    to_device = bool(ours) if asked is None else torch.device(asked).type == DEVICE.type
    if name == "copy_":
        to_device = isinstance(args[0], OnDevice)
    if (ours or to_device) and kwargs.get("generator") is not None:
        raise RuntimeError(f"{func}: a generator of the CPU cannot draw on the device")
    _refuse_mixtures(func, name, args, ours, cpu)
    if ours and _reads(name, args, kwargs, to_device):
        _note("reads", name)
    if to_device and cpu and (name in COPIES | INDEXING | {"where"}):
        _note("sends", name)
    if asked is not None:
        kwargs = kwargs | {"device": torch.device("cpu")}
    result = func(*_each(_beneath, args), **{key: _each(_beneath, value) for key, value in kwargs.items()})
    if name == "_local_scalar_dense":
        return result
    known = {id(t.elem): t for t in ours} | {id(t): t for t in cpu}  # what was written in place stays the tensor that it is

    return _each(lambda t: known[id(t)] if id(t) in known else OnDevice(t) if to_device else t, result)


def _refuse_mixtures(func: Any, name: str, args: tuple[Any, ...], ours: list[Any], cpu: list[Tensor]) -> None:
    if not ours or not cpu or name in COPIES:
        return
    if name in INDEXING:
        indices = {id(t) for t in args[1] if t is not None} if isinstance(args[0], OnDevice) else set()
        refused = [t for t in cpu if id(t) not in indices and (t.ndim > 0 or t is args[0])]
    else:
        refused = [t for t in cpu if t.ndim > 0 or torch.Tag.pointwise not in func.tags]
    if refused:
        shapes = [[tuple(t.shape) for t in tensors] for tensors in (refused, ours)]
        raise RuntimeError(f"{func} mixes devices: {shapes[0]} on the CPU, {shapes[1]} on the pretend device")


def _reads(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], to_device: bool) -> bool:
    if name in INDEXING:
        return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1])
    if name == "repeat_interleave":
        return kwargs.get("output_size") is None
    return name in READING or (name in COPIES and not to_device)


def _beneath(tensor: Tensor) -> Tensor:
    return tensor.elem if isinstance(tensor, OnDevice) else tensor


def _each(change: Callable[[Tensor], Any], value: Any) -> Any:
    """The value with every tensor in it changed."""
    if isinstance(value, Tensor):
        return change(value)
    return type(value)(_each(change, item) for item in value) if type(value) in (list, tuple) else value


def _note(kind: str, what: str) -> None:
    if _now:
        getattr(_now[-1], kind).append(Wait(what, _place()))


def _place() -> str:
    """The line of msae that is being run, or else the first that is neither PyTorch's nor this file's."""
    frame, found = sys._getframe(1), ""
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(MSAE):
            return f"msae/{name[len(MSAE) :]}:{frame.f_lineno}"
        if not found and name != __file__ and not name.startswith(TORCH):
            found = f"{os.path.basename(name)}:{frame.f_lineno}"
        frame = frame.f_back
    return found
