"""Something happens at a certain bytecode: Ctrl-C, an exception out of nowhere, a full disk."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import msae

HERE = Path(msae.__file__).parent


class After:
    """Does something at the n-th bytecode of msae and of torch's optimizers; for n = None it counts them."""

    def __init__(self, n, action):
        self.left, self.action, self.seen = n, action, 0

    def __enter__(self):
        self.before = sys.gettrace()
        sys.settrace(self.trace)
        return self

    def __exit__(self, *_):
        sys.settrace(self.before)

    def trace(self, frame, event, arg):
        name = frame.f_code.co_filename
        if not (name.startswith(str(HERE)) or "/torch/optim/" in name):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self.opcode

    def opcode(self, frame, event, arg):
        if event == "opcode":
            self.seen += 1
            if self.seen == self.left:
                self.action()
        return self.opcode


def interrupt():
    raise KeyboardInterrupt


def stopping(stream, at):
    """A stream of a tree that is interrupted at its batch number `at`."""

    class Stops(msae.TreeStream):
        def batches(self, batch_size, seed, skip=0):
            for i, x in enumerate(super().batches(batch_size, seed, skip)):
                if i == at:
                    raise KeyboardInterrupt
                yield x

    return Stops(stream.tree, stream.directions)


def full_disk():
    raise OSError(28, "No space left on device")


def press():
    os.kill(os.getpid(), signal.SIGINT)
