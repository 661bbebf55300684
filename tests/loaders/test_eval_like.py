from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torchvision.models import EfficientNet_B1_Weights, ResNet50_Weights
from torchvision.models.segmentation import FCN_ResNet50_Weights

from loaders import eval_like
from loaders.plan import CropGeometry

CONFIG = {
    "input_size": (3, 224, 224),
    "test_input_size": (3, 288, 288),
    "crop_pct": 0.95,
    "test_crop_pct": 1.0,
    "crop_mode": "squash",
    "interpolation": "lanczos",
    "mean": (0.5, 0.5, 0.5),
    "std": (0.25, 0.25, 0.25),
}


def test_torchvision_weights_give_their_presets() -> None:
    assert eval_like(ResNet50_Weights.IMAGENET1K_V2) == {
        "resolution": 224,
        "resize_size": 232,
        "interpolation": "bilinear",
        "mean": (0.485, 0.456, 0.406),
        "std": (0.229, 0.224, 0.225),
    }
    assert eval_like(ResNet50_Weights.IMAGENET1K_V2.transforms()) == eval_like(ResNet50_Weights.IMAGENET1K_V2)
    b1 = eval_like(EfficientNet_B1_Weights.IMAGENET1K_V1)
    assert (b1["resolution"], b1["resize_size"], b1["interpolation"]) == (240, 256, "bicubic")


def test_a_timm_configuration_gives_its_values() -> None:
    got = eval_like(CONFIG)
    assert got == {
        "resolution": 224,
        "crop_pct": 0.95,
        "crop_mode": "squash",
        "interpolation": "lanczos",
        "mean": (0.5, 0.5, 0.5),
        "std": (0.25, 0.25, 0.25),
    }
    at_test = eval_like(CONFIG, test_size=True)
    assert (at_test["resolution"], at_test["crop_pct"]) == (288, 1.0)


def test_wrapped_models_are_unwrapped() -> None:
    model = torch.nn.Identity()
    model.pretrained_cfg = CONFIG  # type: ignore[assignment]
    compiled = SimpleNamespace(_orig_mod=torch.nn.DataParallel(model))  # the attribute of torch.compile's wrapper
    assert eval_like(model) == eval_like(torch.nn.DataParallel(model)) == eval_like(compiled)


def test_timm_models_resolve_as_timm_resolves_them() -> None:
    timm = pytest.importorskip("timm")
    refused = 0
    for name in timm.list_pretrained()[::20]:
        cfg = timm.get_pretrained_cfg(name)
        wanted = timm.data.resolve_data_config(pretrained_cfg=cfg.to_dict())
        try:
            got = eval_like(cfg)
        except ValueError as error:
            assert "delivers squares" in str(error) and wanted["input_size"][1] != wanted["input_size"][2]
            refused += 1
            continue
        assert got.pop("resolution") == wanted.pop("input_size")[1]
        assert got == {**wanted, "mean": tuple(wanted["mean"]), "std": tuple(wanted["std"])}, name
        CropGeometry(**{key: got[key] for key in ("crop_pct", "crop_mode", "interpolation")})
    assert refused < 5


@pytest.mark.parametrize("model", ["resnet50", None, {}, SimpleNamespace(), FCN_ResNet50_Weights.DEFAULT])
def test_other_things_are_refused(model: object) -> None:
    with pytest.raises(TypeError, match="`model` must be a timm model, its pretrained_cfg or data config"):
        eval_like(model)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"input_size": (3, 224, 256)}, "a Loader delivers squares; the model's `input_size` is 224 x 256"),
        ({"input_size": (1, 224, 224)}, "a Loader delivers 3 channels, R, G and B; the model wants 1"),
        ({"interpolation": "hamming"}, "a Loader's `interpolation` is one of .* the model wants 'hamming'"),
    ],
)
def test_wishes_that_a_loader_cannot_fulfil_are_named(changed: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        eval_like({**CONFIG, **changed})
