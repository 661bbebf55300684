"""From the kernel's pixels to the model's: what is done, where, and in which order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from loaders import Loader
from loaders.batch import Batch, BatchPlan
from loaders.plan import SAMPLE
from loaders.stage import Stage
from loaders.transforms import (
    ColorJitter,
    LowFrequencyCrop,
    Normalize,
    RandAugment,
    RandomErasing,
    RandomGrayscale,
    ThreeAugment,
    TrivialAugmentWide,
)
from loaders.transforms.pipeline import BASE, TransformPipeline
from tests.loaders.transforms.pictures import pixels

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
INDICES = np.arange(8) * 7
KEYS = {"seed": 5, "epoch": 2}


def pipeline(dtype: str = "float32", **options: object) -> TransformPipeline:
    settings = {"dtype": dtype, "mean": MEAN, "std": STD, "device": torch.device("cpu"), "seed": 5, **options}
    return TransformPipeline(**settings)


def stage(resolution: int = 32, magnitude: float | None = None) -> Stage:
    return Stage(resolution=resolution, magnitude=magnitude, batch_size=8)


def normalised(images: torch.Tensor) -> torch.Tensor:
    mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
    return (images.float() / 255 - mean) / std


def made(images: torch.Tensor, by: TransformPipeline, asked: Stage) -> torch.Tensor:
    """The images after the pipeline."""
    plan = BatchPlan(by.format(asked), 2, INDICES, INDICES % 3, np.zeros(8, SAMPLE))
    return by(plan.decoded(images, torch.from_numpy(plan.labels), by.seed), plan.format).images


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_the_kernels_table_holds_what_a_pass_over_the_batch_gives(dtype: str) -> None:
    last = pipeline(dtype)
    table = last.format(stage()).lut
    assert table is not None and last.format(stage(magnitude=3)).lut is None
    images = pixels(8, 3, 32, 32)
    written = np.take_along_axis(table[None], images.flatten(2).numpy().astype(np.intp), axis=2)
    images = last.format(stage()).tensor(written.reshape(-1).view(np.uint8))
    assert torch.equal(made(images, last, stage()), normalised(pixels(8, 3, 32, 32)).to(images.dtype))


def test_augmentation_comes_first_and_fills_with_the_mean() -> None:
    images = pixels(8, 3, 32, 32)
    wanted = RandAugment(9)(images, INDICES, **KEYS)
    assert torch.equal(made(images, pipeline("uint8"), stage(magnitude=9)), wanted)
    assert torch.equal(made(images, pipeline(), stage(magnitude=9)), normalised(wanted))
    dark = made(images, pipeline("uint8", mean=(0.0, 0.1, 0.2)), stage(magnitude=9))
    assert torch.equal(dark, RandAugment(9, fill=(0, 26, 51))(images, INDICES, **KEYS))
    assert not torch.equal(dark, wanted)


@pytest.mark.parametrize("filter", ["fourier", "lanczos"])
def test_at_base_is_the_published_order(filter: str) -> None:
    last, asked = pipeline(augment_at="base", filter=filter), stage(magnitude=9)
    format = last.format(asked)
    assert format.resolution == BASE and format.stage is asked and format.lut is None
    images = pixels(8, 3, BASE, BASE)
    strong = RandAugment(9)(images, INDICES, **KEYS)
    down = LowFrequencyCrop(32, filter)
    small = down(strong.float()) if filter == "fourier" else down(strong)
    given = format.tensor(images.flatten().numpy().copy())
    assert torch.equal(made(given, last, asked), normalised(small))
    assert torch.equal(made(given, pipeline("uint8", augment_at="base", filter=filter), asked), down(strong))
    assert last.format(stage()).resolution == BASE  # without augmentation it comes the same way
    assert made(given, last, stage()).shape == (8, 3, 32, 32)


def test_at_the_base_and_above_there_is_nothing_to_bring_down() -> None:
    for side in (BASE, 2 * BASE):
        format = pipeline(augment_at="base").format(stage(side, 9))
        assert format.resolution == side and not any(isinstance(t, LowFrequencyCrop) for t in format.transforms)
    assert pipeline().format(stage()).resolution == 32


def test_erasing_comes_last() -> None:
    images = pixels(8, 3, 32, 32)
    wanted = RandomErasing(0.5)(normalised(images), INDICES, **KEYS)
    assert torch.equal(made(normalised(images), pipeline(erase=0.5), stage()), wanted)
    assert not torch.equal(wanted, normalised(images))


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("magnitude", [None, 5])
def test_channels_last_is_another_arrangement_of_the_same_values(dtype: str, magnitude: float | None) -> None:
    images = pixels(8, 3, 32, 32) if dtype == "uint8" or magnitude else normalised(pixels(8, 3, 32, 32))
    plain = made(images, pipeline(dtype), stage(magnitude=magnitude))
    last = made(images, pipeline(dtype, memory_format="channels_last"), stage(magnitude=magnitude))
    assert torch.equal(plain, last) and last.is_contiguous(memory_format=torch.channels_last)


def test_what_the_kernel_does_is_not_done_again() -> None:
    asked = stage(magnitude=5)
    every = pipeline(erase=0.5, memory_format="channels_last").format(asked, in_kernel=True)
    assert every.transforms == () and every.randaugment is not None and every.erasing is not None
    assert every.channels_last and every.lut is not None
    for filter, lut in (("fourier", False), ("lanczos", True)):
        base = pipeline(erase=0.5, augment_at="base", filter=filter).format(asked, in_kernel=True)
        assert base.transforms == () and base.randaugment is not None and base.erasing is not None
        assert (
            base.low_pass is not None and (base.lut is not None) == lut and (base.resolution, base.side) == (BASE, 32)
        )
    half = pipeline("float16", erase=0.5, augment_at="base").format(
        asked, in_kernel=True
    )  # the kernel has no half floats
    assert half.randaugment is not None and half.low_pass is None and half.lut is None and half.side == BASE
    assert [type(t).__name__ for t in half.transforms[1:]] == ["LowFrequencyCrop", "Normalize", "RandomErasing"]
    for options in ({"augment_on": "device"}, {"device": torch.device("cuda")}, {"custom": (RandAugment(3),)}):
        left = pipeline(**options).format(asked, in_kernel=True)
        assert left.randaugment is None and isinstance(left.transforms[0], RandAugment)
    gpu = pipeline(device=torch.device("cuda"), augment_on="cpu", erase=0.5).format(asked, in_kernel=True)
    assert gpu.randaugment is not None and gpu.lut is None
    assert [type(t).__name__ for t in gpu.transforms] == ["Normalize", "RandomErasing"]
    assert pipeline(augment_on="cpu").format(asked).randaugment is None  # another library decodes


def test_the_users_transforms_replace_ours() -> None:
    seen = []

    def darken(images: torch.Tensor, batch: Batch) -> torch.Tensor:
        seen.append((batch.indices.tolist(), batch.seed, batch.epoch, batch.resolution, batch.magnitude))
        return images // 2

    def mix(images: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        return images.float(), batch.labels * 2

    by, images = pipeline(custom=(darken, RandAugment(7), mix)), pixels(8, 3, 32, 32)
    plan = BatchPlan(by.format(stage(magnitude=3)), 2, INDICES, INDICES % 3, np.zeros(8, SAMPLE))
    batch = by(plan.decoded(images, torch.from_numpy(plan.labels), 5), plan.format)
    assert seen == [(INDICES.tolist(), 5, 2, 32, 3)]
    assert torch.equal(batch.images, RandAugment(7)(images // 2, INDICES, **KEYS).float())
    assert batch.targets.tolist() == (INDICES % 3 * 2).tolist()


def test_a_torchvision_transform_is_a_batch_transform() -> None:
    from torchvision.transforms import v2

    images = pixels(8, 3, 32, 32)
    by = pipeline(custom=(v2.RandomHorizontalFlip(1.0), v2.ToDtype(torch.float32, scale=True)))
    torch.testing.assert_close(made(images, by, stage()), images.flip(3).float() / 255)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"augment_at": "base", "filter": "bicubic"},
            '`augment_at="base"` must be used with `interpolation` "fourier" or "lanczos", got \'bicubic\'.',
        ),
        (
            {"dtype": "uint8", "erase": 0.25},
            '`erase` must be 0 for `dtype="uint8"`, got 0.25: its noise is normalised.',
        ),
    ],
)
def test_what_cannot_be_done_is_said(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError) as raised:
        pipeline(**options)
    assert str(raised.value) == message


def test_the_loader_takes_the_further_transforms_and_keys_them_as_a_call_by_hand(pyramid: Path) -> None:
    augment = [ThreeAugment(), TrivialAugmentWide(), ColorJitter(0.4, 0.4, 0.4, 0.1), RandomGrayscale(0.2)]
    options = {"batch_size": 6, "resolution": 32, "num_workers": 1, "seed": 4, "fields": ("image", "index")}
    last = Normalize(MEAN, STD)
    with (
        Loader(pyramid, transforms=[*augment, last], **options) as loader,
        Loader(pyramid, transforms=[], **options) as plain,
    ):
        for _ in range(2):
            epoch = loader.epoch
            for (images, indices), (wanted, _) in zip(loader, plain, strict=True):
                for transform in augment:
                    wanted = transform(wanted, indices.numpy(), seed=4, epoch=epoch)
                assert torch.equal(images, last(wanted, None))


def test_a_transform_that_returns_nothing_is_named() -> None:
    def forgets(images: torch.Tensor, _batch: Batch) -> None:
        images.mul_(2)

    pipe = pipeline("uint8", custom=(forgets,))
    with pytest.raises(TypeError, match=r"must return a tensor of 8 images.*got NoneType from <function .*forgets"):
        made(pixels(8, 32), pipe, stage())


@pytest.mark.parametrize(
    ("transform", "got"),
    [
        (lambda images, _: images[:3], r"got \[3, 3, 32, 32\] from"),
        (lambda images, _: (images[:3], None), r"got \[3, 3, 32, 32\] from"),
        (lambda images, batch: [images, batch.labels], "got list from"),
        (lambda images, batch: (images, batch.labels, 1), "got tuple from"),
        (torch.nn.Identity, "got Identity from"),
    ],
)
def test_a_transform_returns_as_many_images_as_it_got(transform: Callable[..., Any], got: str) -> None:
    with pytest.raises(TypeError, match=f"must return a tensor of 8 images, as many as it got, .*{got}"):
        made(pixels(8, 3, 32, 32), pipeline("uint8", custom=(transform,)), stage())
