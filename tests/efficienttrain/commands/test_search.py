from __future__ import annotations

from pathlib import Path

import pytest

from efficienttrain.__main__ import main
from efficienttrain.commands import search
from efficienttrain.recipe import recipe

TOYS = "tests.efficienttrain.search.toys"
SMALL = ["--stages", "2", "--resolutions", "96", "224"]


def test_a_dry_run_says_what_it_would_cost(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--data", "a", "--model", "resnet50", "--val", "b", "--epochs", "100"]
    assert main(["search", "--algorithm", "sequential", "--dry-run", "--", *words]) == 0
    said = capsys.readouterr().out
    assert "5 to 25 probes, the compute of 1.25 to 6 whole trainings (125 to 600 epochs at full size)" in said


@pytest.mark.parametrize("algorithm", ["greedy", "sequential"])
def test_it_finds_a_curriculum_to_train_with(
    algorithm: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []
    monkeypatch.setattr("efficienttrain.search.search_plot.draw", lambda path, lines: drawn.append(len(lines)))  # noqa: ARG005
    command = ["search", "--algorithm", algorithm, *SMALL, "--rule", f"{TOYS}:near_small", "--out", str(tmp_path)]
    trains = ["--", "--data", "a", "--model", "swin_tiny", "--epochs", "300"] if algorithm == "greedy" else []
    assert main([*command, *trains]) == 0
    said = capsys.readouterr().out
    made = recipe("swin_tiny", 100, str(tmp_path / "curriculum.yaml"))
    assert [stage.resolution for stage in made.stages] == [96, 224]
    cost = ((96 / 224) ** 2 + 1) / 2 if algorithm == "greedy" else 1
    epochs = (300 if algorithm == "greedy" else 200) * cost
    assert f"found, at {cost:.1%} of the cost of full size throughout: 96 px M 4  224 px M 9" in said
    assert f"--epochs {epochs:.4g} ..." in said
    assert made.pace == ("passes" if algorithm == "greedy" else "compute")
    if algorithm == "greedy":
        assert made.drop_path == recipe("swin_tiny", 300, "iccv").drop_path
    assert said.count("96 4") >= 2 and drawn == [5 if algorithm == "greedy" else 6]


def test_a_failing_probe_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["search", "--algorithm", "greedy", *SMALL, "--rule", f"{TOYS}:broken", "--out", str(tmp_path)]
    assert main(command) == 1
    assert "error: probe 224m4-224m9: the loss must be finite, got nan in 224 px" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--stages", "0", "--dry-run"], "`stages` must be at least 1, got 0."),
        (["--fine-tune", "2", "--dry-run"], "`fine_tune` must be a share of the compute, 0 to 1, got 2.0."),
        (["--tolerance", "-1", "--dry-run"], "`tolerance` must be at least 0, got -1.0."),
        (["--rule", "nowhere:f", "--out", "OUT"], "`rule` must be package.module:function, got nowhere:f"),
        (["--rule", f"{TOYS}:rule"], "`out` must name the folder of the search, got none; give --out."),
        (["--rule", f"{TOYS}:rule", "--out", "OUT", "--workers", "0"], "`workers` must be at least 1, got 0."),
        (["--out", "OUT", "--", "--data", "a", "--model", "b", "--out=c"], "`--out` must not be given after `--`"),
        (["--out", "OUT", "--", "--data", "a", "--model", "b", "--epochs", "0"], "`epochs` must be more than 0"),
    ],
)
def test_a_wrong_wish_is_one_line(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(tmp_path / "out") if word == "OUT" else word for word in words]
    assert main(["search", "--algorithm", "sequential", *words]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and message in said
    assert not (tmp_path / "out").exists()


def test_data_are_found_from_other_machines() -> None:
    words = ["--data", "train.beton", "--val", "val.beton", "--init", "~/a.pth", "--model", "resnet50", "--no-progress"]
    config = search.trainers(words)
    assert config["data"] == str(Path.cwd() / "train.beton") and config["init"] == str(Path.home() / "a.pth")
    assert "out" not in config and "curriculum" not in config
    words = ["--data", "s3://bucket/train.json", "--val", "~/val.beton", "--model", "resnet50"]
    config = search.trainers(words)
    assert (config["data"], config["val"]) == ("s3://bucket/train.json", str(Path.home() / "val.beton"))


def test_gpus_that_the_workers_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    assert (search.gpus(1), search.gpus(2)) == ([], ["2", "3"])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(Path, "glob", lambda *_: iter([Path("/dev/nvidia0")]))
    assert search.gpus(2) == []
