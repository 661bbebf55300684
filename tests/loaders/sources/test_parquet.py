from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loaders import convert
from loaders.errors import BadDataset
from loaders.sources.open import open_source

pa = pytest.importorskip("pyarrow")
IMAGES = [b"image %d" % k * 100 for k in range(9)]


def rows(place: Path, form: str) -> Path:
    """A file of Parquet, of Arrow, or of a stream of Arrow."""
    import pyarrow.parquet

    table, path = pa.table({"image": IMAGES, "label": list(range(9))}), place / f"x.{form}"
    if form == "parquet":
        pyarrow.parquet.write_table(table, path, write_page_checksum=True, compression="none")
        return path
    make = pa.ipc.new_stream if form == "stream" else pa.ipc.new_file
    with make(str(place / "x.arrow"), table.schema) as file:
        file.write_table(table)
    return place / "x.arrow"


@pytest.mark.parametrize("form", ["arrow", "stream", "parquet"])
def test_damage_is_named(tmp_path: Path, form: str) -> None:
    path = rows(tmp_path, form)
    sound, rng = path.read_bytes(), np.random.default_rng(0)
    assert len(list(open_source(path).samples())) == 9
    for _ in range(60):
        at, size = int(rng.integers(0, len(sound))), int(rng.integers(1, 200))
        path.write_bytes(sound[:at] + sound[at + size :])
        try:
            samples = list(open_source(path).samples())
        except BadDataset as error:
            assert f"{path}: " in str(error) and "\n" not in str(error)
        else:
            assert form != "parquet" and len(samples) == 9  # an Arrow file has no checks of its bytes


def test_offsets_out_of_the_file_are_not_followed(tmp_path: Path) -> None:
    path = rows(tmp_path, "arrow")
    offsets = np.cumsum([0, *map(len, IMAGES)], dtype="<i4")
    sound = path.read_bytes()
    for wrong in (1 << 30, -5):
        damaged = offsets.copy()
        damaged[4] = wrong
        path.write_bytes(sound.replace(offsets.tobytes(), damaged.tobytes()))
        with pytest.raises(BadDataset, match=r"x\.arrow: damaged \("):
            list(open_source(path).samples())


def test_pages_are_compared_with_their_crc(tmp_path: Path) -> None:
    path = rows(tmp_path, "parquet")
    path.write_bytes(path.read_bytes().replace(IMAGES[3], IMAGES[3][:-1] + b"x"))
    with pytest.raises(BadDataset, match=r"x\.parquet: damaged \(.*checksum"):
        list(open_source(path).samples())


@pytest.mark.parametrize("text", ["{", '{"_data_files": [{"file": "x.arrow"}]}', "[]", b"\xff"])
@pytest.mark.parametrize("name", ["state.json", "dataset_info.json"])
def test_damaged_descriptions_are_named(tmp_path: Path, name: str, text: Any) -> None:
    rows(tmp_path, "stream")
    (tmp_path / "state.json").write_text(json.dumps({"_data_files": [{"filename": "x.arrow"}]}))
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    if name == "dataset_info.json" and text[:1] == "{" and len(text) > 1:
        assert len(open_source(tmp_path)) == 9  # it describes no column
        return
    with pytest.raises(BadDataset, match=rf"{name}: damaged \("):
        convert(tmp_path, tmp_path / "x.beton", workers=1)
