"""A data set of several betons: cut, joined, checked, and changed without rewriting the rest.

examples:
  efficienttrain parts split train.beton train.json --parts 64      OUT-00000-of-00064.beton, ... and their manifest
  efficienttrain parts merge train.json train-*.beton               a manifest of betons that are there; copies no image
  efficienttrain parts append train.json new.beton more/photos      new samples at the end; folders etc. are converted
  efficienttrain parts remove train.json --names-file forget.txt    leaves samples out at once ...
  efficienttrain parts compact train.json                           ... and deletes their bytes
  efficienttrain parts check train.json --records
  efficienttrain train --data train.json
Paths may be URLs; a remote manifest and its parts lie in one folder. The exit status of `check` is 0 if all is sound, 1
if a record is damaged, 2 if a part is missing, cut short or foreign.
"""

from __future__ import annotations

import argparse
from typing import Any

from efficienttrain._loaders import (
    append_parts,
    check_parts,
    compact_parts,
    remove_samples,
    split_parts,
    write_manifest,
)
from efficienttrain.commands.convert import names_in


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `efficienttrain parts`."""
    what = parser.add_subparsers(dest="what", required=True, metavar="{split,merge,append,remove,compact,check}")

    split = what.add_parser(
        "split", help="cut a pyramid into parts, as its records are stored; they are copied as they are"
    )
    split.add_argument("data", metavar="DATA", help="a pyramid, a manifest, or a quoted glob")
    split.add_argument("manifest", metavar="OUT.json", help="the manifest; the parts lie beside it")
    split.add_argument("--parts", type=int, required=True, metavar="N", help="how many")
    _add_work(split)

    merge = what.add_parser("merge", help="write the manifest of several betons")
    merge.add_argument("manifest", metavar="OUT.json", help="the manifest to write")
    merge.add_argument("parts", nargs="+", metavar="PART.beton", help="in the order of their samples")

    append = what.add_parser("append", help="add samples at the end")
    append.add_argument("manifest", metavar="DATA.json")
    append.add_argument("new", nargs="+", metavar="NEW", help="betons, or sources to be converted like the other parts")
    append.add_argument(
        "--on-error", choices=("raise", "skip"), default="raise", help="see `efficienttrain convert` (%(default)s)"
    )
    _add_work(append)

    remove = what.add_parser("remove", help="leave samples out; `compact` deletes their bytes")
    remove.add_argument("manifest", metavar="DATA.json")
    remove.add_argument("--names", nargs="+", default=[], metavar="NAME", help="as errors and `inspect` show them")
    remove.add_argument("--names-file", metavar="FILE", help="names, one a line")
    remove.add_argument("--indices", nargs="+", type=int, default=[], metavar="K", help="positions in the data set")

    compact = what.add_parser("compact", help="rewrite the parts that hold removed samples, and delete the old files")
    compact.add_argument("manifest", metavar="DATA.json")
    _add_work(compact)

    check = what.add_parser("check", help="check every part")
    check.add_argument("manifest", metavar="DATA", help="a manifest, or a quoted glob such as 'train-*.beton'")
    check.add_argument("--records", action="store_true", help="read and decode every record, too")


def _add_work(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workers", type=int, metavar="N", help="threads (default: one per processor)")
    parser.add_argument("--work-dir", metavar="DIR", help="for URLs: folder for new parts (default: current folder)")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(args: argparse.Namespace) -> int:
    """Runs `efficienttrain parts`."""
    return int(_COMMANDS[args.what](args))


def _split(args: argparse.Namespace) -> int:
    made = split_parts(args.data, args.manifest, args.parts, **_work(args))
    print(f"{args.manifest}: {len(made)} parts, {made[0]} to {made[-1]}")
    return 0


def _merge(args: argparse.Namespace) -> int:
    samples = write_manifest(args.parts, args.manifest)
    print(f"{args.manifest}: {samples:,} samples in {len(args.parts)} parts")
    return 0


def _append(args: argparse.Namespace) -> int:
    samples = append_parts(args.manifest, args.new, on_error=args.on_error, **_work(args))
    print(f"{args.manifest}: {samples:,} samples")
    return 0


def _remove(args: argparse.Namespace) -> int:
    names = [*args.names, *(names_in(args.names_file) if args.names_file else [])]
    if not names and not args.indices:
        raise ValueError("`parts remove` needs samples, got none; name them by --names, --names-file or --indices")
    removed = remove_samples(args.manifest, names, args.indices)
    print(f"{args.manifest}: {removed:,} samples left out; `efficienttrain parts compact` deletes their bytes")
    return 0


def _compact(args: argparse.Namespace) -> int:
    deleted = compact_parts(args.manifest, **_work(args))
    for path in deleted:
        print(f"deleted {path}")
    print(f"{args.manifest}: {len(deleted)} files replaced or deleted")
    return 0


def _check(args: argparse.Namespace) -> int:
    checked = check_parts(args.manifest, records=args.records)
    for part in checked:
        damage = f", {part.damaged} damaged" if part.damaged else ""
        print(f"{part.path}: {part.fault or f'{part.samples:,} samples{damage}'}")
    wrong, damaged = sum(bool(part.fault) for part in checked), sum(part.damaged for part in checked)
    samples = sum(part.samples for part in checked)
    state = f"{wrong} parts cannot be used" if wrong else f"{damaged} damaged" if damaged else "sound"
    print(f"{args.manifest}: {samples:,} samples in {len(checked)} parts, {state}")
    return 2 if wrong else 1 if damaged else 0


def _work(args: argparse.Namespace) -> dict[str, Any]:
    return {"workers": args.workers, "work_dir": args.work_dir, "progress": not args.quiet}


_COMMANDS = {
    "split": _split,
    "merge": _merge,
    "append": _append,
    "remove": _remove,
    "compact": _compact,
    "check": _check,
}
