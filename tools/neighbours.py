"""Print the tests near the files that changed since the last commit on main: `make test-fast` runs them.

For `loaders/plan/crop.py` these are the tests in `tests/loaders/plan/` and every test file that imports the module. The
house rules and the import rules are always among them. The kernel's C++ also brings the batch hashes, a page of the
documentation its tests.
"""

from __future__ import annotations

import argparse
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent
ALWAYS = ("tests/test_house.py", "tests/test_imports.py")
HASHES = "tests/loaders/test_hashes.py"
PAGES = ("tests/test_docs.py", "tests/test_contributing.py")
KERNEL = PurePosixPath("loaders/native")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `python -m tools neighbours`."""
    parser.add_argument("--since", default="main", metavar="COMMIT", help="compare with this commit (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Runs `python -m tools neighbours`."""
    tests = {path.relative_to(ROOT).as_posix(): path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}
    print(*near(changed(args.since), tests), sep="\n")
    return 0


def changed(since: str) -> list[str]:
    """Files that differ from the last common commit with `since`, and new ones; without git, none."""

    def git(*words: str) -> list[str]:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
        return done.stdout.splitlines() if done.returncode == 0 else []

    base = git("merge-base", since, "HEAD") or ["HEAD"]
    return git("diff", "--name-only", base[0]) + git("ls-files", "--others", "--exclude-standard")


def near(files: Iterable[str], tests: dict[str, str]) -> list[str]:
    """The tests to run, sorted.

    Args:
        files: the changed files; paths from the project's folder, with slashes.
        tests: the text of every test file, by its path.
    """
    found = {path for path in ALWAYS if path in tests}
    for path in map(PurePosixPath, files):
        folder = path.parent if path.parts[0] == "tests" else PurePosixPath("tests") / path.parent
        found |= {test for test in tests if PurePosixPath(test).parent == folder and folder != PurePosixPath("tests")}
        found |= {str(path)} & tests.keys()
        if KERNEL in path.parents and path.suffix != ".py":
            found |= {test for test in tests if PurePosixPath(test).parent == "tests" / KERNEL} | (
                {HASHES} & tests.keys()
            )
        if path.suffix == ".md":
            found |= set(PAGES) & tests.keys()
        if path.suffix == ".py":
            parent, module = re.escape(".".join(path.parent.parts)), re.escape(path.stem)
            uses = re.compile(rf"^ *(from {parent}\.{module} import|from {parent} import .*\b{module}\b)", re.MULTILINE)
            found |= {test for test, text in tests.items() if uses.search(text)}
    return sorted(found)
