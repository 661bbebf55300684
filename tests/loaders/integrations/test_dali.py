"""The operations as steps of DALI graphs: the modules' pixels, for any stage, with nothing rebuilt."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from loaders.errors import LoaderError
from loaders.plan.crop import flips
from loaders.transforms import LowFrequencyCrop, Normalize, RandAugment
from tests.pretend import Stream, pretending

SIDE, BATCH, COUNT, SEED = 64, 6, 15, 3
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "dali_graph.py"


def photos() -> np.ndarray:
    """uint8 [COUNT, SIDE, SIDE, 3], with noise that is mostly coarse."""
    coarse, fine = (np.random.default_rng(0).integers(0, n, (COUNT, side, side, 3)) for n, side in ((200, 8), (56, 64)))
    return (coarse.repeat(8, 1).repeat(8, 2) + fine).astype(np.uint8)


class Graph:
    """A pipeline over `photos`: `body(images, indices, epoch, resolution, magnitude)`; `stage` says the last three."""

    def __init__(self, body: Callable[..., Any], device: str = "cpu", conditionals: bool = False) -> None:
        from nvidia.dali import fn, pipeline_def, types

        self.images, self.stage = list(photos()), {"epoch": 0, "resolution": 24, "magnitude": 9.0}

        def source() -> Iterator[tuple[Any, ...]]:
            for first in range(0, COUNT, BATCH):
                part = slice(first, first + BATCH)
                indices = np.arange(COUNT)[part]
                told = (np.broadcast_to(value, COUNT)[part].copy() for value in self.stage.values())
                yield self.images[part], indices, *told

        def define() -> Any:
            whole = types.INT64
            images, *rest = fn.external_source(
                source=source,
                num_outputs=5,
                cycle="raise",
                dtype=[types.UINT8, whole, whole, whole, types.FLOAT64],
                layout=["HWC", "", "", "", ""],
            )
            return body(images.gpu() if device == "gpu" else images, *rest), *rest  # DALI warns of unused nodes

        options = {"batch_size": BATCH, "num_threads": 2, "device_id": 0 if device == "gpu" else None}
        self.pipeline = pipeline_def(define, enable_conditionals=conditionals, exec_dynamic=True, **options)()

    def epoch(self) -> torch.Tensor:
        batches = []
        try:
            while True:
                images, *_ = self.pipeline.run()
                batches.append(torch.from_dlpack(images.as_tensor()).cpu().clone())
        except StopIteration:
            self.pipeline.reset()
        return torch.cat(batches)


def chw(images: Any) -> torch.Tensor:
    return torch.as_tensor(images).permute(0, 3, 1, 2)


def mirrored(epoch: int) -> torch.Tensor:
    images, these = chw(photos()).clone(), torch.from_numpy(flips(SEED, epoch, np.arange(COUNT)).astype(bool))
    images[these] = images[these].flip(3)
    return images


@pytest.mark.dali
@pytest.mark.parametrize("device", ["cpu", pytest.param("gpu", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("conditionals", [False, True])
def test_one_graph_gives_the_modules_pixels_at_every_stage(device: str, conditionals: bool) -> None:
    from loaders.integrations.dali import low_frequency_crop, rand_augment, random_flip

    def body(images: Any, indices: Any, epoch: Any, resolution: Any, magnitude: Any) -> Any:
        images = random_flip(images, indices, seed=SEED, epoch=epoch)
        images = rand_augment(images, indices, magnitude, seed=SEED, epoch=epoch)
        return low_frequency_crop(images, resolution)

    graph, close = Graph(body, device, conditionals), 0 if device == "cpu" else 2
    for epoch, resolution, magnitude in ((0, 24, 9.0), (1, 33, 2.5), (2, 64, -1.0)):
        graph.stage.update(epoch=epoch, resolution=resolution, magnitude=magnitude)
        wanted = mirrored(epoch)
        if magnitude >= 0:
            wanted = RandAugment(magnitude)(wanted, np.arange(COUNT), seed=SEED, epoch=epoch)
        wanted = LowFrequencyCrop(resolution)(wanted)
        gap = (chw(graph.epoch()).int() - wanted.int()).abs().float()
        assert gap.mean() <= close / 100 and gap.shape[2] == resolution
        assert not torch.equal(wanted, LowFrequencyCrop(resolution)(chw(photos())))  # there was something to do


@pytest.mark.dali
def test_options_of_rand_augment_and_numbers_for_nodes() -> None:
    from loaders.integrations.dali import rand_augment

    options = {"mstd": 0.0, "num_ops": 1, "increasing": False, "base": 32, "fill": (1, 2, 3)}
    graph = Graph(lambda images, indices, *_: rand_augment(images, indices, 7, seed=SEED, epoch=5, **options))
    wanted = RandAugment(7, **options)(chw(photos()), np.arange(COUNT), seed=SEED, epoch=5)  # type: ignore[arg-type]
    assert torch.equal(chw(graph.epoch()), wanted)


@pytest.mark.dali
def test_floats_are_neither_rounded_nor_clipped() -> None:
    from nvidia.dali import fn, types

    from loaders.integrations.dali import low_frequency_crop

    graph = Graph(lambda images, *_: low_frequency_crop(fn.cast(images, dtype=types.FLOAT), 24))
    crop = chw(graph.epoch())
    torch.testing.assert_close(crop, LowFrequencyCrop(24)(chw(photos()).float()), rtol=0, atol=1e-4)
    assert crop.max() > 255 or crop.min() < 0


@pytest.mark.dali
@pytest.mark.parametrize("resolution", [24, 48])
def test_lanczos_is_nearly_the_modules(resolution: int) -> None:
    from loaders.integrations.dali import low_frequency_crop

    graph = Graph(lambda images, _, __, resolution, ___: low_frequency_crop(images, resolution, "lanczos"))
    graph.stage["resolution"] = resolution
    crop = chw(graph.epoch()).int()
    gap = (crop - LowFrequencyCrop(resolution, "lanczos")(chw(photos())).int()).abs()
    assert gap.float().mean() < 0.25 and gap.max() <= 8
    assert (crop - LowFrequencyCrop(resolution)(chw(photos())).int()).abs().float().mean() > 1  # another grid


@pytest.mark.dali
@pytest.mark.parametrize(("name", "dtype", "close"), [(None, torch.float32, 1e-6), ("FLOAT16", torch.float16, 2e-3)])
@pytest.mark.parametrize("layout", ["CHW", "HWC"])
def test_normalisation(name: str | None, dtype: torch.dtype, close: float, layout: str) -> None:
    from nvidia.dali import types

    from loaders.integrations.dali import normalize

    given = None if name is None else getattr(types, name)
    made = Graph(lambda images, *_: normalize(images, MEAN, STD, dtype=given, layout=layout)).epoch()
    assert made.dtype == dtype
    wanted = Normalize(MEAN, STD)(chw(photos()))
    torch.testing.assert_close((chw(made) if layout == "HWC" else made).float(), wanted, rtol=0, atol=close)


@pytest.mark.dali
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ({"magnitude": np.arange(COUNT) / 2}, "`magnitude` must be the same for a whole batch, got 0.0 to 2.5."),
        ({"resolution": np.arange(COUNT) + 8}, "`resolution` must be the same for a whole batch, got 8 to 13."),
        ({"epoch": np.arange(COUNT)}, "`epoch` must be the same for a whole batch, got 0 to 5."),
        ({"magnitude": 12.0}, "`magnitude` must be from 0 to 10, got 12.0"),
        ({"size": 50}, r"A batch must be all of one size here, got \(50, 50, 3\) and \(64, 64, 3\); resize before."),
    ],
)
def test_errors_say_rule_and_value(spoil: dict[str, Any], message: str) -> None:
    from loaders.integrations.dali import low_frequency_crop, rand_augment

    def body(images: Any, indices: Any, epoch: Any, resolution: Any, magnitude: Any) -> Any:
        return low_frequency_crop(rand_augment(images, indices, magnitude, seed=SEED, epoch=epoch), resolution)

    graph = Graph(body)
    if "size" in spoil:
        graph.images[1] = graph.images[1][:50, :50].copy()
    else:
        graph.stage.update(spoil)
    with pytest.raises(RuntimeError, match=message):
        graph.epoch()


@pytest.mark.dali
def test_torch_keeps_a_result_until_dalis_stream_has_read_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from loaders.integrations import dali

    recorded: list[tuple[torch.Size, Any]] = []
    with pretending():
        monkeypatch.setattr(
            torch.Tensor, "record_stream", lambda tensor, stream: recorded.append((tensor.shape, stream))
        )
        monkeypatch.setattr(dali, "to_dlpack", lambda tensor: tensor)
        pictures = [torch.empty((16, 16, 3), dtype=torch.uint8, device="cuda") for _ in range(4)]
        reader: Any = Stream()
        done = dali._call(lambda images: images, pictures, [], reader)
        assert len(done) == 4 and done[0].device.type == "cuda"
    assert recorded == [((4, 16, 16, 3), reader)]


def test_an_unknown_method_is_refused_at_once() -> None:
    from loaders.integrations.dali import low_frequency_crop

    with pytest.raises(ValueError, match=r"`method` must be 'fourier' or 'lanczos', got 'fft'."):
        low_frequency_crop(None, 96, "fft")


def test_without_dali_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nvidia.dali", None)
    monkeypatch.delitem(sys.modules, "loaders.integrations.dali", raising=False)
    with pytest.raises(
        LoaderError, match=r"^`loaders.integrations.dali` needs NVIDIA DALI, which is not installed; `pip .*`.$"
    ):
        importlib.import_module("loaders.integrations.dali")


@pytest.mark.dali
@pytest.mark.slow
def test_the_example(jpeg_folder: Path) -> None:
    command = [sys.executable, "-W", "ignore", EXAMPLE, jpeg_folder / "train"]
    environment = {"PYTHONPATH": str(EXAMPLE.parents[1])}
    lines = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.splitlines()
    assert lines == [f"B={side}: 3 batches of (8, 3, {side}, {side}), torch.float32" for side in (96, 160, 224)]
