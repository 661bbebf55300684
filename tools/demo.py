"""The whole way in three minutes: make photographs, convert, measure, train through the curriculum, draw, sum up."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import throughput
from benchmarks.harness import machine
from efficienttrain import GENERAL, Stage, epochs_of, merged
from loaders import Loader, convert
from loaders.processors import available_processors
from tools import demo_plot, synth
from tools.demo_train import Leg, walk

RESOLUTIONS = (96, 160, 224)
PER_CLASS, VAL_PER_CLASS = 100, 20  # images of each of ten classes
SHOWN = 4  # crops in the picture


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `python -m tools demo`."""
    parser.add_argument("--folder", type=Path, default=Path(".demo"), help="folder for all files (%(default)s)")
    parser.add_argument("--epochs", type=float, default=2.0, help="budget of training, epochs at 224 px (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="of the measurement (%(default)s)")
    parser.add_argument("--seconds", type=float, default=0.7, help="of each round and contestant (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Run `python -m tools demo`."""
    began = time.perf_counter()
    folder = args.folder
    folder.mkdir(parents=True, exist_ok=True)
    photos = folder / "photos"
    step(1, f"a data set of {10 * (PER_CLASS + VAL_PER_CLASS):,} JPEGs in {photos}")
    if not photos.exists():
        synth.write(photos, per_class=PER_CLASS, val_per_class=VAL_PER_CLASS, progress=True)
    step(2, "converted to pyramids: one beton with three sizes of each image")
    betons = {split: folder / f"{split}.beton" for split in synth.SPLITS}
    for split, beton in betons.items():
        if not beton.exists():
            convert(photos / split, beton, progress=True)

    step(3, "measured against the torchvision DataLoader")
    report = throughput.run(
        str(betons["train"]), RESOLUTIONS, ["torchvision"], threads=available_processors(), repeat_to=0,
        rounds=args.rounds, seconds=args.seconds, folder=str(photos / "train"), work=str(folder / "work"),
    )  # fmt: skip
    step(4, "a small network, trained through the curriculum (resolutions only, RandAugment left off)")
    stages = merged(GENERAL)
    legs = walk(betons["train"], betons["val"], stages, args.epochs, folder / "run", batch=50)
    picture = folder / "demo.png"
    demo_plot.draw(picture, report, crops(betons["train"]), legs)
    print()
    print("\n".join(summary(photos, betons["train"], report, stages, legs, args.epochs)))
    print(f"\npicture: {picture}    took {time.perf_counter() - began:.0f} s    on your own data: see README.md")
    return 0


def step(number: int, what: str) -> None:
    print(f"{number}/4  {what}", flush=True)


def crops(beton: Path) -> dict[int, NDArray[np.uint8]]:
    """The first crops of an epoch at each resolution: the same ones, since a plan does not depend on the resolution."""
    made = {}
    for resolution in RESOLUTIONS:
        with Loader(beton, batch_size=SHOWN, resolution=resolution, dtype="uint8") as loader:
            made[resolution] = next(iter(loader))[0].numpy()
    return made


def summary(
    photos: Path, beton: Path, report: dict[str, Any], stages: tuple[Stage, ...], legs: list[Leg], budget: float
) -> list[str]:
    """The results, in at most 20 lines."""
    files = [path.stat().st_size for path in (photos / "train").rglob("*.jpg")]
    source, size = sum(files), beton.stat().st_size
    card = report["machine"]
    lines = [
        f"{len(files):,} JPEGs, {source / 1e6:.0f} MB  ->  {beton}, {size / 1e6:.0f} MB ({size / source:.2f} x)",
        "",
        f"{'images/s, ' + str(card['cores']) + ' threads':28}" + "".join(f"{f'{b} px':>10}" for b in RESOLUTIONS),
    ]
    rates = {(result["contestant"], result["resolution"]): result for result in report["results"]}
    for name in ("ours", "torchvision", "limit"):
        label = rates[name, RESOLUTIONS[0]]["label"]
        lines.append(f"{label:28}" + "".join(f"{rates[name, b]['rate']['median']:10,.0f}" for b in RESOLUTIONS))
    over = {(ratio["of"], *ratio["over"], ratio["resolution"]): ratio["median"] for ratio in report["ratios"]}
    for name in ("torchvision", "limit"):
        lines.append(f"{f'ours / {name}':28}" + "".join(f"{over['ours', name, b]:9.2f}x" for b in RESOLUTIONS))
    lines += ["", f"{'stage':7}{'resolution':>10}{'epochs':>8}{'seconds':>9}{'waited':>8}{'accuracy':>10}"]
    for number, (stage, leg) in enumerate(zip(stages, legs, strict=True)):
        lines.append(
            f"{number:<7}{stage.resolution:10}{epochs_of(stage, budget):8.1f}{leg.seconds:9.1f}"
            f"{leg.waited / leg.seconds:8.1%}{leg.points[-1].accuracy:10.1%}"
        )
    passes, seconds = sum(epochs_of(stage, budget) for stage in stages), sum(leg.seconds for leg in legs)
    lines.append(f"a small network: {passes:.1f} passes over the data at the compute of {budget:g}, {seconds:.0f} s")
    return [*lines, f"machine: {machine.describe(card)}"]
