"""From the kernel's 8-bit pixels to the model's input: the batch transforms, on the batch's device."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..batch import Batch, Moving
from ..native import Augment, LowPass
from ..stage import Stage
from .device import bits
from .erasing import RandomErasing
from .low_frequency import LowFrequencyCrop
from .normalize import Normalize
from .per_sample import PerSample, check_input, for_one_image
from .randaugment import RandAugment

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16, "uint8": torch.uint8}
MEMORY_FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
BASE = 224
"""Side at which the published code augments, pixels."""

Transform = Callable[[torch.Tensor, Batch], Any]
"""A batch transform: `transform(images, batch)` returns images, or `(images, targets)`."""


@dataclass(frozen=True, eq=False)
class OutputFormat:
    """The kernel's output at a stage, and the remaining transforms; decided once per stage."""

    stage: Stage
    """The loader's settings."""
    resolution: int
    """Side of the decoded images, pixels: the stage's, or `BASE` if augmentation comes before the low-pass."""
    lut: NDArray[Any] | None
    """[3, 256]: table from which the kernel writes finished values; None: it writes 8-bit pixels."""
    dtype: torch.dtype
    """Dtype of the values that the kernel writes."""
    transforms: tuple[Transform, ...]
    """Transforms of the batch after decoding, in this order."""
    randaugment: RandAugment | None = None
    """The kernel's operations on each image before the look-up."""
    low_pass: LowPass | None = None
    """The low-pass with which the kernel reduces augmented images to the stage's resolution."""
    erasing: RandomErasing | None = None
    """The kernel's operations on each image after the look-up."""
    channels_last: bool = False
    """Whether the kernel writes the three channels of a pixel next to each other."""

    @classmethod
    def pixels(cls, resolution: int) -> OutputFormat:
        """The format for decoded 8-bit pixels without transforms."""
        stage = Stage(resolution=resolution, magnitude=None, batch_size=1)
        return cls(stage, resolution, None, torch.uint8, ())

    @property
    def side(self) -> int:
        """Side of the images that the kernel writes, pixels."""
        return self.resolution if self.low_pass is None else self.low_pass.side

    @property
    def sample_bytes(self) -> int:
        """Bytes that the kernel writes for one sample."""
        return 3 * self.side**2 * self.dtype.itemsize

    def tensor(self, out: NDArray[np.uint8]) -> torch.Tensor:
        """The bytes that the kernel wrote, as [n, 3, B, B] of `dtype`."""
        images = torch.from_numpy(out.reshape(-1))
        if self.dtype is not torch.uint8:
            images = images.view(self.dtype)
        if self.channels_last:
            return images.view(-1, self.side, self.side, 3).permute(0, 3, 1, 2)
        return images.view(-1, 3, self.side, self.side)

    def augment(self, keys: NDArray[np.int64], *, seed: int, epoch: int) -> Augment | None:
        """The kernel's operations on these samples besides the look-up; keys: draw keys [n]."""
        made = None if self.low_pass is None else Augment(low_pass=self.low_pass)
        if self.randaugment is not None:
            made = self.randaugment.for_kernel(keys, self.resolution, seed=seed, epoch=epoch)
            made = replace(made, low_pass=self.low_pass)
        if self.erasing is not None:
            erased = self.erasing.for_kernel(keys, self.side, self.dtype, seed=seed, epoch=epoch)
            made = replace(made or erased, erasures=erased.erasures, noise=erased.noise)
        return made


@dataclass(frozen=True, eq=False, kw_only=True)
class TransformPipeline:
    """The batch transforms of a loader.

    Raises:
        ValueError: settings that cannot be combined; the message says why.
    """

    dtype: str
    """A key of DTYPES; anything but uint8 is (pixel / 255 - mean) / std."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    device: torch.device
    seed: int
    memory_format: str = "contiguous"
    """A key of MEMORY_FORMATS."""
    augment_at: str = "resolution"
    """"resolution": images are decoded and augmented at the stage's resolution; "base": in the published order, at
    `BASE` pixels, and then reduced by `filter`."""
    augment_on: str = "auto"
    """"cpu": the kernel's threads augment each image directly after resampling; "device": the whole batch is augmented
    on its device; "auto": "cpu" unless batches go to a GPU. The pixels are the same."""
    filter: str = "fourier"
    """Method of `LowFrequencyCrop`."""
    erase: float = 0.0
    """Probability of `RandomErasing`."""
    custom: tuple[Transform, ...] | None = None
    """The user's own transforms, which replace all of the above. With `augment_at="base"` they get images with a side
    of `BASE` pixels, and must return images of the batch's `resolution`."""

    def __post_init__(self) -> None:
        if self.custom is None and self.augment_at == "base" and self.filter not in ("fourier", "lanczos"):
            raise ValueError(
                f'`augment_at="base"` must be used with `interpolation` "fourier" or "lanczos", got {self.filter!r}.'
            )
        if self.erase and self.dtype == "uint8":
            raise ValueError(f'`erase` must be 0 for `dtype="uint8"`, got {self.erase}: its noise is normalised.')

    def format(self, stage: Stage, in_kernel: bool = False) -> OutputFormat:
        """The kernel's output at a stage, and the transforms that follow.

        On the CPU a look-up while the pixels are in cache is cheaper than another pass over the batch. For a GPU, uint8
        pixels are a quarter of the bytes to copy over the bus, and the GPU normalises them.

        Args:
            stage: the loader's present settings.
            in_kernel: whether the kernel resamples every image, so that it can transform them too.
        """
        in_kernel = in_kernel and (
            self.augment_on == "cpu" or (self.augment_on == "auto" and self.device.type == "cpu")
        )
        at_base = self.augment_at == "base" and stage.resolution < BASE
        resolution = BASE if at_base else stage.resolution
        if self.custom is not None:
            return OutputFormat(stage, resolution, None, torch.uint8, self.custom)
        before: list[Transform] = []
        augment = None if stage.magnitude is None else RandAugment(stage.magnitude, fill=self._fill)
        if augment is not None and not in_kernel:
            before.append(augment)
        kernels = augment if in_kernel else None
        low = self._low_pass(stage.resolution) if in_kernel and at_base else None
        if at_base and low is None:
            if self.filter == "fourier" and self.dtype != "uint8":
                before.append(_to_float)  # the ICCV code's low-pass works on floats; the TPAMI code's Lanczos rounds
            before.append(LowFrequencyCrop(stage.resolution, self.filter))
        erasing = RandomErasing(self.erase) if self.erase else None
        after: list[Transform] = [erasing] if erasing else []
        last = self.memory_format == "channels_last"
        levels = OutputFormat(stage, resolution, None, torch.uint8, (), kernels, low)
        if self.dtype == "uint8":
            if in_kernel and not before:
                return replace(levels, channels_last=last)
            return replace(levels, transforms=(*before, *self._arranged()))
        if augment is not None and before == [augment] and self.device.type == "cuda":
            fused = RandAugment(augment.magnitude, fill=self._fill, then=self._normalise)  # one pass for both
            return replace(levels, transforms=(fused, *after))
        if before or self.device.type == "cuda":
            return replace(levels, transforms=(*before, self._normalise, *after))
        lut = self._lut if low is None or low.normalise is None else None
        values = replace(levels, lut=lut, dtype=DTYPES[self.dtype])
        if in_kernel:
            return replace(values, erasing=erasing, channels_last=last)
        return replace(values, transforms=(*self._arranged(), *after))

    def _low_pass(self, resolution: int) -> LowPass | None:
        """The low-pass of augmented images for the kernel; None if its output would have to be 16-bit floats, or
        floats that a GPU normalises."""
        crop = LowFrequencyCrop(resolution, self.filter)
        if self.filter == "lanczos" or self.dtype == "uint8":
            return crop.for_kernel(BASE)
        if self.dtype == "float32" and self.device.type == "cpu":
            return crop.for_kernel(BASE, self._normalise)
        return None

    def __call__(self, batch: Batch, format: OutputFormat) -> Batch:
        """Applies a format's transforms to a batch, on its images' device and the current stream."""
        for transform in format.transforms:
            known: object = transform
            if isinstance(known, Moving):
                batch.moved.append((known, batch.images.shape[-1]))
            made = transform(batch.images, batch)
            images, targets = made if isinstance(made, tuple) and len(made) == 2 else (made, batch)
            if not isinstance(images, torch.Tensor) or images.shape[:1] != batch.images.shape[:1]:
                got = f"{list(images.shape)}" if isinstance(images, torch.Tensor) else type(images).__name__
                raise TypeError(
                    f"a transform must return a tensor of {len(batch.images)} images, as many as it got, "
                    f"or (images, targets), got {got} from {transform!r}."
                )
            if targets is not batch:  # a torchvision transform returns unknown arguments unchanged
                batch.targets = targets
            batch.images = images
        return batch

    def _arranged(self) -> tuple[Transform, ...]:
        """Changes the memory format, if no other step makes a new tensor."""
        return () if self.memory_format == "contiguous" else (_channels_last,)

    @cached_property
    def _lut(self) -> NDArray[Any]:
        return bits(self._normalise.table(torch.device("cpu")))

    @cached_property
    def _normalise(self) -> Normalize:
        return Normalize(self.mean, self.std, DTYPES[self.dtype], MEMORY_FORMATS[self.memory_format])

    @property
    def _fill(self) -> tuple[int, int, int]:
        """Pixels that move in from outside have the mean colour, as in timm's `create_transform`."""
        red, green, blue = (min(255, round(255 * value)) for value in self.mean)
        return red, green, blue


def transforms_of(given: Sequence[Transform] | None) -> tuple[Transform, ...] | None:
    """The user's transforms; torchvision's transforms for single images are applied to each image separately.

    Raises:
        TypeError: one of them cannot be called as a batch transform.
    """
    return None if given is None else tuple(map(_of_batches, given))


def _of_batches(transform: Transform) -> Transform:
    rule = "`transforms` must be callables `transform(images, batch)`"
    if not callable(transform):
        raise TypeError(f"{rule}, got {transform!r}.")
    kind = type(transform)
    if kind.__module__.startswith("torchvision.") and kind.__name__ in ("MixUp", "CutMix"):
        raise TypeError(f"{rule}, got torchvision's {kind.__name__}; use loaders.transforms.Mixup(num_classes=...).")
    check_input(transform)
    if for_one_image(transform):
        return PerSample(transform)  # type: ignore[arg-type]
    try:
        inspect.signature(getattr(transform, "forward", transform)).bind(None, None)
    except TypeError:
        raise TypeError(
            f"{rule}, got {transform!r}, which takes other arguments; wrap a transform of single images in "
            "loaders.transforms.PerSample."
        ) from None
    except ValueError:  # a function written in C, whose arguments are not known
        pass
    return transform


def _to_float(images: torch.Tensor, _batch: Batch) -> torch.Tensor:
    return images.float()


def _channels_last(images: torch.Tensor, _batch: Batch) -> torch.Tensor:
    return images.contiguous(memory_format=torch.channels_last)
