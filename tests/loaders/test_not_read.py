from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from loaders import convert, open_dataset
from loaders.errors import BadDataset
from loaders.sources.open import open_source
from tests.images import jpeg, picture

PYTHON = r" files are not read: in Python, give `convert` a list"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("photos.zip.001", "join the parts of the archive"),
        ("photos.7z", "unpack the archive"),
        ("x.csv.gz", "unpack the archive"),
        ("coco.json", r"a table of JSON is a \.jsonl file .* COCO's annotations"),
        ("train.txt", r"a table is a \.csv"),
        ("x.H5", f"HDF5{PYTHON}"),
        ("x.npz", f"NumPy{PYTHON}"),
        ("x.rec", f"RecordIO{PYTHON}"),
        ("data.mdb", f"LMDB{PYTHON}"),
        ("a.jpg", "name the folder of the images"),
    ],
)
def test_what_is_not_read_has_a_remedy(tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / name).write_text('{"images": [], "annotations": []}')
    with pytest.raises(ValueError, match=f"{name}: no kind of source recognises it; {told}"):
        open_source(tmp_path / name)
    kind = r"not a manifest of betons .* makes one" if name.endswith("json") else r"not a beton file \(.*\)"
    with pytest.raises(BadDataset, match=f"{name}: {kind}; {told}"):
        open_dataset(tmp_path / name)


def test_a_folder_of_other_files(tmp_path: Path) -> None:
    for name in ("data.mdb", "lock.mdb", "readme"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=rf"nor images \(.*\), but \.mdb files; LMDB{PYTHON}"):
        open_dataset(tmp_path)
    for name in ("1.zip", "2.zip", "3.zip"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"but \.zip files; `efficienttrain convert` reads a single archive"):
        open_dataset(tmp_path)


def test_a_tar_of_class_folders_is_told(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(jpeg(picture(20, 20), "4:2:0"))
    (tmp_path / "0.cls").write_text("0")

    def hints(*names: str) -> tuple[str, ...]:
        with tarfile.open(tmp_path / "x.tar", "w") as tar:
            for name in names:
                tar.add(tmp_path / ("0.cls" if name.endswith("cls") else "1.jpg"), name)
        return convert(tmp_path / "x.tar", tmp_path / "x.beton", workers=1, restart=True).hints

    (first,) = hints("photos/cat/1.jpg", "photos/dog/1.jpg")
    assert first.startswith("read as an archive of an image folder: the classes are its folders in 'photos'; format=")
    first, unlabelled = hints("photos/cat/1.jpg", "photos/cat/2.jpg")
    assert first.startswith("x.tar/photos/cat/1 is in a folder of the tar: if its folders are the classes, convert")
    assert unlabelled.startswith("no label")
    assert hints("photos/1.jpg", "photos/1.cls") == ()
    assert len(hints("1.jpg", "2.jpg")) == len(hints("./1.jpg", "./2.jpg")) == 1
