"""Boxes and points: targets that follow the crop, the flip and the moves of their images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

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

    After each step a box is the smallest upright one that holds the moved corners, clipped to the image, as in
    torchvision's transforms v2. A box without area left is all 0: it keeps its row, so that other fields with an entry
    for each box stay in step.

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
    """Points in pixels of the output, float32 [m, 2]; those outside the crop are not from 0 to B.

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
    """The maps that a point goes through: from pixels to fractions of the crop, then the flip and each move."""
    corner, size = crop[:2].astype(np.float64), crop[2:].astype(np.float64) - crop[:2]

    def cut(points: Points) -> Points:
        return (points - corner) / size

    def mirror(points: Points) -> Points:
        return np.stack((1 - points[:, 0], points[:, 1]), 1)

    steps: list[Callable[[Points], Points]] = [cut]
    if flip:
        steps.append(mirror)
    for move in moves:
        if (move != np.eye(2, 3)).any():
            steps.append(_forward(move))
    return steps


def _forward(move: NDArray[np.float64]) -> Callable[[Points], Points]:
    """The map of a move that is given backwards: where each result came from."""
    inverse = np.linalg.inv(move[:, :2])
    return lambda points: (points - move[:, 2]) @ inverse.T
