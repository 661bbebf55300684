"""Write one level of a pyramid as an FFCV beton."""

from __future__ import annotations

import argparse

from loaders.conversion import extract


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("beton", metavar="OUT.beton")
    parser.add_argument("out", metavar="LEVEL.beton", help="the beton to write")
    parser.add_argument("--level", type=int, required=True, help="0 for full size, 1 for the next smaller, ...")


def run(args: argparse.Namespace) -> int:
    size = extract(args.beton, args.out, args.level)
    print(f"{args.out}: level {args.level} of {args.beton}, {size / 1e6:.1f} MB")
    return 0
