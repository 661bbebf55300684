from __future__ import annotations

from pathlib import Path

import pytest

from efficienttrain import Stage, recipe

YAML = """
drop_path: 0.25
lr: 1e-3          # YAML 1.1 reads this as a word
ema: null
batch: 1024
stages:
  - {resolution: 96, magnitude: null, compute: 0.5, batch: 2048}
  - {resolution: 224, magnitude: 7.5, compute: 0.5}
"""
PYTHON = """
from efficienttrain import Stage
RECIPE = {"stages": [Stage(side, 5, 1 / 4) for side in (64, 96, 160, 224)], "micro_batch": [8, 8, 4, 4]}
"""


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_a_yaml_file_changes_what_it_names(tmp_path: Path) -> None:
    made = recipe("convnext_tiny", 200, write(tmp_path / "mine.yaml", YAML))
    assert made.stages == (Stage(96, None, 0.5, batch=2048), Stage(224, 7.5, 0.5))
    assert (made.drop_path, made.lr, made.ema, made.batch) == (0.25, 1e-3, None, 1024)
    assert (made.amp, made.weight_decay) == (False, 0.05)  # ConvNeXt's


def test_a_python_file_does_too(tmp_path: Path) -> None:
    made = recipe("resnet50", 200, write(tmp_path / "mine.py", PYTHON))
    assert [stage.resolution for stage in made.stages] == [64, 96, 160, 224]
    assert made.micro_batch == (8, 8, 4, 4)


def test_without_stages_the_models_own_are_kept(tmp_path: Path) -> None:
    made = recipe("convnext_tiny", 200, write(tmp_path / "mine.yml", "weight_decay: 0.1"))
    assert made.stages == recipe("convnext_tiny", 200).stages
    assert made.weight_decay == 0.1


@pytest.mark.parametrize(
    ("name", "text", "names"),
    [
        ("a.yaml", "", "must hold a mapping with `stages`"),
        ("a.yaml", "- 1", "must hold a mapping"),
        ("a.yaml", "lr: [", "not YAML: "),
        ("a.yaml", "learning_rate: 1", "`learning_rate` is not known here"),
        ("a.yaml", "dropp_path: 1", "did you mean `drop_path`"),
        ("a.yaml", "epochs: 1", "`epochs` is not known here"),
        ("a.yaml", "lr: fast", "`lr` must be a number, got 'fast'"),
        ("a.yaml", "lr: -1.0", "`lr` must be more than 0, got -1.0"),
        ("a.yaml", "amp: 1", "`amp` must be true or false, got 1"),
        ("a.yaml", "stages: 3", "`stages` must be a list"),
        ("a.yaml", "stages: [3]", "stage 0: must be a mapping"),
        ("a.yaml", "stages: [{resolution: 96, compute: 1}]", "stage 0: `magnitude` is missing"),
        ("a.yaml", "stages: [{resolution: 97, magnitude: 1, compute: 1}]", "stage 0: `resolution` must be an even"),
        ("a.yaml", "stages: [{resolution: 9.6, magnitude: 1, compute: 1}]", "`resolution` must be a whole number"),
        ("a.yaml", "stages: [{resolution: 96, magnitude: 1, compute: 0.5}]", "must add up to 1, got 0.5"),
        ("a.py", "x = 1", "must define `RECIPE`"),
        ("a.py", "1 / 0", "ZeroDivisionError"),
        ("a.py", "RECIPE = {'stages': [", "SyntaxError"),
    ],
)  # fmt: skip
def test_a_file_that_is_none_is_refused_in_one_line(tmp_path: Path, name: str, text: str, names: str) -> None:
    path = write(tmp_path / name, text)
    with pytest.raises(ValueError) as refusal:
        recipe("resnet50", 200, path)
    assert names in str(refusal.value)
    assert str(refusal.value).startswith(f"{path}: ")
    assert "\n" not in str(refusal.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no curriculum at"):
        recipe("resnet50", 200, str(tmp_path / "none.yaml"))
