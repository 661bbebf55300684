"""The work of `efficienttrain benchmark ops`: each library's implementation of each operation on the same batch.

A contestant is a library in a process of its own, `Work`. Its `acts` do one operation each to the whole batch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from itertools import count
from typing import Any

import numpy as np
import torch
from PIL import Image

from loaders.transforms.randaugment_ops import Op

from .harness.contestant import Job

BASE = 224  # pixels, at which the published code augments
MAGNITUDE = 8  # at 9, timm now and then asks Pillow for 0 bits, which Pillow 12 and later refuse
CLASSES = 1000
FILL = (124, 116, 104)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FOURIER, LANCZOS, RANDAUGMENT = "Fourier crop of 224", "Lanczos of 224", "RandAugment"
ERASE, MIX, NORMALISE = "random erasing", "mixup or CutMix", "to bfloat16, channels last"
Acts = dict[str, Callable[[], object]]


@dataclass(frozen=True)
class Batch:
    """The same images for all libraries, in the form that each requires."""

    large: torch.Tensor  # uint8 [n, 3, 224, 224]
    images: torch.Tensor  # uint8 [n, 3, B, B]
    floats: torch.Tensor  # float32 [n, 3, B, B], normalised
    labels: torch.Tensor  # int64 [n]

    @classmethod
    def make(cls, n: int, side: int, device: str, seed: int) -> Batch:
        rng = np.random.default_rng(seed)
        coarse = rng.integers(0, 256, (n, 28, 28, 3), np.uint8)
        large, images = (
            np.stack([np.asarray(Image.fromarray(one).resize((pixels, pixels))).transpose(2, 0, 1) for one in coarse])
            for pixels in (BASE, side)
        )
        labels = torch.from_numpy(rng.integers(0, CLASSES, n))
        there = torch.from_numpy(images).to(device)
        return cls(torch.from_numpy(large).to(device), there, (there.float() - 118) / 59, labels.to(device))

    @property
    def side(self) -> int:
        return self.images.shape[-1]

    def pictures(self, images: torch.Tensor) -> list[Image.Image]:
        return [Image.fromarray(image) for image in images.permute(0, 2, 3, 1).cpu().numpy()]


def ours(batch: Batch) -> Acts:
    from loaders.transforms import LowFrequencyCrop, Mixup, Normalize, RandAugment, RandomErasing
    from loaders.transforms.randaugment_ops import augment

    n = len(batch.images)
    indices, epochs = np.arange(n), count()
    randaugment, erase, mix = RandAugment(MAGNITUDE), RandomErasing(), Mixup(num_classes=CLASSES)
    acts: Acts = {
        RANDAUGMENT: lambda: randaugment(batch.images, indices, seed=0, epoch=next(epochs)),
        ERASE: lambda: erase(batch.floats, indices, seed=0, epoch=next(epochs)),
        MIX: lambda: mix(batch.floats, batch.labels, next(epochs), seed=0, epoch=0),
        NORMALISE: partial(Normalize(MEAN, STD, torch.bfloat16, torch.channels_last), batch.images),
    }
    if batch.side < BASE:
        for name, method in ((FOURIER, "fourier"), (LANCZOS, "lanczos")):
            acts[name] = partial(LowFrequencyCrop(batch.side, method), batch.large)
    for op, argument in single():
        acts[title(op)] = partial(augment, batch.images, np.full(n, op), np.full(n, argument), FILL)
    return acts


def timm(batch: Batch) -> Acts:
    """timm's operations on Pillow pictures, as the published code calls them; on batches, timm's own."""
    from timm.data.auto_augment import NAME_TO_OP, rand_augment_transform
    from timm.data.mixup import Mixup
    from timm.data.random_erasing import RandomErasing
    from torchvision.transforms.functional import normalize, to_tensor

    small, large = batch.pictures(batch.images), batch.pictures(batch.large)
    options = {"interpolation": Image.Resampling.BICUBIC, "img_mean": FILL, "translate_const": 100}
    randaugment = rand_augment_transform(f"rand-m{MAGNITUDE}-mstd0.5-inc1", options)
    erase = RandomErasing(0.25, max_aspect=3.3, mode="pixel", device=batch.floats.device)
    mix = Mixup(0.8, 1.0, label_smoothing=0.1, num_classes=CLASSES)

    def normalised() -> torch.Tensor:
        stacked = torch.stack([normalize(to_tensor(picture), MEAN, STD) for picture in small])
        return stacked.to(batch.images.device, torch.bfloat16, memory_format=torch.channels_last)

    def each(op: Op, argument: float) -> list[Image.Image]:
        name = title(op).replace(" ", "") + "Rel" * title(op).startswith("Translate")
        given = () if op <= Op.INVERT else (int(argument) if op <= Op.SOLARIZE_ADD else argument,)
        how = {"fillcolor": FILL, "resample": Image.Resampling.BICUBIC}
        return [NAME_TO_OP[name](picture, *given, **how) for picture in small]

    acts: Acts = {
        RANDAUGMENT: lambda: [randaugment(picture) for picture in small],
        ERASE: lambda: erase(batch.floats),
        MIX: lambda: mix(batch.floats, batch.labels),
        NORMALISE: normalised,
    }
    if batch.side < BASE:
        shrunk = (batch.side, batch.side)
        acts[LANCZOS] = lambda: [picture.resize(shrunk, Image.Resampling.LANCZOS) for picture in large]
    return acts | {title(op): partial(each, op, argument) for op, argument in single()}


def torchvision(batch: Batch) -> Acts:
    """transforms.v2 on uint8 batches; RandAugment and erasing, which draw once a call, image by image.

    It has neither Lanczos nor bicubic rotations for tensors: bicubic and bilinear stand in, which are cheaper.
    """
    from torchvision.transforms import InterpolationMode, v2

    bilinear, bicubic = InterpolationMode.BILINEAR, InterpolationMode.BICUBIC
    f = v2.functional
    randaugment = v2.RandAugment(2, MAGNITUDE, 11, bilinear, list(FILL))
    erase = v2.RandomErasing(0.25, (0.02, 1 / 3), (0.3, 3.3), "random", inplace=True)
    mix = v2.RandomChoice([v2.MixUp(alpha=0.8, num_classes=CLASSES), v2.CutMix(alpha=1.0, num_classes=CLASSES)])
    normalise = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])

    def moved(side: int, x: float = 0, y: float = 0, shear_x: float = 0, shear_y: float = 0) -> Callable[[], object]:
        shear = [math.degrees(math.atan(shear_x)), math.degrees(math.atan(shear_y))]
        about = [0.0, 0.0]
        return lambda: f.affine(batch.images, 0.0, [-x * side, -y * side], 1.0, shear, bilinear, list(FILL), about)

    acts: Acts = {
        RANDAUGMENT: lambda: torch.stack([randaugment(image) for image in batch.images]),
        ERASE: lambda: [erase(image) for image in batch.floats],
        MIX: lambda: mix(batch.floats, batch.labels),
        NORMALISE: lambda: normalise(batch.images).to(torch.bfloat16, memory_format=torch.channels_last),
    }
    if batch.side < BASE:
        acts[LANCZOS] = lambda: f.resize(batch.large, [batch.side] * 2, bicubic, antialias=True)
    values = dict(single())
    moves = {
        Op.ROTATE: lambda: f.rotate(batch.images, values[Op.ROTATE], bilinear, fill=list(FILL)),
        Op.SHEAR_X: moved(batch.side, shear_x=values[Op.SHEAR_X]),
        Op.SHEAR_Y: moved(batch.side, shear_y=values[Op.SHEAR_Y]),
        Op.TRANSLATE_X: moved(batch.side, x=values[Op.TRANSLATE_X]),
        Op.TRANSLATE_Y: moved(batch.side, y=values[Op.TRANSLATE_Y]),
    }
    colours: dict[Op, Callable[..., object]] = {
        Op.AUTO_CONTRAST: lambda images, _: f.autocontrast(images),
        Op.EQUALIZE: lambda images, _: f.equalize(images),
        Op.INVERT: lambda images, _: f.invert(images),
        Op.POSTERIZE: lambda images, bits: f.posterize(images, int(bits)),
        Op.SOLARIZE: f.solarize,
        Op.CONTRAST: f.adjust_contrast,
        Op.BRIGHTNESS: f.adjust_brightness,
        Op.COLOR: f.adjust_saturation,
        Op.SHARPNESS: f.adjust_sharpness,
    }
    levels: Acts = {title(op): partial(act, batch.images, values[op]) for op, act in colours.items()}
    return acts | levels | {title(op): act for op, act in moves.items()}


def kornia(batch: Batch) -> Acts:
    """On float batches in 0 to 1, as kornia has it; each of its RandAugment's operations is drawn for a whole batch."""
    k, auto, geometry = map(import_module, ("kornia.augmentation", "kornia.augmentation.auto", "kornia.geometry"))
    images, large = batch.images / 255, batch.large / 255
    randaugment, erase = auto.RandAugment(2, MAGNITUDE), k.RandomErasing((0.02, 1 / 3), (0.3, 3.3), p=0.25)
    mixes = (k.RandomMixUpV2(data_keys=["input", "class"]), k.RandomCutMixV2(data_keys=["input", "class"]))
    normalise, turn = k.Normalize(MEAN, STD), count()
    acts: Acts = {
        RANDAUGMENT: lambda: randaugment(images),
        ERASE: lambda: erase(batch.floats),
        MIX: lambda: mixes[next(turn) % 2](batch.floats, batch.labels),
        NORMALISE: lambda: normalise(batch.images / 255).to(torch.bfloat16, memory_format=torch.channels_last),
    }
    if batch.side < BASE:
        acts[LANCZOS] = lambda: geometry.resize(large, (batch.side, batch.side), "bicubic", antialias=True)
    return acts


def fft(batch: Batch) -> Acts:
    """The Fourier crop by torch.fft, in the steps of the published code."""

    def crop() -> torch.Tensor:
        half, spectrum = batch.side // 2, torch.fft.fft2(batch.large.float())
        small = spectrum.new_empty((*spectrum.shape[:2], 2 * half, 2 * half))
        for rows in (slice(half), slice(-half, None)):
            for columns in (slice(half), slice(-half, None)):
                small[..., rows, columns] = spectrum[..., rows, columns]
        return torch.fft.ifft2(small * (2 * half / BASE) ** 2).real

    return {FOURIER: crop} if batch.side < BASE else {}


class Work:
    """A library as a contestant: a round does every operation at every resolution, for `seconds` each."""

    def __init__(self, library: Callable[[Batch], Acts], job: Job) -> None:
        torch.set_num_threads(job.threads)
        self.output, self.delivered, self._cuda = library.__name__, 0, job.device == "cuda"
        self._size = job.batch_size
        self._acts: Acts = {}
        for side in job.options["resolutions"]:
            acts = library(Batch.make(job.batch_size, side, job.device, job.seed))
            self._acts |= {f"{name}@{side}": act for name, act in acts.items() if name in job.options["ops"]}
        self._seconds = {name: self._clock(act, 1) for name, act in self._acts.items()}  # of one call

    def round(self, seconds: float) -> tuple[int, float]:
        began = time.perf_counter()
        calls = 0
        for name, act in self._acts.items():
            times = max(1, math.ceil(seconds / self._seconds[name]))
            self._seconds[name] = self._clock(act, times) / times
            calls += times
        self.delivered += calls * self._size
        return calls * self._size, time.perf_counter() - began

    def facts(self) -> dict[str, float]:
        """Seconds per image of the latest round."""
        return {name: seconds / self._size for name, seconds in self._seconds.items()}

    def _clock(self, act: Callable[[], object], times: int) -> float:
        """Seconds that `times` calls take; on a GPU by its own clock, from its being idle to its being idle."""
        if not self._cuda:
            began = time.perf_counter()
            for _ in range(times):
                act()
            return time.perf_counter() - began
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        start.record()
        for _ in range(times):
            act()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) / 1e3


LIBRARIES: dict[str, Callable[[Batch], Acts]] = {
    "ours": ours,
    "timm": timm,
    "torchvision": torchvision,
    "kornia": kornia,
    "fft": fft,
}


def build(job: Job) -> Any:
    return Work(LIBRARIES[job.name], job)


def single() -> Iterator[tuple[Op, float]]:
    """RandAugment's operations with their arguments at `MAGNITUDE`, positive sign."""
    from loaders.transforms.randaugment import arguments

    ops = np.array(list(Op))
    told = arguments(ops, np.full(len(ops), float(MAGNITUDE)), np.ones(len(ops)))
    return zip(Op, map(float, told), strict=True)


def title(op: Op) -> str:
    return op.name.replace("_", " ").title()
