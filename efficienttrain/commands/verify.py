"""Check every record of a beton, and name those that are damaged.

examples:
  efficienttrain verify train.beton
The exit status is 0 if the file is sound, 1 if a record is damaged, 2 if the file cannot be opened.
"""

from __future__ import annotations

import argparse

from efficienttrain._loaders import verify


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `efficienttrain verify`."""
    parser.add_argument("beton", metavar="OUT.beton")
    parser.add_argument("--workers", type=int, metavar="N", help="threads (default: one per processor)")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(args: argparse.Namespace) -> int:
    """Runs `efficienttrain verify`."""
    damages = verify(args.beton, workers=args.workers, progress=not args.quiet)
    for damage in damages:
        what = f"level {damage.level}" if damage.level >= 0 else "tables"
        print(f"damaged: sample {damage.sample} ({damage.name}), {what}: {damage.why}")
    print(f"{args.beton}: {len(damages)} damaged" if damages else f"{args.beton}: sound")
    return 1 if damages else 0
