"""An iterator that does not end quietly after an error."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

from .errors import LoaderError


class Iteration(Iterator[Any]):
    """The batches of one epoch. After an error there are no more; asking for one is an error, too.

    A generator that has raised looks as if it were at its end: a loop that catches the error of one batch and asks for
    the next one would take the rest of the epoch for done.
    """

    def __init__(self, batches: Generator[Any, None, None]) -> None:
        self._batches = batches
        self._error: Exception | None = None

    def __next__(self) -> Any:
        if self._error is not None:
            raise LoaderError(
                f"this epoch ended with an error ({type(self._error).__name__}: {self._error}); begin another one by "
                '`iter(loader)`, resume behind the batch by `load_state_dict`, or pass `on_error="replace"`'
            ) from self._error
        try:
            return next(self._batches)
        except StopIteration:
            raise
        except Exception as error:
            self._error = error
            raise

    def close(self) -> None:
        """Gives the epoch up: batches under way are cancelled."""
        self._batches.close()
