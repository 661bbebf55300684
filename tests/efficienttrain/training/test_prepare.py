from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from efficienttrain.recipe import recipe
from efficienttrain.training import Config, prepare
from efficienttrain.training.distributed import Ranks


@pytest.mark.parametrize(
    ("model", "device", "amp", "capability", "wanted"),
    [
        ("deit_small", "cuda", "auto", (8, 0), "bf16"),
        ("deit_small", "cuda", "auto", (7, 5), "fp16"),  # where torch would emulate bf16
        ("deit_small", "cuda", "off", (9, 0), "off"),
        ("resnet50", "cuda", "auto", (9, 0), "off"),  # as released
        ("resnet50", "cuda", "fp16", (9, 0), "fp16"),
        ("deit_small", "cpu", "auto", None, "off"),
        ("deit_small", "cpu", "bf16", None, "bf16"),
    ],
)
def test_precision(
    model: str, device: str, amp: str, capability: Any, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    config = Config(data="a", out="b", model=model, amp=amp)
    assert prepare.precision(config, recipe(model, 200), Ranks(0, 1, torch.device(device))) == wanted


@pytest.mark.parametrize(
    ("device", "precision", "wanted"), [("cuda", "off", "high"), ("cuda", "bf16", "highest"), ("cpu", "off", "highest")]
)
def test_tf32_is_allowed_where_mixed_precision_is_off(
    device: str, precision: str, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = ["highest"]
    monkeypatch.setattr(torch, "set_float32_matmul_precision", said.append)
    prepare.allow_tf32(precision, Ranks(0, 1, torch.device(device)))
    assert said[-1] == wanted


def test_rare_classes_are_drawn_as_often(jpeg_folder: Path, tmp_path: Path) -> None:
    for name, most in (("class000", 2), ("class001", 8)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for file in sorted((jpeg_folder / "train" / name).iterdir())[:most]:
            shutil.copy(file, tmp_path / "data" / name)
    counts = {}
    for weights in (None, "balanced"):
        config = Config(
            data=str(tmp_path / "data"), out="b", model="deit_tiny", device="cpu", workers=1, sample_weights=weights
        )
        ranks = Ranks(0, 1, torch.device("cpu"))
        train, _, _ = prepare.open_data(config, recipe("deit_tiny", 200), ranks, None)
        with train:
            train.set_stage(resolution=32, batch_size=10)
            counts[weights] = sum(int((labels == 0).sum()) for _ in range(10) for _, labels in train)
    assert counts[None] == 20 and 30 <= counts["balanced"] <= 70
