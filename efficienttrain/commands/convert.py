"""Convert images with their targets, in whatever form they are, to a pyramid beton: all stored sizes in one file.

examples:
  efficienttrain convert photos/train train.beton
  efficienttrain convert photos.zip photos.beton                                       or .tar, .tgz, .tar.bz2, .tar.xz
  efficienttrain convert imagenette2.tgz train.beton --split train
  efficienttrain convert photos train.beton --split train --on-error skip --levels 1 1/2 1/4 --quality 92
  efficienttrain convert 'shards/train-{00000..00146}.tar' train.beton --classes classes.txt
  efficienttrain convert s3://bucket/photos s3://bucket/train.beton --split train --work-dir /local/disk
  efficienttrain convert people.csv people.beton --path-column file --fields attributes:float32:40 age:float
  efficienttrain convert labels/train.csv train.beton --image-root photos              paths in it are below photos/
  efficienttrain convert scans scans.beton --keep-codec                                PNGs are kept without loss
  efficienttrain convert photos/train train.beton --shard $SLURM_ARRAY_TASK_ID/64      one of 64 jobs of any scheduler
  efficienttrain convert photos/train train.beton --ray auto --workers 8               tasks of 8 processors each
  efficienttrain convert s3://bucket/photos s3://bucket/train.beton --ray auto         parts in the store
docs/sources.md lists every kind of source; docs/scale.md, conversion on many machines.
The same command resumes after a kill. The file does not depend on the number of workers.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

from efficienttrain._loaders import ShardedConversion, Summary, convert, convert_on_ray

LISTED = 20
"""Samples of each kind that the summary names."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `efficienttrain convert`."""
    parser.add_argument(
        "src", metavar="SRC",
        help="image folder, zip or tar of one, WebDataset, Parquet or Arrow, TFRecord, ILSVRC2012's tars, CSV, TSV, "
        "JSON lines, beton; a path or a URL",
    )  # fmt: skip
    parser.add_argument(
        "out",
        metavar="OUT.beton",
        help="the beton to write, a path or a URL; run again to resume. A complete one that is there is replaced when "
        "the new one is complete",
    )
    _add_source(parser.add_argument_group("source").add_argument)
    _add_levels(parser.add_argument_group("stored images").add_argument)
    _add_parts(parser.add_argument_group("parts, on many machines"))
    _add_running(parser.add_argument_group("running").add_argument)


def _add_source(add: Callable[..., argparse.Action]) -> None:
    """The kind of source, its targets, the treatment of odd images."""
    add("--format", metavar="NAME", help="kind of source, e.g. archive or webdataset (default: derived from its name)")
    add("--split", metavar="NAME", help="sub-folder or split of SRC to convert, e.g. train; also inside an archive")
    add(
        "--fields", nargs="+", type=field, metavar="NAME:TYPE",
        help="targets to store: int, float, bytes, json, mask, boxes, points, or DTYPE:SIDES as float32:40 "
        "(default: all of SRC)",
    )  # fmt: skip
    add("--classes", metavar="FILE", help="class names in the order of their labels, one per line")
    add("--allow-empty", action="store_true", help="accept class folders without images")
    add("--path-column", metavar="NAME", help="column of a table that holds the paths of images")
    add("--image-root", metavar="DIR", help="folder to which image paths are relative (default: the table's or file's)")
    add(
        "--image-column",
        metavar="NAME",
        help="column of Parquet or Arrow files, or member of WebDataset keys, that holds the images",
    )
    add("--label-column", metavar="NAME", help="column, JSON entry or int field that holds the label")
    add("--labels", metavar="FILE", help="labels of ILSVRC2012_img_val.tar: the devkit, or a text file")
    add("--limit", type=int, metavar="N", help="convert N images only, spread evenly")
    add(
        "--depth", choices=("refuse", "scale", "minmax"), default="refuse",
        help="grey images of more than 8 bits: refuse them; scale their full range to 8 bits; or scale each one from "
        "its own least to its greatest value (default: %(default)s)",
    )  # fmt: skip
    add(
        "--on-error", choices=("raise", "skip"), default="raise",
        help="stop at a sample that cannot be used, or leave it out and name it (default: %(default)s)",
    )  # fmt: skip


def _add_levels(add: Callable[..., argparse.Action]) -> None:
    """How images are stored."""
    add(
        "--levels", nargs="+", type=ratio, metavar="RATIO",
        help="stored sizes as fractions of the full one, 1 first (default: 1 1/2 1/4, and 1/8, 1/16, ... as long as a "
        "tenth of the images have 128 pixels a side there)",
    )  # fmt: skip
    add(
        "--quality",
        type=int,
        default=90,
        metavar="N",
        help="JPEG quality of the reduced levels, not above the source's own; if there are levels below 1/4, that of "
        "1/4 gets half the quantisation steps, and they get a quarter (default: %(default)s)",
    )
    add(
        "--overhead", type=float, default=0.5, metavar="SHARE",
        help="bytes of an image's levels below 128 pixels at most, as a share of its full size; those that do not fit "
        "are left out, and so are levels below 16 pixels (default: %(default)s)",
    )  # fmt: skip
    add(
        "--keep-codec", action="store_true",
        help="also keep the files of images that are not JPEGs (PNG, WebP, ...): crops from the full size are then "
        "read without loss; smaller levels are JPEGs all the same",
    )  # fmt: skip
    add(
        "--order", choices=("shuffled", "source"),
        help="order in which samples are stored; their indices do not change. shuffled: any part of the file is a fair "
        "sample of the set; source: as SRC has them (default: shuffled, if SRC can be read in any order)",
    )  # fmt: skip
    add("--page-size", type=int, metavar="MIB", help="smallest FFCV page (default: by the largest image)")


def _add_parts(group: argparse._ArgumentGroup) -> None:
    """Conversion in parts."""
    many = group.add_mutually_exclusive_group()
    many.add_argument(
        "--shard", type=shard, metavar="I/N",
        help="convert part I of N, from 0 on, to OUT-0000I-of-0000N.beton; the last one to finish writes OUT.json",
    )  # fmt: skip
    many.add_argument(
        "--ray", nargs="?", const="auto", metavar="ADDRESS",
        help="convert in parts, as tasks of a Ray cluster (default: the one this machine is part of)",
    )  # fmt: skip
    group.add_argument("--parts", type=int, metavar="N", help="with --ray: number of parts (default: chosen)")


def _add_running(add: Callable[..., argparse.Action]) -> None:
    """Options that do not change the file."""
    add("--workers", type=int, metavar="N", help="threads (default: one per processor; with --ray: 1 a task)")
    add(
        "--work-dir",
        metavar="DIR",
        help="for a URL: folder of OUT.beton.partial (default: current folder; with --ray: each machine's "
        "folder for temporary files)",
    )
    add("--restart", action="store_true", help="throw away unfinished work of an earlier run")
    add(
        "--report", type=Path, metavar="FILE",
        help="write every sample that was changed, refused or accepted with a remark, and why, as a table of tabs",
    )  # fmt: skip
    add("--quiet", action="store_true", help="no progress bar")


def field(text: str) -> tuple[str, Any]:
    """A field's name and type: `age:float`, `attributes:float32:40`, `grid:uint8:3x5`."""
    name, _, rest = text.partition(":")
    kind, _, sides = rest.partition(":")
    if not kind:
        raise argparse.ArgumentTypeError(f"must be NAME:TYPE, as age:float or attributes:float32:40, got {text!r}")
    if not sides:
        return name, kind
    try:
        return name, (kind, tuple(int(side) for side in sides.split("x")))
    except ValueError:
        raise argparse.ArgumentTypeError(f"an array's sides must be numbers, as 40 or 3x5, got {sides!r}") from None


def shard(text: str) -> tuple[int, int]:
    """A part and the number of parts, as `3/16`."""
    number, _, count = text.partition("/")
    if not number.isdecimal() or not count.isdecimal() or not int(number) < int(count):
        raise argparse.ArgumentTypeError(f"must be I/N with 0 <= I < N, as 0/16 to 15/16, got {text!r}")
    return int(number), int(count)


def ratio(text: str) -> float:
    """A level's ratio, as `0.5` or `1/2`."""
    try:
        return float(Fraction(text))
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f"must be a number or a fraction like 1/2, got {text!r}") from None


def run(args: argparse.Namespace) -> int:
    """Runs `efficienttrain convert`."""
    try:
        print(one_part(args, args.shard) if args.shard is not None else report(converted(args), args.report))
    except KeyboardInterrupt:
        print(f"stopped by Ctrl-C; the same command resumes {args.out}", file=sys.stderr)
        return 130
    return 0


def converted(args: argparse.Namespace) -> Summary:
    """Converts with these options."""
    if args.parts is not None and args.ray is None:
        raise ValueError(
            f"`parts` belongs to --ray, got --parts {args.parts} alone; --shard I/{args.parts} is one part"
        )
    if args.ray is not None:
        run = {**run_settings(args), "cpus": args.workers or 1}
        del run["workers"]
        return convert_on_ray(args.src, args.out, args.ray, parts=args.parts, **run, **settings(args))
    return convert(args.src, args.out, **settings(args), **run_settings(args))


def one_part(args: argparse.Namespace, part: tuple[int, int]) -> str:
    """Converts one part. Returns its report and the state of the whole."""
    number, count = part
    conversion = ShardedConversion(args.src, args.out, count, **settings(args))
    lines = [report(conversion.part(number).convert(**run_settings(args)), args.report)]
    whole = conversion.finish()
    if whole is not None:
        lines.append(f"{whole.out}: all {count} parts are complete, {whole.images} images")
    else:
        there = count - len(conversion.missing())
        lines.append(f"{there} of {count} parts are complete; the last one to finish writes {conversion.manifest}")
    return "\n".join(lines)


def settings(args: argparse.Namespace) -> dict[str, Any]:
    """The options that determine the result, as keywords of `convert`."""
    same = (
        "allow_empty",
        "quality",
        "overhead",
        "on_error",
        "limit",
        "split",
        "depth",
        "order",
        "format",
        "keep_codec",
    )
    columns = ("path_column", "image_root", "image_column", "label_column", "labels")
    return {name: getattr(args, name) for name in (*same, *columns)} | {
        "fields": None if args.fields is None else dict(args.fields),
        "classes": None if args.classes is None else [name.strip() for name in names_in(args.classes)],
        "ratios": args.levels,
        "page_size": None if args.page_size is None else args.page_size << 20,
    }


def run_settings(args: argparse.Namespace) -> dict[str, Any]:
    """Those on which the result does not depend."""
    return {
        "workers": args.workers,
        "restart": args.restart,
        "progress": not args.quiet,
        "work_dir": args.work_dir,
    }


def names_in(path: str) -> list[str]:
    """The lines of a file that are not blank. File names that are not valid text stay as they are."""
    with open(path, encoding="utf-8-sig", errors="surrogateescape") as file:
        return [line.rstrip("\n") for line in file if line.strip()]


def report(summary: Summary, table: Path | None = None) -> str:
    """Size of the beton; the first source files that were accepted with a remark, changed or refused, and why.

    Args:
        table: file for all of them: kind, name, reason, separated by tabs; None: none is written.
    """
    size, source = summary.bytes / 1e6, summary.source_bytes / 1e6
    lines = [
        f"{summary.out}: {summary.images} images of {summary.classes} class{'' if summary.classes == 1 else 'es'}, "
        f"{size:.1f} MB, "
        f"{summary.bytes / max(summary.source_bytes, 1):.2f} x their {source:.1f} MB of source files"
    ]
    if summary.originals:
        lines.append(f"{summary.originals} original files are kept, and read in place of their full-size JPEGs")
    lines += [f"note: {hint}" for hint in summary.hints]
    remarks = {"accepted": summary.notes, "changed": summary.changed, "refused": summary.refused}
    for kind, each in remarks.items():
        lines += [f"{kind}: {name}: {why}" for name, why in each[:LISTED]]
        if len(each) > LISTED:
            every = "`--report FILE` lists all" if table is None else f"all are in {table}"
            lines.append(f"{kind}: and {len(each) - LISTED:,} more; {every}")
    if table is not None:
        rows = ((kind, name, why) for kind, each in remarks.items() for name, why in each)
        table.write_text("".join("\t".join(map(printable, row)) + "\n" for row in rows), encoding="utf-8")
    if summary.changed or summary.refused:
        lines.append(f"{len(summary.changed)} changed, {len(summary.refused)} refused")
    return "\n".join(lines)


def printable(text: str) -> str:
    """The text on one line without tabs, escaped where it has to be."""
    return text if text.isprintable() else ascii(text)[1:-1]
