"""The examples of pages that need no other library run in the order they are printed; names on all pages exist."""

from __future__ import annotations

import ast
import builtins
import inspect
import json
import re
from pathlib import Path

import pytest

from efficienttrain.console import discover, parser_of
from loaders import Loader, convert
from tests.command_lines import command_lines

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    path.relative_to(ROOT).as_posix()
    for folder in (".", "docs", "benchmarks", "examples")
    for path in sorted((ROOT / folder).glob("*.md"))
    if path.name != "CHANGELOG.md"
]


def blocks(text: str, *languages: str) -> str:
    """All blocks of a page in these languages, with the page's lines kept, so that errors name the right line."""
    language, lines = None, []
    for line in text.splitlines():
        fence = line.startswith("```")
        if fence:
            language = line[3:] if language is None else None
        lines.append(line if language in languages and not fence else "")
    return "\n".join(lines) + "\n"


def examples(page: str) -> str:
    """All Python blocks of a page."""
    return blocks((ROOT / page).read_text(encoding="utf-8"), "python")


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


@pytest.fixture(scope="module")
def lists(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the data sets that docs/sources.md names, of a few images each, and photos/."""
    folder = tmp_path_factory.mktemp("lists")
    (folder / "photos").symlink_to(data / "photos")
    pictures = sorted((data / "photos" / "train").rglob("*.jpg"))[:6]
    places = ("CUB_200_2011/images/a", "food-101/images/pie", "oxford-pets/images", "val", "train2017", "scans")
    tiny = ("tiny-imagenet-200/train/n1/images", "tiny-imagenet-200/train/n2/images", "tiny-imagenet-200/val/images")
    kaggle = tuple(f"ILSVRC/Data/CLS-LOC/{part}" for part in ("train/n1", "train/n2", "val"))
    for place in (*places, *tiny, *kaggle):
        (folder / place).mkdir(parents=True)
        for k, picture in enumerate(pictures):
            (folder / place / (f"{k}.jpg" if place in places else f"{k}.JPEG")).symlink_to(picture)
    faces = [f'{file.relative_to(data / "photos")},x,3,30,"{[0.5] * 40}"\n' for file in pictures for _ in range(11)]
    coco = {
        "images": [{"id": k, "file_name": f"{k}.jpg"} for k in range(6)],
        "annotations": [{"image_id": k % 4, "bbox": [1, 2, 30, 20], "category_id": k} for k in range(8)],
    }
    texts = {
        "CUB_200_2011/images.txt": "".join(f"{k + 1} a/{k}.jpg\n" for k in range(6)),
        "CUB_200_2011/image_class_labels.txt": "".join(f"{k + 1} {k % 2 + 1}\n" for k in range(6)),
        "CUB_200_2011/train_test_split.txt": "".join(f"{k + 1} {k % 3 and 1}\n" for k in range(6)),
        "CUB_200_2011/classes.txt": "1 001.Albatross\n2 002.Wren\n",
        "food-101/meta/train.txt": "".join(f"pie/{k}\n" for k in range(6)),
        "oxford-pets/annotations/trainval.txt": "#Image CLASS-ID\n"
        + "".join(f"{k} {k % 2 + 1} 1 1\n" for k in range(6)),
        "tiny-imagenet-200/wnids.txt": "n2\nn1\n",
        "tiny-imagenet-200/val/val_annotations.txt": "".join(
            f"{k}.JPEG\tn{k % 2 + 1}\t0\t32\t44\t62\n" for k in range(6)
        ),
        "LOC_val_solution.csv": "ImageId,PredictionString\n"
        + "".join(f"{k},n{k % 2 + 1} 111 108 230 163 \n" for k in range(6)),
        "val_labels.txt": "0\n1\n" * 3,
        "tags.csv": "path,tags\n" + "".join(f"{file},{'cat;dog' * (k % 2)}\n" for k, file in enumerate(pictures)),
        "instances_train2017.json": json.dumps(coco),
        "faces.csv": "path,kind,id,age,attributes\n" + "".join(faces),
    }
    for name, text in texts.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("page", ["README.md", "docs/loader.md", "docs/ops.md", "docs/sources.md"])
def test_the_examples_run(page: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torchvision")
    monkeypatch.chdir(request.getfixturevalue("lists" if page == "docs/sources.md" else "data"))
    source = examples(page)
    assert "Loader(" in source
    variables = {"__name__": page}
    exec(compile(source, page, "exec"), variables)
    for value in variables.values():
        if isinstance(value, Loader):
            value.close()


OWN = {"docs/your_loop.md": {"model", "module", "optimizer"}}
"""Names that a page leaves to its reader."""


def undefined(source: str) -> set[str]:
    """Names that Python code reads but neither imports nor binds, anywhere. Raises SyntaxError."""
    bound, read = set(dir(builtins)), set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name):
            (read if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.alias):
            bound.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
    return read - bound


@pytest.mark.parametrize("page", PAGES)
def test_a_page_defines_the_names_that_its_examples_use(page: str) -> None:
    assert undefined(examples(page)) == OWN.get(page, set())


def test_an_undefined_name_is_found() -> None:
    assert undefined("import a.b\n\ndef f(x):\n    y = [z for z in x]\n    return a, y, torch.zeros(mean)") == {
        "torch",
        "mean",
    }


def refused(shown: list[tuple[str, list[str]]]) -> list[str]:
    """Those commands that their own parsers refuse."""
    commands, found = discover("efficienttrain.commands"), []
    for name, words in shown:
        try:
            if "|" not in words:  # a list of commands
                parser_of("efficienttrain", name, commands[name]).parse_args(words)
        except (KeyError, SystemExit):
            found.append(" ".join((name, *words)))
    return found


def test_the_commands_of_all_pages_are_valid() -> None:
    shown = command_lines("".join(blocks((ROOT / page).read_text(encoding="utf-8"), "", "bash") for page in PAGES))
    assert len(shown) > 50
    assert refused(shown) == []


def test_a_command_that_is_refused_is_found() -> None:
    page = "```\nefficienttrain verify a.beton   twice\nefficienttrain fly\nefficienttrain verify ... --threads\n```\n"
    assert refused(command_lines(blocks(page, ""))) == ["fly", "verify a.beton --threads"]


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


@pytest.mark.parametrize("page", PAGES)
def test_files_that_pages_name_exist(page: str) -> None:
    names = named_files(page, (ROOT / page).read_text(encoding="utf-8"))
    assert absent(names) == []
    assert len(names) > 30 or page != "docs/architecture.md"


def test_a_file_that_is_not_there_is_found() -> None:
    assert absent(named_files("docs/x.md", "`loaders/none.py`, `slab.py`, `loader.py` and `train.beton`")) == [
        "loaders/none.py",
        "slab.py",
    ]
