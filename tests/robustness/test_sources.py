"""Every form of a data set with one damaged file: it is converted, or an error of one line names file or sample."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from loaders import convert
from loaders.errors import LoaderError
from tests.loaders.sources import forms
from tests.robustness.mutate import draw

IN_FILES = [maker for maker in forms.MAKERS if maker not in (forms.objects, forms.function, forms.arrow_dataset)]
MUTANTS = 12


def damaged(rng: np.random.Generator, data: bytes) -> bytes:
    """A bit flipped, bytes removed, added or zero, or the file cut; at its ends, where the structure is, more often."""
    ends = (0, min(1500, len(data))), (max(0, len(data) - 1500), len(data)), (0, len(data))
    at, size = int(rng.integers(*ends[int(rng.integers(3))])), int(rng.integers(1, 500))
    flipped = bytes([data[at] ^ 1 << int(rng.integers(8))])
    return (
        data[:at] + flipped + data[at + 1 :],
        data[:at] + data[at + size :],
        data[:at] + rng.bytes(size % 40) + data[at:],
        data[:at] + bytes(len(data[at : at + size])) + data[at + size :],
        data[:at],
    )[int(rng.integers(5))]


@pytest.mark.parametrize("maker", IN_FILES, ids=lambda maker: maker.__name__)
def test_a_damaged_file_is_named(maker: forms.Maker, tmp_path: Path) -> None:
    place, out = tmp_path / "made", tmp_path / "x.beton"
    place.mkdir()
    source, options = maker(forms.Truth(tmp_path / "truth"), place)
    files = sorted(path for path in place.rglob("*") if path.is_file())
    for number in range(MUTANTS):
        rng = draw(0, number)
        path = files[int(rng.integers(len(files)))]
        sound = path.read_bytes()
        path.write_bytes(damaged(rng, sound))
        try:
            summary = convert(source, out, workers=1, on_error="skip", **options)
            assert 0 < summary.images <= 12
        except (LoaderError, ValueError, FileNotFoundError) as error:  # a UnicodeError is a ValueError, too
            named = str(tmp_path) in str(error) or "sample" in str(error)
            assert named and "\n" not in str(error) and len(str(error)) < 600, f"mutant {number} of {path}: {error}"
        path.write_bytes(sound)
        shutil.rmtree(f"{out}.partial", ignore_errors=True)
