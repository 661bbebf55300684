from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance

from loaders.transforms import RandAugment, device
from loaders.transforms.randaugment import IMAGENET_MEAN, arguments, draw
from loaders.transforms.randaugment_ops import PHASES, WEIGHT_ONE, Op, augment, cubic_weights, motion
from tests.loaders.transforms.pictures import pillow

# Each operation's name in timm: of the increasing set, of the other, of the function itself.
NAMES = {
    Op.AUTO_CONTRAST: ("AutoContrast",) * 2,
    Op.EQUALIZE: ("Equalize",) * 2,
    Op.INVERT: ("Invert",) * 2,
    Op.POSTERIZE: ("PosterizeIncreasing", "Posterize"),
    Op.SOLARIZE: ("SolarizeIncreasing", "Solarize"),
    Op.SOLARIZE_ADD: ("SolarizeAdd",) * 2,
    Op.CONTRAST: ("ContrastIncreasing", "Contrast"),
    Op.BRIGHTNESS: ("BrightnessIncreasing", "Brightness"),
    Op.COLOR: ("ColorIncreasing", "Color"),
    Op.SHARPNESS: ("SharpnessIncreasing", "Sharpness"),
    Op.ROTATE: ("Rotate",) * 2,
    Op.SHEAR_X: ("ShearX",) * 2,
    Op.TRANSLATE_X: ("TranslateXRel",) * 2,
    Op.SHEAR_Y: ("ShearY",) * 2,
    Op.TRANSLATE_Y: ("TranslateYRel",) * 2,
}
NO_ARGUMENT = (Op.AUTO_CONTRAST, Op.EQUALIZE, Op.INVERT)
FACTORS = [0.1, 0.19, 0.73, 1.0, 1.31, 1.9]
SIGNED = np.array([-1.0, -0.37, 0.0, 0.11, 0.8])
TRIED = {
    **dict.fromkeys(NO_ARGUMENT, (0.0,)),
    Op.POSTERIZE: [1, 2, 4, 8],  # timm hands 0 on to Pillow, which now refuses it
    Op.SOLARIZE: [0, 26, 200, 256],
    Op.SOLARIZE_ADD: [0, 11, 110],
    **dict.fromkeys((Op.CONTRAST, Op.BRIGHTNESS, Op.COLOR, Op.SHARPNESS), FACTORS),
    Op.ROTATE: 30 * SIGNED,
    **dict.fromkeys((Op.SHEAR_X, Op.SHEAR_Y), 0.3 * SIGNED),
    **dict.fromkeys((Op.TRANSLATE_X, Op.TRANSLATE_Y), 0.45 * SIGNED),
}
# Levels by which we may differ from timm: on average, and at most. Equal where nothing is said.
ALLOWED = dict.fromkeys((Op.ROTATE, Op.SHEAR_X, Op.SHEAR_Y, Op.TRANSLATE_X, Op.TRANSLATE_Y), (0.05, 1))


@pytest.fixture(scope="module")
def timm() -> ModuleType:
    return pytest.importorskip("timm.data.auto_augment")


def photos(side: int, count: int = 4) -> torch.Tensor:
    """uint8 [count, 3, side, side] with what photos have: noise at all scales, hard edges, dull channels, a sky."""
    rng = np.random.default_rng(0)
    pictures = []
    for number in range(count):
        total = np.zeros((side, side, 3))
        for octave in range(1, 8):
            coarse = Image.fromarray(rng.integers(0, 256, (2**octave, 2**octave, 3), np.uint8))
            total += (np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC)) - 128.0) / octave
        total = 110 + total / (1 + number % 3) + [10, 0, -20]
        total[: side // 5] = total[: side // 5] / 8 + 215
        total[side // 2 : -side // 4, side // 3 : side // 2] = rng.integers(0, 256, 3)
        pictures.append(total.clip(0, 255).astype(np.uint8).transpose(2, 0, 1))
    return torch.from_numpy(np.stack(pictures))


def by_timm(timm: ModuleType, image: torch.Tensor, op: int, argument: float) -> torch.Tensor:
    """[3, B, B]: timm's function of the same name, as the recipes call it."""
    if op == Op.POSTERIZE and argument == 0:
        return torch.zeros_like(image)
    whole = op in (Op.POSTERIZE, Op.SOLARIZE, Op.SOLARIZE_ADD)
    args = () if op in NO_ARGUMENT else (int(argument) if whole else argument,)
    options = {"fillcolor": IMAGENET_MEAN, "resample": Image.Resampling.BICUBIC}
    done = timm.NAME_TO_OP[NAMES[Op(op)][0]](pillow(image), *args, **options)
    return torch.from_numpy(np.array(done)).permute(2, 0, 1)


def every(op: int, count: int) -> np.ndarray:
    return np.full(count, op, np.int64)


@pytest.mark.parametrize("side", [224, 96])
@pytest.mark.parametrize("op", Op)
def test_each_operation_gives_timms_pixels(timm: ModuleType, op: Op, side: int) -> None:
    images = photos(side, 2)
    mean, most = ALLOWED.get(op, (0, 0))
    for argument in TRIED[op]:
        ours = augment(images, every(op, 2), np.full(2, float(argument)), IMAGENET_MEAN)
        theirs = torch.stack([by_timm(timm, image, op, argument) for image in images])
        gap = (ours.int() - theirs.int()).abs()
        assert gap.float().mean().item() <= mean, argument
        assert gap.max().item() <= most, argument


def test_not_even_white_noise_moves_far_from_timms(timm: ModuleType) -> None:
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 3, 96, 96), np.uint8))
    for op, argument in ((Op.ROTATE, 17.0), (Op.SHEAR_X, 0.21), (Op.TRANSLATE_Y, -0.123)):
        ours = augment(images, every(op, 3), np.full(3, argument), IMAGENET_MEAN)
        theirs = torch.stack([by_timm(timm, image, op, argument) for image in images])
        gap = (ours.int() - theirs.int()).abs()
        assert gap.float().mean() <= 0.05
        assert gap.max() <= 1


@pytest.mark.parametrize("side", [33, 64])
def test_moves_are_whole_numbers_on_any_arithmetic(side: int) -> None:
    weights = cubic_weights() * WEIGHT_ONE
    assert weights.shape == (PHASES, 4) and np.array_equal(weights, np.rint(weights))
    assert (weights.sum(1) == WEIGHT_ONE).all()
    assert np.abs(weights).sum(1).max() * 255 < 2**24  # so float32 adds them without rounding, in any order
    still = motion(every(Op.ROTATE, 1), np.zeros(1), side)
    assert still[0].tolist() == [side // 2 << 20, 1 << 20, 0, side // 2 << 20, 0, 1 << 20]
    images = photos(side, 2)
    for op in (Op.ROTATE, Op.SHEAR_X, Op.SHEAR_Y, Op.TRANSLATE_X, Op.TRANSLATE_Y):
        assert torch.equal(augment(images, every(op, 2), np.zeros(2), IMAGENET_MEAN), images)


def test_the_operations_are_timms(timm: ModuleType) -> None:
    for which, theirs in enumerate((timm._RAND_INCREASING_TRANSFORMS, timm._RAND_TRANSFORMS)):
        assert sorted(names[which] for names in NAMES.values()) == sorted(theirs)
    assert list(NAMES) == list(Op)


@pytest.mark.parametrize("increasing", [True, False])
def test_arguments_are_timms(timm: ModuleType, increasing: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    strength = np.concatenate([np.linspace(0, 10, 41), [9.999999, 6.4, 7.03125]])
    for sign in (1.0, -1.0):
        monkeypatch.setattr(timm.random, "random", lambda sign=sign: 0.25 if sign > 0 else 0.75)
        for op, names in NAMES.items():
            if op in NO_ARGUMENT:
                continue
            of_level = timm.LEVEL_TO_ARG[names[0 if increasing else 1]]
            theirs = [of_level(level, {"translate_const": 100})[0] for level in strength]
            ours = arguments(every(op, len(strength)), strength, np.full(len(strength), sign), increasing)
            assert ours.tolist() == theirs, op


@pytest.mark.parametrize(("resolution", "factor"), [(96, 0.19), (96, 1.81), (160, 0.19), (160, 1.81)])
def test_sharpness_at_a_smaller_resolution_resembles_the_published_order(resolution: int, factor: float) -> None:
    strength, sign = np.full(4, 9.0), np.full(4, np.sign(factor - 1))
    large = [pillow(image) for image in photos(224)]
    shrunk = (resolution, resolution)
    published = [
        np.array(ImageEnhance.Sharpness(image).enhance(factor).resize(shrunk, Image.Resampling.LANCZOS))
        for image in large
    ]
    wanted = torch.from_numpy(np.stack(published)).permute(0, 3, 1, 2).int()
    small = np.stack([np.array(image.resize(shrunk, Image.Resampling.LANCZOS)) for image in large])
    images = torch.from_numpy(small).permute(0, 3, 1, 2).contiguous()

    def gap(scale: float) -> float:
        argument = arguments(every(Op.SHARPNESS, 4), strength, sign, scale=scale)
        ours = augment(images, every(Op.SHARPNESS, 4), argument, IMAGENET_MEAN)
        return (ours.int() - wanted).abs().float().mean().item()

    assert gap(resolution / 224) < 0.8 * min(gap(1.0), gap(0.0))


def test_a_batch_is_what_timm_would_do_one_by_one(timm: ModuleType) -> None:
    images, indices = photos(96, 48), np.arange(48)
    ours = RandAugment(8, base=96)(images, indices, seed=3, epoch=1)
    op, strength, sign = draw(indices, 8, 0.5, 2, seed=3, epoch=1)
    argument = arguments(op, strength, sign)
    gaps = []
    for number, image in enumerate(images):
        for step in range(2):
            if op[number, step] >= 0:
                image = by_timm(timm, image, op[number, step], argument[number, step])
        gaps.append((ours[number].int() - image.int()).abs().float().mean().item())
    assert np.median(gaps) == 0
    assert np.mean(gaps) <= 0.1  # what follows a movement may amplify its rounding


def test_a_sample_does_not_depend_on_its_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    images, indices, module = photos(32, 64), np.arange(64) * 1000, RandAugment(9)
    whole = module(images, indices, seed=1, epoch=2)
    picked = np.array([40, 3, 3, 63, 17])
    assert torch.equal(module(images[picked], indices[picked], seed=1, epoch=2), whole[picked])
    monkeypatch.setattr(device, "CACHED", 3 * 32 * 32)  # other portions
    assert torch.equal(module(images, indices, seed=1, epoch=2), whole)


def test_seed_epoch_and_index_each_matter_and_torchs_randomness_does_not() -> None:
    images, module = photos(32, 1).expand(32, -1, -1, -1), RandAugment(9)
    indices = np.arange(32)
    state = torch.get_rng_state()
    first = module(images, indices, seed=1, epoch=2)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(77)
    assert torch.equal(module(images, indices, seed=1, epoch=2), first)
    assert not torch.equal(module(images, indices, seed=2, epoch=2), first)
    assert not torch.equal(module(images, indices, seed=1, epoch=3), first)
    assert not torch.equal(module(images, indices + 32, seed=1, epoch=2), first)


def test_draws_have_timms_distribution() -> None:
    op, strength, sign = draw(np.arange(60_000), 5.0, 0.5, 2, seed=0, epoch=0)
    assert abs((op >= 0).mean() - 0.5) < 0.005
    assert np.abs(np.bincount(op[op >= 0], minlength=15) / (op >= 0).sum() * 15 - 1).max() < 0.05
    assert abs(strength.mean() - 5) < 0.005
    assert abs(strength.std() - 0.5) < 0.005
    assert abs((np.abs(strength - 5) < 0.5).mean() - 0.6827) < 0.005  # normal, not merely of that deviation
    assert abs(sign.mean()) < 0.01
    pairs = [op[:, 0] == op[:, 1], strength[:, 0] > strength[:, 1], sign[:, 0] == sign[:, 1]]
    assert abs(pairs[0][(op >= 0).all(1)].mean() - 1 / 15) < 0.005  # with replacement
    assert [abs(pair.mean() - 0.5) < 0.01 for pair in pairs[1:]] == [True, True]
    high = draw(np.arange(2000), 10.0, 0.5, 3, seed=0, epoch=0)[1]
    assert high.shape == (2000, 3)
    assert high.max() == 10
    assert 0.45 < (high == 10).mean() < 0.55
    assert set(draw(np.arange(9), 4.0, 0.0, 1, seed=0, epoch=0)[1].ravel()) == {4.0}


def test_magnitude_may_change_at_any_time() -> None:
    images, indices, module = photos(32, 16), np.arange(16), RandAugment(9)
    strong = module(images, indices, seed=0, epoch=0)
    module.set_magnitude(0)
    weak = module(images, indices, seed=0, epoch=0)
    assert torch.equal(weak, RandAugment(0)(images, indices, seed=0, epoch=0))
    assert not torch.equal(weak, strong)
    assert not torch.equal(weak, images)  # 0 is not the identity
    assert "magnitude=0" in repr(module)


def test_sharpness_alone_depends_on_base() -> None:
    images, indices = photos(32, 64), np.arange(64)
    at_base, scaled = (RandAugment(9, num_ops=1, base=base)(images, indices, seed=0, epoch=0) for base in (32, 224))
    differs = (at_base != scaled).flatten(1).any(1).numpy()
    assert set(draw(indices, 9, 0.5, 1, seed=0, epoch=0)[0][differs, 0]) == {Op.SHARPNESS}


def test_input_is_left_alone_and_may_be_empty_or_channels_last() -> None:
    images, indices, module = photos(32, 16), np.arange(16), RandAugment(9)
    before = images.clone()
    done = module(images, indices, seed=0, epoch=0)
    assert torch.equal(images, before)
    last = images.contiguous(memory_format=torch.channels_last)
    assert torch.equal(module(last, indices, seed=0, epoch=0), done)
    assert module(images[:0], indices[:0], seed=0, epoch=0).shape == (0, 3, 32, 32)


def test_autocast_changes_nothing() -> None:
    images, indices, module = photos(32, 64), np.arange(64), RandAugment(9)
    plain = module(images, indices, seed=0, epoch=0)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(module(images, indices, seed=0, epoch=0), plain)


def test_flat_images_and_no_bits() -> None:
    flat = torch.full((2, 3, 32, 32), 77, dtype=torch.uint8)
    for op in (Op.AUTO_CONTRAST, Op.EQUALIZE, Op.CONTRAST, Op.COLOR, Op.SHARPNESS):
        assert torch.equal(augment(flat, every(op, 2), np.full(2, 1.9), IMAGENET_MEAN), flat), op
    assert not augment(flat, every(Op.POSTERIZE, 2), np.zeros(2), IMAGENET_MEAN).any()
    moved = augment(flat, every(Op.TRANSLATE_X, 2), np.full(2, 0.25), (1, 2, 3))
    assert moved[0, :, 5, 24:].tolist() == [[1] * 8, [2] * 8, [3] * 8]
    assert torch.equal(moved[..., :24], flat[..., :24])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"magnitude": 11}, "`magnitude` must be from 0 to 10, got 11; leave RandAugment out for none."),
        ({"mstd": -1}, "`mstd` must be 0 or more and finite, got -1; timm's recipes use 0.5."),
        ({"mstd": float("inf")}, "`mstd` must be 0 or more and finite, got inf; timm's recipes use 0.5."),
        ({"num_ops": 0}, "`num_ops` must be 1 or more, got 0; leave RandAugment out for none."),
        ({"base": 0}, "`base` must be a resolution in pixels, got 0; the recipes use 224."),
        ({"images": torch.zeros(2, 3, 8, 8)}, "`images` must be uint8, got torch.float32; augment before normalising."),
        (
            {"images": torch.zeros(2, 8, 8, 3, dtype=torch.uint8)},
            "`images` must be [N, 3, B, B], got [2, 8, 8, 3]; put channels second.",
        ),
        ({"batch": np.arange(3)}, "`batch` must have a draw key for each image, [2], got [3]."),
    ],
)
def test_errors_say_rule_value_and_remedy(change: dict[str, object], message: str) -> None:
    batch = {"images": torch.zeros(2, 3, 8, 8, dtype=torch.uint8), "batch": np.arange(2)}
    batch.update((name, change.pop(name)) for name in list(change) if name in batch)
    with pytest.raises(ValueError) as raised:
        RandAugment(**{"magnitude": 5, **change})(**batch, seed=0, epoch=0)
    assert str(raised.value) == message


@pytest.mark.gpu
def test_cuda_gives_the_cpus_pixels_without_waiting() -> None:
    images, indices, module = photos(96, 256), np.arange(256), RandAugment(9)
    on_device = images.cuda()
    module(on_device, indices, seed=0, epoch=0)
    torch.cuda.set_sync_debug_mode("error")
    try:
        done = module(on_device, indices, seed=0, epoch=1)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(done.cpu(), module(images, indices, seed=0, epoch=1))
