"""python -m efficienttrain.search.probe_process FOLDER: one probe, in its own process, which dies with its parent."""

from __future__ import annotations

import json
import math
import os
import sys
import threading
import time
from pathlib import Path

from efficienttrain.atomic_file import atomic_write
from efficienttrain.search.task import RESULT, load_rule, read


def work(folder: Path) -> None:
    """Applies the rule to the probe of this folder and writes `result.json`, unless it exists.

    Raises:
        ValueError: the score is not a finite number.
    """
    if (folder / RESULT).exists():
        return  # the search was killed before it could record this result
    task, begun = read(folder), time.monotonic()
    score = float(load_rule(task.rule)(task))
    if not math.isfinite(score):
        raise ValueError(f"a score must be a finite number, got {score} from {task.rule}.")
    with atomic_write(folder / RESULT) as file:
        file.write(json.dumps({"score": score, "seconds": time.monotonic() - begun}).encode() + b"\n")


def die_with_parent() -> None:
    """Ends this process when its standard input is closed, which happens at any end of the parent process."""

    def watch() -> None:
        os.read(0, 1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    from efficienttrain.console import describe

    die_with_parent()
    try:
        work(Path(sys.argv[1]))
    except (ValueError, OSError) as error:  # for other errors, the last line of the traceback suffices
        sys.exit(f"error: {describe(error)}")
