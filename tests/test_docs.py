"""The Python examples of README.md and docs/loader.md run in the order they are printed; names in docs/ exist."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from loaders import Loader, convert

ROOT = Path(__file__).resolve().parent.parent


def examples(page: str) -> str:
    """All Python blocks of a page, with a page's lines kept, so that errors name the right line."""
    inside, lines = False, []
    for line in (ROOT / page).read_text(encoding="utf-8").splitlines():
        fence = line.startswith("```")
        inside = line == "```python" if fence else inside
        lines.append(line if inside and not fence else "")
    return "\n".join(lines)


@pytest.fixture(scope="module")
def data(jpeg_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the pages name: photos/, train.beton, val.beton. 72 images for training."""
    folder = tmp_path_factory.mktemp("docs")
    for file in sorted(jpeg_folder.rglob("*.jpg")):
        for copy in range(3):
            target = folder / "photos" / file.relative_to(jpeg_folder).with_name(f"{copy}-{file.name}")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(file)
    for split in ("train", "val"):
        convert(folder / "photos" / split, folder / f"{split}.beton")
    return folder


@pytest.mark.parametrize("page", ["README.md", "docs/loader.md"])
def test_the_examples_run(page: str, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torchvision")
    monkeypatch.chdir(data)
    source = examples(page)
    assert "Loader(" in source
    exec(compile(source, page, "exec"), {"__name__": page})


def test_the_table_of_keywords_is_that_of_loader() -> None:
    table = (ROOT / "docs/loader.md").read_text(encoding="utf-8").split("## Keywords")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    names = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(names) == sorted(set(inspect.signature(Loader).parameters) - {"data"})


def test_new_names_of_the_migration_exist_and_old_ones_do_not() -> None:
    table = (ROOT / "docs/migration.md").read_text(encoding="utf-8").split("## `Loader`")[1].split("\n## ")[0]
    rows = [
        [re.search(r"`(\w+)=", cell) for cell in line.split("|")[1:3]] for line in table.splitlines() if "=" in line
    ]
    parameters = inspect.signature(Loader).parameters
    assert rows
    for old, new in rows:
        assert old and new and new[1] in parameters
        assert old[1] == new[1] or old[1] not in parameters


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").glob("*.md")), ids=lambda p: p.name)
def test_links_lead_to_files(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing
