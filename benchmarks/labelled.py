"""What the benchmarks that train share: labelled data as betons, threads, and mean and spread over seeds."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from benchmarks import fashion
from benchmarks.report import workplace
from loaders import convert


@dataclass(frozen=True)
class Bench:
    """Data and a place to work in."""

    folder: Path
    """Of data and runs."""
    images: Path
    """With train/ and val/, a sub-folder a class in each."""

    def betons(self) -> dict[str, Any]:
        """Both splits, under the names that `Config` has for them."""
        return {name: self.beton(split) for name, split in (("data", "train"), ("val", "val"))}

    def beton(self, split: str, name: str = "", chosen: slice = slice(None)) -> str:
        """A split as a beton, made once; `chosen` of each class's images only, if it has a `name` of its own."""
        place = hashlib.sha256(os.fsencode(self.images.resolve())).hexdigest()[:8]  # others may have the same name
        kinds = self.folder / f"{self.images.name}-{place}-{split}{name and f'-{name}'}"
        beton = Path(f"{kinds}.beton")
        if not beton.exists():
            if name:
                _link(self.images / split, kinds, chosen)
            convert(kinds if name else self.images / split, beton, progress=True)
        return str(beton)


@contextmanager
def bench(
    data: str | None, size: int, limit: int, val_limit: int, threads: int | None, work: str | None
) -> Iterator[Bench]:
    """Sets torch's threads, and brings the data.

    Args:
        data: a folder with train/ and val/, or Fashion-MNIST's; None: where Debian's package puts that.
        size: of Fashion-MNIST's images, to which they are enlarged, pixels.
        limit, val_limit: images of Fashion-MNIST's splits.
        threads: of which one is the loader's, if there are two or more, and the others torch's; None: torch's choice.
        work: folder that keeps data and runs, so that the same command goes on there; None: a temporary one.

    Raises:
        FileNotFoundError: the data are not there.
    """
    import torch

    if threads:
        torch.set_num_threads(max(1, threads - 1))
    with workplace(work) as folder:
        images = Path(data) if data else fashion.PLACE
        if not data or fashion.present(images):
            source, images = images, folder / f"fashion-{size}-{limit}-{val_limit}"
            if not images.exists():
                fashion.write(source, images, size, limit, val_limit, progress=True)
        yield Bench(folder, images)


def named(data: str | None) -> str:
    """What a report calls the data."""
    return Path(data).resolve().name if data else "Fashion-MNIST"


def spread(values: Sequence[float]) -> dict[str, float]:
    """Mean and standard deviation over the seeds."""
    return {"mean": mean(values), "sd": stdev(values) if len(values) > 1 else 0.0}


def percent(value: dict[str, float], sign: str = "") -> str:
    """Such as "81.20 ± 0.35", of shares."""
    return f"{100 * value['mean']:{sign}.2f} ± {100 * value['sd']:.2f}"


def plain(value: dict[str, float], digits: int) -> str:
    """Such as "1.48 ± 0.02"."""
    return f"{value['mean']:.{digits}f} ± {value['sd']:.{digits}f}"


def of(runs: Sequence[dict[str, Any]], **wanted: Any) -> list[dict[str, Any]]:
    """The runs with these facts, by seed."""
    return sorted((r for r in runs if all(r[k] == v for k, v in wanted.items())), key=lambda r: r["seed"])


def curves(panel: Any, runs: Sequence[dict[str, Any]], key: str, colours: dict[str, str]) -> None:
    """Accuracy at full size in the course of every run, against `key` of its evaluations; a colour a contestant."""
    for run in runs:
        points = [(point[key], 100 * point["top1"]) for point in run["evaluations"]]
        label = run["contestant"] if run["seed"] == 0 else None
        panel.plot(*zip(*points, strict=True), "o-", color=colours[run["contestant"]], markersize=3, label=label)
    panel.set_ylabel("top-1 at full size, %")
    panel.legend(frameon=False, loc="lower right")
    panel.spines[["top", "right"]].set_visible(False)


def _link(source: Path, kinds: Path, chosen: slice) -> None:
    """A folder of links to `chosen` images of each class."""
    for kind in sorted(path for path in source.iterdir() if path.is_dir()):
        (kinds / kind.name).mkdir(parents=True, exist_ok=True)
        for path in sorted(kind.iterdir())[chosen]:
            if not (link := kinds / kind.name / path.name).exists():
                link.symlink_to(path.resolve())
