"""Each kind of odd file in `convert` and in a folder with each backend, in all views, against Pillow."""

from __future__ import annotations

from pathlib import Path

import pytest

from loaders import Loader
from tests.loaders import formats
from tests.plainjpeg import plain_jpeg


@pytest.fixture(scope="module")
def documented() -> dict[str, list[str]]:
    """The table of docs/formats.md."""
    text = formats.PAGE.read_text(encoding="utf-8")
    lines = text[text.index(formats.BEGIN) + len(formats.BEGIN) : text.index(formats.END)].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {kind: outcomes for kind, *outcomes in rows}


def test_convert_and_folder(documented: dict[str, list[str]]) -> None:
    assert formats.measured(("torch",)) == {kind: outcomes[:2] for kind, outcomes in documented.items()}


@pytest.mark.dali
def test_dali(documented: dict[str, list[str]]) -> None:
    assert formats.measured(("dali",)) == {kind: [a, c] for kind, (a, _, c) in documented.items()}


@pytest.mark.parametrize("sampling", [(4, 1), (3, 1), (1, 3)])
def test_little_chroma_is_not_reduced_further(tmp_path: Path, sampling: tuple[int, int]) -> None:
    """Crops of 254 to 360 pixels at 96: luma is decoded at 1/2, where chroma of 120 samples would keep 60."""
    data = plain_jpeg(480, 360, 1, sampling)
    formats.write_folder(tmp_path / "files", [data] * 8)
    formats.write_folder(tmp_path / "truth", [formats.png(formats.reference(data))] * 8)
    made = []
    for name in ("files", "truth"):
        with Loader(tmp_path / name, batch_size=8, resolution=96, dtype="uint8", scale=(0.5, 1)) as loader:
            made.append(next(iter(loader))[0].numpy())
    assert min(formats.psnr(*pair) for pair in zip(*made, strict=True)) > 50
