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


RELEASED = ("docs/constants.md", "docs/finetuning.md")
"""Pages that also name files of the released code, without a folder."""


def named_files(page: str, text: str) -> set[str]:
    """Files and folders of this project that a page names in code spans, and in the map of architecture.md."""
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    spans = set(re.findall(r"`([\w./-]+)`", prose))
    named = {span for span in spans if re.search(r"\w\.(py|h|cpp|sh)$", span)}
    if page in RELEASED:
        named = {span for span in named if "/" in span}
    named |= {
        span for span in spans if re.match(r"(loaders|efficienttrain|benchmarks|tests|tools|docs|examples)/", span)
    }
    for block in re.findall(r"```\n(.*?)```", text, flags=re.DOTALL) if page == "docs/architecture.md" else ():
        named |= set(re.findall(r"[\w/]+\.(?:py|h)\b|\b\w+/(?=[\s,])|loaders/[\w/.]*\w", block))
    return {name.rstrip("/") for name in named}


def absent(names: set[str]) -> list[str]:
    """Those that are neither a path from the project's folder nor the end of one."""
    houses = [ROOT / name for name in ("loaders", "efficienttrain", "benchmarks", "tests", "tools", "docs", "examples")]
    found = [*ROOT.iterdir(), *(path for house in houses for path in house.rglob("*"))]
    paths = {path.relative_to(ROOT).as_posix() for path in found}
    return sorted(name for name in names if not any(f"/{path}".endswith(f"/{name}") for path in paths))


PAGES = [path for folder in (".", "docs", "benchmarks", "examples") for path in sorted((ROOT / folder).glob("*.md"))]


@pytest.mark.parametrize("page", [path.relative_to(ROOT).as_posix() for path in PAGES if path.name != "CHANGELOG.md"])
def test_files_that_pages_name_exist(page: str) -> None:
    names = named_files(page, (ROOT / page).read_text(encoding="utf-8"))
    assert absent(names) == []
    assert len(names) > 30 or page != "docs/architecture.md"


def test_a_file_that_is_not_there_is_found() -> None:
    assert absent(named_files("docs/x.md", "`loaders/none.py`, `slab.py`, `loader.py` and `train.beton`")) == [
        "loaders/none.py",
        "slab.py",
    ]
