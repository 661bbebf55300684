from __future__ import annotations

import os
from pathlib import Path

import pytest

from loaders.sources import open_dataset, registry
from loaders.sources.image_folder import ImageFolder
from loaders.sources.path_table import Table
from loaders.sources.registry import SOURCES, open_source
from loaders.sources.source import Options, Source


def test_each_kind_has_a_name_of_its_own() -> None:
    names = [kind.format for kind in SOURCES]
    assert len(set(names)) == len(names) > 6


def test_a_kind_can_be_named(jpeg_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "table").write_text("path,label\n")
    with pytest.raises(ValueError, match="no kind of source recognises it; name one by `format`: beton, table"):
        open_source(tmp_path / "table")
    assert len(open_source(jpeg_folder / "train", format="folder")) == 24
    with pytest.raises(ValueError, match=r"`format` must be one of beton, .*, got 'lmdb'"):
        open_source(tmp_path / "table", format="lmdb")
    with pytest.raises(ValueError, match=r"sources have the options split, .*, got sort"):
        open_source(tmp_path / "table", sort=True)
    with pytest.raises(FileNotFoundError, match="none: no such file or folder"):
        open_source(tmp_path / "none")


def test_an_object_with_the_protocol_is_taken_as_it_is(jpeg_folder: Path) -> None:
    source = open_source(jpeg_folder / "train")
    assert isinstance(source, ImageFolder) and isinstance(source, Source)
    assert open_source(source) is source


def test_a_new_kind_is_one_line_for_the_loader_too(
    jpeg_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class List(Table):
        """A table under another ending."""

        format = "list"

        @staticmethod
        def recognises(path: str) -> bool:
            return path.endswith(".lst")

        def __init__(self, path: str, options: Options) -> None:
            os.symlink(path, path + ".csv")
            super().__init__(path + ".csv", options)

    files = sorted((jpeg_folder / "train").rglob("*.jpg"))[:4]
    (tmp_path / "some.lst").write_text("path,label\n" + "".join(f"{file},{k % 2}\n" for k, file in enumerate(files)))
    monkeypatch.setattr(registry, "SOURCES", (*SOURCES, List))
    with open_dataset(tmp_path / "some.lst") as dataset:
        assert dataset.labels([0, 1, 2, 3]).tolist() == [0, 1, 0, 1]
