"""Check every record of a beton, or a share of them, and name those that are damaged.

examples:
  efficienttrain verify train.beton
  efficienttrain verify train.json                       all parts of a manifest
  efficienttrain verify train.beton --sample 1%          100 times as fast; finds damage that is widespread
  efficienttrain verify train.beton --sample 1% --turn 7   other records: turns 0 to 99 check all of them
The exit status is 0 if no damage was found, 1 if a record is damaged, 2 if the file cannot be opened.
"""

from __future__ import annotations

import argparse

from efficienttrain._loaders import open_dataset, sampled, verify


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `efficienttrain verify`."""
    parser.add_argument(
        "beton", metavar="OUT.beton", help="a beton, a manifest, or a quoted glob such as 'train-*.beton'"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="threads (default: one per processor)")
    parser.add_argument(
        "--sample", type=share, default=1.0, metavar="SHARE", help="share to check, as 1%% or 0.01 (all)"
    )
    parser.add_argument("--turn", type=int, default=0, metavar="K", help="with --sample: which of the records (0)")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def share(text: str) -> float:
    """A share, as `1%` or `0.01`."""
    number, percent = text.removesuffix("%"), text.endswith("%")
    try:
        return float(number) / (100 if percent else 1)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a share, as 1% or 0.01, got {text!r}") from None


def run(args: argparse.Namespace) -> int:
    """Runs `efficienttrain verify`."""
    how = {"progress": not args.quiet, "sample": args.sample, "turn": args.turn}
    damages = verify(args.beton, workers=args.workers, **how)
    for damage in damages:
        what = f"level {damage.level}" if damage.level >= 0 else "tables"
        print(f"damaged: sample {damage.sample} ({damage.name}), {what}: {damage.why}")
    print(f"{args.beton}: {conclusion(args, len(damages))}")
    return 1 if damages else 0


def conclusion(args: argparse.Namespace, damaged: int) -> str:
    """The result in a few words; of a share also its implication for the rest."""
    if args.sample == 1:
        return f"{damaged} damaged" if damaged else "sound"
    with open_dataset(args.beton) as whole:
        count = len(whole)
        checked = sum(sampled(len(part), args.sample, args.turn) for part in whole.parts)
    if damaged:
        return f"{damaged} damaged among {checked:,} of {count:,} samples; check all without --sample"
    # The rule of three: if none of n independent draws is damaged, at 95 % confidence less than 3 / n of all are.
    bound = f"{100 * min(1.0, 3 / checked):.2g} %"
    return (
        f"checked {checked:,} of {count:,} samples, all sound; if damage is scattered, at most {bound} of all samples "
        "are damaged (95 % confidence)"
    )
