"""What docs/security.md promises of the sources; each rule is tried on code that breaks it, too."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HOUSES = ("loaders", "efficienttrain", "tools", "benchmarks")
RUNS_CODE = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
"""Modules whose data can run code when they are read."""
CALLS = {"eval", "exec", "compile", "__import__", "execfile"}
SHELLS = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "commands.getoutput"}
CODE_FILES = {"exec_module", "run_path", "run_module"}
MINE = {"efficienttrain/models/build.py", "efficienttrain/custom.py", "efficienttrain/_loaders.py"}
"""Files that run a Python file of the user's own, named by them on the command line: see docs/security.md. The last one
imports the package `loaders` that was installed beside it."""


def dotted(node: ast.expr) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([*([node.id] if isinstance(node, ast.Name) else [""]), *reversed(parts)])


def is_true(call: ast.Call, name: str) -> bool:
    return any(k.arg == name and isinstance(k.value, ast.Constant) and k.value.value is True for k in call.keywords)


def dangers(tree: ast.AST) -> list[str]:
    """What in a source could run code out of data, or a shell."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and dotted(node).split(".")[0] in RUNS_CODE:
            found += [dotted(node)] if not node.attr.endswith("Error") else []  # errors may be caught
        elif isinstance(node, ast.Import):
            found += [name.name for name in node.names if name.asname and name.name.split(".")[0] in RUNS_CODE]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in RUNS_CODE:
            found += [name.name for name in node.names if not name.name.endswith("Error")]
        elif isinstance(node, ast.Call):
            name = dotted(node.func)
            if name in CALLS or name in SHELLS or name.split(".")[-1] in CODE_FILES:
                found.append(name)
            if is_true(node, "shell") or is_true(node, "allow_pickle"):
                found.append(f"{name}(shell or allow_pickle)")
            if name in ("torch.load", "load_state_dict_from_url") and not is_true(node, "weights_only"):
                found.append(f"{name} without weights_only=True")
            if name in ("yaml.load", "yaml.unsafe_load", "yaml.full_load"):
                found.append(f"{name} instead of yaml.safe_load")
    return found


def sources() -> list[Path]:
    return [path for house in HOUSES for path in sorted((ROOT / house).rglob("*.py"))]


def test_nothing_runs_code_out_of_data() -> None:
    found = {path.relative_to(ROOT).as_posix(): dangers(ast.parse(path.read_text())) for path in sources()}
    assert len(found) > 60
    assert {name: what for name, what in found.items() if what and name not in MINE} == {}


def test_no_shell_in_the_kernel() -> None:
    for path in (ROOT / "loaders" / "native").rglob("*"):
        if path.suffix in (".cpp", ".h"):
            text = path.read_text()
            assert not any(call in text for call in ("system(", "popen(", "execv", "execl", "dlopen("))


@pytest.mark.parametrize(
    ("bad", "good"),
    [
        ("pickle.load(file)", "pickle.UnpicklingError"),
        ("import pickle as p", "import json"),
        ("from marshal import loads", "from json import loads"),
        ("torch.load(path)", "torch.load(path, weights_only=True)"),
        ("torch.load(path, weights_only=False)", "torch.load(path, map_location='cpu', weights_only=True)"),
        ("subprocess.run(text, shell=True)", "subprocess.run(['ls'])"),
        ("os.system('ls')", "os.listdir('.')"),
        ("np.load(f, allow_pickle=True)", "np.load(f)"),
        ("yaml.load(f)", "yaml.safe_load(f)"),
        ("spec.loader.exec_module(module)", "spec.loader.get_source(name)"),
        ("from pickle import loads", "from pickle import UnpicklingError"),
        ("eval(text)", "ast.literal_eval(text)"),
    ],
)
def test_each_rule_can_fail(bad: str, good: str) -> None:
    assert dangers(ast.parse(bad))
    assert not dangers(ast.parse(good))
