from __future__ import annotations

from pathlib import Path

import pytest

from loaders.sources.image_folder import ImageFolder
from loaders.sources.registry import SOURCES, open_source
from loaders.sources.source import Source


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
