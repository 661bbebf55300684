"""One data set in every form: all of them make the same pyramid."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from loaders import convert, open_dataset
from loaders.conversion import verify
from loaders.pillow import decode_rgb
from tests.loaders.sources.mds_files import write_mds

Record = tuple[str, int, list[float]]


class Truth:
    """The data set: 12 JPEGs of 3 classes, each with a vector and a text, in the order of an image folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = [path for k in range(3) for path in sorted((folder / f"class00{k}").iterdir())[:4]]
        self.classes = ["class000", "class001", "class002"]
        self.labels = [self.classes.index(path.parent.name) for path in self.files]
        self.vectors = [[k / 2, float(k)] for k in range(12)]
        self.texts = [f"Nº {k}" for k in range(12)]


@pytest.fixture(scope="module")
def truth(jpeg_folder: Path) -> Truth:
    return Truth(jpeg_folder / "train")


def pixels_of(data: bytes) -> str:
    """A digest of the pixels of an image file."""
    return hashlib.sha256(decode_rgb(data).pixels.tobytes()).hexdigest()


@pytest.fixture(scope="module")
def wanted(truth: Truth) -> list[Record]:
    digests = [pixels_of(path.read_bytes()) for path in truth.files]
    return list(zip(digests, truth.labels, truth.vectors, strict=True))


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def folder(truth: Truth, at: Path) -> tuple[Any, dict[str, Any]]:
    for path in truth.files:
        (at / "x" / path.parent.name).mkdir(parents=True, exist_ok=True)
        (at / "x" / path.parent.name / path.name).write_bytes(path.read_bytes())
    return at / "x", {}


def webdataset(truth: Truth, at: Path, suffix: str = ".tar") -> tuple[Any, dict[str, Any]]:
    for shard in range(3):
        with tarfile.open(at / f"train-{shard:03d}{suffix}", "w:gz" if suffix.endswith("gz") else "w") as tar:
            for k in range(4 * shard, 4 * shard + 4):
                add(tar, f"./{k:06d}.jpg", truth.files[k].read_bytes())
                add(tar, f"./{k:06d}.cls", str(truth.labels[k]).encode())
                add(tar, f"./{k:06d}.json", json.dumps({"vector": truth.vectors[k]}).encode())
                add(tar, f"./{k:06d}.txt", truth.texts[k].encode())
    return f"{at}/train-{{000..002}}{suffix}", {"classes": truth.classes}


def webdataset_gz(truth: Truth, at: Path) -> tuple[Any, dict[str, Any]]:
    return webdataset(truth, at, ".tar.gz")


def parquet(truth: Truth, at: Path) -> tuple[Any, dict[str, Any]]:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    for number in range(2):
        part = range(6 * number, 6 * number + 6)
        table = hf_table(pa, truth, part)
        (at / "data").mkdir(exist_ok=True)
        pyarrow.parquet.write_table(table, at / "data" / f"train-0000{number}-of-00002.parquet", row_group_size=4)
    return at, {}


def arrow(truth: Truth, at: Path) -> tuple[Any, dict[str, Any]]:
    pa = pytest.importorskip("pyarrow")
    names = []
    for number in range(2):
        table = hf_table(pa, truth, range(6 * number, 6 * number + 6))
        names.append({"filename": f"data-0000{number}-of-00002.arrow"})
        with pa.ipc.new_stream(str(at / names[-1]["filename"]), table.schema) as file:
            file.write_table(table)
    (at / "state.json").write_text(json.dumps({"_data_files": names}))
    return at, {}


def hf_table(pa: Any, truth: Truth, part: range) -> Any:
    features = {"image": {"_type": "Image"}, "label": {"names": truth.classes, "_type": "ClassLabel"}}
    images = [{"bytes": truth.files[k].read_bytes(), "path": truth.files[k].name} for k in part]
    columns = {
        "image": pa.array(images, pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        "label": pa.array([truth.labels[k] for k in part], pa.int64()),
        "vector": pa.array([truth.vectors[k] for k in part], pa.list_(pa.float32(), 2)),
        "text": pa.array([truth.texts[k] for k in part]),
    }
    described = json.dumps({"info": {"features": features}})
    return pa.table(columns).replace_schema_metadata({"huggingface": described})


def mds(truth: Truth, at: Path) -> tuple[Any, dict[str, Any]]:
    write_mds(
        at,
        {"image": "jpeg", "label": "int", "text": "str", "vector": "ndarray:float32:2"},
        [None, 8, None, 8],
        [
            [path.read_bytes(), np.int64(label).tobytes(), text.encode(), np.float32(vector).tobytes()]
            for path, label, text, vector in zip(truth.files, truth.labels, truth.texts, truth.vectors, strict=True)
        ],
    )
    return at, {"classes": truth.classes}


def litdata(truth: Truth, at: Path) -> tuple[Any, dict[str, Any]]:
    writers = pytest.importorskip("litdata.streaming.writer")
    writer = writers.BinaryWriter(str(at), chunk_size=5)
    for k, path in enumerate(truth.files):
        with Image.open(path) as image:
            writer[k] = {"image": image, "label": truth.labels[k], "text": truth.texts[k]}
    writer.done()
    writer.merge()
    return at, {"classes": truth.classes}


def csv_table(truth: Truth, at: Path, delimiter: str = ",", name: str = "x.csv") -> tuple[Any, dict[str, Any]]:
    with open(at / name, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, delimiter=delimiter)
        rows.writerow(["file", "breed", "vector", "text"])
        for path, label, vector, text in zip(truth.files, truth.labels, truth.vectors, truth.texts, strict=True):
            rows.writerow([path, truth.classes[label], json.dumps(vector), text])
    return at / name, {"label_column": "breed"}


def tsv_table(truth: Truth, at: Path) -> tuple[Any, dict[str, Any]]:
    return csv_table(truth, at, "\t", "x.tsv")


def jsonl(truth: Truth, at: Path) -> tuple[Any, dict[str, Any]]:
    with open(at / "x.jsonl", "w") as file:
        for path, label, vector in zip(truth.files, truth.labels, truth.vectors, strict=True):
            file.write(json.dumps({"img": str(path), "label": label, "vector": vector}) + "\n")
    return at / "x.jsonl", {"path_column": "img", "classes": truth.classes}


def imagenet(truth: Truth, at: Path) -> tuple[Any, dict[str, Any]]:
    with tarfile.open(at / "ILSVRC2012_img_train.tar", "w") as tar:
        for name in reversed(truth.classes):
            inner = io.BytesIO()
            with tarfile.open(fileobj=inner, mode="w") as part:
                for path in reversed([path for path in truth.files if path.parent.name == name]):
                    add(part, path.name, path.read_bytes())
            add(tar, f"{name}.tar", inner.getvalue())
    return at / "ILSVRC2012_img_train.tar", {}


def imagenet_val(truth: Truth, at: Path) -> tuple[Any, dict[str, Any]]:
    with tarfile.open(at / "ILSVRC2012_img_val.tar", "w") as tar, open(at / "labels.txt", "w") as labels:
        for k, path in enumerate(truth.files):
            add(tar, f"val_{k:08d}.JPEG", path.read_bytes())
            labels.write(f"val_{k:08d}.JPEG {path.parent.name}\n")
    return at / "ILSVRC2012_img_val.tar", {"labels": str(at / "labels.txt")}


def pyramid(truth: Truth, at: Path) -> tuple[Any, dict[str, Any]]:
    src, options = webdataset(truth, at)
    convert(src, at / "first.beton", fields=FIELDS, workers=1, **options)
    return at / "first.beton", {}


def objects(truth: Truth, _at: Path) -> tuple[Any, dict[str, Any]]:
    samples = [
        {"image": path.read_bytes(), "label": truth.classes[label], "vector": np.array(vector), "text": text}
        for path, label, vector, text in zip(truth.files, truth.labels, truth.vectors, truth.texts, strict=True)
    ]
    return samples, {"classes": truth.classes}


def function(truth: Truth, _at: Path) -> tuple[Any, dict[str, Any]]:
    def samples() -> Iterator[tuple[Path, int, list[float]]]:
        yield from zip(truth.files, truth.labels, truth.vectors, strict=True)

    return samples, {"classes": truth.classes, "fields": {"label": "int", "vector": ("float32", 2)}}


def torchvision(truth: Truth, at: Path) -> tuple[Any, dict[str, Any]]:
    datasets = pytest.importorskip("torchvision.datasets")
    return datasets.ImageFolder(folder(truth, at)[0]), {}


FIELDS: dict[str, Any] = {"label": "int", "vector": ("float32", 2)}
MAKERS = (
    folder, webdataset, webdataset_gz, parquet, arrow, csv_table, tsv_table, jsonl, imagenet, imagenet_val, pyramid,
    objects, function, torchvision, mds, litdata,
)  # fmt: skip
LABEL_ONLY = (folder, imagenet, imagenet_val, torchvision, litdata)


@pytest.mark.parametrize("maker", MAKERS, ids=lambda maker: maker.__name__)
def test_every_source_gives_the_same_records(
    maker: Callable[[Truth, Path], tuple[Any, dict[str, Any]]],
    truth: Truth,
    wanted: list[Record],
    tmp_path: Path,
) -> None:
    src, options = maker(truth, tmp_path)
    if maker not in LABEL_ONLY:
        options = {"fields": FIELDS, **options}
    digests = set()
    for workers in (1, 3):
        out = tmp_path / f"{workers}.beton"
        summary = convert(src, out, workers=workers, **options)
        assert summary.images == 12 and summary.refused == [] and summary.changed == []
        digests.add(hashlib.sha256(out.read_bytes()).hexdigest())
    assert len(digests) == 1
    assert verify(out) == []
    with open_dataset(out) as dataset:
        assert dataset.classes == truth.classes
        vectors = None if maker in LABEL_ONLY else np.asarray(dataset.read_field("vector", range(12))).tolist()
        for k, (pixels, label, vector) in enumerate(wanted):
            assert (pixels_of(dataset.read(k)), int(dataset.labels([k])[0])) == (pixels, label)
            assert vectors is None or vectors[k] == vector
        assert dataset.label_counts().tolist() == [4, 4, 4]


@pytest.mark.parametrize("maker", [webdataset, parquet, objects], ids=lambda maker: maker.__name__)
def test_fields_are_found_without_being_named(
    maker: Callable[[Truth, Path], tuple[Any, dict[str, Any]]], truth: Truth, tmp_path: Path
) -> None:
    src, options = maker(truth, tmp_path)
    convert(src, tmp_path / "x.beton", workers=1, **options)
    with open_dataset(tmp_path / "x.beton") as dataset:
        found = {name: str(kind) for name, kind in dataset.fields.items()}
        assert (
            found
            == {
                "webdataset": {"label": "int", "json": "json", "txt": "bytes"},
                "parquet": {"label": "int", "vector": "float32 [2]", "text": "bytes"},
                "objects": {"label": "int", "vector": "float64 [2]", "text": "json"},
            }[maker.__name__]
        )
        text = dataset.read_field(list(found)[2], [11, 0])
        assert text == ([truth.texts[k] if maker is objects else truth.texts[k].encode() for k in (11, 0)])


def test_a_limit_is_spread_over_a_source(truth: Truth, tmp_path: Path) -> None:
    for maker in (folder, webdataset_gz):
        (tmp_path / maker.__name__).mkdir()
        src, options = maker(truth, tmp_path / maker.__name__)
        convert(src, tmp_path / "x.beton", limit=3, workers=1, **options)
        with open_dataset(tmp_path / "x.beton") as dataset:
            assert dataset.labels(range(3)).tolist() == [0, 1, 2]
