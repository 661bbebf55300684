"""A user's program that calls the public API passes `mypy --strict`, and mistakes in its calls are found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Other packages' types are left out, which would take minutes to read; so are errors that strict finds in ours.
SETTINGS = """[mypy]
strict = true
mypy_path = {root}
[mypy-loaders.*,efficienttrain.*]
follow_imports = silent
[mypy-torch.*,numpy.*,timm.*,PIL.*,numba.*,tqdm.*,obstore.*,fsspec.*,pyarrow.*,nvidia.*,ffcv.*,triton.*,yaml.*]
follow_imports = skip
ignore_missing_imports = true
"""

RIGHT = """import torch

from efficienttrain import Recipe, recipe
from loaders import Loader, convert, open_dataset
from loaders.batch import Batch
from loaders.plugins import FIELDS
from loaders.sources import Options, Sample, Source
from loaders.transforms import RandAugment


def invert(images: torch.Tensor, batch: Batch) -> torch.Tensor:
    return 255 - images if batch.epoch else images


def first(source: Source) -> Sample:
    return next(source.samples())


def train(folder: str) -> int:
    converted: int = convert(folder, "train.beton", fields={"age": "float"}).images
    chosen: Recipe = recipe("resnet50", 100.0, "auto")
    with Loader("train.beton", batch_size=64, resolution=96, transforms=[RandAugment(5), invert]) as loader:
        loader.set_stage(resolution=chosen.stages[0].resolution, magnitude=None)
        loader.set_epoch(1)
        for images, labels in loader:
            print(images.shape, labels.sum())
        state: dict[str, object] = loader.state_dict()
        names: list[str] = loader.classes
    with open_dataset("train.beton") as data:
        print(data.name(0), names, state)
    FIELDS["epoch"] = lambda batch, dataset: (batch.epoch, len(dataset))
    return converted + len(loader) + len(Options().labels or "")
"""

WRONG = """from loaders import Loader

Loader("train.beton", batch_sise=64)
Loader("train.beton", shuffle="often")
Loader("train.beton").set_epoch("one")
"""


@pytest.mark.slow
def test_a_strictly_typed_program(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    (tmp_path / "mypy.ini").write_text(SETTINGS.format(root=ROOT))
    (tmp_path / "right.py").write_text(RIGHT)
    (tmp_path / "wrong.py").write_text(WRONG)
    command = [sys.executable, "-m", "mypy", "--config-file=mypy.ini", "right.py", "wrong.py"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert [line.split(": error: ")[0] for line in errors] == ["wrong.py:3", "wrong.py:4", "wrong.py:5"], done.stdout


def test_both_packages_say_that_they_are_typed() -> None:
    assert (ROOT / "loaders" / "py.typed").exists() and (ROOT / "efficienttrain" / "py.typed").exists()
