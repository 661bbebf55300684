"""The examples of CONTRIBUTING.md run as they are printed; each part is a file of a package outside of this project."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import torch

from loaders import Loader, convert, open_dataset, plugins
from tests.contract import check_resume, digest

PAGE = Path(__file__).resolve().parent.parent / "CONTRIBUTING.md"
TABLES: tuple[plugins.Registry[Any], ...] = (plugins.SOURCES, plugins.STORES, plugins.FIELDS, plugins.BACKENDS)


def blocks() -> list[tuple[int, str]]:
    """The page's Python blocks, each with its line number."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [(text.count("\n", 0, match.start(1)), match[1]) for match in found]


@pytest.fixture(scope="module")
def page(jpeg_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The variables that the page leaves. It runs in a folder with photos/, photos.zip and data/."""
    at, variables = tmp_path_factory.mktemp("contributing"), {"__name__": "contributing"}
    shutil.copytree(jpeg_folder / "train", at / "photos")
    with ZipFile(at / "photos.zip", "w", strict_timestamps=False) as file:
        for path in sorted((at / "photos").rglob("*.jpg")):
            file.write(path, path.relative_to(at / "photos"))
    (at / "data").mkdir()
    convert(at / "photos", at / "data" / "train-0.beton", workers=1)
    tables = [dict(table) for table in TABLES]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(at)
        patch.syspath_prepend(at)
        for line, block in blocks():
            first = block.split("\n", 1)[0]
            if first.startswith("# my_package/"):
                module = at / first.removeprefix("# ")
                module.parent.mkdir(exist_ok=True)
                module.write_text(block)
            else:
                exec(compile("\n" * line + block, str(PAGE), "exec"), variables)
        yield variables
        for value in variables.values():
            if isinstance(value, Loader):
                value.close()
    for table, before in zip(TABLES, tables, strict=True):
        table.clear()
        table.update(before)
    for name in [name for name in sys.modules if name.split(".")[0] == "my_package"]:
        del sys.modules[name]


@pytest.mark.usefixtures("page")
def test_every_kind_of_part_is_shown() -> None:
    added = [name for table in TABLES for name, part in table.items() if "my_package" in _module(part)]
    assert sorted(added) == ["class_name", "disk", "one_by_one", "zip"]


def test_the_source_gives_the_batches_of_its_folder(page: dict[str, Any]) -> None:
    with Loader("photos", batch_size=8, resolution=96) as folder, Loader("photos.beton", batch_size=8) as converted:
        assert digest(page["direct"]) == digest(list(folder))
        assert converted.classes == folder.classes and converted.source.name(0) == "class000/000000.jpg"


def test_the_store_gives_the_batches_of_its_files(page: dict[str, Any]) -> None:
    with Loader("data/train-0.beton", batch_size=8, resolution=96) as local:
        assert digest(page["stored"]) == digest(list(local))
    with pytest.raises(FileNotFoundError, match="no object of that pattern"):
        open_dataset("disk://data/val-*.beton")
    with pytest.raises(plugins.LoaderError, match="no such file"):
        open_dataset("disk://data/none.beton")


def test_the_transform_changes_some_images_and_resumes(page: dict[str, Any]) -> None:
    augment, invert, normalise = page["augment"], page["RandomInvert"](0.5), page["normalise"]
    with Loader("photos", batch_size=8, transforms=[augment, normalise]) as plain:
        pairs = list(zip(page["inverted"], plain, strict=True))
        changed = [bool((a != b).any()) for (left, _), (right, _) in pairs for a, b in zip(left, right, strict=True)]
    assert 0 < sum(changed) < len(changed) == 24
    check_resume(lambda: Loader("photos", batch_size=8, transforms=[augment, invert, normalise], resolution=32), at=2)


def test_the_field_names_classes(page: dict[str, Any]) -> None:
    with Loader("photos", batch_size=8, resolution=96) as plain:
        wanted = [[plain.classes[label] for label in labels] for _, labels in plain]
    assert [names for _, names in page["named"]] == wanted


def test_the_backend_keeps_the_contract(page: dict[str, Any]) -> None:
    with Loader("photos", batch_size=8, resolution=96) as plain:
        assert digest(page["slow"]) == digest(list(plain))
    check_resume(lambda: Loader("photos", batch_size=8, backend="one_by_one", magnitude=9, erase=0.5), at=2)
    assert torch.is_tensor(next(iter(page["slow"]))[0])  # an early end


def _module(part: Any) -> str:
    return part if isinstance(part, str) else part.__module__
