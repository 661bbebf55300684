"""An iterator that does not end silently after an error."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from threading import Lock
from typing import Any

from .errors import LoaderError


class Iteration(Iterator[Any]):
    """The batches of one epoch. After an error it delivers no further batch; `next` raises an error, too.

    After an error, a generator looks as if it were exhausted. A loop that catches the error of one batch and requests
    the next one would silently skip the rest of the epoch.
    """

    def __init__(self, batches: Generator[Any, None, None]) -> None:
        self._batches, self._lock = batches, Lock()  # several threads may share an iterator, as they may torch's
        self._error: str | None = None
        """Kept as text: the error's traceback would keep this iterator alive, and with it the loader's threads."""

    def __next__(self) -> Any:
        with self._lock:
            if self._error is not None:  # also if it happened while this thread waited
                raise LoaderError(
                    f"this epoch ended with an error ({self._error}); `iter(loader)` begins the next one, "
                    '`state_dict()` is still at the batch that failed; `on_error="replace"` replaces bad samples'
                )
            try:
                return next(self._batches)
            except StopIteration:
                raise
            except BaseException as error:  # Ctrl-C ends a generator, too
                self._error = f"{type(error).__name__}: {error}"
                raise

    def close(self) -> None:
        """Ends the epoch: batches in progress are cancelled."""
        self._batches.close()
