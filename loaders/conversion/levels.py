"""The sizes at which images are stored, as far as the user does not choose them, and which of them an image gets."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..beton.layout import MAX_LEVELS
from ..native import Record
from ..pillow import Header
from ..sources.source import Source
from ..stage import SMALLEST
from .headers import headers, some_samples

USUAL = (1.0, 0.5, 0.25)
"""Side of each level / side of the image."""
OVERHEAD = 0.5
"""Bytes of an image's levels below `ALWAYS` pixels / bytes of its level 0, at most."""
ALWAYS = 128
"""Shorter side from which on a level is always stored, pixels: 44 % of random crops of it have 96 pixels a side."""
_LARGE = 0.1  # share of the images for which a further level pays


def ratios_for(source: Source) -> tuple[float, ...]:
    """`USUAL`, and of large photographs 1/8, 1/16, ...: while a tenth of the images have `ALWAYS` pixels a side there.

    A photograph of 4000 x 3000 pixels has 1000 x 750 at 1/4, many more than a crop for 96 or 224 pixels needs. The
    further levels add a few per cent to its bytes. Sizes come from the headers of some images, the same in each call.
    """
    found = headers(some_samples(source))
    sides = sorted(min(each.width, each.height) for each in found if isinstance(each, Header))
    large = sides[-math.ceil(len(sides) * _LARGE)] if sides else 0
    ratios = list(USUAL)
    while len(ratios) < MAX_LEVELS and large * ratios[-1] / 2 >= ALWAYS:
        ratios.append(ratios[-1] / 2)
    return tuple(ratios)


def qualities(ratios: Sequence[float], quality: int) -> list[int]:
    """JPEG quality of each level: `quality`; where levels go on below 1/4, finer from there on.

    Nearly every crop of a large photograph comes from these levels, and they cost few bytes: 1/4 has half the
    quantisation steps, levels below it have a quarter.
    """
    further = min(ratios) < USUAL[-1]
    parts = [4 if ratio < USUAL[-1] else 2 if ratio == USUAL[-1] and further else 1 for ratio in ratios]
    return [100 - -(-(100 - quality) // part) for part in parts]


def fitting(records: list[Record], overhead: float) -> list[bool]:
    """Which levels of an image are stored: all from `ALWAYS` pixels on, and smaller ones if there is room for them.

    Levels with fewer pixels a side than the smallest resolution are never stored, because no loader would read them.

    The small levels of a small JPEG of low quality take more than half of its bytes, and few crops can use them:
    without this rule its pyramid would be nearly twice as large. Larger levels have precedence.

    Args:
        records: of all levels.
        overhead: bytes of the small levels / bytes of level 0, at most; row tables count.
    """
    sizes = [len(record.jpeg) + len(record.table) for record in records]
    room, fits = overhead * sizes[0], [True]
    for record, size in zip(records[1:], sizes[1:], strict=True):
        if (side := min(record.width, record.height)) >= ALWAYS:
            fits.append(True)
            continue
        fits.append(side >= SMALLEST and size <= room)
        room -= size * fits[-1]
    return fits
