"""Safe exit of a program whose daemon threads still iterate over a loader.

torch releases the GIL even to free a tensor. Until Python 3.13, a daemon thread that asks for the GIL again while the
interpreter is finalized is ended at that point; inside torch's C++ code this aborts the process. So at the program's
exit, each daemon thread that iterates over a loader is halted at its next batch.
"""

from __future__ import annotations

import atexit
import functools
import threading
import time

GRACE = 1.0
"""Seconds that the program's end waits for daemon threads to reach their next batch."""

_reading: set[int] = set()
"""Threads in the middle of an iteration, or with an error from an iteration, whose traceback may keep tensors."""

_ending = threading.Event()


class Halting:
    """Context of one iteration over a loader, in which `before_batch` is called before each batch is made."""

    def __enter__(self) -> Halting:
        _register()
        self.before_batch()
        return self

    def before_batch(self) -> None:
        """Returns immediately; in a daemon thread of a program that is ending it never returns."""
        if _ending.is_set() and threading.current_thread() is not threading.main_thread():
            _reading.discard(threading.get_ident())
            threading.Event().wait()
        _reading.add(threading.get_ident())

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error is None or error is GeneratorExit:
            _reading.discard(threading.get_ident())


@functools.cache
def _register() -> None:
    # Exit handlers run in reverse order. This one is registered after the first thread pool's: halt first, then close.
    atexit.register(_halt)


def _halt() -> None:
    """Python has joined the other threads by now, so only daemon threads are left."""
    _ending.set()
    deadline = time.monotonic() + GRACE
    while time.monotonic() < deadline and not _reading.isdisjoint(_others()):
        time.sleep(0.001)


def _others() -> list[int | None]:
    return [thread.ident for thread in threading.enumerate() if thread is not threading.current_thread()]
