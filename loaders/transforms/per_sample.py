"""Transforms of single images, such as torchvision's, on a batch: `PerSample`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..batch import Batch
from ..plan.rng import Purpose, words
from .device import drawn_by

_DRAW = {
    "AugMix",
    "AutoAugment",
    "ColorJitter",
    "ElasticTransform",
    "GaussianBlur",
    "GaussianNoise",
    "JPEG",
    "RandAugment",
    "ScaleJitter",
    "TrivialAugmentWide",
}  # random transforms of torchvision whose names do not begin with "Random"


class PerSample(nn.Module):
    """Applies a transform to each image of a batch separately.

    torch's random generators are seeded for each image by (seed, epoch, draw key), and restored afterwards: an image is
    transformed in the same way in any batch and at any world size. Images are processed one after the other in the
    thread of the training loop, so this is slower than the batch transforms of this package.

    Args:
        transform: a function from an image, a tensor [3, H, W], to an image; all results have the same shape.
    """

    def __init__(self, transform: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.transform = transform

    def extra_repr(self) -> str:
        return "" if isinstance(self.transform, nn.Module) else repr(self.transform)

    def forward(
        self,
        images: Tensor,
        batch: Batch | NDArray[np.int64],
        *,
        seed: int | None = None,
        epoch: int | None = None,
    ) -> Tensor:
        """Transformed images.

        Args:
            images: [N, 3, H, W] of any dtype, on any device.
            batch, seed, epoch: see `RandAugment.forward`.

        Raises:
            TypeError: the transform did not return a tensor.
            ValueError: it returned images of different shapes.
        """
        keys, seed, epoch = drawn_by(batch, seed, epoch)
        high, low = words(seed, epoch, keys, Purpose.PER_SAMPLE, 2).astype(np.int64).T
        devices = [images.device] if images.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            made = [self._one(*drawn) for drawn in zip(images, (high << 32 | low).tolist(), strict=True)]
        if len({image.shape for image in made}) > 1:
            raise ValueError(f"{self.transform!r} must return images of one shape, got {made[0].shape} and others.")
        return torch.stack(made) if made else images

    def _one(self, image: Tensor, seed: int) -> Tensor:
        torch.default_generator.manual_seed(seed)
        if image.device.type == "cuda":
            torch.cuda.default_generators[image.get_device()].manual_seed(seed)
        made: Any = self.transform(image)
        if not isinstance(made, Tensor):
            raise TypeError(f"{self.transform!r} must return a tensor for each image, got {type(made).__name__}.")
        return made


def for_one_image(transform: object) -> bool:
    """Whether this is a torchvision transform that would treat all images of a batch alike, or accepts no batch."""
    kinds = [kind for kind in type(transform).__mro__ if kind.__module__.startswith("torchvision.transforms.")]
    if not kinds:
        return False
    draws = any(kind.__name__.startswith("Random") or kind.__name__ in _DRAW for kind in kinds)
    old = not any(kind.__module__.startswith("torchvision.transforms.v2.") for kind in kinds)
    return draws or old or any(map(for_one_image, getattr(transform, "transforms", ())))


def check_input(transform: object) -> None:
    """Checks that a transform of torchvision takes and makes tensors, not PIL images.

    Raises:
        TypeError: it does not; the message says what to use instead.
    """
    pil = False
    for step in _steps(transform):
        kind = type(step)
        if not kind.__module__.startswith("torchvision.transforms."):
            continue
        name, v2 = kind.__name__, kind.__module__.startswith("torchvision.transforms.v2.")
        if name == "ToTensor" and not pil:
            raise TypeError(
                "`transforms` get images that are uint8 tensors already, got torchvision's ToTensor(), which takes PIL "
                "images; use torchvision.transforms.v2.ToDtype(torch.float32, scale=True)."
            )
        if name == "PILToTensor" and not pil and not v2:  # v2's leaves tensors as they are
            raise TypeError(
                "`transforms` get images that are uint8 tensors already, got torchvision's PILToTensor(), which takes "
                "PIL images; leave it out."
            )
        if name in ("ToPILImage", "ToTensor", "PILToTensor", "ToImage"):
            pil = name == "ToPILImage"
    if pil:
        raise TypeError(
            f"`transforms` must return tensors, got {transform!r}, which returns PIL images; put it, the transforms "
            "that need PIL images, and PILToTensor() into one torchvision.transforms.Compose."
        )


def _steps(transform: object) -> Iterator[object]:
    """A transform, or the transforms that a torchvision `Compose` applies, at any depth."""
    if type(transform).__name__ == "Compose":
        for step in getattr(transform, "transforms", ()):
            yield from _steps(step)
    else:
        yield transform
