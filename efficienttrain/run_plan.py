"""The requirements of a conversion and a training: hours, disk, network, requests, price, and loader processors.

Every input is a `Figure` that names its origin: measured (a saved report of `efficienttrain benchmark`), given
by the user, an option's default, or assumed. A result that uses an assumed figure names it. The model is deliberately
simple: rates add up over processors, costs grow with the bytes of an image, and the slowest part limits each step.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from efficienttrain.timetable import Timetable

GIVEN, DEFAULT, ASSUMED = "given", "default", "assumed"
REMOTE = ("s3",)
PIECE = 128e3  # bytes of a piece of the loader's cache for remote data
UPLOAD = 8e6  # bytes of a piece of an upload


class Figure(NamedTuple):
    """An input: its value and origin."""

    value: float
    origin: str


@dataclass(frozen=True)
class Rates:
    """The measurements of the benchmarks.

    Attributes:
        convert: images a second that one processor converts.
        growth: bytes of a pyramid / bytes of its source.
        load: seconds of one processor for an image at each resolution.
        read: bytes read for an image / bytes of its full-size record, at each resolution.
        image_bytes: mean size of the measured source images.
        origins: the reports.
    """

    convert: float
    growth: float
    load: dict[int, float]
    read: dict[int, float]
    image_bytes: float
    origins: dict[str, str]

    def seconds(self, resolution: int) -> float:
        """Seconds of one processor for an image, interpolated linearly in pixels between measured resolutions."""
        return _between(self.load, resolution)

    def share_read(self, resolution: int) -> float:
        """Bytes read for an image / bytes of its full-size record."""
        return min(1.0, _between(self.read, resolution))


def read_rates(reports: Sequence[Path]) -> Rates:
    """The rates in saved reports of `efficienttrain benchmark throughput` and `convert`; the last of each kind counts.

    Raises:
        ValueError: a report of either kind is missing, or lacks this project's loader.
    """
    found: dict[str, tuple[Path, dict[str, Any]]] = {}
    for path in reports:
        report = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(report, dict) and report.get("benchmark") in ("throughput", "convert"):
            found[report["benchmark"]] = path, report
    missing = {"throughput", "convert"} - found.keys()
    if missing:
        kind = sorted(missing)[0]
        names = ", ".join(map(str, reports)) or "no file"
        raise ValueError(f"no report of `efficienttrain benchmark {kind} --json` in {names}; give one by --rates")
    (speed_path, speed), (convert_path, conversion) = found["throughput"], found["convert"]
    ours = [result for result in speed["results"] if result["contestant"] == "ours"]
    made = [result for result in conversion["results"] if result["contestant"] == "ours"]
    if not ours or not made:
        raise ValueError(f"{speed_path if not ours else convert_path}: holds no result of the contestant `ours`")
    threads = speed["settings"]["threads"]
    side = "resolution" if "resolution" in ours[0] else "bandwidth"
    return Rates(
        convert=made[0]["rate"]["median"] / conversion["settings"]["workers"],
        growth=made[0]["bytes_per_source_byte"],
        load={result[side]: threads / result["rate"]["median"] for result in ours},
        read={result[side]: result["bytes_an_image"]["read"] / result["bytes_an_image"]["stored"] for result in ours},
        image_bytes=conversion["settings"]["mean_file_bytes"],
        origins={"throughput": f"measured: {speed_path.name}", "convert": f"measured: {convert_path.name}"},
    )


def _between(points: Mapping[int, float], resolution: int) -> float:
    """Interpolates linearly in the number of pixels; beyond the ends the result is proportional to it."""
    sides = sorted(points)
    if resolution <= sides[0] or len(sides) == 1:
        return points[sides[0]] * min(1.0, (resolution / sides[0]) ** 2)
    if resolution >= sides[-1]:
        return points[sides[-1]] * (resolution / sides[-1]) ** 2
    low = max(side for side in sides if side <= resolution)
    high = min(side for side in sides if side > resolution)
    weight = (resolution**2 - low**2) / (high**2 - low**2)
    return points[low] + weight * (points[high] - points[low])


class Line(NamedTuple):
    """A result: its name, its value as text, and the names of the inputs that it depends on."""

    what: str
    value: str
    uses: tuple[str, ...]


class StagePlan(NamedTuple):
    """Consecutive stages of the same resolution.

    Attributes:
        resolution: side of the images, pixels.
        passes: passes over the data by the network.
        gpu: images per second that one GPU can train.
        processors: processors that the loader needs per GPU.
        bytes: bytes fetched per loaded image.
        rate: images per second of one GPU, after all limits.
        seconds: duration.
        loaded: images that the loader decodes.
        limit: the bottleneck: "GPU", "loader" or "network".
    """

    resolution: int
    passes: float
    gpu: float
    processors: float
    bytes: float
    rate: float
    seconds: float
    loaded: float
    limit: str


@dataclass(frozen=True)
class RunPlan:
    """The inputs of a plan, and the results computed from them.

    Attributes:
        inputs: by name, as `planned` of commands/plan_run.py makes them.
        storage: "local" (each node has its own copy), "nfs" (shared file system) or "s3" (object store).
        table: the training's stages.
    """

    inputs: dict[str, Figure]
    storage: str
    rates: Rates
    table: Timetable
    parts: int

    def __getitem__(self, name: str) -> float:
        return self.inputs[name].value

    @property
    def scale(self) -> float:
        """Size of an image / size of the measured images; times are proportional to it."""
        return self["image size"] / self.rates.image_bytes

    @property
    def source_bytes(self) -> float:
        return self["images"] * self["image size"]

    @property
    def stored_bytes(self) -> float:
        return self.source_bytes * self["growth"]

    @property
    def link(self) -> float:
        """Bytes a second of a node's network."""
        return self["network"] * 1e9 / 8

    def conversion(self) -> list[Line]:
        """Hours, and the limiting part."""
        seconds = self["images"] * self.scale / (self["nodes"] * self["processors"] * self["conversion"])
        uses = ("image size", "processors", "conversion")
        lines = [Line("by the processors", hours(seconds), uses)]
        moved = self.source_bytes + self.stored_bytes
        if self.storage != "local":
            by_network = moved / (self["nodes"] * self.link)
            lines.append(Line("by the network", hours(by_network), ("image size", "growth", "network")))
            limit = "network" if by_network > seconds else "processors"
            lines.append(
                Line("conversion", f"{hours(max(seconds, by_network))}, limited by the {limit}", (*uses, "network"))
            )
        lines.append(Line("bytes written", size(self.stored_bytes), ("image size", "growth")))
        lines.append(
            Line("parts", f"{self.parts:,} of {size(self.stored_bytes / self.parts)}", ("image size", "growth"))
        )
        return lines

    def stages(self) -> list[StagePlan]:
        """One plan for each group of consecutive stages with the same resolution and replay."""
        found = []
        for (side, replay), rows in groupby(self.table.rows, lambda row: (row.stage.resolution, row.stage.replay)):
            passes = sum(row.epochs for row in rows)
            gpu = self["GPU"] * (224 / side) ** 2
            seconds = self.rates.seconds(side) * self.scale / replay  # a decoded sample is used `replay` times
            needed = self.rates.share_read(side) * self["image size"]
            fetched = min(self["image size"], needed * self["over-reading"]) if self.storage in REMOTE else needed
            limits = {"GPU": gpu, "loader": self["processors"] / self["GPUs"] / seconds}
            if self.storage != "local":
                limits["network"] = self.link / self["GPUs"] / (fetched / replay)
            limit = min(limits, key=lambda name: limits[name])
            rate, images = limits[limit], passes * self["images"]
            took = images / (rate * self["GPUs"] * self["nodes"])
            found.append(StagePlan(side, passes, gpu, gpu * seconds, fetched, rate, took, images / replay, limit))
        return found

    def remote(self) -> list[Line]:
        """Requests and their price without and with the loader's cache."""
        stages = self.stages()
        loaded, fetched = sum(stage.loaded for stage in stages), sum(stage.loaded * stage.bytes for stage in stages)
        requests, whole = loaded * self["requests"], self["nodes"] * self.stored_bytes
        upload, month = self.stored_bytes / UPLOAD, self.stored_bytes / 1e9 * self["storage price"]
        puts, gets = self["PUT price"] / 1e3, self["GET price"] / 1e3
        once = f"{size(whole)}, {whole / PIECE:,.0f} requests at most, {money(whole / PIECE * gets)}"
        return [
            Line("uploading", f"{upload:,.0f} requests, {money(upload * puts)}", ("image size", "growth", "PUT price")),
            Line("storing", f"{money(month)} a month", ("image size", "growth", "storage price")),
            Line(
                "reading without a cache",
                f"{size(fetched)}, {requests:,.0f} requests, {money(requests * gets)}",
                ("image size", "requests", "over-reading", "GET price"),
            ),
            Line(
                "reading with a cache",
                f"{once}; --cache-gb {self.stored_bytes / 1e9:,.0f} on each node",
                ("image size", "growth", "GET price"),
            ),
        ]

    def origin(self, uses: Sequence[str]) -> str:
        """ "measured" if none of these inputs is assumed, else "assumed" with their names."""
        guessed = [name for name in uses if self.inputs[name].origin.startswith(ASSUMED)]
        return f"assumed: {', '.join(guessed)}" if guessed else "measured"


def hours(seconds: float) -> str:
    """A time in minutes, hours or days."""
    if seconds < 5400:
        return f"{seconds / 60:.3g} minutes"
    return f"{seconds / 3600:.3g} hours" if seconds < 72 * 3600 else f"{seconds / 86400:.3g} days"


def size(count: float) -> str:
    """Bytes in decimal units."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} PB"


def money(dollars: float) -> str:
    """An amount in dollars."""
    return f"${dollars:,.2f}" if dollars < 100 else f"${dollars:,.0f}"
