from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from efficienttrain.__main__ import main
from efficienttrain.commands import pretrain as command
from efficienttrain.pretraining import Masking
from efficienttrain.pretraining.masking import OPTIONS, SUPERVISED, UNUSED, authors
from efficienttrain.training import Config

VIT = f"{Path(__file__).parents[1] / 'pretraining' / 'networks.py'}:vit"


def test_every_option_is_a_field_and_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(command, "pretrain", lambda *given: seen.extend(given))
    assert main(["pretrain", "--method", "mae", "--data", "a", "--model", "b", "--out", "c", "--target", "hog"]) == 0
    assert seen == [Config(data="a", model="b", out="c", epochs=400.0), Masking(target="hog")]
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    known = {field.name for field in (*fields(Config), *fields(Masking))}
    left_out = {*SUPERVISED, *UNUSED}
    assert {action.dest for action in parser._actions} - {"help", "method", "config"} == known - left_out == {*OPTIONS}


def test_what_a_run_writes_asks_for_the_same(
    jpeg_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from efficienttrain.pretraining.pretrainer import Pretrainer

    monkeypatch.setattr(Pretrainer, "run", lambda _: None)
    words = ["--data", str(jpeg_folder / "train"), "--model", VIT, "--out", str(tmp_path / "run"), "--size", "32"]
    words += ["--batch", "8", "--target", "hog", "--ratio", "0.5", "--device", "cpu", "--workers", "1", "--epochs", "2"]
    assert main(["pretrain", *words, "--no-progress", "--color-jitter", "0.2"]) == 0
    seen: list[Any] = []
    monkeypatch.setattr(command, "pretrain", lambda *given: seen.extend(given))
    file = str(tmp_path / "run" / "config.yaml")
    assert main(["pretrain", "--config", file, "--out", "again", "--seed", "3"]) == 0
    config, masking = seen
    assert masking == Masking("hog", 0.5)
    assert (config.epochs, config.out, config.seed, config.color_jitter) == (2.0, "again", 3, 0.2)
    assert authors(config).lr == pytest.approx(1.5e-4 * 8 / 256) and config.scale == (0.2, 1.0)
    assert main(["pretrain", "--config", file, "--target", "pixels"]) == 0 and seen[-1] == Masking("pixels", 0.5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "resnet18"}, "takes a VisionTransformer of timm's"),
        ({"ratio": 0}, "`ratio` must be a share, more than 0 and less than 1, got 0.0."),
        ({"batch": 4096}, "`batch` must be at most the number of training images, got 4096 for 24 images"),
        ({"data": "nowhere"}, "nowhere"),
        ({"size": 60}, "must be a multiple of 8"),
    ],
)
def test_a_wrong_wish_is_one_line(
    jpeg_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], message: str
) -> None:
    options = {
        "data": jpeg_folder / "train", "model": VIT, "out": tmp_path / "run", "epochs": 1, "batch": 8, "size": 64,
        "device": "cpu", "workers": 1,
    } | changes  # fmt: skip
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    assert main(["pretrain", *words, "--no-progress"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert message in said
    assert not (tmp_path / "run").exists()


def test_images_of_one_class_suffice(
    jpeg_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("efficienttrain.training.run_report._draw", lambda made, path: False)  # noqa: ARG005
    single = tmp_path / "photos" / "only"
    single.mkdir(parents=True)
    for path in (jpeg_folder / "train").glob("*/*.jpg"):
        (single / f"{path.parent.name}-{path.name}").write_bytes(path.read_bytes())
    words = ["--data", str(single.parent), "--model", VIT, "--out", str(tmp_path / "run"), "--size", "32"]
    words += ["--epochs", "1", "--batch", "8", "--device", "cpu", "--workers", "1", "--curriculum", "none"]
    assert main(["pretrain", *words, "--no-progress"]) == 0
    assert (tmp_path / "run" / "encoder.pt").exists()
    assert "3 steps in 1 stages" in capsys.readouterr().err
