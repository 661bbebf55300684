"""An epoch that ends with an error says so to who asks for more, and keeps nothing alive."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from loaders import LoaderError
from loaders.iteration import Iteration
from tests.contract import make


@pytest.mark.parametrize("error", [OSError("disk"), KeyboardInterrupt()])
def test_no_error_looks_like_the_end(error: BaseException) -> None:
    def batches() -> Iterator[int]:
        yield 1
        raise error

    epoch = Iteration(batches())  # type: ignore[arg-type]
    assert next(epoch) == 1
    with pytest.raises(type(error)):
        next(epoch)
    for _ in range(2):
        with pytest.raises(LoaderError, match=rf"this epoch ended with an error \({type(error).__name__}: {error}\); "):
            next(epoch)


def test_threads_may_share_an_iterator() -> None:
    inside = Event()

    def batches() -> Iterator[int]:
        for number in range(40):
            assert not inside.is_set()
            inside.set()
            Event().wait(0.001)  # another thread has its turn
            inside.clear()
            yield number

    epoch = Iteration(batches())  # type: ignore[arg-type]
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda _: list(epoch), range(4))
    assert sorted(number for some in found for number in some) == list(range(40))


def test_an_error_is_no_end_for_threads_that_wait() -> None:
    def batches() -> Iterator[int]:
        Event().wait(0.3)  # until the others wait for their turn
        raise OSError("disk")
        yield 1

    epoch = Iteration(batches())  # type: ignore[arg-type]
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(next, epoch, "end") for _ in range(4)]
        found = [one.exception() for one in waiting]
    assert sorted(type(error).__name__ for error in found) == ["LoaderError"] * 3 + ["OSError"]


def test_an_iterator_that_failed_keeps_no_loader(beton: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise OSError("disk")

    monkeypatch.setattr("loaders.loader.deliver", fails)
    loader = make(beton)
    batches, alive = iter(loader), weakref.ref(loader)
    gc.collect()
    gc.disable()
    try:
        with pytest.raises(OSError, match="disk") as caught:
            next(batches)
        del loader, batches, caught
        assert alive() is None
    finally:
        gc.enable()
