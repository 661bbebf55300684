from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.evidence.arms import ABLATIONS, BASELINE, FLAT, MAIN, arms, curriculum_of
from efficienttrain.recipe import recipe


def test_every_arm_is_compared_with_another_arm() -> None:
    every = {arm.name: arm for arm in arms(True, ())}
    assert len(every) == len(MAIN) + len(ABLATIONS)
    for arm in every.values():
        assert arm.against in every and (arm == BASELINE) == (arm.against == arm.name)


@pytest.mark.parametrize("arm", [arm for arm in ABLATIONS if arm.against != BASELINE.name], ids=lambda arm: arm.name)
def test_an_ablation_changes_one_thing_of_the_arm_it_is_compared_with(arm: object) -> None:
    assert isinstance(arm, type(BASELINE))
    other = {each.name: each for each in arms(True, ())}[arm.against]
    assert arm.compute == other.compute
    changed = {key for key in {*arm.options, *other.options} if arm.options.get(key) != other.options.get(key)}
    assert len(changed) + (arm.curriculum != other.curriculum) == 1


def test_the_flat_curriculum_is_the_models_own_with_one_magnitude(tmp_path: Path) -> None:
    flat = next(arm for arm in ABLATIONS if arm.curriculum == FLAT)
    got = recipe("deit_small_patch16_224", 30, curriculum_of(flat, "deit_small_patch16_224", 30, tmp_path)).stages
    assert [(stage.resolution, stage.magnitude, round(stage.compute, 6)) for stage in got] == [
        (96, 9, 0.2), (160, 9, 0.4), (192, 9, 0.2), (224, 9, 0.2),
    ]  # fmt: skip
    assert curriculum_of(replace(flat, curriculum="none"), "any", 30, tmp_path) == "none"


def test_curricula_of_the_user_are_arms_named_as_their_files(tmp_path: Path) -> None:
    paths = [tmp_path / "a" / "found.yaml", tmp_path / "b" / "found.yaml"]
    for path in paths:
        path.parent.mkdir()
        path.write_text("stages: []")
    *_, last = arms(False, [str(paths[0])])
    assert (last.name, last.curriculum) == ("found", str(paths[0]))
    with pytest.raises(ValueError, match="files of different names"):
        arms(False, [*map(str, paths)])
    with pytest.raises(FileNotFoundError, match="`--curricula` takes files"):
        arms(False, [str(tmp_path / "none.yaml")])
