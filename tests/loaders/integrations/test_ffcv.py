"""Our parts in FFCV pipelines, and the examples that show them."""

from __future__ import annotations

import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image

from loaders.sources import open_dataset
from tests.contract import make
from tests.loaders.ffcv_files import write_beton
from tests.pretend import pretending

if TYPE_CHECKING:
    from loaders.backends.ffcv import SubJPEGRandomResizedCrop

pytestmark = pytest.mark.ffcv

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
Run = Callable[..., subprocess.CompletedProcess[str]]


def decoder(*arguments: Any, **options: Any) -> SubJPEGRandomResizedCrop:
    from loaders.backends.ffcv import SubJPEGRandomResizedCrop

    return SubJPEGRandomResizedCrop(*arguments, **options)


def pipeline(data: Path, part: Any, field: str = "image", **options: Any) -> Any:
    """A FFCV loader whose images are decoded by `part`, of all samples in stored order."""
    from loaders.backends.ffcv import imports as gate

    with warnings.catch_warnings(), gate.threads_kept():
        warnings.simplefilter("ignore")
        options = {"batch_size": 7, "num_workers": 2, "seed": 9, "drop_last": False, **options}
        return gate.Loader(str(data), pipelines={field: [part]}, **options)


def images(loader: Any) -> np.ndarray:
    return np.concatenate([batch[0].copy() for batch in loader])


def planned(data: Path, epoch: int, resolution: int, **options: Any) -> np.ndarray:
    """What `loaders.Loader` delivers, in FFCV's layout."""
    options = {"seed": 9, "shuffle": False, "drop_last": False, "resolution": resolution, **options}
    with make(data, **options) as loader:
        loader.set_epoch(epoch)
        return torch.cat([batch for batch, _ in loader]).permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("cached", [True, False])
def test_crops_are_the_plans(beton: Path, cached: bool) -> None:
    part = decoder((64, 64), flip=True)
    loader = pipeline(beton, part, os_cache=cached)
    for epoch, size in enumerate((64, (96, 96), 64)):
        part.output_size = size
        np.testing.assert_array_equal(images(loader), planned(beton, epoch, size if isinstance(size, int) else size[0]))
    loader.next_epoch = 7  # as after a restart
    np.testing.assert_array_equal(images(loader), planned(beton, 7, 64))


def test_labels_filter_and_level(ffcv_beton: Path) -> None:
    loader = pipeline(ffcv_beton, decoder(48, flip=True, filter="lanczos", max_level=0), batch_size=24)
    ((pixels, labels),) = loader
    np.testing.assert_array_equal(pixels, planned(ffcv_beton, 0, 48, interpolation="lanczos", max_level=0))
    with open_dataset(ffcv_beton) as dataset:
        np.testing.assert_array_equal(labels[:, 0], dataset.labels(range(24)))


def test_without_flip_nothing_is_mirrored(beton: Path) -> None:
    got, flipped = images(pipeline(beton, decoder(64))), planned(beton, 0, 64)
    same = (got == flipped).all(axis=(1, 2, 3))
    assert 0 < same.sum() < 24
    mirrored = np.abs(got[~same][:, :, ::-1].astype(int) - flipped[~same])
    assert mirrored.mean() < 1  # weights of a mirrored grid round differently


def test_beside_fields_of_every_kind(mixed: Path) -> None:
    from ffcv.fields import JSONField

    loader = pipeline(mixed, decoder(32, flip=True), "picture", batch_size=24)
    ((text, half, label, facts, picture, grid),) = loader
    assert bytes(text[11].numpy())[:9] == b"sample 11"
    assert half[:, 0].tolist() == [k / 2 for k in range(24)]
    assert label[:, 0].tolist() == [0] * 8 + [1] * 8 + [2] * 8
    assert [fact["k"] for fact in JSONField.unpack(facts)] == list(range(24))
    assert grid[:, 1, 2].tolist() == list(range(24))
    np.testing.assert_array_equal(picture, planned(mixed, 0, 32))


def test_a_damaged_sample_is_black_and_told(beton: Path, tmp_path: Path) -> None:
    data = bytearray(beton.read_bytes())
    with open_dataset(beton) as dataset:
        for entry in dataset.entries([5])[0]:
            data[int(entry["offset"]) : int(entry["offset"] + entry["size"])] = bytes(int(entry["size"]))
    (tmp_path / "damaged.beton").write_bytes(data)
    part = decoder(32, flip=True)
    got = images(pipeline(tmp_path / "damaged.beton", part))
    wanted = planned(beton, 0, 32).copy()
    wanted[5] = 0
    np.testing.assert_array_equal(got, wanted)
    assert list(part.bad) == [5]


@pytest.mark.parametrize(
    ("size", "message"),
    [((96, 64), r"must be B or \(B, B\), got \(96, 64\)"), (15, "whole number from 16 to 1024, got 15")],
)
def test_sizes_that_are_refused(beton: Path, size: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decoder(size)
    part = decoder(64)
    loader = pipeline(beton, part)
    part.output_size = size
    with pytest.raises(ValueError, match=message):
        iter(loader)


def test_one_decoder_serves_one_loader(beton: Path) -> None:
    part = decoder(32)
    loader = pipeline(beton, part)
    with pytest.raises(ValueError, match="belongs to one loader"):
        pipeline(beton, part)
    assert len(images(loader)) == 24


def test_raw_pixels_are_cropped(jpeg_folder: Path, tmp_path: Path) -> None:
    names = sorted((jpeg_folder / "train").rglob("*.jpg"))
    pictures: list[bytes | np.ndarray] = [np.asarray(Image.open(name)) for name in names[:7]]
    raw = write_beton(tmp_path / "raw.beton", [*pictures, names[7].read_bytes()], [0] * 8)
    np.testing.assert_array_equal(images(pipeline(raw, decoder(32, flip=True))), planned(raw, 0, 32))


@pytest.mark.slow
@pytest.mark.parametrize("example", sorted({path.name for path in EXAMPLES.glob("ffcv_*.py")} - {"ffcv_gpu.py"}))
def test_example(example: str, beton: Path, python: Run) -> None:
    done = python((EXAMPLES / example).read_text(), beton, timeout=300)
    lines = done.stdout.splitlines()
    assert lines and all("3 batches of (8, 3, " in line for line in lines)


def test_scale_and_ratio_are_the_loaders(beton: Path) -> None:
    shape: dict[str, Any] = {"scale": (0.5, 0.6), "ratio": (1.0, 1.0)}
    got = images(pipeline(beton, decoder(48, flip=True, **shape)))
    np.testing.assert_array_equal(got, planned(beton, 0, 48, **shape))
    assert (got != planned(beton, 0, 48)).any()
    with pytest.raises(ValueError, match="`scale` must be two numbers"):
        decoder(48, scale=(0.0, 1.0))


@pytest.mark.parametrize("options", [{}, {"ratio": 1.0}, {"interpolation": "bilinear"}])
def test_the_centre_crop_is_evaluations(beton: Path, options: dict[str, Any]) -> None:
    from loaders.backends.ffcv import SubJPEGCenterCrop

    loader = pipeline(beton, SubJPEGCenterCrop(64, **options))
    first = images(loader)
    wanted = {"crop_pct": options.get("ratio", 224 / 256), "interpolation": options.get("interpolation", "fourier")}
    np.testing.assert_array_equal(first, planned(beton, 0, 64, train=False, **wanted))
    np.testing.assert_array_equal(first, images(loader))  # every epoch
    with pytest.raises(ValueError, match="`ratio` must be above 0 and at most 1, got 2"):
        SubJPEGCenterCrop(64, 2)


def test_on_a_gpu_ffcvs_steps_and_our_modules_follow_the_decoder() -> None:
    from ffcv.pipeline.state import State
    from ffcv.transforms import Convert, ToDevice, ToTensor, ToTorchImage

    from loaders.transforms import LowFrequencyCrop, Normalize

    device = torch.device("cuda")
    steps = [decoder(64), ToTensor(), ToDevice(device), ToTorchImage(), Convert(torch.float16)]
    state = State(jit_mode=True, device=torch.device("cpu"), shape=(), dtype=np.dtype(np.uint8))
    memory: list[Any] = []
    for step in steps:
        state, query = step.declare_state_and_memory(state)
        memory.append(query)
    assert state.shape == (3, 64, 64) and state.dtype == torch.float16 and state.device == device
    with pretending() as count:
        images = torch.empty((8, 64, 64, 3), dtype=torch.uint8)
        there = torch.empty((8, *memory[2].shape), dtype=memory[2].dtype, device=memory[2].device)
        for step, dst in zip(steps[2:], (there, None, None), strict=True):
            images = step.generate_code()(images, dst)
        normalize = Normalize((0.5,) * 3, (0.25,) * 3, torch.float16)
        for _ in range(2):
            for counter in (count.copies, count.waits):
                counter.clear()
            made = normalize(LowFrequencyCrop(32)(images))
        assert made.device.type == "cuda" and made.shape == (8, 3, 32, 32) and made.dtype == torch.float16
        assert not +count.waits and not count.copies
