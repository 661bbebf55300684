"""Damaged betons: every region flipped, cut or swapped under a running loader. Each function runs in a child."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loaders import Loader, convert
from loaders.beton import layout
from loaders.conversion import verify
from loaders.errors import LoaderError
from loaders.plan.records import table_bytes
from loaders.sources import open_dataset
from loaders.sources.pyramid import Pyramid
from tests.robustness import corpus
from tests.robustness.mutate import draw
from tests.robustness.tally import LOST, NAMED, OURS, SURVIVED, Tally

SIDE = 64


def folder(place: Path, per_class: int = 12, size: tuple[int, int] = (160, 120)) -> Path:
    """Two classes of photographs of several kinds."""
    kinds = [kind for kind in corpus.KINDS if kind != "cmyk"]
    for label in range(2):
        path = place / "photos" / f"class{label}"
        path.mkdir(parents=True)
        for k in range(per_class):
            (path / f"{k:04d}.jpg").write_bytes(corpus.make(kinds[k % len(kinds)], *size, key=100 * label + k))
    return place / "photos"


def pyramid(place: Path) -> Path:
    out = place / "sound.beton"
    convert(folder(place), out, workers=1)
    return out


def regions(path: Path) -> dict[str, list[tuple[int, int]]]:
    """Where each part of a pyramid lies: [first byte, one past the last) of its pieces."""
    with open_dataset(path) as dataset:
        assert isinstance(dataset, Pyramid)
        head, private = dataset.head, dataset.private
        entries = dataset.entries(np.arange(len(dataset)))
    fields = [layout.HEADER.itemsize + k * layout.FIELD.itemsize for k in range(2)]
    found = {
        "header": [(0, layout.HEADER.itemsize)],
        "field descriptors": [(at, at + 17) for at in fields],
        "private header": [(fields[0] + 17, fields[0] + 17 + layout.PRIVATE.itemsize)],
        "unused arguments": [(fields[0] + 17 + layout.PRIVATE.itemsize, fields[1]), (fields[1] + 17, head.rows)],
        "metadata": [(head.rows, head.rows + head.samples * head.row.itemsize)],
        "allocation table": [(head.table, head.file_size)],
    }
    for name in ("index", "names", "meta"):
        offset = int(private[name]["offset"])
        found[name] = [(offset, offset + int(private[name]["size"]))]
    every = [e for e in entries.reshape(-1) if e["width"]]  # small images have fewer levels
    found["row tables"] = [(int(e["offset"]) - table_bytes(int(e["rows"])), int(e["offset"])) for e in every]
    found["JPEG headers"] = [(int(e["offset"]), int(e["offset"]) + int(e["head"])) for e in every]
    found["entropy-coded data"] = [
        (int(e["offset"]) + int(e["head"]), int(e["offset"]) + int(e["size"])) for e in every
    ]
    return found


def flips(seed: int, tries: int, backend: str = "torch") -> Iterator[dict[str, Any]]:
    """One to three bits of a region flipped: (a) a Loader reads everything, (b) `verify` must find it."""
    with tempfile.TemporaryDirectory() as place:
        sound = pyramid(Path(place))
        data, wanted = sound.read_bytes(), pixels(sound, backend)[0]
        broken = Path(place, "broken.beton")
        for kind, (region, pieces) in enumerate(regions(sound).items()):
            read = Tally(f"bits flipped in {region}: read", OURS[backend])
            found = Tally(f"bits flipped in {region}: verify")
            for number in range(tries):
                rng, copy = draw(seed, kind << 32 | number), bytearray(data)
                first, last = pieces[int(rng.integers(len(pieces)))]
                places = rng.choice((last - first) * 8, int(rng.integers(1, 4)), replace=False)
                for bit in places.tolist():
                    copy[first + bit // 8] ^= 1 << bit % 8
                broken.write_bytes(copy)
                how = f"{region}, seed {seed}, number {number}"
                read.add(*_read(broken, wanted, how, backend))
                if backend == "torch":  # `verify` knows none
                    found.add(*_verified(broken, how))
                yield {"alive": number}
            yield read.as_dict()
            if found.tries:
                yield found.as_dict()


def cuts(seed: int, tries: int) -> Iterator[dict[str, Any]]:
    """A beton cut at any byte, or with bytes behind its end, must be refused when it is opened."""
    tally = Tally("beton cut short or grown")
    with tempfile.TemporaryDirectory() as place:
        data, broken = pyramid(Path(place)).read_bytes(), Path(place, "broken.beton")
        for number in range(tries):
            rng = draw(seed, number)
            size = int(rng.integers(0, len(data))) if number % 4 else len(data) + int(rng.integers(1, 5000))
            broken.write_bytes(data[:size].ljust(size, b"\0"))
            outcome, how = _read(broken, None, f"cut to {size} bytes of {len(data)}")
            tally.add(LOST if outcome == SURVIVED else outcome, how)
    yield tally.as_dict()


def swaps(seed: int, tries: int, backend: str = "torch") -> Iterator[dict[str, Any]]:
    """Under a loader in the middle of an epoch the file is replaced, overwritten, cut, or only touched."""
    with tempfile.TemporaryDirectory() as place:
        sound = pyramid(Path(place))
        data, (wanted, labels) = sound.read_bytes(), pixels(sound, backend)
        other = Path(place, "other.beton")
        shutil.rmtree(Path(place, "photos", "class0"))
        shutil.copytree(Path(place, "photos", "class1"), Path(place, "photos", "class0"))
        convert(Path(place, "photos"), other, workers=1)
        path = Path(place, "running.beton")
        for how in ("renamed over", "overwritten", "cut", "touched"):
            tally = Tally(f"beton {how} under a loader", OURS[backend])
            for number in range(tries):
                path.unlink(missing_ok=True)
                path.write_bytes(data)
                at = int(draw(seed, number).integers(1, 6))
                tally.add(*_swapped(path, backend, other.read_bytes(), how, at, wanted, labels))
                yield {"alive": number}
            yield tally.as_dict()


def _swapped(
    path: Path, backend: str, other: bytes, how: str, at: int, wanted: NDArray[np.uint8], labels: NDArray[np.int64]
) -> tuple[str, str]:
    options: dict[str, Any] = {"train": False, "dtype": "uint8", "num_workers": 1, "prefetch_factor": 1}
    with Loader(path, batch_size=2, backend=backend, resolution=SIDE, **options) as loader:
        try:
            for k, (images, given) in enumerate(loader):
                part = slice(2 * k, 2 * k + 2)
                if not np.array_equal(images.numpy(), wanted[part]) or not np.array_equal(given.numpy(), labels[part]):
                    return LOST, f"{how} before batch {at}: batch {k} is wrong"
                if k + 1 == at:
                    if how == "renamed over":
                        spare = path.with_name("spare")
                        spare.write_bytes(other)
                        os.replace(spare, path)
                    elif how == "overwritten":
                        path.write_bytes(other)
                    elif how == "cut":
                        os.truncate(path, os.path.getsize(path) // 3)
                    else:
                        os.utime(path)
        except LoaderError as error:
            return (NAMED if str(path) in str(error) or "sample" in str(error) else LOST), f"{how}: {error}"
    unharmed = how in ("renamed over", "touched")  # the open file is still the old one
    return (SURVIVED if unharmed else LOST), f"{how} before batch {at} went unnoticed"


def pixels(path: Path, backend: str = "torch") -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """What a loader delivers: images [n, 3, SIDE, SIDE] and labels [n]; 0 and -1 where it reports the sample."""
    options: dict[str, Any] = {"train": False, "dtype": "uint8", "on_error": "replace", "drop_last": False}
    with Loader(path, batch_size=8, backend=backend, resolution=SIDE, num_workers=1, **options) as loader:
        batches = list(loader)
        bad = {error.index for error in loader.stats()["bad"]}
    images, labels = (np.concatenate([batch[part].numpy() for batch in batches]) for part in range(2))
    keep = np.array([k not in bad for k in range(len(labels))])
    images[~keep] = 0
    return images, np.where(keep, labels, -1)


def _read(path: Path, wanted: NDArray[np.uint8] | None, how: str, backend: str = "torch") -> tuple[str, str]:
    """Named: refused, or each sample that differs is reported; survived: nothing differs."""
    try:
        images, labels = pixels(path, backend)
    except LoaderError as error:
        named = str(path) in str(error) or "sample" in str(error)
        return (NAMED if named else LOST), f"{how}: {error}"
    except Exception as error:
        return LOST, f"{how}: {type(error).__name__}: {error}"
    if wanted is None:
        return SURVIVED, how
    if len(images) != len(wanted):
        return LOST, f"{how}: {len(images)} samples instead of {len(wanted)}"
    reported = labels < 0
    different = (images != wanted).any(axis=(1, 2, 3)) | (labels != np.arange(len(labels)) * 2 // len(labels))
    if (different & ~reported).any():
        return LOST, f"{how}: sample {int(np.flatnonzero(different & ~reported)[0])} is silently wrong"
    return (NAMED if reported.any() else SURVIVED), how


def _verified(path: Path, how: str) -> tuple[str, str]:
    try:
        damages = verify(path, workers=1)
    except LoaderError as error:
        return (NAMED if str(path) in str(error) else LOST), f"{how}: {error}"
    except Exception as error:
        return LOST, f"{how}: {type(error).__name__}: {error}"
    return (NAMED if damages else LOST), f"{how}: verify finds nothing"
