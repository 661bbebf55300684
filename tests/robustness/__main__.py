"""Damage, kills, failing disks and crowds: how many tries were survived, named by an error, or lost."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.harness.report import write_json
from tests.robustness import suite


def main(arguments: list[str] | None = None) -> int:
    """Runs the suite and prints its table; returns the exit status: 0, 1 (a try was lost), 2 (a wrong argument)."""
    parser = argparse.ArgumentParser("python -m tests.robustness", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two minutes, without peers and other backends")
    parser.add_argument("--only", nargs="+", metavar="CASE", help="names in tests/robustness/suite.py")
    parser.add_argument("--seed", type=int, default=0, help="of mutants and moments (%(default)s)")
    parser.add_argument("--work", metavar="DIR", help="keep compiled code here (a temporary folder)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report here")
    options = parser.parse_args(arguments)
    try:
        if options.json and not options.json.absolute().parent.is_dir():
            raise FileNotFoundError(f"`--json` must name a file in an existing folder, got {options.json}.")
        report = suite.run(options.only, options.quick, options.seed, options.work)
        print(suite.text(report))
        if options.json:
            write_json(str(options.json), report)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 1 if any(result["lost"] for result in report["results"]) else 0


if __name__ == "__main__":
    sys.exit(main())
