"""The house rules that a machine can check; each is tried on source that breaks it, too."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parent.parent
HOUSES = ("loaders", "efficienttrain", "benchmarks", "tools", "tests")
CEILINGS = {".py": 400, ".sh": 300, ".cpp": 400, ".h": 400}
RANDOM_MODULES = {"random", "secrets"}


def sources(*houses: str, suffixes: Iterable[str] = (".py",)) -> list[Path]:
    found = [path for house in houses for path in (ROOT / house).rglob("*") if path.suffix in suffixes]
    return sorted(path for path in found if "__pycache__" not in path.parts)


def imported(tree: ast.AST) -> set[str]:
    """Top-level names of all modules imported anywhere in `tree`."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


def mentions_seed(node: ast.AST) -> bool:
    return any(
        (isinstance(part, ast.Name) and "seed" in part.id.lower())
        or (isinstance(part, ast.Attribute) and "seed" in part.attr.lower())
        for part in ast.walk(node)
    )


def seed_sums(tree: ast.AST) -> list[int]:
    """Lines that add to, subtract from or multiply a seed: neighbouring seeds would then share streams."""
    banned = (ast.Add, ast.Sub, ast.Mult)
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.BinOp)
        and isinstance(node.op, banned)
        and (mentions_seed(node.left) or mentions_seed(node.right))
    ]


def free_draws(tree: ast.AST) -> list[int]:
    """Lines that draw random numbers by NumPy or torch; only loaders/plan may."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and (
            (node.value.id in {"np", "numpy"} and node.attr == "random")
            or (node.value.id == "torch" and node.attr in {"rand", "randn", "randint", "randperm", "manual_seed"})
        )
    ]


def door(tree: ast.Module) -> list[str]:
    """The names in `__all__`."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return list(ast.literal_eval(node.value))
    return []


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def where(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_files_stay_short() -> None:
    files = [*sources(*HOUSES, suffixes=CEILINGS), ROOT / "setup.py", ROOT / "Makefile"]
    counts = {where(path): (len(path.read_text().splitlines()), CEILINGS.get(path.suffix, 400)) for path in files}
    assert counts["tests/test_house.py"][0] > 100  # it does count
    assert {name: count for name, (count, ceiling) in counts.items() if count > ceiling} == {}


def test_loaders_import_nothing_above_them() -> None:
    above = {"efficienttrain", "tools", "benchmarks", "tests"}
    found = {where(path): imported(parse(path)) & above for path in sources("loaders")}
    assert {name: names for name, names in found.items() if names} == {}


def test_efficienttrain_imports_loaders_in_one_place_and_by_its_doors() -> None:
    users = [where(path) for path in sources("efficienttrain") if "loaders" in imported(parse(path))]
    assert users == ["efficienttrain/_loaders.py"]
    nodes = ast.walk(parse(ROOT / users[0]))
    typed = {node.names[0].name: node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    typed = {name: module for name, module in typed.items() if module.startswith("loaders")}
    from efficienttrain import _loaders

    assert {f"loaders{door}" for door in _loaders.DOORS} == set(typed.values())
    for name, module in typed.items():
        assert getattr(_loaders, name) is getattr(importlib.import_module(module), name)


def same_names(paths: Iterable[str]) -> list[list[str]]:
    """Files with one base name, leaving out packages' own files, commands, and the same part of several backends."""
    groups: dict[str, list[str]] = {}
    for path in map(PurePosixPath, paths):
        if path.stem not in ("__init__", "__main__") and "commands" not in path.parts:
            group = groups.setdefault(path.name, [])
            if not (path.parts[1:2] == ("backends",) and any("/backends/" in other for other in group)):
                group.append(path.as_posix())
    return [group for group in groups.values() if len(group) > 1]


def test_no_two_files_share_a_name() -> None:
    assert same_names(where(path) for path in sources("loaders", "efficienttrain")) == []


def test_the_rule_of_names_can_fail() -> None:
    assert same_names(["loaders/batch.py", "efficienttrain/training/batch.py"]) != []
    assert same_names(["loaders/backends/ffcv/backend.py", "loaders/backends/dali/backend.py"]) == []
    assert same_names(["loaders/backends/ffcv/crop.py", "loaders/plan/crop.py"]) != []
    assert same_names(["efficienttrain/commands/train.py", "efficienttrain/training/train.py"]) == []


def test_randomness_is_keyed_never_added() -> None:
    assert {where(path): seed_sums(parse(path)) for path in sources("loaders") if seed_sums(parse(path))} == {}


def test_only_the_plan_draws() -> None:
    outside = [path for path in sources("loaders") if "plan" not in path.relative_to(ROOT).parts]
    assert {where(path): free_draws(parse(path)) for path in outside if free_draws(parse(path))} == {}
    assert [where(path) for path in sources("loaders") if imported(parse(path)) & RANDOM_MODULES] == []


def test_doors_are_sorted() -> None:
    doors = {where(path): door(parse(path)) for path in sources(*HOUSES) if path.name == "__init__.py"}
    assert doors["efficienttrain/__init__.py"]  # it does look
    assert {name: names for name, names in doors.items() if names != sorted(names)} == {}


def test_changelog_has_an_unreleased_block() -> None:
    assert "\n## Unreleased\n" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize(
    ("rule", "bad", "good"),
    [
        (seed_sums, "rng = Philox(key=seed + index)", "rng = Philox(key=[seed, index])"),
        (seed_sums, "key = self.seed * 31", "count = count + 1"),
        (free_draws, "x = np.random.rand()", "x = words(seed, epoch, indices)"),
        (free_draws, "order = torch.randperm(9)", "order = torch.arange(9)"),
        (imported, "from benchmarks.measure import run", ""),
    ],
)
def test_each_rule_can_fail(rule: Callable[[ast.AST], object], bad: str, good: str) -> None:
    assert rule(ast.parse(bad))
    assert not rule(ast.parse(good))
