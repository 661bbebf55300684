"""Write one level of a pyramid as a beton of its own, with all fields and names; FFCV reads it at that size.

examples:
  efficienttrain extract train.beton half.beton --level 1
"""

from __future__ import annotations

import argparse

from efficienttrain._loaders import extract


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `efficienttrain extract`."""
    parser.add_argument("beton", metavar="PYRAMID.beton", help="the pyramid to read, a path or a URL")
    parser.add_argument("out", metavar="LEVEL.beton", help="the beton to write, a path or a URL")
    parser.add_argument(
        "--level", type=int, metavar="N", required=True, help="0 for full size, 1 for the next smaller, ..."
    )


def run(args: argparse.Namespace) -> int:
    """Runs `efficienttrain extract`."""
    hints: list[str] = []
    size = extract(args.beton, args.out, args.level, report=lambda summary: hints.extend(summary.hints))
    print(f"{args.out}: level {args.level} of {args.beton}, {size / 1e6:.1f} MB")
    for hint in hints:
        print(f"note: {hint}")
    return 0
