"""RandAugment, look-up, erasing and channels-last output in the kernel: the pixels of the modules, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from loaders import native
from loaders.errors import LoaderError
from loaders.plan.filters import build
from loaders.transforms import Normalize, RandAugment, RandomErasing
from loaders.transforms.randaugment import IMAGENET_MEAN
from loaders.transforms.randaugment_ops import Op, augment, pack, packed_weights

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FACTORS = (0.1, 0.28, 1.0, 1.37, 1.9)
SHARES = (-0.45, -0.3, -0.013, 0.0, 0.11, 0.36)
TRIED: dict[Op, tuple[float, ...]] = {
    **dict.fromkeys((Op.AUTO_CONTRAST, Op.EQUALIZE, Op.INVERT), (0.0,)),
    Op.POSTERIZE: (0, 1, 3, 8),
    Op.SOLARIZE: (0, 51, 256),
    Op.SOLARIZE_ADD: (0, 88, 110),
    **dict.fromkeys((Op.CONTRAST, Op.BRIGHTNESS, Op.COLOR, Op.SHARPNESS), FACTORS),
    Op.ROTATE: (-30, -7.3, 0, 1.9, 24),
    **dict.fromkeys((Op.SHEAR_X, Op.SHEAR_Y, Op.TRANSLATE_X, Op.TRANSLATE_Y), SHARES),
}
LUT = np.arange(768, dtype=np.int32).reshape(3, 256)


def pictures(side: int) -> Tensor:
    """uint8 [4, 3, side, side]: smooth with noise, noise alone, a flat one, and a dull one with an edge."""
    rng = np.random.default_rng(side)
    y, x = np.mgrid[:side, :side] / side
    smooth = np.stack((255 * x, 128 + 100 * np.sin(9 * x * y), 200 - 150 * y)) + rng.normal(0, 6, (3, side, side))
    noise = rng.integers(0, 256, (3, side, side))
    flat = np.full((3, side, side), 77)
    dull = np.where(x + y > 0.9, 120, 90) + rng.integers(0, 20, (3, side, side))
    return torch.from_numpy(np.stack((smooth, noise, flat, dull)).clip(0, 255).astype(np.uint8))


def finished(
    images: Tensor, how: native.Augment, lut: NDArray[np.int32] | NDArray[np.int16] | None = None, last: bool = False
) -> NDArray[np.uint8]:
    """The bytes that the kernel makes of resampled images, [n, bytes of a sample]."""
    n, _, side, _ = images.shape
    out = np.zeros((n, 3 * side * side * (1 if lut is None else lut.itemsize)), np.uint8)
    samples = np.zeros(n, native.SAMPLE)
    options = native.KernelOptions(side, build(side), lut=lut, augment=how, channels_last=last)
    work = native.KernelBatch(samples, options, out)
    for i, image in enumerate(images):
        work.finish(i, image.numpy())
    return out


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """On small pictures torch's threads cost more than they save."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@cache
def by_the_module(side: int) -> tuple[Tensor, NDArray[np.int64], NDArray[np.float64], NDArray[np.uint8]]:
    """Pictures, and for each of them and each operation and argument: `Op`, argument and augmented picture."""
    every = [(int(op), float(argument)) for op, arguments in TRIED.items() for argument in arguments]
    op, argument = (np.repeat(column, 4) for column in np.array(every).T)
    images = pictures(side).repeat(len(every), 1, 1, 1)
    return images, op.astype(np.int64), argument, augment(images, op.astype(np.int64), argument, IMAGENET_MEAN).numpy()


@pytest.mark.parametrize("side", [32, 45, 97, 160])
def test_each_operation_has_the_modules_pixels(isa: str, side: int) -> None:  # noqa: ARG001
    images, op, argument, wanted = by_the_module(side)
    operations = pack(op[:, None], argument[:, None], side)
    made = finished(images, native.Augment(operations=operations, fill=IMAGENET_MEAN, cubic=packed_weights()))
    differ = (made.reshape(wanted.shape) != wanted).any((1, 2, 3))
    assert not differ.any(), set(zip(op[differ], argument[differ], strict=True))


@pytest.mark.parametrize("magnitude", range(11))
def test_every_magnitude_has_the_modules_pixels(isa: str, magnitude: int) -> None:  # noqa: ARG001
    images, indices = pictures(48).repeat(12, 1, 1, 1), np.arange(48) * 11
    module = RandAugment(magnitude, num_ops=3)  # three, so that tables wait for tables and for moves
    how = module.for_kernel(indices, 48, seed=magnitude, epoch=3)
    steps = module.plan(indices, 48, seed=magnitude, epoch=3)
    made = images
    for op, argument in zip(*(column.T for column in steps), strict=True):
        made = augment(made, op, argument, IMAGENET_MEAN)
    wanted = made.numpy()
    assert np.array_equal(module(images, indices, seed=magnitude, epoch=3).numpy(), wanted)
    assert np.array_equal(finished(images, how).reshape(wanted.shape), wanted)
    assert np.array_equal(finished(images, how, last=True).reshape(48, 48, 48, 3), wanted.transpose(0, 2, 3, 1))
    looked_up = np.take_along_axis(LUT[None], wanted.reshape(48, 3, -1).astype(np.intp), axis=2)
    assert np.array_equal(finished(images, how, LUT).view(np.int32), looked_up.reshape(48, -1))


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_normalised_and_erased_as_by_the_modules(dtype: torch.dtype, channels_last: bool) -> None:
    images, indices, side = pictures(40).repeat(4, 1, 1, 1), np.arange(16), 40
    normalise, erase, module = Normalize(MEAN, STD, dtype), RandomErasing(0.7), RandAugment(8)
    wanted = erase(normalise(module(images, indices, seed=4, epoch=1)), indices, seed=4, epoch=1)
    assert not torch.equal(wanted, normalise(module(images, indices, seed=4, epoch=1)))
    every = normalise(torch.arange(256, dtype=torch.uint8).expand(1, 3, 1, 256)).reshape(3, 256)
    lut = every.view(torch.int32 if every.itemsize == 4 else torch.int16).numpy()
    how, erased = (
        module.for_kernel(indices, side, seed=4, epoch=1),
        erase.for_kernel(indices, side, dtype, seed=4, epoch=1),
    )
    how = replace(how, erasures=erased.erasures, noise=erased.noise)
    made = torch.from_numpy(finished(images, how, lut, channels_last)).view(dtype)
    if channels_last:
        assert torch.equal(made.reshape(16, side, side, 3).permute(0, 3, 1, 2), wanted)
    else:
        assert torch.equal(made.reshape(wanted.shape), wanted)


@pytest.mark.parametrize("side", [16, 45, 97])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32])
def test_levels_become_the_tables_values(isa: str, dtype: type[np.generic], side: int) -> None:  # noqa: ARG001
    """Every bit of a value, planes that end inside a vector, and pixels side by side."""
    images = pictures(side).numpy()
    table: NDArray[Any] = np.random.default_rng(side).integers(0, 256, (3, 1024), np.uint8).view(dtype)[:, :256]
    if dtype is np.uint8:  # levels as they are, which need no table
        table = np.tile(np.arange(256, dtype=np.uint8), (3, 1))
    wanted = np.stack([table[c][images[:, c]] for c in range(3)], axis=1)
    for last in (False, True):
        lut = None if dtype is np.uint8 else np.ascontiguousarray(table)
        made = finished(torch.from_numpy(images), native.Augment(), lut, last).view(dtype)
        assert np.array_equal(made.reshape(4, -1), (wanted.transpose(0, 2, 3, 1) if last else wanted).reshape(4, -1))


def test_erasing_needs_a_floating_point_table() -> None:
    with pytest.raises(ValueError, match=r"`dtype` must be floating-point for erasing, got torch\.uint8"):
        RandomErasing().for_kernel(np.arange(2), 32, torch.uint8, seed=0, epoch=0)


@pytest.mark.parametrize("options", [{"mode": "const"}, {"count": 2}])
def test_the_kernel_erases_one_rectangle_of_noise(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"`mode` must be .* and `count` 1 in the kernel, got .*; call the module"):
        RandomErasing(**options).for_kernel(np.arange(2), 32, torch.float32, seed=0, epoch=0)


def one(side: int = 32, **fields: object) -> native.Augment:
    """An operation of which some fields are not as they should be."""
    operations = pack(np.full((4, 1), int(Op.ROTATE)), np.full((4, 1), 3.0), side)
    for name, value in fields.items():
        operations[name] = value
    return native.Augment(operations=operations, cubic=packed_weights())


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"kind": 15}, "augmentation has no operation 15"),
        ({"kind": -2}, "augmentation has no operation -2"),
        ({"argument": np.nan}, "operation 10 got the argument"),
        ({"kind": int(Op.POSTERIZE), "argument": 9}, "operation 3 got the argument 9"),
        ({"map": 2**31 - 1}, "operation 10 moves pixels too far"),
        ({"map": -(2**31)}, "operation 10 moves pixels too far"),
    ],
)
def test_the_kernel_refuses_senseless_operations(fields: dict[str, object], reason: str) -> None:
    with pytest.raises(LoaderError, match=f"sample 0 of the batch: {reason}"):
        finished(pictures(32), one(**fields))
    with pytest.raises(LoaderError, match=f"image 0 of the batch: {reason}"):
        native.finished(pictures(32).numpy(), one(**fields))


def test_the_kernel_refuses_boxes_outside() -> None:
    noise = np.zeros(1 << 16, np.int32)
    for name, value in (("top", -1), ("left", 30), ("height", 33), ("width", 2**31 - 1)):
        erasures = np.zeros(4, native.ERASURE)
        erasures["height"] = erasures["width"] = 4
        erasures[name] = value
        with pytest.raises(LoaderError, match=r"erasing .* pixels at"):
            finished(pictures(32), native.Augment(erasures=erasures, noise=noise), LUT)


def test_far_moves_leave_only_the_fill() -> None:
    for op in (Op.TRANSLATE_X, Op.TRANSLATE_Y, Op.SHEAR_X, Op.ROTATE):
        operations = pack(np.full((4, 1), int(op)), np.zeros((4, 1)), 32)
        operations["map"][..., 0 if op != Op.TRANSLATE_Y else 3] = 200 << 20
        made = finished(pictures(32), native.Augment(operations=operations, fill=(1, 2, 3), cubic=packed_weights()))
        assert [set(plane.ravel()) for plane in made.reshape(4, 3, -1).swapaxes(0, 1)] == [{1}, {2}, {3}]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"operations": np.zeros((3, 2), native.OPERATION)}, r"`operations` must be .* \(4, 2\) in one piece, got .*"),
        ({"cubic": None}, "`cubic` must be given together with `operations`, got None."),
        ({"cubic": np.zeros((1024, 4))}, r"`cubic` must be int16 \(1024, 4\) in one piece, got float64 \(1024, 4\)."),
        ({"erasures": np.zeros(4, native.ERASURE)}, "`noise` must be given together with `erasures`, got None."),
        ({"noise": np.zeros(1 << 16, np.int16)}, r"`noise` must be int32 \(65536,\) in one piece, got int16.*"),
    ],
)
def test_arrays_that_do_not_fit_are_named(change: dict[str, object], message: str) -> None:
    given = {"operations": np.zeros((4, 2), native.OPERATION), "cubic": np.zeros((1024, 4), np.int16), **change}
    with pytest.raises(ValueError, match=message):
        finished(pictures(32), native.Augment(**given), LUT)  # type: ignore[arg-type]
