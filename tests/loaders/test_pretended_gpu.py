"""The loader on a GPU that is pretended: devices, waits, launches, and how long memory is kept."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from loaders.backends.device_queue import Clock, InUse, RunAhead
from tests.contract import make
from tests.pretend import Count, Event, Stream, pretending


def endless(loader: Any) -> Iterator[Any]:
    while True:
        yield from loader


def clear(count: Count) -> None:
    for counter in (count.launches, count.copies, count.waits):
        counter.clear()


# options, launches of a steady batch at most
CASES: list[tuple[dict[str, Any], int]] = [
    ({"dtype": "uint8"}, 0),
    ({"dtype": "bfloat16"}, 1),
    ({"dtype": "float16", "magnitude": 7, "memory_format": "channels_last"}, 4),
    ({"dtype": "bfloat16", "magnitude": 7, "erase": 0.9}, 5),
    ({"dtype": "float32", "magnitude": 7, "augment_at": "base"}, 16),
    ({"dtype": "float32", "train": False}, 1),
]


@pytest.mark.parametrize(("options", "launches"), CASES)
def test_a_steady_batch_waits_for_nothing(beton: Path, options: dict[str, Any], launches: int) -> None:
    with pretending() as count, make(beton, device="cuda", drop_last=True, **options) as loader:
        batches = endless(loader)
        for _ in range(3):
            next(batches)
        clear(count)
        synchronized = Event.synchronized
        images, labels = next(batches)
        assert images.device.type == labels.device.type == "cuda"
        assert images.shape == (5, 3, 32, 32) and labels.shape == (5,)
        assert count.total <= launches, count.launches
        assert not +count.waits and not count.copies["pageable"], (count.waits, count.copies)
        assert count.copies["pinned"] <= 2 + 2  # images and labels; parameters of RandAugment and erasing
        assert Event.synchronized - synchronized <= 1  # run-ahead: the work of `prefetch + 1` batches ago


def test_objects_are_kept_until_their_event_has_passed() -> None:
    class Memory:
        pass

    with pretending(events_pass=False):
        kept, stream = InUse(), Stream()
        memory = [Memory() for _ in range(3)]
        watched = [weakref.ref(each) for each in memory]
        for each in memory:
            kept.keep(stream, each)  # type: ignore[arg-type]
        del each, memory
        gc.collect()
        assert len(kept) == 3 and all(watch() is not None for watch in watched)
        Event.passes = True
        kept.release()
        gc.collect()
        assert len(kept) == 0 and not any(watch() for watch in watched)


def test_the_host_waits_for_the_work_of_some_batches_ago() -> None:
    with pretending(events_pass=False):
        ahead, user = RunAhead(3), Stream()
        waits = []
        for _ in range(6):
            ahead.delivered(user)  # type: ignore[arg-type]
            waits.append(Event.synchronized)
        assert waits == [0, 0, 0, 1, 2, 3]


def test_the_torch_backend_keeps_pinned_memory_while_it_is_copied(beton: Path) -> None:
    with pretending(events_pass=False), make(beton, device="cuda", dtype="bfloat16") as loader:
        batches = endless(loader)
        for number in range(1, 4):
            next(batches)
            assert len(loader._backend._in_use) == number  # type: ignore[attr-defined]
        Event.passes = True
        next(batches)
        assert len(loader._backend._in_use) == 0  # type: ignore[attr-defined]


@pytest.mark.dali
def test_dalis_outputs_are_kept_while_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    from loaders.backends.dali.routes import DecodedByDALI, InGraph
    from loaders.batch import BatchPlan
    from loaders.plan import SAMPLE
    from loaders.stage import Stage
    from loaders.transforms.pipeline import TransformPipeline

    class Output:
        """Stands for DALI's list of tensors on a GPU."""

        def as_tensor(self) -> Output:
            return self

    class Kernel:
        """The kernel's part of a batch: one sample that DALI was not given."""

        status = np.zeros(1, np.int32)
        out = np.zeros(3 * 32 * 32, np.uint8)

        def wait(self) -> None: ...

        def close(self) -> None: ...

        def message(self, i: int) -> str:
            return str(i)

    class Decoder:
        def repair(self, *_: object) -> None: ...

    with pretending(events_pass=False) as count:
        device = torch.device("cuda")
        pipeline = TransformPipeline(dtype="float16", mean=(0.5,) * 3, std=(0.25,) * 3, device=device, seed=0)
        format = pipeline.format(Stage(resolution=32, magnitude=5, batch_size=4))
        route = InGraph(Decoder(), pipeline, Clock(device), bicubic=False, prefetch=9)  # type: ignore[arg-type]
        monkeypatch.setattr(
            torch, "from_dlpack", lambda _: torch.empty((4, 3, 32, 32), dtype=torch.uint8, device="cuda")
        )
        watched = []
        for number in range(3):
            output = Output()
            watched.append(weakref.ref(output))
            plan = BatchPlan(format, 0, np.arange(4), np.zeros(4, np.int64), np.zeros(4, SAMPLE))
            clear(count)
            made = route.finish(DecodedByDALI(plan, output, "", np.array([2]), Kernel()))  # type: ignore[arg-type]
            assert made.images.device.type == "cuda" and made.images.dtype == torch.float16
            assert not +count.waits and (number == 0 or not count.copies["pageable"])  # the first makes constants
            del output, made
        gc.collect()
        assert all(watch() is not None for watch in watched)  # the next batches were delivered, and they are still held
        Event.passes = True
        route._in_use.release()
        gc.collect()
        assert not any(watch() for watch in watched)
