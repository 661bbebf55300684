"""Faults of an object store, and a cache that is much smaller than the data. Each function runs in a child."""

from __future__ import annotations

import gc
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import procfs
from loaders import Loader, convert
from loaders.errors import LoaderError
from loaders.sources.remote import Remote
from loaders.storage import transfer
from loaders.storage.mirror import CHUNK
from tests.loaders.storage.server import Served, serving
from tests.robustness import files
from tests.robustness.mutate import draw
from tests.robustness.tally import LOST, NAMED, SURVIVED, Tally

FAULTS: dict[str, dict[str, Any]] = {
    "throttles": {"status": 503},
    "drops connections": {"drop": True},
    "refuses expired credentials": {"status": 403},
    "sends wrong bytes": {},
    "is gone": {"status": 500},
}
OPTIONS: dict[str, Any] = {"resolution": files.SIDE, "train": False, "dtype": "uint8", "drop_last": False}
CACHE = 1_500_000  # bytes, less than a tenth of the data


def faults(seed: int, tries: int) -> Iterator[dict[str, Any]]:
    """From a batch on, a store misbehaves: for a while, or for good if it refuses or is gone."""
    transfer.DEADLINE = 0.5
    with tempfile.TemporaryDirectory() as place, serving(Path(place)) as served:
        path = files.pyramid(Path(place))
        wanted, _ = files.pixels(path)
        for kind, (name, how) in enumerate(FAULTS.items()):
            tally = Tally(f"a store that {name}")
            for number in range(tries):
                cached = bool(draw(seed, kind << 32 | number).integers(2))
                tally.add(*_under_faults(served, path, wanted, name, how, number % 6, cached))
                yield {"alive": number}
            yield tally.as_dict()


def _under_faults(
    served: Served, path: Path, wanted: NDArray[np.uint8], name: str, how: dict[str, Any], at: int, cached: bool
) -> tuple[str, str]:
    what = f"{name} from batch {at} on, {'with' if cached else 'without'} a cache"
    served.status, served.drop, passes = how.get("status", 503), how.get("drop", False), name.startswith(("t", "d"))
    try:
        with (
            tempfile.TemporaryDirectory() as cache,
            Loader(f"{served.url}/{path.name}", 4, cache_dir=cache if cached else None, **OPTIONS) as loader,
        ):
            loader.source.together = 4  # a batch at a time, so that the fault meets some of them
            batches, delivered = [], iter(loader)
            for number in range(len(loader)):
                if number == at and name.startswith("sends"):
                    served.wrong = 1
                elif number == at:
                    served.failing = 2 if passes else 1 << 30
                batches.append(next(delivered)[0].numpy())
    except LoaderError as error:
        named = not passes and path.name in str(error)
        return (NAMED if named else LOST), f"{what}: {error}"
    finally:
        served.failing = served.wrong = 0
    right = np.array_equal(np.concatenate(batches), wanted)
    return (SURVIVED if right else LOST), f"{what}: {len(batches)} batches, some wrong"


def small_cache(seed: int, tries: int) -> Iterator[dict[str, Any]]:
    """Epochs over ten times what the cache may hold: neither memory nor the cache's folder grows."""
    tally = Tally("memory and disk over an epoch of 10 x the cache")
    with tempfile.TemporaryDirectory() as place, serving(Path(place)) as served:
        path = Path(place, "large.beton")
        convert(files.folder(Path(place), 60, (480, 360)), path, workers=1)
        folder, ahead = Path(place, "cache"), 8
        url, options = f"{served.url}/{path.name}", {"cache_dir": folder, "cache_gb": CACHE / 1e9, "num_workers": 1}
        with Loader(url, 2, resolution=192, seed=seed, drop_last=False, **options) as loader:
            assert isinstance(loader.source, Remote)
            loader.source.together = ahead
            private = loader.source.inner.private  # type: ignore[union-attr]
            index = sum(int(private[name]["size"]) for name in ("index", "names", "meta"))
            held: list[int] = []
            anonymous: list[float] = []
            for number in range(tries):
                for _ in loader:
                    held.append(_blocks(loader.source._window.fd))
                gc.collect()
                anonymous.append(procfs.memory()["anonymous_mb"])
                yield {"alive": number}
            disk = sum(file.stat().st_blocks * 512 for file in folder.glob("*/data"))
        data, room = path.stat().st_size, CACHE + index + 4 * CHUNK
        tally.facts = {
            "mb_data": round(data / 1e6, 1),
            "mb_cache": round(disk / 1e6, 2),
            "mb_held": round(max(held) / 1e6, 2),
        }
        flat = anonymous[-1] <= anonymous[tries // 2] * 1.02 + 1
        # A group of samples in use, four on their way (at an epoch's end the next one's), and chance. As in real use, a
        # group is several batches.
        most = data * 6 * ahead // len(loader.source)
        good = data >= 10 * CACHE and disk <= room and max(held) <= most and flat
        tally.add(SURVIVED if good else LOST, f"{tally.facts}, {anonymous[-1] - anonymous[tries // 2]:.1f} MB more")
    yield tally.as_dict()


def _blocks(fd: int) -> int:
    """Bytes of memory that an anonymous file holds."""
    return os.fstat(fd).st_blocks * 512
