"""The commands in an installation without extras: those that need one name it, in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from loaders import convert
from loaders.requirements import LIBRARIES

RUN = """
import contextlib, io, json, sys

words, absent = json.loads(sys.argv[1])


class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Blocker())
from efficienttrain.__main__ import main

results = []
for command in words:
    errors = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
        status = main(command.split())
    results.append([status, errors.getvalue()])
print(json.dumps(results))
"""
TRAIN = "--data train.beton --val train.beton --model resnet18 --epochs 1 --out run --device cpu"
NEED_TRAIN = (
    f"train {TRAIN}",
    f"finetune {TRAIN} --init weights.pt",
    "pretrain --data train.beton --model vit_tiny_patch16_224 --epochs 1 --out run --device cpu",
    "evaluate --data train.beton --model resnet18 --device cpu",
    f"search --algorithm greedy --out found -- {TRAIN.replace('--out run', '')}",
    "schedule --model resnet50 --png s.png",
)
NEED_NOTHING = (
    "convert train.beton again.beton --quiet",
    "verify train.beton --quiet",
    "inspect train.beton",
    "inspect train.beton --html page.html",
    "extract train.beton half.beton --level 1",
    "schedule --model resnet50 --epochs 100",
    "doctor",
)


@pytest.fixture(scope="module")
def results(jpeg_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    folder = tmp_path_factory.mktemp("bare")
    convert(jpeg_folder / "train", folder / "train.beton")
    commands = (*NEED_TRAIN, *NEED_NOTHING)
    given = json.dumps([commands, [library.module for library in LIBRARIES]])
    root = Path(__file__).resolve().parents[3]
    script = f"import sys; sys.path.insert(0, {str(root)!r})\n{RUN}"
    done = subprocess.run([sys.executable, "-c", script, given], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(zip(commands, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("command", NEED_TRAIN)
def test_a_missing_library_is_one_line_with_the_remedy(results: dict[str, tuple[int, str]], command: str) -> None:
    status, errors = results[command]
    last = errors.splitlines()[-1]
    assert status == 2 and "Traceback" not in errors
    assert last.startswith(f"error: `efficienttrain {command.split()[0]}` needs ")
    assert last.endswith("which is not installed; pip install 'efficienttrain[train]'.")


@pytest.mark.parametrize("command", NEED_NOTHING)
def test_other_commands_work(results: dict[str, tuple[int, str]], command: str) -> None:
    assert results[command] == [0, ""]
