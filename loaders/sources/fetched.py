"""Records of planned samples that are on their way from a store."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any

from ..storage.mirror import CacheError


class Fetched:
    """Records of planned samples that are being fetched."""

    def __init__(
        self,
        futures: list[Future[Any]],
        place: Callable[[], object],
        size: int,
        instead: Callable[[CacheError], Fetched] | None,
        held: object,
    ) -> None:
        """instead: fetches the same records without the cache; None: no cache is used. held: their stored values."""
        self._coming, self._place, self.bytes, self._instead, self._held = futures, place, size, instead, held
        self._ended: list[Future[Any]] = []
        self._lease: object = None

    def done(self) -> bool:
        """See `Fetch.done`."""
        while self._coming and self._coming[-1].done():
            self._ended.append(self._coming.pop())
        return not self._coming

    def wait(self) -> None:
        """Waits for all bytes, and makes the samples refer to them.

        Raises:
            LoaderError: the store refuses, or keeps failing.
        """
        if self._lease is None:
            wait(self._coming)
            try:
                for future in self._ended + self._coming:
                    future.result()
                self._lease = self._place()
            except CacheError as error:
                if self._instead is None:
                    raise
                fetched = self._instead(error)
                fetched.wait()
                self._lease = fetched
