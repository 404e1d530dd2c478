"""The one place where an interruption takes effect: between whole steps, everything or nothing.

with uninterrupted():
    step()             # Ctrl-C in here is raised at the end of the block
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class uninterrupted:
    """Within this block Ctrl-C (SIGINT) waits; the block's end raises the KeyboardInterrupt that came. It may be nested.

    Python runs signal handlers in the main thread alone, so in any other there is nothing to hold back. An exception that the block raises
    itself goes its way; what was held is then dropped, for the run is over.
    """

    def __enter__(self) -> uninterrupted:
        self._came: tuple[int, FrameType | None] | None = None
        self._held = threading.current_thread() is threading.main_thread() and callable(signal.getsignal(signal.SIGINT))
        if self._held:
            self._before: Any = signal.signal(signal.SIGINT, self._hold)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if self._held:
            signal.signal(signal.SIGINT, self._before)
            if self._came is not None and kind is None:
                self._before(*self._came)  # usually Python's own, which raises KeyboardInterrupt; a nested block's holds it on

    def _hold(self, number: int, frame: FrameType | None) -> None:
        self._came = (number, frame)
