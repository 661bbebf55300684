"""What a loader has done so far, and what holds it up."""

from __future__ import annotations

from typing import Any

from loaders.errors import BadSample

_STATIONS = ("read", "decode", "resample")


def summarise(sums: dict[str, int], bad: list[BadSample], waited: float, iterated: float) -> dict[str, Any]:
    """The dictionary that `Loader.stats` returns.

    Args:
        sums: the kernel pool's, see `native.Pool.stats`.
        bad: samples that could not be decoded.
        waited: seconds in which the consumer waited for batches.
        iterated: seconds between its calls for batches, waiting included.

    Returns:
        `read_s`, `decode_s`, `resample_s`: seconds of thread time a station; `wait_s`; `stall`: share of the time
            that the consumer waited, 0 to 1; `samples`; `bytes_read`: from storage or page cache; `bytes_decoded`: of
            those, headers and what lies under the crops;
        `bad`: one `BadSample` each;
        `limited_by`: "consumer" where less than 5 % is waited, else the station that takes most of the time.
    """
    seconds = {f"{station}_s": sums[f"{station}_ns"] / 1e9 for station in _STATIONS}
    stall = waited / iterated if iterated else 0.0
    busiest = max(_STATIONS, key=lambda station: seconds[f"{station}_s"])
    return {
        **seconds,
        "wait_s": waited,
        "stall": stall,
        "samples": sums["samples"],
        "bytes_read": sums["bytes_read"],
        "bytes_decoded": sums["bytes_decoded"],
        "bad": bad,
        "limited_by": "consumer" if stall < 0.05 else busiest,
    }
