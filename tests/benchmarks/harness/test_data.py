"""What contestants are given: all images, as often as asked for, under names that class folders keep."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from benchmarks.harness.data import find, gather, warm


def test_few_images_are_repeated_as_copies(jpeg_folder: Path, tmp_path: Path) -> None:
    data = gather(str(jpeg_folder / "train"), tmp_path, records=60)
    files = find(data.folder)
    assert (len(files), data.records, data.images, data.name) == (60, 60, 24, "train")
    assert not any(file.is_symlink() for file in files)
    contents = Counter(file.read_bytes() for file in files)
    assert len(contents) == 24
    assert set(contents.values()) == {2, 3}
    assert data.mean_bytes == sum(map(len, contents.elements())) / 60
    source = {file.relative_to(jpeg_folder / "train").parts[0] for file in find(jpeg_folder / "train")}
    assert {file.relative_to(data.folder).parts[0] for file in files} == source
    warm(data)


def test_the_folder_is_made_once_for_the_same_images(jpeg_folder: Path, tmp_path: Path) -> None:
    first = gather(str(jpeg_folder / "train"), tmp_path, records=25)
    mark = find(first.folder)[0]
    mark.write_bytes(b"kept")
    assert gather(str(jpeg_folder / "train"), tmp_path, records=25).folder == first.folder
    assert mark.read_bytes() == b"kept"
    assert gather(str(jpeg_folder / "train"), tmp_path, records=25, limit=5).folder != first.folder


def test_a_limit_takes_an_even_selection(jpeg_folder: Path, tmp_path: Path) -> None:
    data = gather(str(jpeg_folder / "train"), tmp_path, records=0, limit=3)
    assert data.records == data.images == 3
    assert len({file.parent for file in find(data.folder)}) == 3


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="`--data` must be a local image folder, beton or manifest"):
        gather(str(tmp_path / "nothing"), tmp_path, records=0)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="holds no such image"):
        gather(str(tmp_path / "empty"), tmp_path, records=0)


def test_a_folder_that_is_taken_whole_is_not_copied(jpeg_folder: Path, tmp_path: Path) -> None:
    data = gather(str(jpeg_folder / "train"), tmp_path, records=24)
    assert data.folder == (jpeg_folder / "train").resolve()
    assert data.records == 24


def test_a_beton_is_written_out_for_those_who_read_files(jpeg_folder: Path, tmp_path: Path) -> None:
    from loaders import convert, open_dataset

    beton = tmp_path / "train.beton"
    convert(jpeg_folder / "train", beton, workers=1)
    data = gather(str(beton), tmp_path / "work", records=0)
    with open_dataset(beton) as dataset:
        assert [file.read_bytes() for file in find(data.folder)] == [dataset.read(i) for i in range(24)]
    assert data.pyramid == beton
    assert "--folder" in data.note
    # More records than it holds: one of the repeated images has to be made.
    assert gather(str(beton), tmp_path / "work", records=30).pyramid != beton
    given = gather(str(beton), tmp_path / "work", records=0, folder=str(jpeg_folder / "train"))
    assert (given.folder, given.pyramid, given.note) == ((jpeg_folder / "train").resolve(), beton, "")
