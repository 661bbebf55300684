from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from efficienttrain.__main__ import main
from efficienttrain.training import Config
from efficienttrain.training.config import read_config, write_config
from efficienttrain.training.resolve import settle
from efficienttrain.training.trainer import Trainer


def test_what_a_run_writes_asks_for_the_same_training(tmp_path: Path) -> None:
    asked = Config(data="a", out=str(tmp_path), model="swin_tiny", batch=512, epochs=90, ema=0.999)
    path = write_config(tmp_path, asked, settle(asked))
    again = Config(**read_config(path))
    assert again.lr == pytest.approx(5e-4) and again.clip_grad == 5.0 and again.ema == 0.999
    assert settle(again) == settle(asked)
    assert None not in {value for name, value in asdict(again).items() if name in ("lr", "mixup", "optimizer")}


def test_the_command_line_takes_precedence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from efficienttrain.commands import train as command

    seen: list[Config] = []
    monkeypatch.setattr(command, "train", seen.append)
    settings = "layer-decay: 0.9\nepochs: 30\nlr: 1e-3\nbetas: [9e-1, 0.99]\nclip-grad: null\n"
    (tmp_path / "mine.yaml").write_text(f"data: a\nmodel: resnet50\n{settings}")
    words = ["train", "--config", str(tmp_path / "mine.yaml"), "--out", "o"]
    assert main([*words, "--epochs", "50"]) == 0
    more = {"layer_decay": 0.9, "epochs": 50, "lr": 1e-3, "betas": (0.9, 0.99)}  # YAML reads 1e-3 as a word
    assert seen == [Config(data="a", model="resnet50", out="o", **more)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("modle: resnet50", "there is no option 'modle'; nearest is model."),
        ("[1, 2]", "must hold a mapping of options"),
        ("a: [", "is not YAML"),
        ("model: resnet50", "--data is needed, here or in the file that --config names."),
        ("lr: fast", "mine.yaml: `lr` must be a number, got 'fast'."),
        ("mixup: yes", "`mixup` must be a number, got True."),
        ("classes: 1e1", "`classes` must be a whole number, got '1e1'."),
        ("scale: [0.1, x]", "`scale` must be a list of numbers, got [0.1, 'x']."),
        ("betas: 0.9", "`betas` must be a list of numbers, got 0.9."),
        ("model: 5", "`model` must be a word, got 5."),
        ("track: null", "`track` must be a word, got None."),
        ("compile: maybe", "`compile` must be true or false, got 'maybe'."),
    ],
)
def test_wrong_files_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    assert main(["train", "--config", str(tmp_path / "mine.yaml"), "--out", "o"]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1


def test_a_run_keeps_its_configuration(jpeg_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from efficienttrain.training import train
    from tests.efficienttrain.training.runs import config

    monkeypatch.setattr(Trainer, "run", lambda _: None)
    train(config(jpeg_folder, tmp_path / "run"))
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["lr"] == 1e-2
