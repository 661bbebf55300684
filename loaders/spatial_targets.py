"""Boxes, points and masks: targets that follow the crop, the flip and the moves of their images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import LoaderError
from .pillow import decode_stored

OUTSIDE = 255
"""Value of mask pixels outside the image: the usual "ignore" of segmentation."""
_STILL = np.eye(2, 3)  # a step that moves no pixel

Points = NDArray[np.float64]
"""x, y of some points, [m, 2], as fractions of the crop."""


def move_boxes(
    boxes: Sequence[NDArray[np.floating[Any]]],
    crops: NDArray[np.floating[Any]],
    flips: NDArray[np.bool_],
    side: int,
    moves: NDArray[np.float64],
) -> list[NDArray[np.float32]]:
    """Boxes in pixels of the output.

    After each step a box becomes the smallest upright box that contains the moved corners, clipped to the image, as in
    torchvision's transforms v2. A box without remaining area becomes all 0: it keeps its row, so that other fields with
    an entry for each box keep matching.

    Args:
        boxes: x0, y0, x1, y1 in pixels of the full image, [m, 4] for each of n samples.
        crops: x0, y0, x1, y1 of each sample's crop in the same pixels, [n, 4].
        flips: mirrored left to right, [n].
        side: B, pixels of the output.
        moves: steps after crop and flip, [n, steps, 2, 3], see `batch.Moving.moves`.

    Returns:
        float32 [m, 4] for each sample, from 0 to B.
    """
    made = []
    for k, given in enumerate(boxes):
        low, high = given[:, :2].astype(np.float64), given[:, 2:].astype(np.float64)
        for step in _steps(crops[k], bool(flips[k]), moves[k]):
            corners = [step(np.stack((x[:, 0], y[:, 1]), 1)) for x in (low, high) for y in (low, high)]
            low, high = np.clip(np.min(corners, axis=0), 0, 1), np.clip(np.max(corners, axis=0), 0, 1)
        whole = np.concatenate((low, high), 1) * side
        whole[(high <= low).any(1)] = 0
        made.append(whole.astype(np.float32))
    return made


def move_points(
    points: Sequence[NDArray[np.floating[Any]]],
    crops: NDArray[np.floating[Any]],
    flips: NDArray[np.bool_],
    side: int,
    moves: NDArray[np.float64],
) -> list[NDArray[np.float32]]:
    """Points in pixels of the output, float32 [m, 2]; points outside the crop have coordinates outside 0 to B.

    Args as of `move_boxes`; points: x, y in pixels of the full image, [m, 2] for each sample.
    """
    made = []
    for k, given in enumerate(points):
        moved = given.astype(np.float64)
        for step in _steps(crops[k], bool(flips[k]), moves[k]):
            moved = step(moved)
        made.append((moved * side).astype(np.float32))
    return made


def _steps(crop: NDArray[np.floating[Any]], flip: bool, moves: NDArray[np.float64]) -> list[Callable[[Points], Points]]:
    """The maps applied to a point: from pixels to fractions of the crop, then the flip and each move."""
    corner, size = crop[:2].astype(np.float64), crop[2:].astype(np.float64) - crop[:2]

    def cut(points: Points) -> Points:
        return (points - corner) / size

    def mirror(points: Points) -> Points:
        return np.stack((1 - points[:, 0], points[:, 1]), 1)

    steps: list[Callable[[Points], Points]] = [cut]
    if flip:
        steps.append(mirror)
    for move in moves:
        if (move != _STILL).any():
            steps.append(_forward(move))
    return steps


def _forward(move: NDArray[np.float64]) -> Callable[[Points], Points]:
    """The forward map of a move. The move itself is given backwards, from each result to its origin."""
    inverse = np.linalg.inv(move[:, :2])
    return lambda points: (points - move[:, 2]) @ inverse.T


def cut_masks(
    files: Sequence[bytes],
    crops: NDArray[np.floating[Any]],
    flips: NDArray[np.bool_],
    side: int,
    moves: NDArray[np.float64] | None = None,
) -> NDArray[np.int64]:
    """Each mask under its crop, resampled to the nearest pixel: int64 [n, B, B].

    Args:
        files: encoded masks of one channel (PNG, JPEG, ...), as large as their images.
        crops: x0, y0, x1, y1 in pixels of the full image, [n, 4]; may reach outside it; the result there is `OUTSIDE`.
        flips: mirrored left to right, [n].
        side: B.
        moves: steps after crop and flip, [n, steps, 2, 3], see `batch.Moving.moves`; pixels that come from outside the
            image of any step are `OUTSIDE`.

    Raises:
        LoaderError: a mask cannot be decoded.
    """
    out = np.full((len(files), side, side), OUTSIDE, np.int64)
    steps = (np.arange(side) + 0.5) / side
    for k, file in enumerate(files):
        mask = decode_mask(file)
        x0, y0, x1, y1 = crops[k].astype(np.float64)
        if moves is not None and (moves[k] != _STILL).any():
            x, y, known = _origins(moves[k], side)
            columns = np.floor(x0 + (1 - x if flips[k] else x) * (x1 - x0)).astype(np.int64)
            rows = np.floor(y0 + y * (y1 - y0)).astype(np.int64)
            known &= (rows >= 0) & (rows < mask.shape[0]) & (columns >= 0) & (columns < mask.shape[1])
            out[k][known] = mask[rows[known], columns[known]]
            continue
        columns = np.floor(x0 + steps * (x1 - x0)).astype(np.int64)
        rows = np.floor(y0 + steps * (y1 - y0)).astype(np.int64)
        if flips[k]:
            columns = columns[::-1]
        inside = np.ix_((rows >= 0) & (rows < mask.shape[0]), (columns >= 0) & (columns < mask.shape[1]))
        rows, columns = rows[inside[0].ravel()], columns[inside[1].ravel()]
        out[k][inside] = mask[np.ix_(rows, columns)]
    return out


def _origins(moves: NDArray[np.float64], side: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_]]:
    """The pixels' centres before these steps, 0 to 1: x and y [B, B], and whether they are in the image."""
    steps = (np.arange(side) + 0.5) / side
    y, x = np.meshgrid(steps, steps, indexing="ij")
    known = np.ones_like(x, np.bool_)
    for step in moves[::-1]:
        x, y = (row[0] * x + row[1] * y + row[2] for row in step)
        known &= (x >= 0) & (x < 1) & (y >= 0) & (y < 1)
    return x, y, known


def decode_mask(file: bytes) -> NDArray[Any]:
    """Pixels of a mask [height, width]; those of a palette image are its indices.

    Raises:
        LoaderError: it cannot be decoded, or has several channels.
    """
    try:
        pixels = decode_stored(file)
    except LoaderError as error:
        raise LoaderError(f"a mask cannot be decoded: {error}") from None
    if pixels.ndim != 2:
        raise LoaderError(f"a mask must have one channel, got pixels of shape {list(pixels.shape)}")
    return pixels
