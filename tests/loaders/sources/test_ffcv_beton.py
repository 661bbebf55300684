from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from loaders.beton import layout
from loaders.beton.tables import Pages, write_tables
from loaders.errors import BadDataset
from loaders.sources import open_dataset
from loaders.sources.ffcv_beton import FFCVBeton

ROOT = Path(__file__).resolve().parents[3]


def written(path: Path, jpegs: list[bytes], labels: list[int]) -> Path:
    """A beton without private section, as FFCV writes it, but with the allocation table in another order."""
    pages, levels = Pages(len(jpegs), layout.MIN_PAGE), np.zeros(len(jpegs), layout.LEVEL)
    with open(path, "w+b") as file:
        for level, jpeg in zip(levels, jpegs, strict=True):
            level["ptr"], level["size"] = pages.place(len(jpeg)), len(jpeg)
            level["width"], level["height"] = Image.open(io.BytesIO(jpeg)).size
            file.seek(int(level["ptr"]))
            file.write(jpeg)
        table = file.tell()

        def blocks() -> Iterator[tuple[np.ndarray, np.ndarray]]:
            yield levels, np.array(labels)

        write_tables(file, layout.MIN_PAGE, blocks())
    data = bytearray(path.read_bytes())
    rows = np.frombuffer(bytes(data[table:]), layout.ALLOCATION)
    data[table:] = rows[::-1].tobytes()
    path.write_bytes(data)
    return path


@pytest.fixture
def jpegs(odd_files: dict[str, bytes]) -> list[bytes]:
    return [odd_files[name] for name in ("grey", "progressive", "tiny")]


def test_a_beton_of_ffcvs_is_a_dataset(tmp_path: Path, jpegs: list[bytes]) -> None:
    with open_dataset(written(tmp_path / "x.beton", jpegs, [2, 0, 2])) as dataset:
        assert isinstance(dataset, FFCVBeton)
        assert (len(dataset), dataset.ratios, dataset.classes) == (3, (1.0,), ["0", "1", "2"])
        indices = np.array([2, 0, 0])
        assert dataset.labels(indices).tolist() == [2, 2, 2]
        assert [dataset.read(int(k)) for k in indices] == [jpegs[2], jpegs[0], jpegs[0]]
        entries = dataset.entries(indices)
        assert entries.shape == (3, 1) and entries["width"][:, 0].tolist() == [1, 160, 160]
        assert not entries["rows"].any() and not entries["head"].any() and not entries["crc"].any()
        assert dataset.name(1) == "sample 1"
        with pytest.raises(IndexError, match="from 0 to 2, got 3"):
            dataset.entries([3])


def test_labels_that_are_no_classes(tmp_path: Path, jpegs: list[bytes]) -> None:
    for labels in ([-1, 0, 1], [0, 1, 1 << 40]):
        with open_dataset(written(tmp_path / "x.beton", jpegs, labels)) as dataset:
            assert dataset.classes == [] and dataset.labels([0, 1, 2]).tolist() == labels


def test_raw_images_and_lost_pointers_are_told(tmp_path: Path, jpegs: list[bytes]) -> None:
    path = written(tmp_path / "x.beton", jpegs, [0, 1, 2])
    data = path.read_bytes()
    first = layout.HEADER.itemsize + 2 * layout.FIELD.itemsize
    for at, told in ((0, "sample 1 is raw pixels; .*efficienttrain convert"), (5, "sample 1 points to no image")):
        broken = bytearray(data)
        broken[first + 24 + at] ^= 1
        path.write_bytes(broken)
        with pytest.raises(BadDataset, match=told):
            open_dataset(path)


def test_fields_that_are_missing_are_told(tmp_path: Path, jpegs: list[bytes]) -> None:
    path = written(tmp_path / "x.beton", jpegs, [0, 1, 2])
    data = bytearray(path.read_bytes())
    for at, kind, told in ((0, 1, "an image field"), (1, 0, "an int field"), (1, 255, "got 255")):
        broken = data.copy()
        broken[layout.HEADER.itemsize + at * layout.FIELD.itemsize] = kind
        path.write_bytes(broken)
        with pytest.raises(BadDataset, match=told):
            open_dataset(path)


WRITER = """
import sys
import numpy as np
from PIL import Image
from ffcv.writer import DatasetWriter
from ffcv.fields import BytesField, FloatField, IntField, RGBImageField

class Pictures:
    def __len__(self):
        return 20
    def __getitem__(self, k):
        picture = np.full((40 + k, 60, 3), 8 * k, np.uint8)
        return np.frombuffer(bytes(k), np.uint8), 0.5, picture, k % 3

for mode in ("jpg", "raw"):
    photo = RGBImageField(write_mode=mode)
    fields = {"blob": BytesField(), "x": FloatField(), "photo": photo, "class": IntField()}
    writer = DatasetWriter(f"{sys.argv[1]}/{mode}.beton", fields, num_workers=2)
    writer.from_indexed_dataset(Pictures(), chunksize=5)
"""


@pytest.mark.ffcv
def test_what_ffcv_itself_writes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", WRITER, tmp_path], check=True, capture_output=True, timeout=120)
    with open_dataset(tmp_path / "jpg.beton") as dataset:
        assert len(dataset) == 20 and dataset.labels(range(20)).tolist() == [k % 3 for k in range(20)]
        for k in range(20):
            with Image.open(io.BytesIO(dataset.read(k))) as image:
                assert image.size == (60, 40 + k)
                assert abs(np.asarray(image).mean() - 8 * k) < 2
    with pytest.raises(BadDataset, match="raw pixels"):
        open_dataset(tmp_path / "raw.beton")
