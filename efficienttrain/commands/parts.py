"""Make several betons one data set, or check that all of its parts are there and are the right ones.

examples:
  efficienttrain parts merge train.json train-*.beton
  efficienttrain parts check train.json
  efficienttrain train --data train.json
`merge` writes a manifest and copies no image: each part stays a beton of its own. `check --records` reads every record.
The exit status is 0 if all is sound, 1 if a record is damaged, 2 if a part is missing, cut short or foreign.
"""

from __future__ import annotations

import argparse

from efficienttrain._loaders import open_dataset, verify, write_manifest


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `efficienttrain parts`."""
    what = parser.add_subparsers(dest="what", required=True, metavar="{merge,check}")
    merge = what.add_parser("merge", help="write the manifest of several betons")
    merge.add_argument("manifest", metavar="OUT.json", help="the manifest to write")
    merge.add_argument("parts", nargs="+", metavar="PART.beton", help="in the order of their samples")
    check = what.add_parser("check", help="check the parts of a data set")
    check.add_argument("manifest", metavar="DATA", help="a manifest, or a quoted glob such as 'train-*.beton'")
    check.add_argument("--records", action="store_true", help="read and decode every record, too")


def run(args: argparse.Namespace) -> int:
    """Runs `efficienttrain parts`."""
    if args.what == "merge":
        samples = write_manifest(args.parts, args.manifest)
        print(f"{args.manifest}: {samples:,} samples in {len(args.parts)} parts")
        return 0
    damaged = 0
    with open_dataset(args.manifest) as whole:
        parts = getattr(whole, "parts", [whole])
        for part in parts:
            damages = verify(part.path) if args.records else []
            damaged += len(damages)
            print(f"{part.path}: {len(part):,} samples{f', {len(damages)} damaged' if damages else ''}")
        print(f"{args.manifest}: {len(whole):,} samples in {len(parts)} parts{'' if damaged else ', sound'}")
    return 1 if damaged else 0
