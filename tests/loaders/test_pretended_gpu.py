"""The loader on a GPU that is pretended: devices, waits, launches, and how long memory is kept."""

from __future__ import annotations

import gc
import io
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from loaders import convert
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


@pytest.fixture(scope="module")
def annotated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pyramid of 12 samples with a vector of labels, a number, a mask, boxes and points."""

    def encoded(pixels: np.ndarray, kind: str) -> bytes:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, kind)
        return file.getvalue()

    rng = np.random.Generator(np.random.Philox(0))
    samples = [
        {
            "image": encoded(rng.integers(0, 256, (64, 72, 3), np.uint8), "JPEG"),
            "label": k % 3,
            "tags": np.float32(np.arange(4) == k % 4),
            "age": float(k),
            "mask": encoded(rng.integers(0, 9, (64, 72), np.uint8), "PNG"),
            "boxes": np.float32([[0, 0, 8 + each, 9] for each in range(k % 3)]).reshape(-1, 4),
            "points": np.float32([[k, 5]]),
        }
        for k in range(12)
    ]
    out = tmp_path_factory.mktemp("annotated") / "x.beton"
    kinds = {
        "label": "int",
        "tags": ("float32", 4),
        "age": "float",
        "mask": "mask",
        "boxes": "boxes",
        "points": "points",
    }
    convert(samples, out, fields=kinds, workers=1)
    return out


@pytest.mark.parametrize("name", ["tags", "age", "mask", "boxes", "points", "index", "crop", "flip"])
@pytest.mark.parametrize("views", [1, 2])
def test_every_field_is_one_pinned_copy(annotated: Path, name: str, views: int) -> None:
    options: dict[str, Any] = {"batch_size": 4, "drop_last": True, "views": views, "dtype": "bfloat16"}
    with pretending() as count, make(annotated, device="cuda", fields=("image", name), **options) as loader:
        batches = endless(loader)
        next(batches)
        clear(count)
        _, values = next(batches)
        tensors = torch.utils._pytree.tree_leaves(values)
        assert tensors and all(tensor.device.type == "cuda" for tensor in tensors)
        if name in ("boxes", "points"):
            assert len(tensors) == 4 * views
        assert count.copies == {"pinned": 3} and not +count.waits, (count.copies, count.waits)  # images, labels, field


def test_cuda_is_the_gpu_that_was_current_when_the_loader_was_made(beton: Path) -> None:
    with pretending(), pytest.MonkeyPatch.context() as monkeypatch:  # undone first
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
        monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
        with make(beton, device="cuda", magnitude=5, fields=("image", "label", "index")) as loader:
            monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
            assert loader.device == loader._backend._stream.device == torch.device("cuda", 1)  # type: ignore[attr-defined]
            assert {str(part.device) for part in next(iter(loader))} == {"cuda:1"}
        with pytest.raises(ValueError, match="must be one of the 2 GPUs here, from 0, got 'cuda:2'"):
            make(beton, device="cuda:2")


def test_all_that_transforms_return_is_handed_over(beton: Path) -> None:
    targets: list[Any] = []

    def transform(images: torch.Tensor, batch: Any) -> Any:
        targets[:] = [torch.empty(len(images), device="cuda"), batch.labels]
        return images.float(), {"soft": targets[0], "hard": (targets[1], None)}

    with pretending(), make(beton, device="cuda", transforms=[transform]) as loader:
        recorded: list[torch.Tensor] = []
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setattr(torch.Tensor, "record_stream", lambda tensor, _: recorded.append(tensor))
            images, _ = next(iter(loader))
        assert all(any(one is each for one in recorded) for each in (images, *targets))


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
        settings: dict[str, Any] = {"mean": (0.5,) * 3, "std": (0.25,) * 3, "device": device, "seed": 0}
        pipeline = TransformPipeline(dtype="float16", **settings)
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

        # A transform's result may be a view of DALI's memory: the user gets a copy.
        view = TransformPipeline(dtype="uint8", **settings, custom=(lambda images, _: images[:, :, ::2],))
        route = InGraph(Decoder(), view, Clock(device), bicubic=False, prefetch=9)  # type: ignore[arg-type]
        plan = BatchPlan(view.format(format.stage), 0, np.arange(4), np.zeros(4, np.int64), np.zeros(4, SAMPLE))
        made = route.finish(DecodedByDALI(plan, Output(), "", np.array([2]), Kernel()))  # type: ignore[arg-type]
        assert made.images.shape == (4, 3, 16, 32) and made.images._base is None and made.images.is_contiguous()
