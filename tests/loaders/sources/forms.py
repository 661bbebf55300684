"""One data set in every form that `convert` reads, and the table of docs/sources.md that shows them to be equal."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from loaders import convert, native, open_dataset
from loaders.pillow import decode_rgb
from tests.loaders.ffcv_files import without_index
from tests.loaders.sources.mds_files import write_mds
from tests.loaders.sources.tf_files import message, tf_record

PAGE = Path(__file__).parents[3] / "docs" / "sources.md"
BEGIN, END = "<!-- table: python -m tests.loaders.sources.forms -->\n", "<!-- end of the table -->\n"
Maker = Callable[["Truth", Path], tuple[Any, dict[str, Any]]]


class Truth:
    """The data set: 12 JPEGs of 3 classes, each with a vector and a text, in the order of an image folder.

    The kernel encodes them, so they are the same bytes on every machine, whatever its libjpeg.
    """

    def __init__(self, folder: Path) -> None:
        """Writes the images below an empty folder."""
        self.folder = folder
        self.files = [folder / f"class00{k // 4}" / f"{k:02d} é.JPG" for k in range(12)]
        for k, path in enumerate(self.files):
            path.parent.mkdir(parents=True, exist_ok=True)
            y, x = np.mgrid[: 80 + 4 * k, : 100 + 2 * k]
            pixels = np.stack([x * 2, y * 2 + 5 * k, (x * y >> 5) + 9 * k], axis=2) & 255
            path.write_bytes(native.encode(pixels.astype(np.uint8), 90))
        self.classes = ["class000", "class001", "class002"]
        self.labels = [self.classes.index(path.parent.name) for path in self.files]
        self.vectors = [[k / 2, float(k)] for k in range(12)]
        self.texts = [f"Nº {k}" for k in range(12)]


def pixels_of(data: bytes) -> str:
    """A digest of the pixels of an image file."""
    return hashlib.sha256(decode_rgb(data).pixels.tobytes()).hexdigest()


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


def zip_file(truth: Truth, at: Path) -> tuple[Any, dict[str, Any]]:
    with zipfile.ZipFile(at / "x.zip", "w") as file:
        for path in truth.files:
            method = zipfile.ZIP_DEFLATED if path.parent.name == truth.classes[1] else zipfile.ZIP_STORED
            file.write(path, f"x/{path.parent.name}/{path.name}", method)
    return at / "x.zip", {}


def tar_of_folders(truth: Truth, at: Path, suffix: str = ".tar") -> tuple[Any, dict[str, Any]]:
    with tarfile.open(at / f"x{suffix}", f"w:{suffix.removeprefix('.tar').removeprefix('.')}") as tar:
        for path in truth.files:
            add(tar, f"./{path.parent.name}/{path.name}", path.read_bytes())
    return at / f"x{suffix}", {}


def tar_xz_of_folders(truth: Truth, at: Path) -> tuple[Any, dict[str, Any]]:
    return tar_of_folders(truth, at, ".tar.xz")


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


def subset(truth: Truth, at: Path) -> tuple[Any, dict[str, Any]]:
    from torch.utils.data import ConcatDataset, Subset

    whole = torchvision(truth, at)[0]
    return ConcatDataset([Subset(whole, range(5)), Subset(whole, range(5, 12))]), {}


def arrow_dataset(truth: Truth, _at: Path) -> tuple[Any, dict[str, Any]]:
    datasets = pytest.importorskip("datasets")
    backwards = datasets.Dataset(hf_table(pytest.importorskip("pyarrow"), truth, range(11, -1, -1)))
    return backwards.select(range(11, -1, -1)), {}


def ffcv_beton(truth: Truth, at: Path) -> tuple[Any, dict[str, Any]]:
    src, options = webdataset(truth, at)
    convert(src, at / "first.beton", fields=FIELDS, workers=1, order="source", **options)
    return without_index(at / "first.beton"), {"classes": truth.classes}


def tfrecord(truth: Truth, at: Path) -> tuple[Any, dict[str, Any]]:
    with open(at / "train.tfrecord", "wb") as file:
        for path, label, vector in zip(truth.files, truth.labels, truth.vectors, strict=True):
            features = {
                "image/encoded": message(1, message(1, path.read_bytes())),
                "image/class/label": message(3, message(1, bytes([label]))),
                "image/vector": message(2, message(1, np.float32(vector).tobytes())),
            }
            entries = [message(1, message(1, name.encode()) + message(2, value)) for name, value in features.items()]
            file.write(tf_record(message(1, b"".join(entries))))
    return at / "train.tfrecord", {"classes": truth.classes}


FIELDS: dict[str, Any] = {"label": "int", "vector": ("float32", 2)}
MAKERS = (
    folder, zip_file, tar_of_folders, tar_xz_of_folders, webdataset, webdataset_gz, parquet, arrow, csv_table,
    tsv_table, jsonl, imagenet, imagenet_val, pyramid, objects, function, torchvision, subset, arrow_dataset, mds,
    litdata, tfrecord, ffcv_beton,
)  # fmt: skip
LABEL_ONLY = (folder, zip_file, tar_of_folders, tar_xz_of_folders, imagenet, imagenet_val, torchvision, subset, litdata)


TITLES = {
    folder: "image folder",
    zip_file: "zip file of class folders, stored and deflated",
    tar_of_folders: "tar of class folders",
    tar_xz_of_folders: "`.tar.xz` of class folders",
    webdataset: "WebDataset, 3 shards",
    webdataset_gz: "WebDataset, `.tar.gz`",
    parquet: "Parquet, 2 files, Hugging Face's features",
    arrow: "Arrow, a `save_to_disk` folder",
    csv_table: "CSV of absolute paths",
    tsv_table: "TSV",
    jsonl: "JSON lines",
    imagenet: "`ILSVRC2012_img_train.tar`, a tar of tars",
    imagenet_val: "`ILSVRC2012_img_val.tar` and a label file",
    pyramid: "pyramid beton",
    ffcv_beton: "FFCV beton of JPEGs",
    objects: "list of dictionaries",
    function: "function that returns an iterator",
    torchvision: "torchvision's `ImageFolder`",
    subset: "`ConcatDataset` of `Subset`s of it",
    arrow_dataset: "Hugging Face's `datasets.Dataset`",
    mds: "MosaicML MDS",
    litdata: "litData",
    tfrecord: "TFRecord of `tf.train.Example`",
}
"""Names of the forms in the table of docs/sources.md."""


def records(path: Path) -> tuple[str, str]:
    """Digests of all samples of a pyramid, in order: of pixels with labels, and of the vectors, or "-" without any."""
    found, vectors = hashlib.sha256(), "-"
    with open_dataset(path) as dataset:
        everything = range(len(dataset))
        for k, label in enumerate(dataset.labels(everything)):
            pixels = native.decode(dataset.read(k))
            found.update(repr((pixels.shape, int(label), dataset.classes[label])).encode() + pixels.tobytes())
        if "vector" in dataset.fields:
            values = np.asarray(dataset.read_field("vector", everything), "<f4")
            vectors = hashlib.sha256(values.tobytes()).hexdigest()[:12]
    return found.hexdigest()[:12], vectors


def row(maker: Maker, truth: Truth, at: Path) -> tuple[str, str]:
    """A form's part of the table. at: an empty folder."""
    src, options = maker(truth, at)
    if maker not in LABEL_ONLY:
        options = {"fields": FIELDS, **options}
    convert(src, at / "made.beton", workers=1, **options)
    return records(at / "made.beton")


def page(rows: dict[str, tuple[str, str]]) -> str:
    """docs/sources.md with this table in it."""
    lines = ["| form | pixels and labels | vectors |", "|---|---|---|"]
    lines += [f"| {title} | `{digest}` | {vectors} |" for title, (digest, vectors) in rows.items()]
    text = PAGE.read_text(encoding="utf-8")
    return text[: text.index(BEGIN) + len(BEGIN)] + "\n".join(lines) + "\n" + text[text.index(END) :]


def documented() -> dict[str, tuple[str, str]]:
    """The table of docs/sources.md."""
    text = PAGE.read_text(encoding="utf-8")
    lines = text[text.index(BEGIN) + len(BEGIN) : text.index(END)].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {title: (digest.strip("`"), vectors) for title, digest, vectors in cells}


def measured(place: Path) -> dict[str, tuple[str, str]]:
    """The whole table."""
    truth, rows = Truth(place / "truth"), {}
    for maker in MAKERS:
        at = place / maker.__name__
        at.mkdir()
        rows[TITLES[maker]] = row(maker, truth, at)
    return rows


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        PAGE.write_text(page(measured(Path(name))), encoding="utf-8")
