"""What a data set holds, in a form in which two conversions can be compared."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from loaders import open_dataset


def records(path: Path | str | list[Path]) -> list[tuple[Any, ...]]:
    """For each sample its name, label, fields, and the SHA-256 of its record of every level."""
    with open_dataset(path) as data:
        count, levels = range(len(data)), range(len(data.ratios))
        fields = [[str(value) for value in data.read_field(name, count)] for name in data.fields]
        digests = [[hashlib.sha256(data.read(k, level)).hexdigest() for level in levels] for k in count]
        names = [data.name(k) for k in count]
        return list(zip(names, data.labels(count).tolist(), digests, *fields, strict=True))
