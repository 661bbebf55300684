from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from loaders.errors import BadDataset
from loaders.sources.imagenet import ImageNet
from loaders.sources.open import open_source


def tar(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as file:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return out.getvalue()


@pytest.fixture
def train(tmp_path: Path) -> Path:
    path = tmp_path / "anything.tar"
    classes = {f"n{k}.tar": tar({f"n{k}_{j}.JPEG": b"%d%d" % (k, j) * 300 for j in (2, 1)}) for k in (20, 10)}
    path.write_bytes(tar(classes))
    return path


def test_a_tar_of_tars_is_told_by_its_content(train: Path) -> None:
    source = open_source(train)
    assert isinstance(source, ImageNet) and source.classes == ["n10", "n20"]
    samples = list(source.samples())
    assert [sample.name for sample in samples] == [
        "n10/n10_1.JPEG",
        "n10/n10_2.JPEG",
        "n20/n20_1.JPEG",
        "n20/n20_2.JPEG",
    ]
    assert [sample.values["label"] for sample in samples] == ["n10", "n10", "n20", "n20"]
    assert [sample.image.read()[:3] for sample in samples] == [b"101", b"102", b"201", b"202"]  # type: ignore[union-attr]
    assert [sample.name for sample in source.samples(3)] == ["n20/n20_2.JPEG"]


def test_damage_is_told(train: Path) -> None:
    data = train.read_bytes()
    train.write_bytes(data[:3000])
    with pytest.raises(BadDataset, match=r"anything.tar: (not a valid tar file|cut short)"):
        open_source(train, format="imagenet")
    at = data.index(b"n10_2.JPEG")
    train.write_bytes(data[: at + 124] + b"\xff" + data[at + 125 :])
    with pytest.raises(BadDataset, match=r"anything.tar: its class tar at byte [0-9]+ is damaged"):
        open_source(train)


def test_a_tar_without_its_end_is_told(train: Path) -> None:
    """Cut behind a whole member, it would lose the classes or images behind without a word."""
    with tarfile.open(train) as file:
        end = file.getmembers()[-1].offset_data + file.getmembers()[-1].size
    train.write_bytes(train.read_bytes()[:end])
    with pytest.raises(BadDataset, match=r"anything\.tar: cut short after a whole member"):
        open_source(train, format="imagenet")
    inner = tar({"n10_1.JPEG": b"x" * 600})
    train.write_bytes(tar({"n10.tar": inner[: 3 * 512], "n20.tar": tar({"n20_1.JPEG": b"y"})}))
    with pytest.raises(BadDataset, match=r"anything\.tar, class tar at byte 512: .*(cut short|data behind)"):
        open_source(train)


def test_validation_images_need_labels(tmp_path: Path) -> None:
    path, labels = tmp_path / "ILSVRC2012_img_val.tar", tmp_path / "labels.csv"
    path.write_bytes(tar({"ILSVRC2012_val_00000001.JPEG": b"x", "ILSVRC2012_val_00000002.JPEG": b"y"}))
    with pytest.raises(ValueError, match="the validation images need `labels`"):
        open_source(path)
    labels.write_bytes(b"ILSVRC2012_val_00000001.JPEG,n2\xb0\n")
    with pytest.raises(BadDataset, match=r"labels\.csv: is not UTF-8"):
        open_source(path, labels=str(labels))
    labels.write_text("ILSVRC2012_val_00000001.JPEG,n20\n")
    with pytest.raises(ValueError, match=r"ILSVRC2012_val_00000002\.JPEG has no label in"):
        open_source(path, labels=str(labels))
    labels.write_text("ILSVRC2012_val_00000001.JPEG,n20\nILSVRC2012_val_00000002.JPEG,n10\n")
    samples = list(open_source(path, labels=str(labels)).samples())
    assert [sample.name for sample in samples] == [
        "n10/ILSVRC2012_val_00000002.JPEG",
        "n20/ILSVRC2012_val_00000001.JPEG",
    ]
    boxes = "n10 111 108 230 163 n10 0 0 9 9 \n"
    labels.write_text(
        f"ImageId,PredictionString\nILSVRC2012_val_00000001,n20 1 2 3 4 \nILSVRC2012_val_00000002,{boxes}"
    )
    assert list(open_source(path, labels=str(labels)).samples()) == samples


def test_labels_of_the_devkit(tmp_path: Path) -> None:
    io_module = pytest.importorskip("scipy.io")
    import numpy as np

    kinds = np.dtype([("ILSVRC2012_ID", "O"), ("WNID", "O"), ("num_children", "O")])
    synsets = np.array([(1, "n30", 0), (2, "n20", 0), (3, "n00", 2)], kinds).reshape(-1, 1)
    meta = io.BytesIO()
    io_module.savemat(meta, {"synsets": synsets})
    files = {"kit/data/meta.mat": meta.getvalue(), "kit/data/ILSVRC2012_validation_ground_truth.txt": b"2\n1\n"}
    (tmp_path / "devkit.tar.gz").write_bytes(tar(files))
    (tmp_path / "damaged.tar.gz").write_bytes(tar(files)[:2000])
    path = tmp_path / "ILSVRC2012_img_val.tar"
    path.write_bytes(tar({"ILSVRC2012_val_00000001.JPEG": b"x", "ILSVRC2012_val_00000002.JPEG": b"y"}))
    source = open_source(path, labels=str(tmp_path / "devkit.tar.gz"))
    assert [(s.name[-6], s.values["label"]) for s in source.samples()] == [("1", "n20"), ("2", "n30")]
    with pytest.raises(BadDataset, match=r"damaged\.tar\.gz: not a valid devkit"):
        open_source(path, labels=str(tmp_path / "damaged.tar.gz"))
