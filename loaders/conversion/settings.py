"""The settings of a conversion: with its source, they determine the bytes of the pyramid."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ..beton import layout
from ..beton.fields import FieldSpec, FieldType, parse_fields
from ..pillow import DEPTHS
from ..sources.composed import Limited
from ..sources.source import Source
from .levels import OVERHEAD, USUAL


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Arguments of `convert` of the same names, in one form whichever way they were given.

    Raises:
        ValueError: one of them is out of its range.
    """

    fields: dict[str, FieldType] | None = None
    """Targets to store; None: all that the source knows."""
    classes: tuple[str, ...] | None = None
    """Class names in the order of their labels; None: the source's."""
    ratios: tuple[float, ...] | None = None
    """Side of each level / side of the image: 1.0 first, falling, up to 8; None: `levels.ratios_for` chooses."""
    quality: int = 90
    """JPEG quality of the reduced levels, 1 to 100, see `levels.qualities`."""
    overhead: float = OVERHEAD
    """Bytes of an image's small levels / bytes of its level 0 at most, from 0 on, see `levels.fitting`."""
    on_error: str = "raise"
    """"raise" at a sample that cannot be converted, or "skip" it. No byte of a part depends on it."""
    page_size: int | None = None
    """Bytes of a page at least, a power of two from 2 MiB to 2 GiB; None: chosen by the images' sizes."""
    depth: str = "refuse"
    """Treatment of more than 8 bits a sample: "refuse", "scale" or "minmax", see `pillow.decode_rgb`."""
    keep_codec: bool = False
    """Keep the original file of each image that level 0 does not hold without loss, as the field `original`."""
    order: str | None = None
    """In which samples are stored, "shuffled" or "source"; `jobs.StoredSource` checks it."""

    @classmethod
    def of(
        cls,
        *,
        fields: Mapping[str, FieldSpec] | None = None,
        classes: Sequence[str] | None = None,
        ratios: Sequence[float] | None = None,
        **others: Any,
    ) -> Settings:
        """From the arguments as users give them."""
        return cls(
            fields=None if fields is None else parse_fields(fields),
            classes=None if classes is None else tuple(classes),
            ratios=None if ratios is None else tuple(map(float, ratios)),
            **others,
        )

    def __post_init__(self) -> None:
        wanted = USUAL if self.ratios is None else self.ratios
        falling = all(a > b > 0 for a, b in pairwise(wanted))
        if wanted[:1] != (1.0,) or not falling or len(wanted) > layout.MAX_LEVELS:
            most = layout.MAX_LEVELS
            raise ValueError(f"levels must start with 1 and fall, at most {most} of them, got {list(wanted)}")
        if not 1 <= self.quality <= 100:
            raise ValueError(f"`quality` must be from 1 to 100, got {self.quality}")
        if not 0 <= self.overhead < math.inf:
            rule = "a number from 0 on, 0.5 for half as many bytes more"
            raise ValueError(f"`overhead` must be {rule}, got {self.overhead}")
        if self.on_error not in ("raise", "skip"):
            raise ValueError(f'`on_error` must be "raise" or "skip", got {self.on_error!r}')
        if self.depth not in DEPTHS:
            raise ValueError(f"`depth` must be one of {', '.join(DEPTHS)}, got {self.depth!r}")
        small, large, size = layout.MIN_PAGE, layout.MAX_PAGE, self.page_size
        if size is not None and (not small <= size <= large or size & (size - 1)):
            units = f"(--page-size, in MiB: {small >> 20} to {large >> 20})"
            raise ValueError(f"`page_size` must be a power of two from {small} to {large} bytes {units}, got {size}")


def check_counts(**counts: int | None) -> None:
    """Raises ValueError for an argument below 1; None: it was not given."""
    for name, value in counts.items():
        if value is not None and value < 1:
            raise ValueError(f"`{name}` must be at least 1, got {value}")


def limited(source: Source, limit: int | None) -> Source:
    """So many samples of the source, evenly spread; None: all."""
    return source if limit is None or limit >= len(source) else Limited(source, limit)
