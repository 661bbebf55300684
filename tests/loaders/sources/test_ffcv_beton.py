from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from loaders import Loader
from loaders.beton import layout
from loaders.beton.fields import FieldType, pack_arguments
from loaders.conversion import extract, verify
from loaders.errors import BadDataset
from loaders.pillow import decode_rgb
from loaders.plan.records import RAW
from loaders.sources import open_dataset
from loaders.sources.ffcv_beton import FFCVBeton
from tests.loaders.ffcv_files import write_beton

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def jpegs(odd_files: dict[str, bytes]) -> list[bytes | np.ndarray]:
    return [odd_files[name] for name in ("grey", "progressive", "tiny")]


def test_a_beton_of_ffcvs_is_a_dataset(tmp_path: Path, jpegs: list[bytes | np.ndarray]) -> None:
    with open_dataset(write_beton(tmp_path / "x.beton", jpegs, [2, 0, 2])) as dataset:
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


def test_labels_that_are_no_classes(tmp_path: Path, jpegs: list[bytes | np.ndarray]) -> None:
    for labels in ([-1, 0, 1], [0, 1, 1 << 40]):
        with open_dataset(write_beton(tmp_path / "x.beton", jpegs, labels)) as dataset:
            assert dataset.classes == [] and dataset.labels([0, 1, 2]).tolist() == labels


@pytest.mark.parametrize(
    ("at", "told"), [(0, "the raw pixels of sample 1 have .* expected"), (5, "sample 1 points to no image")]
)
def test_damaged_rows_are_told(tmp_path: Path, jpegs: list[bytes | np.ndarray], at: int, told: str) -> None:
    path = write_beton(tmp_path / "x.beton", jpegs, [0, 1, 2])
    data = bytearray(path.read_bytes())
    data[layout.HEADER.itemsize + 2 * layout.FIELD.itemsize + 24 + at] ^= 1
    path.write_bytes(data)
    with pytest.raises(BadDataset, match=told):
        open_dataset(path)


@pytest.fixture
def pictures(pixels: np.ndarray) -> list[np.ndarray]:
    """Pixels of odd and even sides, one pixel, and more than twice the output's side."""
    large = np.kron(pixels, np.ones((3, 3, 1), np.uint8))
    return [pixels, pixels[:77, :91].copy(), pixels[:1, :1].copy(), large, pixels[:120, :33].copy()]


@pytest.mark.parametrize("train", [True, False])
def test_raw_pixels_are_cropped_and_resampled(tmp_path: Path, pictures: list[np.ndarray], train: bool) -> None:
    (tmp_path / "x").mkdir()
    for k, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / "x" / f"{k}.png")
    path = write_beton(tmp_path / "x.beton", [*pictures], [0] * len(pictures))
    batches = []
    for data in (tmp_path / "x", path):
        with Loader(data, batch_size=5, resolution=64, train=train, dtype="uint8", num_workers=2) as loader:
            batches.append([images.numpy() for _ in range(3) for images, _ in loader])
    assert len(batches[0]) == 3
    np.testing.assert_array_equal(batches[0], batches[1])


def test_raw_pixels_and_jpegs_in_one_beton(tmp_path: Path, pixels: np.ndarray, odd_files: dict[str, bytes]) -> None:
    path = write_beton(tmp_path / "x.beton", [pixels, odd_files["progressive"]], [0, 1])
    with open_dataset(path) as dataset:
        assert dataset.read(1) == odd_files["progressive"]
        np.testing.assert_array_equal(decode_rgb(dataset.read(0)).pixels, pixels)
    assert verify(path) == []
    with pytest.raises(BadDataset, match="extracted from a pyramid, and this is not one; convert it first"):
        extract(path, tmp_path / "y.beton", 0)


def test_fields_that_are_missing_are_told(tmp_path: Path, jpegs: list[bytes | np.ndarray]) -> None:
    path = write_beton(tmp_path / "x.beton", jpegs, [0, 1, 2])
    data = bytearray(path.read_bytes())
    for at, kind, told in ((0, 1, "an image field"), (1, 255, "got 255")):
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

np.random.seed(0)
for mode in ("jpg", "raw", "smart", "proportion"):
    photo = RGBImageField(write_mode=mode, smart_threshold=50 * 60 * 3)
    fields = {"blob": BytesField(), "x": FloatField(), "photo": photo, "class": IntField()}
    writer = DatasetWriter(f"{sys.argv[1]}/{mode}.beton", fields, num_workers=1)
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
    with open_dataset(tmp_path / "raw.beton") as dataset:
        for k in range(20):
            assert np.array_equal(decode_rgb(dataset.read(k)).pixels, np.full((40 + k, 60, 3), 8 * k))
            assert dataset.read_field("blob", [k]) == [bytes(k)]
    for mode in ("smart", "proportion"):
        with open_dataset(tmp_path / f"{mode}.beton") as dataset:
            kinds = dataset.entries(range(20))["kind"][:, 0].tolist()
            assert set(kinds) == {0, RAW}
            assert all(abs(decode_rgb(dataset.read(k)).pixels.mean() - 8 * k) < 2 for k in range(20))
        with Loader(tmp_path / f"{mode}.beton", batch_size=20, resolution=32, train=False, dtype="uint8") as loader:
            (images, labels), *_ = loader
        assert np.abs(images.numpy().mean((1, 2, 3)) - 8 * np.arange(20)).max() < 2
        assert labels.tolist() == [k % 3 for k in range(20)]


@pytest.mark.ffcv
def test_every_field_is_read(mixed: Path) -> None:
    with open_dataset(mixed) as dataset:
        assert {name: str(kind) for name, kind in dataset.fields.items()} == {
            "text": "bytes",
            "half": "float",
            "class": "int",
            "facts": "json",
            "grid": "float32 [2, 3]",
        }
        assert dataset.label_field == "class" and np.bincount(dataset.labels(range(24))).tolist() == [8, 8, 8]
        some = [23, 0, 7]
        assert dataset.read_field("text", some) == [b"sample %d" % k for k in some]
        assert np.array_equal(dataset.read_field("half", some), np.array(some) / 2)
        assert np.array_equal(dataset.read_field("class", some), dataset.labels(some))
        assert dataset.read_field("facts", some) == [{"k": k} for k in some]
        grid = dataset.read_field("grid", some)
        assert isinstance(grid, np.ndarray) and grid.dtype == np.float32 and grid.shape == (3, 2, 3)
        assert grid[:, 0, 0].tolist() == some and len(dataset.read_field("text", [])) == 0
        with pytest.raises(ValueError, match="has the fields text, half, class, facts, grid, got 'picture'"):
            dataset.read_field("picture", some)
        with pytest.raises(IndexError, match="got 24"):
            dataset.read_field("half", [24])


def test_a_pointer_of_a_field_that_leads_outside_is_told(two_ints: Path) -> None:
    data = bytearray(two_ints.read_bytes())
    with open_dataset(two_ints, label_field="label") as dataset:
        assert isinstance(dataset, FFCVBeton)
    descriptor = layout.HEADER.itemsize + 2 * layout.FIELD.itemsize
    data[descriptor] = 4  # the second int becomes an array, its values pointers
    data[descriptor + 17 : descriptor + 17 + 1024] = pack_arguments(FieldType("array", np.dtype("<f4"), (3,)))
    row = layout.metadata_dtype([layout.IMAGE_FIELD, layout.INT_FIELD, 4])
    for wrong in (2**64 - 8, len(data)):
        at = descriptor + layout.FIELD.itemsize + int(row.fields["f2"][1])  # type: ignore[index]
        data[at : at + 8] = wrong.to_bytes(8, "little")
        two_ints.write_bytes(data)
        with open_dataset(two_ints) as dataset, pytest.raises(BadDataset, match="`index` points outside the file"):
            dataset.read_field("index", [0])


@pytest.fixture
def two_ints(tmp_path: Path, jpegs: list[bytes | np.ndarray]) -> Path:
    """A beton with the int fields `label` and `index`."""
    path, wide = tmp_path / "two.beton", layout.metadata_dtype([layout.IMAGE_FIELD, layout.INT_FIELD, layout.INT_FIELD])
    data = write_beton(tmp_path / "x.beton", jpegs, [2, 0, 1]).read_bytes()
    first = layout.HEADER.itemsize + 2 * layout.FIELD.itemsize
    fields = np.zeros(3, layout.FIELD)
    fields[:2] = np.frombuffer(data[layout.HEADER.itemsize : first], layout.FIELD)
    fields["type"][2], fields["name"][2] = layout.INT_FIELD, b"index"
    rows, narrow = np.zeros(3, wide), layout.metadata_dtype([layout.IMAGE_FIELD, layout.INT_FIELD])
    for name in ("f0", "f1"):
        rows[name] = np.frombuffer(data[first : first + 3 * narrow.itemsize], narrow)[name]
    rows["f2"] = range(3)
    header = np.frombuffer(data[: layout.HEADER.itemsize], layout.HEADER).copy()
    header["fields"] = 3
    head = header.tobytes() + fields.tobytes() + rows.tobytes()
    path.write_bytes(head + data[len(head) :])
    return path


def renamed(path: Path, names: list[bytes]) -> Path:
    data = bytearray(path.read_bytes())
    for k, name in enumerate(names):
        at = layout.HEADER.itemsize + (k + 1) * layout.FIELD.itemsize + 1
        data[at : at + 16] = name.ljust(16, b"\0")
    path.write_bytes(data)
    return path


def test_which_int_field_is_the_label(two_ints: Path) -> None:
    with open_dataset(two_ints) as dataset:
        assert dataset.label_field == "label" and dataset.labels([0, 1, 2]).tolist() == [2, 0, 1]
    with open_dataset(two_ints, label_field="index") as dataset:
        assert dataset.labels([0, 1, 2]).tolist() == [0, 1, 2]
        assert np.array_equal(dataset.read_field("label", [0, 1]), [2, 0])
    with pytest.raises(ValueError, match=r"one of its int fields \(label, index\), got 'image'"):
        open_dataset(two_ints, label_field="image")
    with pytest.raises(BadDataset, match=r"several int fields may be the label \(a, b\); name one by `label_field`"):
        open_dataset(renamed(two_ints, [b"a", b"b"]))


def test_a_beton_without_an_int_field_has_no_labels(tmp_path: Path, jpegs: list[bytes | np.ndarray]) -> None:
    path = write_beton(tmp_path / "x.beton", jpegs, [0, 1, 2])
    data = bytearray(path.read_bytes())
    data[layout.HEADER.itemsize + layout.FIELD.itemsize] = 0  # a float field
    path.write_bytes(data)
    with open_dataset(path) as dataset:
        assert dataset.label_field is None and dataset.labels([0, 2]).tolist() == [-1, -1]
        assert list(dataset.fields) == ["label"] and str(dataset.fields["label"]) == "float"
