"""Search for a curriculum; repeating the command resumes an interrupted search.

examples:
  efficienttrain search --algorithm sequential --out runs/search --workers 4 -- \\
      --data train.beton --val val.beton --model deit_tiny_patch16_224 --epochs 100
  efficienttrain search --algorithm greedy --resolutions 96 128 160 192 224 --stages 5 --dry-run
  efficienttrain search --algorithm sequential --magnitudes 0 3 6 9 --out runs/both -- ...     also magnitudes
  efficienttrain search --algorithm sequential --rule my_package:score --out runs/mine         your own evaluation
  efficienttrain search ... --ray auto --ray-gpus 1 -- ...                                     on a Ray cluster
The options after `--` are those of `efficienttrain train`, whose --epochs is the budget of one whole training.
Which parts are the papers' and which are our reading: docs/search.md.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from efficienttrain._loaders import absolute
from efficienttrain.custom import write_curriculum
from efficienttrain.recipe import recipe
from efficienttrain.search import Choice, Local, OnRay, Plan, ProbeFailed, Space, run_search
from efficienttrain.search.executors import Executor
from efficienttrain.search.probe_log import Table, read
from efficienttrain.search.runner import PACE
from efficienttrain.search.task import load_rule
from efficienttrain.training import Config

RULE = "efficienttrain.search.top1_rule:top1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `efficienttrain search`."""
    add = parser.add_argument
    add("--algorithm", required=True, choices=PACE, help="greedy: least cost at the baseline's accuracy (2023); "
        "sequential: best accuracy at a fixed compute (EfficientTrain++)")  # fmt: skip
    add("--out", type=Path, metavar="SEARCH", help="folder of the search: log, probes, curriculum.yaml, tree.png")
    add("--stages", type=int, default=5, metavar="N", help="stages of the curriculum (default: %(default)s)")
    add("--resolutions", type=int, nargs="+", default=[96, 128, 160, 192, 224], metavar="B",
        help="candidates, for a full size of 224 even if --size is another (default: 96 128 160 192 224)")  # fmt: skip
    add("--magnitudes", type=float, nargs="+", default=[], metavar="M",
        help="candidates for RandAugment's strength (default: the released 1 3 5 7 9, for five stages)")  # fmt: skip
    add("--fine-tune", type=float, default=0.05, metavar="SHARE", help="at full size after each probe but the last "
        "stage's, as a share of a whole training's compute (default: %(default)s)")  # fmt: skip
    add(
        "--tolerance",
        type=float,
        default=0.0,
        metavar="X",
        help="greedy: score that may be given up (default: %(default)s)",
    )
    add(
        "--rule", default=RULE, metavar="PACKAGE.MODULE:FUNCTION", help="scoring function (default: top-1 at full size)"
    )
    add(
        "--workers",
        type=int,
        default=1,
        metavar="N",
        help="probes that run at once on this machine (default: %(default)s)",
    )
    add("--devices", nargs="+", metavar="GPU", help="GPUs that the workers share (default: all)")
    add("--ray", metavar="ADDRESS", help="Ray cluster that runs the probes; auto: this machine's")
    add("--ray-gpus", type=float, default=0.0, metavar="N", help="GPUs that a probe needs (default: %(default)g)")
    add("--ray-cpus", type=int, default=1, metavar="N", help="processors that a probe needs (default: %(default)s)")
    add("--dry-run", action="store_true", help="print the cost, and stop")
    add(
        "train", nargs="*", metavar="-- OPTION", help="options of `efficienttrain train`, except --out and --curriculum"
    )


def run(args: argparse.Namespace) -> int:
    """Runs `efficienttrain search`."""
    space = Space(args.stages, tuple(args.resolutions), tuple(args.magnitudes), PACE[args.algorithm])
    config = trainers(args.train) if args.train or (args.rule == RULE and not args.dry_run) else {}
    plan = Plan(args.algorithm, space, args.rule, args.fine_tune, args.tolerance, config)
    least, most = plan.cost(args.workers)
    epochs = config.get("epochs", Config.epochs)
    print(
        f"{args.algorithm} search of {space.stages} stages over {' '.join(map(str, space.resolutions))} px: "
        f"{least.probes} to {most.probes} probes, the compute of {least.compute:.3g} to {most.compute:.3g} whole "
        f"trainings ({least.compute * epochs:.4g} to {most.compute * epochs:.4g} epochs at full size) and evaluations."
    )
    if args.dry_run:
        return 0
    if args.out is None:
        raise ValueError("`out` must name the folder of the search, got none; give --out.")
    load_rule(args.rule)
    if args.ray:
        executor: Executor = OnRay(args.ray, args.ray_gpus, args.ray_cpus)
    else:
        executor = Local(args.workers, args.devices or gpus(args.workers))
    table = Table(most)
    try:
        found = run_search(plan, args.out, executor, args.workers, table.add)
    except ProbeFailed as error:
        print(f"error: {error}; repeat the command to resume.", file=sys.stderr)
        return 1
    finally:
        table.close()
        plot(args.out)
    report(plan, found, args.out, epochs)
    return 0


def trainers(words: list[str]) -> dict[str, Any]:
    """The options of `efficienttrain train`, as fields of its Config; files by absolute paths, for other machines.

    Raises:
        ValueError: one that is the search's to set.
    """
    from efficienttrain.commands import train

    parser = argparse.ArgumentParser(prog="efficienttrain search ... --", description=train.__doc__)
    train.add_arguments(parser)
    for name in ("--out", "--curriculum"):
        if any(word.split("=")[0] == name for word in words):
            raise ValueError(f"`{name}` must not be given after `--`, because the search sets it for each probe.")
    given = vars(parser.parse_args([*words, "--out", ""]))
    config = {name: value for name, value in given.items() if name != "out"}
    Config(**config, out="")
    return config | {name: absolute(config[name]) for name in ("data", "val", "init") if name in config}


def gpus(workers: int) -> list[str]:
    """The GPUs for several workers to share; a single one sees them all. None if CUDA_VISIBLE_DEVICES is empty."""
    if workers == 1:
        return []
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [device for device in visible.split(",") if device]
    return [str(number) for number in range(len(list(Path("/dev").glob("nvidia[0-9]*"))))]  # quicker than asking torch


def plot(out: Path) -> None:
    """Draws the log, if matplotlib is installed and the log has probes."""
    try:
        from efficienttrain.search.search_plot import draw

        lines = read(out)
        if any(line["kind"] == "probe" for line in lines):
            draw(out / "tree.png", lines)
    except ImportError:
        print("no plot without matplotlib: pip install matplotlib", file=sys.stderr)


def report(plan: Plan, found: tuple[Choice, ...], out: Path, epochs: float) -> None:
    """Writes the curriculum and says how to train with it."""
    stages = [plan.space.stage(choice) for choice in found]
    cost = sum(stage.compute for stage in stages)
    settings: dict[str, Any] = {}
    if plan.space.pace == "passes":
        settings["pace"] = "passes"
        if "model" in plan.config:  # neither scales with the cost, see `recipe`
            plain = recipe(plan.config["model"], epochs, "none")
            settings |= {"drop_path": plain.drop_path, "warmup": plain.warmup}
    path = out / "curriculum.yaml"
    write_curriculum(path, stages, settings, f"found by efficienttrain search --algorithm {plan.algorithm}")
    words = "  ".join(f"{resolution} px M {magnitude:.3g}" for resolution, magnitude in found)
    print(f"found, at {cost:.1%} of the cost of full size throughout: {words}")
    print(f"  efficienttrain train --curriculum {path} --epochs {cost * epochs:.4g} ...")
    print(f"  {out / 'journal.jsonl'}  {out / 'tree.png'}")
