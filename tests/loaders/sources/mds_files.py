"""Writes MosaicML's Mosaic Data Shards, by the documented format."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np


def write_mds(
    at: Path, columns: dict[str, str], sizes: list[int | None], rows: list[list[bytes]], per: int = 5
) -> None:
    """Shards of `per` samples. columns: name -> encoding; sizes: of columns of a fixed one; rows: encoded values."""
    described = {"column_names": list(columns), "column_encodings": [*columns.values()], "column_sizes": sizes}
    shards = []
    for start in range(0, len(rows), per):
        samples = []
        for row in rows[start : start + per]:
            free = [len(value) for value, size in zip(row, sizes, strict=True) if size is None]
            samples.append(np.array(free, "<u4").tobytes() + b"".join(row))
        config = json.dumps(described).encode()
        first = 4 * (len(samples) + 2) + len(config)
        offsets = first + np.cumsum([0, *map(len, samples)])
        data = np.array([len(samples), *offsets], "<u4").tobytes() + config + b"".join(samples)
        name = f"shard.{start // per:05d}.mds"
        (at / name).write_bytes(data)
        raw = {"basename": name, "bytes": len(data), "hashes": {}}
        shards.append({**described, "format": "mds", "version": 2, "samples": len(samples), "raw_data": raw})
    (at / "index.json").write_text(json.dumps({"shards": shards, "version": 2}))
