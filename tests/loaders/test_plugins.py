from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from loaders import Loader, LoaderError, open_dataset, plugins
from loaders.backends import Backend
from loaders.backends.torch import TorchBackend
from loaders.plugins import BACKENDS, FIELDS, SOURCES, STORES, Registry
from loaders.sources import Options, Source, open_source
from loaders.sources.image_folder import ImageFolder
from loaders.sources.path_table import Table
from loaders.storage.store import open_store


@pytest.mark.parametrize("table", [pytest.param(BACKENDS, marks=pytest.mark.ffcv), SOURCES, STORES, FIELDS])
def test_every_name_leads_to_a_part(table: Registry[Any]) -> None:
    assert len(table) >= 4
    assert all(callable(table.find(name)) for name in list(table))


def test_every_source_has_its_interface() -> None:
    assert all(callable(SOURCES.find(name).recognises) for name in SOURCES)


@pytest.mark.ffcv
def test_every_backend_has_its_interface() -> None:
    wanted = {name for name in vars(Backend) if not name.startswith("_")} - {"bad"}
    assert wanted == {"run", "stats", "close"}
    assert all(wanted <= set(dir(BACKENDS.find(name))) for name in BACKENDS)


def test_an_unknown_name_is_answered_by_the_known_ones(beton: Path) -> None:
    with pytest.raises(ValueError, match=r"`backend` must be one of 'torch', 'ffcv', 'dali', 'auto', got 'tf'\."):
        Loader(beton, backend="tf")
    with pytest.raises(ValueError, match=r"`backend` must be one of .*, got \['torch'\]"):
        Loader(beton, backend=["torch"])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"`fields` must be different names out of 'image', 'label', .*, got 'depth'"):
        Loader(beton, fields=("image", "depth"))
    with pytest.raises(ValueError, match="fsspec cannot read this scheme"):
        open_store("none://bucket/file")


def test_a_part_that_cannot_be_imported_is_named() -> None:
    table: Registry[Any] = Registry("backend", {"gone": "no_such_module:Gone", "empty": "loaders.errors:Gone"})
    with pytest.raises(LoaderError, match="backend 'gone' cannot be imported from 'no_such_module:Gone': No module"):
        table.find("gone")
    with pytest.raises(
        LoaderError, match=r"backend 'empty' cannot be imported from 'loaders.errors:Gone': .*attribute"
    ):
        table.find("empty")


def test_without_numba_the_ffcv_backend_says_what_to_install() -> None:
    code = "import sys; sys.modules['numba'] = None; from loaders.plugins import BACKENDS; BACKENDS.find('ffcv')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "LoaderError" in done.stderr and "need FFCV (" in done.stderr


def test_entry_points_are_found_once_and_replace_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def points(group: str) -> list[EntryPoint]:
        asked.append(group)
        return [EntryPoint(name, f"loaders.backends.{name}:{name.title()}Backend", group) for name in ("torch", "auto")]

    monkeypatch.setattr(plugins, "entry_points", points)
    table: Registry[Any] = Registry("backend", {"auto": TorchBackend})
    assert table.find("auto") is TorchBackend and asked == []  # a known name costs no search
    assert table.find("torch") is TorchBackend and asked == ["efficienttrain.backends"]
    assert table.find("auto") is TorchBackend and "mine" not in table and len(asked) == 1


def test_a_source_can_be_named(jpeg_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "table").write_text("path,label\n")
    with pytest.raises(ValueError, match="no kind of source recognises it; name one by `format`: folder, parquet"):
        open_source(tmp_path / "table")
    assert len(open_source(jpeg_folder / "train", format="folder")) == 24
    with pytest.raises(ValueError, match=r"`format` must be one of folder, .*, got 'lmdb'"):
        open_source(tmp_path / "table", format="lmdb")
    with pytest.raises(ValueError, match=r"sources have the options split, .*, got sort"):
        open_source(tmp_path / "table", sort=True)
    for option, remedy in (
        ("labels", "write a table with the columns path and label"),
        ("path_column", "leave it out"),
    ):
        with pytest.raises(ValueError, match=f"`{option}` has no effect .* which has `split`; got 'x'; .*{remedy}"):
            open_source(jpeg_folder / "train", **{option: "x"})
    with pytest.raises(ValueError, match=r"list: `split` has no effect .* which has `image_column` and `label_column`"):
        open_source([(b"", 0)], split="val")
    with pytest.raises(FileNotFoundError, match="none: no such file or folder"):
        open_source(tmp_path / "none")


def test_an_object_with_the_protocol_is_taken_as_it_is(jpeg_folder: Path) -> None:
    source = open_source(jpeg_folder / "train")
    assert isinstance(source, ImageFolder) and isinstance(source, Source)
    assert open_source(source) is source


def test_a_source_that_comes_later_is_asked_first(
    jpeg_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class List(Table):
        """A table in a folder, under another name."""

        @staticmethod
        def recognises(path: str) -> bool:
            return os.path.exists(f"{path}/list.txt")

        def __init__(self, path: str, options: Options) -> None:
            os.symlink(f"{path}/list.txt", f"{path}/list.csv")
            super().__init__(f"{path}/list.csv", options)

    files = sorted((jpeg_folder / "train").rglob("*.jpg"))[:4]
    (tmp_path / "list.txt").write_text("path,label\n" + "".join(f"{file},{k % 2}\n" for k, file in enumerate(files)))
    monkeypatch.setitem(SOURCES, "list", List)
    with open_dataset(tmp_path) as dataset:
        assert dataset.labels([0, 1, 2, 3]).tolist() == [0, 1, 0, 1]
