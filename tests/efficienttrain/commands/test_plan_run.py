from __future__ import annotations

import pytest

from efficienttrain.__main__ import main

PLAN = ["plan-run", "--images", "14e6", "--model", "deit_small_patch16_224", "--gpu-rate", "900"]


def test_each_input_is_labelled(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*PLAN, "--nodes", "16", "--gpus", "8", "--storage", "s3", "--image-kb", "90"]) == 0
    told = capsys.readouterr().out
    inputs = told.split("Inputs\n")[1].split("\n\n")[0].splitlines()
    assert {line.split()[-1] for line in inputs} <= {"given", "assumed"} | {
        line.split()[-1] for line in inputs if "measured: " in line
    }
    assert "image size               90 kB" in told and "measured: convert_" in told
    assert "Object store" in told and "[assumed: " in told


def test_a_default_is_not_called_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*PLAN, "--gpus", "8"]) == 0
    inputs = capsys.readouterr().out.split("Inputs\n")[1].split("\n\n")[0]
    found = {line.split()[0]: line.split()[-1] for line in inputs.splitlines()}
    assert (found["images"], found["nodes"], found["GPUs"], found["processors"]) == (
        "given", "default", "given", "assumed"
    )  # fmt: skip


def test_a_local_run_needs_no_prices(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(PLAN) == 0
    told = capsys.readouterr().out
    assert "price" not in told and "network" not in told and "disk of each node" in told


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--images", "0"], "`images` must be at least 1, got 0"),
        (["--images", "inf"], "`images` must be a finite number, got inf"),
        (["--images", "nan"], "`images` must be a finite number, got nan"),
        (["--gpu-rate", "inf"], "`gpu-rate` must be a finite number, got inf"),
        (["--image-kb", "nan"], "`image-kb` must be a finite number, got nan"),
        (["--gpu-rate", "0"], "`gpu-rate` must be positive, got 0"),
        (["--image-kb", "-1"], "`image-kb` must be positive, got -1"),
        (["--rates", "none.json"], "none.json"),
    ],
)
def test_wrong_options_are_one_line(options: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*PLAN, *options]) == 2
    line = capsys.readouterr().err
    assert line.startswith("error: ") and told in line and line.count("\n") == 1
