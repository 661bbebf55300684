from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch

from efficienttrain.__main__ import main
from efficienttrain.commands import train as command
from efficienttrain.training import Config
from efficienttrain.training.trainer import Trainer
from tests.efficienttrain.training.runs import NETWORKS

TINY = f"{NETWORKS}:tiny"
VIT = f"{Path(__file__).parents[1] / 'pretraining' / 'networks.py'}:vit"


def asked(photos: Path, folder: Path, **changes: Any) -> list[str]:
    """A command line that could be carried out, but for `changes` (None leaves an option out)."""
    options = {
        "data": photos / "train", "val": photos / "val", "model": TINY, "out": folder / "run", "epochs": 1, "batch": 8,
        "size": 32, "device": "cpu", "workers": 1, "reprob": 0,
    } | changes  # fmt: skip
    words = [(f"--{name.replace('_', '-')}", str(value)) for name, value in options.items() if value is not None]
    return ["train", *(word for pair in words for word in pair), "--no-progress"]


def test_a_run_from_the_command_line(
    jpeg_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("efficienttrain.training.run_report._draw", lambda made, path: False)  # noqa: ARG005
    assert main(asked(jpeg_folder, tmp_path, curriculum="none")) == 0
    assert (tmp_path / "run" / "report.json").exists()
    assert "3 steps in 1 stages, batch 8, peak lr 7.81e-06 = 0.004 x 8/4096.\n" in capsys.readouterr().err


def test_the_published_data_path_from_the_command_line(
    jpeg_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(Trainer, "run", lambda self: seen.append(next(iter(self.loader))[0]))
    published = {"data_path": "published", "size": 224, "curriculum": "auto", "recount": 2, "mixup_mode": "elem"}
    assert main([*asked(jpeg_folder, tmp_path, **published)[:-1], "--mean", "0.5", "0.5", "0.5"]) == 0
    assert seen[0].shape[1:] == (3, 96, 96)
    assert "the general one (the curriculum of most scripts with Swin's settings)" in capsys.readouterr().err
    assert main(asked(jpeg_folder, tmp_path, data_path="published", size=256)) == 2
    assert '`data_path` "published" must have a `size` of at most 224' in capsys.readouterr().err


def test_every_option_is_a_field_and_every_field_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Config] = []
    monkeypatch.setattr(command, "train", seen.append)
    main(["train", "--data", "a", "--model", "b", "--out", "c"])
    assert seen == [Config(data="a", model="b", out="c")]
    import argparse

    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    assert {action.dest for action in parser._actions} - {"help", "config"} == {field.name for field in fields(Config)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "resnet5o"}, "nearest are resnet50"),
        ({"model": "swin_tiny", "curriculum": "none", "size": 100}, "must be a multiple of 32"),
        ({"classes": 2}, "`classes` must be at least the 3 classes of the data, got 2."),
        ({"batch": 4096}, "`batch` must be at most the number of training images, got 4096 for 24 images"),
        ({"data": "nowhere"}, "nowhere"),
        ({"curriculum": "steep"}, "`curriculum` must be one of"),
        ({"epochs": 0}, "`epochs` must be more than 0, got 0.0."),
        ({"evaluate_every": 1.5}, "`evaluate_every` must be a share of the compute"),
        ({"amp": "fp16"}, '`amp` must be "bf16" or "off" without a GPU'),
    ],
)
def test_a_wrong_wish_is_one_line(
    jpeg_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], message: str
) -> None:
    assert main(asked(jpeg_folder, tmp_path, **changes)) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert message in said
    assert not (tmp_path / "run").exists()  # nothing is begun


def test_the_weights_of_a_pretraining_arrive(
    jpeg_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("efficienttrain.training.run_report._draw", lambda made, path: False)  # noqa: ARG005
    before = asked(jpeg_folder, tmp_path, model=VIT, out=tmp_path / "mae", val=None, reprob=None, size=64)
    assert main(["pretrain", *before[1:]]) == 0
    seen: dict[str, torch.Tensor] = {}
    monkeypatch.setattr(Trainer, "run", lambda self: seen.update(self.train_state.model.state_dict()))
    encoder = tmp_path / "mae" / "encoder.pt"
    assert main(asked(jpeg_folder, tmp_path, model=VIT, init=encoder, size=64, curriculum="none")) == 0
    trained = torch.load(encoder, weights_only=True)
    assert set(seen) - set(trained) == {"head.weight", "head.bias"}
    for name, weights in trained.items():
        assert torch.equal(seen[name], weights), name


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (None, "init.pt: No such file or directory"),
        ("words", "init.pt holds no weights"),
        ({"best": 0.5}, "init.pt holds no weights; give a checkpoint, or a state dict"),
        ({"stem.weight": torch.zeros(2)}, "init.pt holds the weights of another network: stem.weight is [12, 3, 8, 8]"),
    ],
)
def test_weights_that_cannot_be_begun_with_are_one_line(
    jpeg_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], made: Any, message: str
) -> None:
    path = tmp_path / "init.pt"
    if isinstance(made, str):
        path.write_text(made)
    elif made is not None:
        torch.save(made, path)
    assert main(asked(jpeg_folder, tmp_path, init=path)) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and message in said
    assert not (tmp_path / "run").exists()


def test_data_without_classes_are_one_line(
    jpeg_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    single = tmp_path / "photos"
    (single / "only").mkdir(parents=True)
    for path in (jpeg_folder / "train").glob("*/*.jpg"):
        (single / "only" / f"{path.parent.name}-{path.name}").write_bytes(path.read_bytes())
    assert main(asked(jpeg_folder, tmp_path, data=single)) == 2
    assert "at least 2 classes, got 1" in capsys.readouterr().err


def test_other_classes_in_the_evaluation_are_one_line(
    jpeg_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    for path in (jpeg_folder / "val").glob("*/*.jpg"):
        (other / path.parent.name.replace("001", "00x")).mkdir(parents=True, exist_ok=True)
        (other / path.parent.name.replace("001", "00x") / path.name).write_bytes(path.read_bytes())
    assert main(asked(jpeg_folder, tmp_path, val=other)) == 2
    assert "its class folder 'class00x' is not among the 3 given classes" in capsys.readouterr().err


def test_a_replay_buffer_larger_than_memory_is_one_line(
    jpeg_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("loaders.replay.free_bytes", lambda _: 2**20)
    stages = tmp_path / "stages.yaml"
    stages.write_text("stages: [{resolution: 224, magnitude: null, compute: 1.0, replay: 2, replay_buffer: 900}]")
    assert main(asked(jpeg_folder, tmp_path, curriculum=stages)) == 2
    assert "a replay buffer of 900 batches of 4 at 32 px takes 0.0 GiB" in capsys.readouterr().err
