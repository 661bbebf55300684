"""Pyramids with further fields: read by FFCV and by us, checked, resumed."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from loaders import BadDataset, BadSample, Loader, convert, open_dataset
from loaders.beton import layout
from loaders.conversion import extract, verify
from loaders.conversion.jobs import JOB_FILES
from loaders.conversion.levels import USUAL

FIELDS: dict[str, Any] = {
    "label": "int",
    "attributes": ("float32", 40),
    "age": "float",
    "count": "int",
    "caption": "bytes",
    "facts": "json",
    "mask": ("uint8", (3, 5)),
}


class People:
    """Samples with a value for every field; each tells its number."""

    def __init__(self, jpegs: list[bytes], count: int) -> None:
        self.jpegs, self.count, self.stop = jpegs, count, count

    def __len__(self) -> int:
        return self.count

    def values(self, k: int) -> dict[str, Any]:
        return {
            "label": k % 3,
            "attributes": np.arange(40, dtype=np.float32) + k,
            "age": k / 4,
            "count": -k,
            "caption": b"x" * (k % 4),
            "facts": {"k": k},
            "mask": np.full((3, 5), k % 256, np.uint8),
        }

    def __getitem__(self, k: int) -> dict[str, Any]:
        if k >= self.stop:
            raise KeyboardInterrupt
        return {"image": self.jpegs[k % len(self.jpegs)], **self.values(k)}


@pytest.fixture(scope="module")
def people(jpeg_folder: Path) -> People:
    return People([path.read_bytes() for path in sorted((jpeg_folder / "train").rglob("*.jpg"))], 30)


@pytest.fixture(scope="module")
def fielded(people: People, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("fields") / "x.beton"
    summary = convert(people, out, fields=FIELDS, classes=["a", "b", "c"], workers=1)
    assert summary.images == 30 and summary.refused == []
    return out


def test_every_field_is_read_back(fielded: Path, people: People) -> None:
    with open_dataset(fielded) as dataset:
        assert list(dataset.fields) == list(FIELDS) and dataset.classes == ["a", "b", "c"]
        some = np.array([29, 0, 7, 7])
        for name in FIELDS:
            found = dataset.read_field(name, some)
            for got, k in zip(found, some.tolist(), strict=True):
                assert np.array_equal(got, people.values(k)[name]) if name != "facts" else got == {"k": k}
        assert np.bincount(dataset.labels(range(30))).tolist() == [10, 10, 10]
    assert verify(fielded) == []
    with Loader(fielded, batch_size=8, resolution=32, train=False, num_workers=1) as loader:
        assert next(iter(loader))[1].tolist() == [0, 1, 2, 0, 1, 2, 0, 1]


def test_only_other_fields_raise_the_version(fielded: Path, pyramid: Path) -> None:
    def version(path: Path) -> int:
        private = layout.unpack_private(path.read_bytes()[24 + 17 :][:1024], "x")
        assert private is not None
        return int(private["version"])

    assert (version(pyramid), version(fielded)) == (2, 3)


def test_a_pyramid_without_labels(people: People, tmp_path: Path) -> None:
    out = tmp_path / "x.beton"
    convert(people, out, fields={"age": "float"}, workers=1)
    with open_dataset(out) as dataset:
        assert dataset.label_field is None and dataset.classes == [] and dataset.labels([3]).tolist() == [-1]
        assert dataset.read_field("age", [3]).tolist() == [0.75]  # type: ignore[union-attr]
    with pytest.raises(ValueError, match=r"`fields` must be different names out of 'image', .* 'age', got 'label'"):
        Loader(out, batch_size=4)
    with Loader(out, batch_size=4, resolution=32, fields=("image", "age"), num_workers=1, train=False) as loader:
        assert next(iter(loader))[1].tolist() == [0, 0.25, 0.5, 0.75]
    convert(people, out, fields={"label": "float"}, workers=1)
    with open_dataset(out) as dataset:
        assert dataset.label_field is None and dataset.read_field("label", [5]).tolist() == [2.0]  # type: ignore[union-attr]
    assert verify(out) == []


@pytest.mark.parametrize("name", ["attributes", "caption", "facts", "mask"])
def test_a_damaged_value_is_named(fielded: Path, tmp_path: Path, name: str) -> None:
    data = bytearray(fielded.read_bytes())
    with open_dataset(fielded) as dataset:
        column = dataset._stored.column(name, dataset._rows(np.array([7])))  # type: ignore[attr-defined]
    data[int(column[0]["ptr"] if column.dtype.names else column[0]) + 2] ^= 1
    (tmp_path / "x.beton").write_bytes(data)
    with open_dataset(tmp_path / "x.beton") as dataset:
        dataset.read_field(name, [6, 8])
        with pytest.raises(BadDataset, match=f"damaged, field `{name}` of sample 7 .* does not match its check"):
            dataset.read_field(name, [6, 7])
    (damage,) = verify(tmp_path / "x.beton")
    assert damage.sample == 7 and damage.why == f"its field `{name}` does not match its check"


def test_damaged_rows_and_checks_are_told(fielded: Path, tmp_path: Path) -> None:
    with open_dataset(fielded) as dataset:
        private = dataset.private  # type: ignore[attr-defined]
    for name in ("rows", "checks"):
        data = bytearray(fielded.read_bytes())
        data[int(private[name]["offset"]) + 40] ^= 1
        (tmp_path / "x.beton").write_bytes(data)
        with pytest.raises(BadDataset, match=f"damaged, the CRC of its {name} does not match"):
            open_dataset(tmp_path / "x.beton")


READER = """
import sys
import numpy as np
from ffcv.pipeline.compiler import Compiler
Compiler.set_enabled(False)
from ffcv.fields import JSONField
from ffcv.fields.rgb_image import CenterCropRGBImageDecoder
from ffcv.loader import Loader, OrderOption

for cached in (True, False):
    loader = Loader(sys.argv[1], batch_size=7, num_workers=1, os_cache=cached, order=OrderOption.SEQUENTIAL,
                    pipelines={"image": [CenterCropRGBImageDecoder((32, 32), 1)]}, drop_last=False)
    seen = 0
    for batch in loader:
        image, label, attributes, age, count, caption, facts, mask = map(np.asarray, batch)
        k = np.arange(seen, seen + len(image))
        seen += len(image)
        assert (label.ravel() == k % 3).all() and (age.ravel() == k / 4).all() and (count.ravel() == -k).all()
        assert (attributes == np.arange(40, dtype=np.float32) + k[:, None]).all() and attributes.dtype == np.float32
        assert (mask == k[:, None, None]).all() and mask.shape[1:] == (3, 5)
        assert [bytes(row[: n % 4]) for row, n in zip(caption, k)] == [b"x" * (n % 4) for n in k]
        assert JSONField.unpack(facts) == [{"k": n} for n in k.tolist()]
        assert image.std() > 10
    assert seen == 30
print("read")
"""


@pytest.mark.ffcv
@pytest.mark.parametrize("extracted", [False, True])
def test_ffcv_reads_every_field(fielded: Path, tmp_path: Path, extracted: bool) -> None:
    if extracted:
        extract(fielded, tmp_path / "half.beton", 1)
        fielded = tmp_path / "half.beton"
    done = subprocess.run([sys.executable, "-c", READER, fielded], capture_output=True, text=True, timeout=300)
    assert done.stdout == "read\n", done.stderr[-3000:]


def test_interrupted_and_run_again_gives_the_same_bytes(people: People, tmp_path: Path) -> None:
    many = People(people.jpegs, 4 * JOB_FILES + 3)
    convert(many, tmp_path / "whole.beton", fields=FIELDS, workers=2)
    many.stop = 3 * JOB_FILES
    out = tmp_path / "killed.beton"
    with pytest.raises(KeyboardInterrupt):
        convert(many, out, fields=FIELDS, workers=1, ratios=USUAL)  # reads no sample before the conversion itself
    many.stop = many.count
    with pytest.raises(BadDataset, match="differs in fields"):
        convert(many, out, fields={"label": "int"}, workers=1)
    convert(many, out, fields=FIELDS, workers=1)
    digests = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (out, tmp_path / "whole.beton")}
    assert len(digests) == 1


def test_a_value_that_does_not_fit_is_refused(people: People, tmp_path: Path) -> None:
    with pytest.raises(BadSample, match=r"field `attributes` must be float32 \[39\], got .* its shape is \[40\]"):
        convert(people, tmp_path / "x.beton", fields={"attributes": ("float32", 39)}, workers=1)
    with pytest.raises(BadDataset, match="none of its 30 images can be converted"):
        convert(people, tmp_path / "x.beton", fields={"height": "float"}, workers=1, on_error="skip")


def test_pages_grow_to_hold_a_large_image(tmp_path: Path) -> None:
    rng = np.random.Generator(np.random.Philox(key=[1, 2]))
    noise = Image.fromarray(rng.integers(0, 256, (1000, 1200, 3), np.uint8))
    small = Image.new("RGB", (64, 64), "red")

    def samples() -> Iterator[tuple[bytes, int]]:
        for image, kind in ((small, "JPEG"), (noise, "PNG"), (small, "JPEG")):
            file = io.BytesIO()
            image.save(file, kind)
            yield file.getvalue(), 0

    convert(samples, tmp_path / "x.beton", workers=1)
    with open_dataset(tmp_path / "x.beton") as dataset:
        assert dataset.head.page_size == 4 << 20 > layout.MIN_PAGE  # type: ignore[attr-defined]
    assert verify(tmp_path / "x.beton") == []


def test_another_page_size_resumes(people: People, tmp_path: Path) -> None:
    many = People(people.jpegs, 3 * JOB_FILES)
    many.stop = 2 * JOB_FILES
    with pytest.raises(KeyboardInterrupt):
        convert(many, tmp_path / "x.beton", workers=1, ratios=USUAL)
    many.stop = many.count
    assert convert(many, tmp_path / "x.beton", workers=1, page_size=8 << 20).images == many.count
    assert verify(tmp_path / "x.beton") == []


def test_classes_in_another_order_map_labels_by_name(jpeg_folder: Path, tmp_path: Path) -> None:
    src, out = jpeg_folder / "train", tmp_path / "x.beton"
    classes = ["unseen", "class002", "class000", "class001"]
    convert(src, out, classes=classes, workers=1)
    with open_dataset(out) as dataset:
        assert dataset.classes == classes and np.bincount(dataset.labels(range(24))).tolist() == [0, 8, 8, 8]
        assert dataset.name(0).startswith("class000/") and dataset.labels([0]).tolist() == [2]
    with pytest.raises(ValueError, match="class folder 'class001' is not among the 2 given classes"):
        convert(src, out, classes=["class000", "class002"], workers=1)
    with pytest.raises(ValueError, match="name each class once"):
        convert(src, out, classes=["class000", "class000"], workers=1)
