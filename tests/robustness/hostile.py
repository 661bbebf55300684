"""Betons made by somebody who means harm: sound CRCs over senseless tables, and names that lead elsewhere."""

from __future__ import annotations

import json
import os
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from loaders import Loader
from loaders.beton import layout
from loaders.conversion import extract, verify
from loaders.errors import BadSample, LoaderError
from loaders.sources import open_dataset
from loaders.sources.pyramid import Pyramid
from tests.robustness import files
from tests.robustness.mutate import draw
from tests.robustness.tally import LOST, NAMED, SURVIVED, Tally

FIELDS = list(layout.LEVEL.names or ())
EVIL = (0, 1, 2, 255, 65535, 1 << 31, (1 << 32) - 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
NAMES = ("../../escaped.jpg", "/escaped.jpg", "a\nb", "\x1b[31m", "nul\0byte", "\udcff", "..", "")
TWO = ["a", "b"]
META: tuple[object, ...] = (
    *([], {}, 1, None),
    {"classes": 1, "ratios": [1]},
    {"classes": ["a"], "ratios": []},
    {"classes": [["a"]], "ratios": [1] * 3},
    {"classes": TWO, "ratios": ["x", "y", "z"]},
    {"classes": TWO, "ratios": [1, float("nan"), 2]},
)


class Forge:
    """A sound pyramid whose parts can be replaced; CRCs are made good again."""

    def __init__(self, place: Path) -> None:
        self.place = place
        sound = files.pyramid(place)
        self.data = sound.read_bytes()
        with open_dataset(sound) as dataset:
            assert isinstance(dataset, Pyramid)
            self.private, self.levels, self.head = dataset.private, len(dataset.ratios), dataset.head
        self.row = layout.index_dtype(self.levels)

    def part(self, name: str) -> bytes:
        offset, size = int(self.private[name]["offset"]), int(self.private[name]["size"])
        return self.data[offset : offset + size]

    def forged(self, private: dict[str, Any] | None = None, **parts: bytes) -> Path:
        """A beton with other `index`, `names` or `meta` (of at most the old size) and other fields in its header."""
        data, header = bytearray(self.data), self.private.copy()
        for name, part in parts.items():
            section = header[name]
            offset, size = int(section["offset"]), int(section["size"])
            part = part[:size] if name != "meta" else part.ljust(size)
            data[offset : offset + len(part)] = part
            section["size"], section["crc"] = len(part), zlib.crc32(part)
        for field, value in (private or {}).items():
            header[field] = value
        at = layout.HEADER.itemsize + 17
        packed = layout.pack_private(header)
        data[at : at + len(packed)] = packed
        out = self.place / "forged.beton"
        out.write_bytes(data)
        return out


def betons(seed: int, tries: int) -> Iterator[dict[str, Any]]:
    """Index, meta data and header with hostile numbers: refused or reported; nothing crashes or allocates for long."""
    index, other = Tally("hostile index"), Tally("hostile meta data and header")
    with tempfile.TemporaryDirectory() as place:
        forge = Forge(Path(place))
        for number in range(tries):
            rng = draw(seed, number)
            rows = np.frombuffer(forge.part("index"), forge.row).copy()
            for _ in range(int(rng.integers(1, 4))):
                sample = int(rng.integers(len(rows)))
                field = str(rng.choice(["label", "name", "name_size", *FIELDS]))
                value = int(rng.choice(EVIL)) if rng.random() < 0.7 else int(rng.integers(0, 1 << 20))
                level = int(rng.integers(forge.levels))
                cell = rows["level"][sample, level] if field in FIELDS else rows[sample]
                bits = 8 * cell.dtype[field].itemsize
                cell[field] = np.array(value % (1 << bits), f"u{bits // 8}").astype(cell.dtype[field])
            index.add(*_used(forge.forged(index=rows.tobytes()), f"index, number {number} of seed {seed}"))
            if number % 20 == 0:
                yield {"alive": number}
        for meta in META:
            text = json.dumps(meta).encode()
            other.add(*_used(forge.forged(meta=text), f"meta {meta}"))
        for text in (b"[" * 200, b"\xff\xfe", b"{}" * 3):
            other.add(*_used(forge.forged(meta=text), f"meta {text[:9]!r}"))
        for field in ("samples", "levels", "row_size", "file_size"):
            for value in EVIL[:7]:
                other.add(*_used(forge.forged({field: value}), f"{field} = {value}"))
        for field in ("start", "end"):
            for value in EVIL:
                other.add(*_used(forge.forged({field: np.full(layout.MAX_LEVELS, value, "<u8")}), f"{field} = {value}"))
    yield index.as_dict()
    yield other.as_dict()


def names(seed: int, tries: int) -> Iterator[dict[str, Any]]:
    """Names of samples and classes that would lead out of the folder or confuse a terminal: no file is made by them."""
    tally = Tally("hostile names")
    with tempfile.TemporaryDirectory() as place:
        forge = Forge(Path(place))
        for number, text in enumerate(NAMES * tries):
            name = os.fsencode(text)
            rows = np.frombuffer(forge.part("index"), forge.row).copy()
            rows["name"], rows["name_size"] = 0, len(name)
            rows["label"][int(draw(seed, number).integers(len(rows)))] = 1
            rows["level"]["crc"] ^= 1  # so that `verify` prints every name
            meta = {"classes": [text[:6], text[:5]], "ratios": json.loads(forge.part("meta"))["ratios"]}
            path = forge.forged(index=rows.tobytes(), names=name.ljust(1), meta=layout.pack_meta(meta))
            before = _files(Path(place))
            how = f"name {text!r}"
            outcome, told = _used(path, how)
            with suppress(BadSample, ValueError):  # wrong CRCs, or two classes of one name
                extract(path, Path(place, "level.beton"), 1)
            verify(path, workers=1)
            Path(place, "level.beton").unlink(missing_ok=True)
            made = _files(Path(place)) - before
            tally.add(LOST if made or outcome == LOST else SURVIVED, f"{how}: made {made}; {told}")
    yield tally.as_dict()


def _files(place: Path) -> set[str]:
    around = [place, place.parent, Path(tempfile.gettempdir()), Path.cwd(), Path("/")]
    return {
        os.fspath(path) for folder in around for path in folder.iterdir() if "escaped" in path.name or folder == place
    }


def _used(path: Path, how: str) -> tuple[str, str]:
    """Opened, read with every sample in it, as training would."""
    try:
        with Loader(
            path,
            batch_size=8,
            resolution=32,
            num_workers=2,
            train=False,
            drop_last=False,
            dtype="uint8",
            on_error="replace",
        ) as loader:
            count = sum(len(images) for images, _ in loader)
            bad = loader.stats()["bad"]
            return (LOST if count != 24 else NAMED if bad else SURVIVED), f"{how}: {count} of 24"
    except LoaderError as error:
        return NAMED, str(error)
    except Exception as error:
        return LOST, f"{how}: {type(error).__name__}: {error}"
