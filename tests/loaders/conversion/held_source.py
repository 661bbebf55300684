"""A source whose samples wait, so that a test can kill a converter in the midst of every part."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from loaders.sources.image_folder import ImageFolder
from loaders.sources.source import Options, Sample


class Held(ImageFolder):
    """An image folder that notes each reading (name, start, process) and stops at sample 70 while `hold` exists.

    By then the converter has taken two jobs of 32 samples, and has stored the first.
    """

    indexable = False  # read by `samples`, in order

    def __init__(self, path: Path, control: Path) -> None:
        super().__init__(str(path), Options())
        self.control = control

    def samples(self, start: int = 0) -> Iterator[Sample]:
        with open(self.control / "begun", "a") as file:
            file.write(f"{self[0].name} {start} {os.getpid()}\n")
        for number, sample in enumerate(super().samples(start), start):
            while number == 70 and (self.control / "hold").exists():
                time.sleep(0.02)
            yield sample
