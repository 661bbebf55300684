"""The command line of the benchmarks: `efficienttrain benchmark NAME`, or `python -m benchmarks NAME` in a checkout.

Every benchmark is a module with `run(...) -> report`. It is listed in EXAMPLES, and its options are in `add_arguments`.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from typing import Any

from loaders.processors import available_processors

from .peers import REMOTE

EXAMPLES = {
    "throughput": (
        "--data photos/train --peers torchvision ffcv dali --json R.json --png R.png",
        "--data train.beton --folder photos/train --resolutions 96 160 224 --threads 2",
        "--data photos/train --cold --repeat-to 12000 --json R.json",
        "--data photos/train --peers streaming --python-for streaming=venv/bin/python",
        "--data photos/train --against ../before --json R.json",
    ),
    "fidelity": ("--data photos/val --resolutions 96 160 192 224 --json F.json",),
    "convert": ("--data photos/train --threads 2", "--data photos/train --source parquet --rounds 5 --json C.json"),
    "memory": ("--samples 10000 100000 1000000 --json M.json",),
    "training": ("--seeds 3 --json T.json --png T.png",),
    "ops": ("--resolutions 96 160 224 --device cpu --json O.json --png O.png",),
    "pretraining": ("--labels 50 --json P.json",),
    "search": ("--seeds 3 --json S.json --png S.png",),
    "photographs": (
        "--data photos --json E.json --png E.png --work work",
        "--data photos --gpu --ablations --json E.json --png E.png --work work",
    ),
    "gpu": ("--data photos/train --json G.json --budget 480",),
    "png": ("--threads 2 --json P.json",),
    "kernels": ("--data train.beton --kernels gcc/loaders/native/_kernel.so clang/loaders/native/_kernel.so",),
    "remote": (
        "--data train.beton --latency 0.03 --json R.json",
        "--data photos/train --repeat-to 6000 --peers ours-quasi webdataset litdata --json R.json",
    ),
    "nodes": ("--data photos/train --json N.json",),
    "startup": ("--data train.beton --json S.json",),
    "cache": ("--data photos/train --json C.json",),
    "scale": ("--images 1281167 --work scratch --json S.json", "--images 14000000 --parts set"),
}
SCALE = ("writer", "resume", "set")
EVIDENCE = ("training", "search", "pretraining", "photographs")
"""The modules of that package; the others are beside this file."""


def main(arguments: list[str] | None = None) -> int:
    """Runs `python -m benchmarks`; returns the exit status: 0, 2 after a message of one line, or 130 (Ctrl-C)."""
    parser = argparse.ArgumentParser("python -m benchmarks", formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    args = parser.parse_args(arguments)
    try:
        return run(args)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if not _expected(error):
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2


def run(args: argparse.Namespace) -> int:
    """Runs one benchmark, prints its table, and saves the files of `--json` and `--png`.

    Raises:
        ValueError: a wrong argument, data that are no data set, or a contestant that failed.
        OSError: data that are not there, or a folder to write to.
    """
    from .harness.measure import Failed

    options = vars(args)
    command, json_path, png_path = options.pop("benchmark"), options.pop("json"), options.pop("png", None)
    _check(options["threads"], json_path, png_path)
    if command in ("ops", "scale", "kernels"):  # one thread each
        del options["threads"]
    if command in ("gpu", "photographs"):  # save their reports after every part
        options["json_path"] = json_path
    try:
        report, text = _run(command, options)
    except Failed as failure:
        raise ValueError(str(failure)) from failure
    print(text)
    _save(command, report, json_path, png_path)
    return 0


def _run(command: str, options: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The report of a benchmark, and its text."""
    module = _module(command)
    result = module.run(**options)
    return result, module.text(result)


def _module(command: str) -> Any:
    """The module of a benchmark: it has `run`, `text`, and `draw` if the command has `--png`."""
    return importlib.import_module(f".{'evidence.' if command in EVIDENCE else ''}{command}", __package__)


def _save(command: str, result: dict[str, Any], json_path: str | None, png_path: str | None) -> None:
    from .harness import report

    if json_path:
        report.write_json(json_path, result)
        print(f"wrote {json_path}")
    if png_path:
        _module(command).draw(result, png_path)
        print(f"wrote {png_path}")


def _check(threads: int, *outputs: str | None) -> None:
    cpus = available_processors()
    if not 1 <= threads <= cpus:
        raise ValueError(f"`--threads` must be from 1 to {cpus}, the CPUs that this process may use, got {threads}.")
    for path in outputs:
        if path and not os.path.isdir(os.path.dirname(path) or "."):
            raise FileNotFoundError(f"`--json` and `--png` take files in folders that exist, got {path}.")


def _expected(error: Exception) -> bool:
    from loaders import LoaderError

    return isinstance(error, (ValueError, OSError, LoaderError))


def _resolution(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if not 16 <= value <= 1024 or value % 2:
        raise argparse.ArgumentTypeError(f"a resolution must be an even number from 16 to 1024, got {text}.")
    return value


def _positive(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"must be more than 0, got {text}.")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {text}.")
    return value


def _examples(*commands: str) -> str:
    lines = [f"  efficienttrain benchmark {command} {line}" for command in commands for line in EXAMPLES[command]]
    return "\n".join(["examples:", *lines])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A sub-command for each benchmark, and its options."""
    raw = argparse.RawDescriptionHelpFormatter
    parser.epilog = f"{_examples(*EXAMPLES)}\nHow to read the results, and the rules: benchmarks/README.md."
    commands = parser.add_subparsers(dest="benchmark", required=True)
    cpus = available_processors()
    everyone = argparse.ArgumentParser(add_help=False)
    everyone.add_argument(
        "--threads", type=_count, default=cpus, help="threads or workers of each contestant (%(default)s)"
    )
    everyone.add_argument("--work", metavar="DIR", help="keep derived files here, and reuse them (a temporary folder)")
    everyone.add_argument("--json", metavar="FILE", help="write the report here")

    def add(name: str, help_: str) -> argparse.ArgumentParser:
        epilog = f"{_examples(name)}\nRules: benchmarks/README.md."
        return commands.add_parser(
            name, help=help_, description=help_, parents=[everyone], formatter_class=raw, epilog=epilog
        )

    speed = add("throughput", "images per second of ours, of the peers, and of the limit")
    speed.add_argument("--peers", nargs="+", metavar="NAME", help="ours and limit run always; see benchmarks/README.md")
    speed.add_argument("--batch-size", type=_count, default=64, help="images (%(default)s)")
    speed.add_argument("--rounds", type=_count, default=5, help="windows for each contestant (%(default)s)")
    speed.add_argument("--seconds", type=_positive, default=2.0, help="least length of a window (%(default)s)")
    speed.add_argument(
        "--folder", metavar="DIR", help="with a beton: the images it was made from, for peers that read files"
    )
    speed.add_argument(
        "--magnitude", type=_positive, default=8.0, help="of RandAugment, where a contestant has it (%(default)s)"
    )
    speed.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where batches arrive (%(default)s)")
    speed.add_argument(
        "--cold", action="store_true", help="empty the page cache of the images' files before each window (Linux)"
    )
    speed.add_argument("--against", metavar="DIR", help="older checkout of this project, built; it runs as ours-before")
    fidelity = add("fidelity", "PSNR of ours and of the official path to the exact path")
    fidelity.add_argument("--crops", type=_count, default=400, help="random crops, at least (%(default)s)")
    png = add("png", "a folder of PNG files, with one worker and with several")
    png.add_argument("--rounds", type=_count, default=7, help="epochs with each (%(default)s)")
    kernels = add("kernels", "CPU time of kernels of other compilers or versions, on the same crops")
    kernels.add_argument(
        "--kernels", required=True, nargs="+", metavar="FILE", help="compiled; the first is the measure"
    )
    kernels.add_argument("--rounds", type=_count, default=7, help="turns of each (%(default)s)")
    convert = add("convert", "images per second of our converter and of FFCV's")
    convert.add_argument("--rounds", type=_count, default=3, help="conversions by each (%(default)s)")
    convert.add_argument(
        "--source", choices=("folder", "parquet", "webdataset"), default="folder",
        help="folder: ours against FFCV's; others: ours from this form of the data against ours from the folder",
    )  # fmt: skip
    memory = add("memory", "peak memory of converting a simulated source, by its number of samples")
    memory.add_argument(
        "--samples", type=_count, nargs="+", default=[10_000, 100_000, 1_000_000], metavar="N", help="(%(default)s)"
    )
    train = add("training", "accuracy and wall time of EfficientTrain++ and of the baseline")
    train.add_argument("--data", metavar="DIR", help="with train/ and val/ (Fashion-MNIST of Debian's package)")
    train.add_argument("--models", nargs="+", metavar="NAME", help="convnet, vit, or any of the trainer's")
    train.add_argument("--gpu", action="store_true", help="published networks and recipes at 224 px")
    train.add_argument("--seeds", type=_count, default=3, help="runs of each (%(default)s)")
    train.add_argument("--epochs", type=_positive, help="of the baseline (2; with --gpu 18)")
    train.add_argument("--size", type=int, metavar="PX", help="full size (64; with --gpu 224)")
    train.add_argument("--limit", type=_count, metavar="N", help="training images of Fashion-MNIST (4500; 60000)")
    train.add_argument("--png", metavar="FILE", help="write a plot to this file")
    masked = add("pretraining", "fine-tuning on few labels: from scratch, and after MAE")
    masked.add_argument("--data", metavar="DIR", help="with train/ and val/ (Fashion-MNIST of Debian's package)")
    masked.add_argument("--seeds", type=_count, default=1, help="runs of each (%(default)s)")
    masked.add_argument("--pretrain-epochs", type=_positive, default=10.0, help="passes without labels (%(default)s)")
    masked.add_argument("--epochs", type=_positive, default=60.0, help="passes with labels (%(default)s)")
    masked.add_argument("--labels", type=_count, default=50, metavar="N", help="of each class (%(default)s)")
    masked.add_argument("--target", choices=("pixels", "hog"), default="pixels", help="of MAE (%(default)s)")
    search = add("search", "a curriculum searched for, against constant size at the same compute")
    search.add_argument("--data", metavar="DIR", help="with train/ and val/ (Fashion-MNIST of Debian's package)")
    search.add_argument("--seeds", type=_count, default=3, help="runs of each, after the search (%(default)s)")
    search.add_argument("--epochs", type=_positive, default=10.0, help="of every training (%(default)s)")
    search.add_argument("--png", metavar="FILE", help="write a plot to this file")
    photos = add(
        "photographs", "accuracy against compute and wall time on photographs, with ablations; can be continued"
    )
    photos.add_argument("--data", required=True, metavar="DIR", help="with train/ and test/, a sub-folder a class")
    photos.add_argument("--models", nargs="+", metavar="NAME", help="small_convnet, small_vit, or any of the trainer's")
    photos.add_argument("--gpu", action="store_true", help="published networks at 224 px")
    photos.add_argument("--seeds", type=_count, default=3, help="runs of each arm (%(default)s)")
    photos.add_argument("--epochs", type=_positive, help="of the baseline (40; with --gpu 200)")
    photos.add_argument("--size", type=_resolution, metavar="PX", help="full size (112; with --gpu 224)")
    photos.add_argument("--ablations", action="store_true", help="train the ablations, too, after the others")
    photos.add_argument("--curricula", nargs="+", default=(), metavar="FILE", help="more curricula, at 2/3 of compute")
    photos.add_argument("--judge", choices=("test", "validation"), default="test", help="images (%(default)s)")
    photos.add_argument("--minutes", type=_positive, metavar="M", help="begin no training after so many (no limit)")
    photos.add_argument("--remeasure", action="store_true", help="measure wall time again")
    photos.add_argument("--png", metavar="FILE", help="write a plot to this file")
    ops = add("ops", "time per image of each on-device operation, one thread")
    ops.add_argument("--ops", nargs="+", metavar="NAME", help="parts of the names of some operations (all)")
    ops.add_argument("--device", choices=("cpu", "cuda"), help="of the operations (cuda where there is a GPU)")
    ops.add_argument("--batch-size", type=_count, default=128, help="images (%(default)s)")
    ops.add_argument("--rounds", type=_count, default=5, help="windows for each operation (%(default)s)")
    ops.add_argument("--seconds", type=_positive, default=0.1, help="least length of a window (%(default)s)")
    gpu = add("gpu", "all tests, checks and benchmarks that need a GPU, within a time budget")
    gpu.add_argument("--budget", type=_positive, default=480.0, help="seconds for everything (%(default)s)")
    startup = add("startup", "seconds to the first batch, and to that of another stage")
    startup.add_argument("--rounds", type=_count, default=3, help="starts of each (%(default)s)")
    scale = add("scale", "what grows with the number of samples, on simulated data sets")
    scale.add_argument("--images", type=_count, default=200_000, metavar="N", help="files, or samples (%(default)s)")
    scale.add_argument("--rounds", type=_count, default=3, help="measurements of each (%(default)s)")
    scale.add_argument("--parts", nargs="+", choices=SCALE, default=SCALE, help="(all of them)")
    scale.add_argument("--cold", action="store_true", help="empty the machine's page cache before each start (root)")
    remote = add("remote", "a pyramid in a store with latency: bytes, requests, images per second")
    remote.add_argument("--batch-size", type=_count, default=256, help="images (%(default)s)")
    remote.add_argument("--rounds", type=_count, default=3, help="epochs of each (%(default)s)")
    remote.add_argument("--latency", type=_positive, default=0.03, help="seconds of each request (%(default)s)")
    remote.add_argument("--peers", nargs="+", default=(), choices=REMOTE, help="read from the same store, too (none)")
    nodes = add("nodes", "conversion on a Ray cluster of one node, and of two")
    nodes.add_argument("--rounds", type=_count, default=3, help="conversions with each (%(default)s)")
    nodes.add_argument("--parts", type=_count, default=8, help="of a conversion (%(default)s)")
    cache = add("cache", "an image folder with and without Loader(cache=): first and later epochs")
    cache.add_argument("--batch-size", type=_count, default=64, help="images (%(default)s)")
    cache.add_argument("--rounds", type=_count, default=3, help="epochs of each (%(default)s)")
    for command in (speed, fidelity, convert, startup, remote, gpu, cache, nodes, kernels):
        command.add_argument("--data", required=True, metavar="SRC_OR_BETON", help="an ImageFolder tree, or a beton")
    for command in (speed, fidelity, ops, remote, cache, kernels):
        command.add_argument("--resolutions", type=_resolution, nargs="+", default=[96, 160, 224], metavar="B")
        command.add_argument("--seed", type=int, default=0, help="of crops and order (%(default)s)")
    for command in (speed, fidelity, ops):
        command.add_argument("--png", metavar="FILE", help="write a plot to this file")
    for command in (speed, remote):
        command.add_argument(
            "--python-for",
            nargs="+",
            default=(),
            metavar="NAME=PATH",
            help="interpreters of contestants that need their own",
        )
    for command in (speed, convert, cache, remote):
        command.add_argument(
            "--repeat-to",
            type=int,
            default=1500,
            metavar="N",
            help="repeat fewer images, as copies, up to N (%(default)s; 0: leave them)",
        )
        command.add_argument(
            "--limit", type=_count, default=5000, metavar="N", help="of more images use N, evenly chosen (%(default)s)"
        )


if __name__ == "__main__":
    sys.exit(main())
