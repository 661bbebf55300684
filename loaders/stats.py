"""A loader's statistics so far, and its bottleneck."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .errors import BadSample
from .sources.dataset import Dataset
from .storage.store import is_url

_SHARED = ("read", "cut", "decode", "resample", "pillow")
"""Stations that several threads work at; their seconds are those of all threads together."""
_SINGLE = ("fetch", "copy", "ops")
"""Stations that one thread, or one stream of a GPU, works at: waiting for a store, to the device, and augmentation and
normalisation."""
STORAGE = "storage latency"


def summarise(
    sums: Mapping[str, int],
    bad: list[BadSample],
    waited: float,
    iterated: float,
    workers: int = 1,
    advice: str = "",
) -> dict[str, Any]:
    """The dictionary that `Loader.stats` returns.

    Args:
        sums: the backend's, see `native.Pool.stats` and `backends.device_queue.Clock.sums`; a station that it does not
            have counts as 0.
        bad: samples that could not be decoded.
        waited: seconds in which the consumer waited for batches.
        iterated: seconds between its calls for batches, waiting included.
        workers: threads that shared the work.
        advice: what to set if reads wait for storage, see `storage_advice`.

    Returns:
        `read_s`, `cut_s`, `decode_s`, `resample_s`, `pillow_s`: seconds of thread time a station (all work of DALI
            counts as decode: its threads times the seconds in which they were waited for; `pillow_s` is all work on
            files that Pillow decodes); `storage_s`: of `read_s`, waits for a disk or network, not for the page cache;
            `fetch_s`: seconds in which a store was waited for; `copy_s`, `ops_s`: seconds of copying
            to the device, and of augmentation and normalisation; `wait_s`; `stall`: share of the time that the
            consumer waited, 0 to 1; `samples`; `bytes_read`: from storage or page cache; `bytes_decoded`: of those,
            headers and the segments under the crops;
        `bad`: one `BadSample` each;
        `limited_by`: "consumer" if less than 5 % is waited, else the station that takes longest; "storage latency" if
            that is waiting for a store, or reading of which at least half is waiting for storage;
        `advice`: what to set then; "" otherwise.
    """
    seconds = {station: sums.get(f"{station}_ns", 0) / 1e9 for station in (*_SHARED, *_SINGLE)}
    stall = waited / iterated if iterated else 0.0
    elapsed = {station: spent / (workers if station in _SHARED else 1) for station, spent in seconds.items()}
    storage = sums.get("storage_ns", 0) / 1e9
    limit = "consumer" if stall < 0.05 else max(elapsed, key=lambda station: elapsed[station])
    if limit == "fetch" or (limit == "read" and 2 * storage >= seconds["read"]):
        limit = STORAGE
    return {
        **{f"{station}_s": spent for station, spent in seconds.items()},
        "storage_s": storage,
        "wait_s": waited,
        "stall": stall,
        "samples": sums["samples"],
        "bytes_read": sums["bytes_read"],
        "bytes_decoded": sums["bytes_decoded"],
        "bad": bad,
        "limited_by": limit,
        "advice": advice if limit == STORAGE else "",
    }


def storage_advice(source: Dataset, shuffle: bool | str, cached: bool) -> str:
    """Advice on settings, for a data set whose reads wait for storage; "" if there is none.

    Args:
        shuffle: of the loader.
        cached: records from a store are kept on the local disk.
    """
    remedies = []
    if not source.image_bytes and not is_url(source.path):
        remedies.append("convert the images to a beton (efficienttrain convert, or cache=FILE for an image folder)")
    elif shuffle is True and source.storage is not None:
        remedies.append('set shuffle="quasi", which reads neighbours together')
    if is_url(source.path):
        remedies += [] if cached else ["set cache_dir=FOLDER, so that later epochs read from the local disk"]
    else:
        remedies.append("copy the data to a faster disk")
    return "reads wait for storage: " + "; ".join(remedies) if remedies else ""
