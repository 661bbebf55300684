from __future__ import annotations

from typing import Any

import pytest

from efficienttrain import finetuning
from efficienttrain.finetuning import default, finetune, settings, settled
from efficienttrain.training import Config

GIVEN: dict[str, Any] = {"data": "a", "out": "b", "init": "c"}


def of(model: str, recipe: str | None = None, **given: Any) -> dict[str, Any]:
    return vars(settled(recipe, {**GIVEN, "model": model, **given}))


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        # MAE, FINETUNE.md: --blr 5e-4 --layer_decay 0.65 and so on, effective batch 1024
        ("vit_base_patch16_224", {"epochs": 100, "lr": 2e-3, "layer_decay": 0.65, "drop_path": 0.1, "batch": 1024,
            "weight_decay": 0.05, "mixup": 0.8, "cutmix": 1.0, "reprob": 0.25, "pool": "avg", "warmup": 0.05}),
        ("vit_large_patch16_224", {"epochs": 50, "lr": 4e-3, "layer_decay": 0.75, "drop_path": 0.2, "warmup": 0.1}),
        ("vit_huge_patch14_224", {"epochs": 50, "lr": 4e-3, "layer_decay": 0.75, "drop_path": 0.3}),
        # EfficientTrain++, EVAL.md, 8 GPUs with 64 images each
        ("CSWin_96_24322_base_224", {"epochs": 30, "lr": 5e-5, "layer_decay": 0.9, "drop_path": 0.2, "batch": 512,
            "weight_decay": 1e-8, "mixup": 0.0, "cutmix": 0.0, "ema": 0.9998, "warmup": 0.0, "head_scale": 1.0}),
        # ConvNeXt, TRAINING.md
        ("convnext_large.fb_in22k", {"epochs": 30, "lr": 5e-5, "layer_decay": 0.8, "drop_path": 0.3, "batch": 512,
            "head_scale": 1e-3, "ema": 0.0}),
        ("convnext_xlarge", {"drop_path": 0.4, "ema": 0.9999}),
    ],
)  # fmt: skip
def test_published_values(model: str, wanted: dict[str, Any]) -> None:
    made = of(model)
    assert {name: made[name] for name in wanted} == pytest.approx(wanted)
    assert made["curriculum"] == "none" and made["clip_grad"] == 0
    assert "guess" not in settings(default(model), model)[1]


@pytest.mark.parametrize(
    "model", ["vit_small_patch16_224", "deit_base_patch16_224", "swin_base", "cswin_tiny", "resnet50"]
)
def test_guesses_are_called_so(model: str) -> None:
    assert "a guess for this model" in settings(default(model), model)[1]


def test_what_is_given_stays_and_the_rate_follows_the_batch() -> None:
    made = of("vit_base_patch16_224", batch=256, drop_path=0.3, curriculum="auto")
    assert made["lr"] == pytest.approx(5e-4) and made["drop_path"] == 0.3 and made["curriculum"] == "auto"
    assert of("vit_base_patch16_224", "22k")["layer_decay"] == 0.9
    assert of("my.package:vit_like")["pool"] is None  # only timm's networks are asked for a pooling


def test_the_configuration_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Config] = []
    monkeypatch.setattr(finetuning, "train", seen.append)
    finetune(None, **GIVEN, model="cswin_base")
    assert seen[0].layer_decay == 0.9


def test_wrong_wishes() -> None:
    with pytest.raises(ValueError, match="fine-tuning needs weights to begin with"):
        settled(None, {"data": "a", "out": "b", "model": "vit_base_patch16_224"})
    with pytest.raises(ValueError, match="`recipe` must be one of mae, 22k, got 'beit'"):
        settled("beit", {**GIVEN, "model": "vit_base_patch16_224"})
    with pytest.raises(ValueError, match='got no `model`; name it, as model="vit_base"'):
        finetune(**GIVEN)
