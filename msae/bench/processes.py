"""The processes that take turns: each is started, asked for blocks of steps, and ended from here (`msae.bench.worker` runs in them)."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from msae.bench.worker import N_BATCHES

WORKER = Path(__file__).with_name("worker.py")


@contextmanager
def running(label: str, task: Mapping[str, Any], python: str | os.PathLike[str] | None) -> Iterator[Process]:
    """A process that builds the task's step. It ends with the block.

    Args:
        label: what errors call it.
        task: sizes and kind of the step.
        python: the interpreter; ours where there is none. Another gets the worker's text, for it has no msae.
    """
    here = {"OMP_WAIT_POLICY": "PASSIVE"} | os.environ  # threads that wait by spinning would count as work
    if python is None:
        here["PYTHONPATH"] = os.pathsep.join(filter(None, [str(WORKER.parents[2]), os.environ.get("PYTHONPATH")]))
        command = [sys.executable, "-m", f"msae.bench.{WORKER.stem}"]
    else:
        command = [str(python), "-I", "-c", WORKER.read_text(encoding="utf-8")]
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, env=here, encoding="utf-8")
        worker = Process(label, process, said)
        try:
            worker.send(task)
            yield worker
        finally:
            process.kill()
            process.communicate()


@dataclass
class Process:
    """One process that runs a step when it is asked to."""

    label: str
    """What it runs, for errors."""

    process: subprocess.Popen[str]

    said: IO[str]
    """What it writes to stderr."""

    def send(self, request: Mapping[str, Any]) -> None:
        """Ask for something, without waiting."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # it died: the answer says so
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """What it says to the request before.

        Raises:
            RuntimeError: where it failed or ended, with what it said last.
        """
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            self.said.seek(0)
            last = (self.said.read().strip().splitlines() or ["it said nothing"])[-1]
            hint = "; the memory may be too small: choose a smaller setting or fewer steps" if code in (-9, 137) else ""
            raise RuntimeError(f"the process of {self.label!r} ended with code {code}: {last}{hint}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"the process of {self.label!r} failed: {answer['error']}")
        return answer

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Ask for something and wait for it; errors as of `answer`."""
        self.send(request)
        return self.answer()

    def warm_up(self, block_seconds: float) -> int:
        """Steps in a block of that length, after a step on every batch: the first ones allocate."""
        steps = 1
        for at_least in (N_BATCHES, 1):
            done = self.ask({"steps": steps})
            steps = max(at_least, math.ceil(block_seconds * steps / max(done["wall"], 1e-9)))
        return steps
