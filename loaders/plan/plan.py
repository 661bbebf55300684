"""The plan of one batch: everything that is to happen to each sample, decided before a byte of it is read."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .crop import eval_boxes, flips, train_boxes
from .level import OVERSAMPLE, choose
from .records import SAMPLE


def plan_batch(
    entries: NDArray[np.void],
    indices: NDArray[np.int64],
    *,
    seed: int,
    epoch: int,
    resolution: int,
    train: bool,
    max_level: int | None = None,
    oversample: float = OVERSAMPLE,
) -> NDArray[np.void]:
    """One `SAMPLE` record per sample, which the kernel then carries out.

    A record depends on its own row of `entries`, its index and the scalars, not on the rest of the batch.

    Args:
        entries: `ENTRY` records of the samples, [n, levels], full size first, then ever smaller.
        indices: their sample indices, [n].
        seed, epoch: what the crops and flips depend on in training, see `draws.words`.
        resolution: side of the output in pixels.
        train: random resized crop and flip; else the centre crop of evaluation.
        max_level: coarsest level to read; 0: full size only; None: all there are.
        oversample: pixels a crop must have at its level per pixel of output, see `level.choose`.

    Raises:
        ValueError: the size of a full-size level is not known.
    """
    if max_level is not None:
        entries = entries[:, : max_level + 1]
    full = _sides(entries[:, 0])
    if not full.all():
        row = int(np.flatnonzero(~full.all(axis=1))[0])
        raise ValueError(
            "`entries` must give the width and height of every full-size level, "
            f"got {full[row, 0]:.0f}x{full[row, 1]:.0f} for sample {indices[row]}; read its header first."
        )
    widths, heights = full[:, 0], full[:, 1]
    if train:
        boxes = train_boxes(widths, heights, seed, epoch, indices)
    else:
        boxes = eval_boxes(widths, heights, resolution)
    level, scale = choose(entries, boxes, resolution, oversample)

    samples = np.zeros(len(indices), SAMPLE)
    samples["entry"] = entries[np.arange(len(indices)), level]
    samples["box"] = boxes * _sides(samples["entry"]) / full
    samples["full"] = boxes[:, 2:] - boxes[:, :2]
    samples["scale"] = scale
    if train:
        samples["flip"] = flips(seed, epoch, indices)
    return samples


def _sides(entries: NDArray[np.void]) -> NDArray[np.float64]:
    """[n, 4]: width, height, width, height, as the four numbers of a box need them."""
    width, height = entries["width"].astype(np.float64), entries["height"].astype(np.float64)
    return np.stack((width, height, width, height), axis=1)
