"""Mixup and CutMix of whole batches with soft targets, as in the three modes of timm.data.mixup.

Zhang, Cisse, Dauphin and Lopez-Paz, "mixup: beyond empirical risk minimization" (arXiv 1710.09412); Yun, Han, Oh, Chun,
Choe and Yoo, "CutMix" (arXiv 1905.04899); Szegedy et al. (arXiv 1512.00567, section 7) for smoothed labels.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..batch import Batch
from ..plan.rng import Purpose, below, uniform, words
from . import fused
from .device import blank_like, put

MODES = ("batch", "pair", "elem")
_GRID = 4096
_WORDS = 5  # a draw: whether, which, how much, and the rectangle's place
Box = tuple[slice, slice]


class Mixup(nn.Module):
    """Mixes each image with its partner at the mirrored position in the batch: in some proportion, or in a rectangle.

    Draws depend on (seed, epoch, `batch`). `batch` is a number that the caller gives to each batch of an epoch, over
    all ranks, for example step * world_size + rank. As the last of a loader's `transforms`, the draw key of the batch's
    first sample takes its place.

    Args:
        mixup_alpha: of Beta(alpha, alpha), the distribution of mixup's proportions, up to 100; 0: no mixup.
        cutmix_alpha: the same for CutMix; 0: no CutMix.
        prob: probability of mixing a batch.
        switch_prob: probability of CutMix instead of mixup, if both are on.
        label_smoothing: share of each target that is spread evenly over all classes, with or without mixing.
        mode: scope of one draw: "batch", all images; "pair", an image and the one it is mixed with; "elem", one image.
        num_classes: length of a target.
    """

    def __init__(
        self,
        mixup_alpha: float = 0.8,
        cutmix_alpha: float = 1.0,
        prob: float = 1.0,
        switch_prob: float = 0.5,
        label_smoothing: float = 0.1,
        *,
        mode: str = "batch",
        num_classes: int,
    ) -> None:
        super().__init__()
        for name, alpha in (("mixup_alpha", mixup_alpha), ("cutmix_alpha", cutmix_alpha)):
            if not 0 <= alpha <= 100:
                raise ValueError(f"`{name}` must be from 0 (off) to 100, got {alpha}.")
        for name, share in (("prob", prob), ("switch_prob", switch_prob), ("label_smoothing", label_smoothing)):
            if not 0 <= share <= 1:
                raise ValueError(f"`{name}` must be from 0 to 1, got {share}.")
        if mode not in MODES:
            raise ValueError(f"`mode` must be one of {', '.join(MODES)}, got {mode!r}.")
        if num_classes < 1:
            raise ValueError(f"`num_classes` must be 1 or more, got {num_classes}.")
        self.mixup_alpha = mixup_alpha
        self.cutmix_alpha = cutmix_alpha
        self.prob = prob
        self.switch_prob = switch_prob
        self.label_smoothing = label_smoothing
        self.mode = mode
        self.num_classes = num_classes

    def extra_repr(self) -> str:
        return (
            f"mixup_alpha={self.mixup_alpha}, cutmix_alpha={self.cutmix_alpha}, prob={self.prob}, "
            f"switch_prob={self.switch_prob}, label_smoothing={self.label_smoothing}, mode={self.mode!r}, "
            f"num_classes={self.num_classes}"
        )

    def forward(
        self,
        images: Tensor,
        labels: Tensor | Batch,
        batch: int | None = None,
        *,
        seed: int | None = None,
        epoch: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Mixed copies of `images` (themselves without mixing) and their targets.

        Args:
            images: floating-point [N, C, H, W] on any device; if N is odd, the image in the middle is unchanged.
            labels: int64 [N], 0 to num_classes - 1, on the same device; or floating-point targets [N, ...] (several
                labels, numbers), which are mixed in the proportion of the images and not smoothed. Or the loader's
                `Batch`, which contains all following arguments, and the targets of an earlier transform.
            batch: number of the batch in its epoch, 0 to 2**63 - 1.
            seed: 0 to 2**64 - 1.
            epoch: 0 to 2**32 - 1.

        Returns:
            [N, C, H, W] of the same dtype; targets float32 [N, num_classes], rows of sum 1, or of the labels' shape.

        Raises:
            ValueError: for another shape or dtype, or floating-point targets with `label_smoothing`.
            TypeError: labels without `batch`, `seed` or `epoch`.
        """
        if isinstance(labels, Batch):
            batch, seed, epoch = int(labels.keys[0]) if len(labels.keys) else 0, labels.seed, labels.epoch
            labels = labels.labels if labels.targets is None else labels.targets
        if batch is None or seed is None or epoch is None:
            raise TypeError("`batch`, `seed` and `epoch` must be given with labels; a `Batch` brings its own.")
        if not images.is_floating_point() or images.ndim != 4:
            raise ValueError(
                f"`images` must be floating-point [N, C, H, W], got {images.dtype} {list(images.shape)}; mix last."
            )
        soft = labels.is_floating_point()
        if labels.shape[:1] != images.shape[:1] or not (soft or (labels.dtype == torch.int64 and labels.ndim == 1)):
            raise ValueError(
                f"`labels` must be int64 [{len(images)}] or floating-point [{len(images)}, ...], one per image, "
                f"got {labels.dtype} {list(labels.shape)}."
            )
        if soft and self.label_smoothing:
            raise ValueError(
                f"`label_smoothing` is for classes, must be 0 for floating-point targets, got {self.label_smoothing}."
            )
        if self.mode != "batch" and len(images):
            return self._mix_each(images, labels, batch, seed, epoch)
        share, box = self.draw(batch, *images.shape[-2:], seed=seed, epoch=epoch)
        if len(images) and not images.requires_grad and fused.usable(images):
            if box is not None or share < 1:
                images = fused.mix(images, share, box)
            if soft:
                return images, self._targets(labels, share)
            return images, fused.targets(labels, self.num_classes, self.label_smoothing, share)
        if box is not None:
            others = images[:, :, box[0], box[1]].flip(0)
            images = blank_like(images).copy_(images)
            images[:, :, box[0], box[1]] = others
        elif share < 1:
            images = _mirrored(images).lerp_(images, share)
        return images, self._targets(labels, share)

    def draw(self, batch: int, high: int, wide: int, *, seed: int, epoch: int) -> tuple[float, Box | None]:
        """The share that each image keeps, 0 to 1, and the rectangle that it gets from its partner, if any."""
        return self._draw(words(seed, epoch, np.array([batch]), Purpose.MIX, _WORDS)[0], high, wide)

    def draw_each(
        self, batch: int, count: int, high: int, wide: int, *, seed: int, epoch: int
    ) -> list[tuple[float, Box | None]]:
        """The same for each of `count` images, in the modes "pair" and "elem"."""
        draws = count if self.mode == "elem" else count // 2
        drawn = words(seed, epoch, np.array([batch]), Purpose.MIX, _WORDS * draws).reshape(draws, _WORDS)
        each = [self._draw(row, high, wide) for row in drawn]
        if self.mode == "elem":
            return each
        return [*each, *([(1.0, None)] if count % 2 else []), *reversed(each)]

    def _draw(self, drawn: NDArray[np.uint32], high: int, wide: int) -> tuple[float, Box | None]:
        mixes, switches, level = uniform(drawn[:3])
        if mixes >= self.prob or not (self.mixup_alpha or self.cutmix_alpha):
            return 1.0, None
        cuts = not self.mixup_alpha or (self.cutmix_alpha > 0 and switches < self.switch_prob)
        share = beta(float(level), self.cutmix_alpha if cuts else self.mixup_alpha)
        if not cuts:
            return share, None
        rows, columns = rectangle(high, wide, share, int(below(drawn[3:4], high)[0]), int(below(drawn[4:5], wide)[0]))
        return 1 - (rows.stop - rows.start) * (columns.stop - columns.start) / (high * wide), (rows, columns)

    def _mix_each(self, images: Tensor, labels: Tensor, batch: int, seed: int, epoch: int) -> tuple[Tensor, Tensor]:
        count, high, wide = len(images), *images.shape[-2:]
        drawn = self.draw_each(batch, count, high, wide, seed=seed, epoch=epoch)
        shares = put(np.array([share for share, _ in drawn], np.float32), images.device)
        edges = np.zeros((4, count), np.int64)
        for number, (_, box) in enumerate(drawn):
            if box is not None:
                edges[:, number] = box[0].start, box[0].stop, box[1].start, box[1].stop
        top, bottom, left, right = put(edges, images.device)[..., None]
        row, column = torch.arange(high, device=images.device), torch.arange(wide, device=images.device)
        cut = ((row >= top) & (row < bottom))[:, :, None] & ((column >= left) & (column < right))[:, None, :]
        # Outside of its rectangle an image is not mixed.
        boxed = put(np.array([box is not None for _, box in drawn]), images.device)
        whole = torch.where(boxed, torch.ones_like(shares), shares)[:, None, None]
        kept = torch.where(cut, torch.zeros_like(whole), whole)[:, None].to(images.dtype)
        sides = labels.ndim - 1 if labels.is_floating_point() else 1
        share = shares.view(-1, *[1] * sides)
        return _mirrored(images).lerp_(images, kept.expand_as(images)), self._targets(labels, share)

    def _targets(self, labels: Tensor, share: float | Tensor) -> Tensor:
        if labels.is_floating_point():
            hard = labels
        else:
            rest = self.label_smoothing / self.num_classes
            hard = torch.full((len(labels), self.num_classes), rest, dtype=torch.float32, device=labels.device)
            hard.scatter_(1, labels[:, None], 1 - self.label_smoothing + rest)
        return hard * share + hard.flip(0) * (1 - share)


def _mirrored(images: Tensor) -> Tensor:
    """A copy of the batch in reverse order."""
    if images.device.type != "cpu":
        return images.flip(0)
    return blank_like(images).index_copy_(0, torch.arange(len(images), device=images.device).flip(0), images)


def rectangle(high: int, wide: int, share: float, y: int, x: int) -> Box:
    """Rows and columns of a rectangle around (`y`, `x`) with area 1 - `share` of the image, clipped to the image.

    An odd side becomes one pixel shorter, as in timm 0.4.12, which the released code uses.
    """
    ratio = math.sqrt(1 - share)
    rows, columns = int(high * ratio), int(wide * ratio)
    return (
        slice(max(y - rows // 2, 0), min(y + rows // 2, high)),
        slice(max(x - columns // 2, 0), min(x + columns // 2, wide)),
    )


def beta(level: float, alpha: float) -> float:
    """The quantile of Beta(alpha, alpha) at `level`, 0 to 1, to about 1e-6."""
    shares, powers = _half_beta(alpha)
    half = float(np.interp(2 * min(level, 1 - level), shares, powers)) ** (1 / alpha)
    return half if level < 0.5 else 1 - half


@lru_cache(maxsize=8)
def _half_beta(alpha: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Twice the distribution function at points x from 0 to 1/2, and x**alpha there, in which it is nearly linear."""
    x = np.linspace(0, 0.5, _GRID + 1)
    powers = x**alpha
    # The density is x**(alpha - 1) (1 - x)**(alpha - 1). The first factor may be infinite at 0, so it is integrated
    # exactly.
    middle = (x[1:] + x[:-1]) / 2
    shares = np.concatenate(([0], np.cumsum(np.diff(powers) * (1 - middle) ** (alpha - 1))))
    return shares / shares[-1], powers
