"""Print facts about a data set, show it on a page, and draw one sample at each stage of loading.

examples:
  efficienttrain inspect train.beton                                    images, classes, fields; size of each level
  efficienttrain inspect people.csv                                     and how any source is converted
  efficienttrain inspect photos/train --html photos.html                an overview with samples as one HTML file
  efficienttrain inspect train.beton --index 5 --resolution 96          and a PNG of sample 5, stage by stage
"""

from __future__ import annotations

import argparse
from pathlib import Path

from efficienttrain._loaders import contents, draw, open_dataset, stations


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `efficienttrain inspect`."""
    parser.add_argument(
        "data",
        metavar="DATA",
        help="a beton, several, or any source that `convert` reads; with --html or --index, one read in any order",
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write an overview of the data set as one HTML file")
    parser.add_argument("--index", type=int, metavar="N", help="also show the sample at this position")
    parser.add_argument(
        "--resolution", type=int, metavar="PX", default=224, help="side of the result, pixels (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, metavar="N", default=0, help="seed of the crop (default: %(default)s)")
    parser.add_argument("--epoch", type=int, metavar="N", default=0, help="epoch of the crop (default: %(default)s)")
    parser.add_argument("--eval", action="store_true", help="the centre crop of evaluation")
    parser.add_argument(
        "--png", type=Path, metavar="FILE", help="picture of the sample (default: NAME-INDEX-RESOLUTION.png)"
    )


def run(args: argparse.Namespace) -> int:
    """Runs `efficienttrain inspect`."""
    if args.png is not None and args.index is None:
        raise ValueError("`--png` draws one sample, got no --index; name one, for example --index 0")
    if args.html is not None:
        from efficienttrain._loaders import page, survey  # they import torch, which the other ways do without

        args.html.write_text(page(survey(args.data, seed=args.seed)), encoding="utf-8")
        print(f"{args.html}: written")
        if args.index is None:
            return 0
    print(contents(args.data))
    if args.index is None:
        return 0
    with open_dataset(args.data) as dataset:
        if not 0 <= args.index < len(dataset):
            raise ValueError(f"`--index` must be from 0 to {len(dataset) - 1}, got {args.index}")
        if not 16 <= args.resolution <= 1024:
            raise ValueError(f"`--resolution` must be a whole number from 16 to 1024, got {args.resolution}")
        way = stations(dataset, args.index, args.resolution, seed=args.seed, epoch=args.epoch, train=not args.eval)
        print(f"\nsample {args.index}: {dataset.name(args.index)}")
    for station in way:
        print(f"{station.title:10}  {', '.join(station.facts)}")
    png = args.png or Path(f"{Path(args.data).stem}-{args.index}-{args.resolution}.png")
    draw(way).save(png)
    print(f"drawn in {png}")
    return 0
