"""Plan a conversion and a training: hours, disk, network, requests, price, processors per GPU.

examples:
  efficienttrain plan-run --images 1281167 --nodes 1 --gpus 8 --model deit_small_patch16_224 --storage local
  efficienttrain plan-run --images 14e6 --nodes 16 --gpus 8 --model swin_base --storage s3 --gpu-rate 900
  efficienttrain plan-run ... --rates throughput.json convert.json      reports of `efficienttrain benchmark --json`
Each input is labelled: measured, given, default or assumed. Measure your own machine, and give its reports and your
GPU's rate: assumed figures are for orientation only.
"""

from __future__ import annotations

import argparse
import math
from functools import lru_cache
from pathlib import Path

from efficienttrain._loaders import usual_parts
from efficienttrain.recipe import CURRICULA, recipe
from efficienttrain.run_plan import ASSUMED, DEFAULT, GIVEN, REMOTE, Figure, Line, RunPlan, hours, read_rates, size
from efficienttrain.timetable import timetable

RESULTS = ("benchmarks/results", "efficienttrain/benchmarks/results")
"""The folder of the reports: in a checkout, in a wheel."""
TFLOPS, PASSES = 80.0, 3  # sustained by a GPU in mixed precision; a step: forward, and twice that backward


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `efficienttrain plan-run`."""
    add = parser.add_argument
    add("--images", type=float, required=True, metavar="N", help="number of images, such as 14e6")
    add("--model", metavar="NAME", required=True, help="model, as in `efficienttrain train`")
    for option, count, what in COUNTS:
        add(option, type=int, metavar="N", help=f"{what} ({count})")
    add("--storage", choices=("local", "nfs", "s3"), default="local",
        help="a copy on each node's disk, a shared file system, or an object store (%(default)s)")  # fmt: skip
    add("--epochs", type=float, metavar="N", default=200.0, help="budget, in epochs at 224 px (%(default)g)")
    add("--curriculum", default="auto", metavar="C", help=f"{', '.join(CURRICULA)}, or a file (%(default)s)")
    add("--rates", nargs="+", type=Path, metavar="JSON", help="reports of the benchmarks throughput and convert (ours)")
    add(
        "--gpu-rate",
        type=float,
        metavar="R",
        help="images/s that one GPU trains at 224 px (from the model's operations)",
    )
    for option, default, what in OPTIONS:
        add(option, type=float, metavar="X", help=f"{what} (assumed: {default:g})")


COUNTS = (("--nodes", 1, "machines"), ("--gpus", 8, "GPUs of each node"))
OPTIONS = (
    ("--image-kb", 110.0, "mean size of an image, kB"),
    ("--cores", 64.0, "processors of a node"),
    ("--network", 25.0, "network of a node, Gbit/s"),
    ("--requests", 0.25, "requests an image, in quasi-random order"),
    ("--over-reading", 1.5, "bytes fetched from an object store / bytes needed"),
    ("--put-price", 0.005, "dollars for 1,000 PUT requests"),
    ("--get-price", 0.0004, "dollars for 1,000 GET requests"),
    ("--storage-price", 0.023, "dollars for 1 GB and month"),
)


def run(args: argparse.Namespace) -> int:
    """Runs `efficienttrain plan-run`."""
    print(text(planned(args), args))
    return 0


def planned(args: argparse.Namespace) -> RunPlan:
    """The plan of these options.

    Raises:
        ValueError: a wrong option, or no report of rates.
    """
    for option, value in vars(args).items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"`{option.replace('_', '-')}` must be a finite number, got {value:g}")
    for option in ("images", "nodes", "gpus", "epochs"):
        if (value := getattr(args, option)) is not None and value < 1:
            raise ValueError(f"`{option}` must be at least 1, got {value:g}")
    given = {}
    for origin, options in ((DEFAULT, COUNTS), (ASSUMED, OPTIONS)):
        for option, default, _ in options:
            value = getattr(args, option[2:].replace("-", "_"))
            if value is not None and value <= 0:
                raise ValueError(f"`{option[2:]}` must be positive, got {value:g}")
            given[option] = Figure(default, origin) if value is None else Figure(value, GIVEN)
    rates = read_rates(args.rates or reports())
    images = int(args.images)
    image = given["--image-kb"]
    inputs = {
        "images": Figure(images, GIVEN),
        "image size": image._replace(value=image.value * 1e3),
        "nodes": given["--nodes"],
        "GPUs": given["--gpus"],
        "processors": given["--cores"],
        "conversion": Figure(rates.convert, rates.origins["convert"]),
        "growth": Figure(rates.growth, rates.origins["convert"]),
        "loading": Figure(1 / rates.seconds(224), rates.origins["throughput"]),
        "GPU": gpu_rate(args.model, args.gpu_rate),
        "network": given["--network"],
        "requests": given["--requests"],
        "over-reading": given["--over-reading"],
        "PUT price": given["--put-price"],
        "GET price": given["--get-price"],
        "storage price": given["--storage-price"],
    }
    table = timetable(recipe(args.model, args.epochs, args.curriculum), images, args.epochs)
    return RunPlan(inputs, args.storage, rates, table, usual_parts(images))


def reports() -> list[Path]:
    """The reports that came with this package."""
    home = Path(__file__).resolve().parents[2]
    found = [path for folder in RESULTS for path in sorted((home / folder).glob("*.json"))]
    return [path for path in found if path.name.startswith(("throughput_", "convert_"))]


def gpu_rate(model: str, given: float | None) -> Figure:
    """Images a second that one GPU trains at 224 pixels: as given, or by the number of the model's operations.

    Raises:
        ValueError: not positive.
    """
    if given is None:
        operations = operations_of(model)
        rate = TFLOPS * 1e12 / (PASSES * operations)
        return Figure(
            rate, f"{ASSUMED}: {TFLOPS:g} TFLOP/s; {operations / 1e9:.3g} GFLOP an image, counted, x {PASSES:g}"
        )
    if given <= 0:
        raise ValueError(f"`gpu-rate` must be positive, got {given:g}")
    return Figure(given, GIVEN)


@lru_cache
def operations_of(model: str) -> float:
    """Additions and multiplications of a forward pass of one image of 224 pixels, counted without computing them."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from efficienttrain.models import build

    with torch.device("meta"):
        network = build(model, num_classes=1000).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 3, 224, 224, device="meta"))
    return float(counter.get_total_flops())


UNITS = {
    "image size": ("kB", 1e-3), "conversion": ("images/s a processor", 1), "growth": ("x the source's bytes", 1),
    "loading": ("images/s a processor at 224 px", 1), "GPU": ("images/s a GPU at 224 px", 1),
    "processors": ("a node", 1), "GPUs": ("a node", 1), "network": ("Gbit/s a node", 1), "requests": ("an image", 1),
    "over-reading": ("x the bytes needed", 1), "PUT price": ("$ for 1,000", 1), "GET price": ("$ for 1,000", 1),
    "storage price": ("$ for 1 GB and month", 1),
}  # fmt: skip


def text(plan: RunPlan, args: argparse.Namespace) -> str:
    """The plan as text."""
    remote = plan.storage in REMOTE
    local_only = {"requests", "over-reading", "PUT price", "GET price", "storage price"}
    hidden = (set() if remote else local_only) | ({"network"} if plan.storage == "local" else set())
    lines = [f"{args.model}, {args.epochs:g} epochs, storage {plan.storage}", "", "Inputs"]
    for name, figure in plan.inputs.items():
        if name not in hidden:
            unit, factor = UNITS.get(name, ("", 1))
            lines.append(f"  {name:15}{number(figure.value * factor):>12} {unit:31}{figure.origin}".rstrip())
    lines += ["", "Conversion", *shown(plan, plan.conversion())]
    lines += ["", "Training" if plan.storage == "local" else "Training, without a cache", *training(plan)]
    if remote:
        lines += ["", "Object store", *shown(plan, plan.remote())]
    return "\n".join(lines)


def number(value: float) -> str:
    """Three significant digits; whole numbers from 1,000 on."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def shown(plan: RunPlan, lines: list[Line]) -> list[str]:
    """Results with their origins."""
    return [f"  {line.what:25}{line.value}   [{plan.origin(line.uses)}]" for line in lines]


def training(plan: RunPlan) -> list[str]:
    """A row for each stage, and the sum."""
    stages = plan.stages()
    lines = ["  resolution  passes  GPU images/s  loader's processors/GPU  MB/s a node            time  limited by"]
    lines += [
        f"  {stage.resolution:>10}{stage.passes:>8.3g}{stage.gpu:>14,.0f}{stage.processors:>25.2g}"
        f"{stage.rate * plan['GPUs'] * stage.bytes / 1e6:>13,.0f}  {hours(stage.seconds):>14}  {stage.limit}"
        for stage in stages
    ]
    total = sum(stage.seconds for stage in stages)
    uses = ["image size", "GPU", "processors", *(["network"] if plan.storage != "local" else [])]
    lines.append(f"  in all {hours(total)}   [{plan.origin(uses)}]")
    if plan.storage == "local":
        lines.append(f"  disk of each node: {size(plan.stored_bytes)}   [{plan.origin(('image size', 'growth'))}]")
    return lines
