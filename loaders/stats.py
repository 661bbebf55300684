"""A loader's statistics so far, and its bottleneck."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .errors import BadSample

_SHARED = ("read", "cut", "decode", "resample", "pillow")
"""Stations that several threads work at; their seconds are those of all threads together."""
_SINGLE = ("copy", "ops")
"""Stations that one thread, or one stream of a GPU, works at: to the device, and augmentation and normalisation."""


def summarise(
    sums: Mapping[str, int], bad: list[BadSample], waited: float, iterated: float, workers: int = 1
) -> dict[str, Any]:
    """The dictionary that `Loader.stats` returns.

    Args:
        sums: the backend's, see `native.Pool.stats` and `backends.device_queue.Clock.sums`; a station that it does not
            have counts as 0.
        bad: samples that could not be decoded.
        waited: seconds in which the consumer waited for batches.
        iterated: seconds between its calls for batches, waiting included.
        workers: threads that shared the work.

    Returns:
        `read_s`, `cut_s`, `decode_s`, `resample_s`, `pillow_s`: seconds of thread time a station (all work of DALI
            counts as decode: its threads times the seconds in which they were waited for; `pillow_s` is all work on
            files that Pillow decodes); `copy_s`, `ops_s`: seconds of copying
            to the device, and of augmentation and normalisation; `wait_s`; `stall`: share of the time that the
            consumer waited, 0 to 1; `samples`; `bytes_read`: from storage or page cache; `bytes_decoded`: of those,
            headers and the segments under the crops;
        `bad`: one `BadSample` each;
        `limited_by`: "consumer" if less than 5 % is waited, else the station that takes longest.
    """
    seconds = {station: sums.get(f"{station}_ns", 0) / 1e9 for station in (*_SHARED, *_SINGLE)}
    stall = waited / iterated if iterated else 0.0
    elapsed = {station: spent / (workers if station in _SHARED else 1) for station, spent in seconds.items()}
    return {
        **{f"{station}_s": spent for station, spent in seconds.items()},
        "wait_s": waited,
        "stall": stall,
        "samples": sums["samples"],
        "bytes_read": sums["bytes_read"],
        "bytes_decoded": sums["bytes_decoded"],
        "bad": bad,
        "limited_by": "consumer" if stall < 0.05 else max(elapsed, key=lambda station: elapsed[station]),
    }
