"""A loader's statistics so far, and its bottleneck."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .errors import BadSample
from .sources.dataset import Dataset
from .storage.store import is_url

_SHARED = ("read", "cut", "decode", "resample", "pillow")
"""Stations with several threads; their seconds are summed over all threads."""
_SINGLE = ("fetch", "copy", "ops")
"""Stations with one thread, or one stream of a GPU: waiting for a store, copying to the device, and augmentation and
normalisation."""
STORAGE = "storage latency"


def summarise(
    sums: Mapping[str, int],
    bad: list[BadSample],
    *,
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
        advice: settings that help if reads wait for storage, see `storage_advice`.

    Returns:
        `read_s`, `cut_s`, `decode_s`, `resample_s`, `pillow_s`: seconds of thread time per station (all work of DALI
            counts as decode: its threads times the seconds of waiting for them; `pillow_s` is all work on
            files that Pillow decodes); `storage_s`: part of `read_s`, waits for a disk or network, not the page cache;
            `fetch_s`: seconds of waiting for a store; `copy_s`, `ops_s`: seconds of copying
            to the device, and of augmentation and normalisation; `wait_s`; `stall`: share of the time that the
            consumer waited, 0 to 1; `samples`; `bytes_read`: from storage or page cache; `bytes_decoded`: the part of
            `bytes_read` in headers and in the segments under the crops;
        `bad`: one `BadSample` for each sample that could not be decoded;
        `limited_by`: "consumer" if it waits less than 5 % of the time, else the station that takes longest. "storage
            latency" if that is waiting for a store, or reading with at least half of its time waiting for storage;
        `advice`: settings that help with storage latency; "" otherwise.
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
