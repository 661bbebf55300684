"""From the kernel's pixels to the model's: what is done, where, and in which order."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from loaders.stage import Stage
from loaders.transforms import LowFrequencyCrop, RandAugment, RandomErasing
from loaders.transforms.pipeline import BASE, Pipeline

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
INDICES = np.arange(8) * 7
KEYS = {"seed": 5, "epoch": 2}


def pipeline(output: str = "float32", **options: object) -> Pipeline:
    settings = {"output": output, "mean": MEAN, "std": STD, "device": torch.device("cpu"), "seed": 5, **options}
    return Pipeline(**settings)


def stage(resolution: int = 32, magnitude: float | None = None) -> Stage:
    return Stage(resolution=resolution, magnitude=magnitude, batch_size=8)


def pixels(side: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (8, 3, side, side), np.uint8))


def normalised(images: torch.Tensor) -> torch.Tensor:
    mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
    return (images.float() / 255 - mean) / std


@pytest.mark.parametrize("output", ["float32", "float16", "bfloat16"])
def test_the_kernels_table_holds_what_a_pass_over_the_batch_gives(output: str) -> None:
    last = pipeline(output)
    table = last.lut(stage())
    assert table is not None and last.lut(stage(magnitude=3)) is None
    images = pixels(32)
    written = np.take_along_axis(table[None], images.flatten(2).numpy().astype(np.intp), axis=2)
    images = last.tensor(written.reshape(-1).view(np.uint8), stage())
    assert torch.equal(last(images, INDICES, stage(), 2), normalised(pixels(32)).to(images.dtype))


def test_augmentation_comes_first_and_fills_with_the_mean() -> None:
    images = pixels(32)
    wanted = RandAugment(9)(images, INDICES, **KEYS)
    assert torch.equal(pipeline("uint8")(images, INDICES, stage(magnitude=9), 2), wanted)
    assert torch.equal(pipeline()(images, INDICES, stage(magnitude=9), 2), normalised(wanted))
    dark = pipeline("uint8", mean=(0.0, 0.1, 0.2))(images, INDICES, stage(magnitude=9), 2)
    assert torch.equal(dark, RandAugment(9, fill=(0, 26, 51))(images, INDICES, **KEYS))
    assert not torch.equal(dark, wanted)


@pytest.mark.parametrize("method", ["fourier", "lanczos"])
def test_at_base_is_the_published_order(method: str) -> None:
    last, asked = pipeline(augment_at="base", method=method), stage(magnitude=9)
    run = last.decoded(asked)
    assert (run.resolution, run.magnitude, run.batch_size) == (BASE, 9, 8) and last.lut(run) is None
    images = pixels(BASE)
    strong = RandAugment(9)(images, INDICES, **KEYS)
    down = LowFrequencyCrop(32, method)
    small = down(strong.float()) if method == "fourier" else down(strong)
    given = last.tensor(images.flatten().numpy().copy(), run)
    assert torch.equal(last(given, INDICES, run, 2), normalised(small))
    rounded = pipeline("uint8", augment_at="base", method=method)
    assert torch.equal(rounded(given, INDICES, rounded.decoded(asked), 2), down(strong))
    plain = last.decoded(stage())  # without augmentation it comes the same way
    assert plain.resolution == BASE and last(given, INDICES, plain, 2).shape == (8, 3, 32, 32)


def test_at_the_base_and_above_there_is_nothing_to_bring_down() -> None:
    for side in (BASE, 2 * BASE):
        asked = stage(side, 9)
        assert pipeline(augment_at="base").decoded(asked) is asked
    assert pipeline().decoded(stage()) == stage()


def test_erasing_comes_last() -> None:
    images = pixels(32)
    wanted = RandomErasing(0.5)(normalised(images), INDICES, **KEYS)
    assert torch.equal(pipeline(erase=0.5)(normalised(images), INDICES, stage(), 2), wanted)
    assert not torch.equal(wanted, normalised(images))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"augment_at": "base", "method": "bicubic"},
            '`augment_at="base"` must be used with `filter` "fourier" or "lanczos", got \'bicubic\'.',
        ),
        (
            {"output": "uint8", "erase": 0.25},
            '`erase` must be 0 for `output="uint8"`, got 0.25: its noise is normalised.',
        ),
    ],
)
def test_what_cannot_be_done_is_said(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError) as raised:
        pipeline(**options)
    assert str(raised.value) == message
