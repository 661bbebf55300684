"""The plan of one batch: all instructions for each sample, decided before any of its bytes is read."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from . import level
from .crop import DEFAULT, eval_boxes, flips, train_boxes
from .filters import Filter
from .geometry import CropGeometry
from .records import SAMPLE
from .rng import sample_indices


def plan_batch(
    entries: NDArray[np.void],
    keys: NDArray[np.int64],
    *,
    seed: int,
    epoch: int,
    resolution: int,
    train: bool,
    max_level: int | None = None,
    oversample: float | None = None,
    geometry: CropGeometry = DEFAULT,
    filter: Filter | None = None,
) -> NDArray[np.void]:
    """One `SAMPLE` record per sample, with the kernel's instructions.

    A record depends on its own row of `entries`, its index and the scalars, not on the rest of the batch.

    Args:
        entries: `ENTRY` records of the samples, [n, levels], full size first, then ever smaller.
        keys: their draw keys, [n], see `rng.draw_keys`.
        seed, epoch: they key crops and flips in training, too, see `rng.words`.
        resolution: side of the output in pixels.
        train: random resized crop and flip; else the fixed crop of evaluation.
        max_level: coarsest level to read; 0: full size only; None: all levels.
        oversample: pixels that a crop must have at its level per pixel of output; None: `level.oversample`.
        geometry: settings of cropping and resizing.
        filter: the resampling kernel of evaluation. Evaluation resizes before it crops, so the taps use image pixels
            beyond the crop. None: they do not. In training they never do, because training crops first.

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
            f"got {full[row, 0]:.0f}x{full[row, 1]:.0f} for sample {sample_indices(keys[row])}; read its header first."
        )
    widths, heights = full[:, 0], full[:, 1]
    if train:
        boxes = train_boxes(widths, heights, seed, epoch, keys, geometry)
    else:
        boxes = eval_boxes(widths, heights, resolution, geometry)
    enough = level.oversample(resolution, train) if oversample is None else oversample
    enough_scaled = level.DCT_OVERSAMPLE if train else level.EVAL_DCT_OVERSAMPLE
    chosen, scale = level.choose(entries, boxes, resolution, enough, enough_scaled)

    samples = np.zeros(len(keys), SAMPLE)
    samples["entry"] = entries[np.arange(len(keys)), chosen]
    crop = boxes[:, 2:] - boxes[:, :2]
    samples["box"] = boxes * _sides(samples["entry"]) / full
    samples["full"] = crop
    samples["scale"] = scale
    if train:
        samples["flip"] = flips(seed, epoch, keys, geometry.hflip)
    else:
        samples["fill"] = geometry.fill if geometry.crop_mode == "border" else 0
        if filter is not None:
            samples["margin"] = _margin(samples["box"], filter.reach(crop), scale)
    return samples


def _margin(boxes: NDArray[np.float32], reach: NDArray[np.float64], scale: NDArray[np.uint8]) -> NDArray[np.int64]:
    """[n]: number of level pixels beyond each box that taps use; `reach`: see `Filter.reach`, [n, 2]."""
    pixels = (reach * (boxes[:, 2:] - boxes[:, :2])).max(axis=1)
    return np.minimum(np.ceil(pixels + scale), 65535).astype(np.int64)  # one scaled pixel more, for rounding


def _sides(entries: NDArray[np.void]) -> NDArray[np.float64]:
    """[n, 4]: width, height, width, height, matching the four numbers of a box."""
    width, height = entries["width"].astype(np.float64), entries["height"].astype(np.float64)
    return np.stack((width, height, width, height), axis=1)
