from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from efficienttrain.models import build
from efficienttrain.training.optim import layer_scales, layers, no_decay
from tests.efficienttrain.models import tiny


def meta(name: str) -> nn.Module:
    with torch.device("meta"):
        return build(name, num_classes=10)


def of(model: nn.Module, **wanted: int) -> None:
    """Whether these parameters (dots as double underscores, prefixes) lie in these layers."""
    found = layers(model)
    for prefix, layer in wanted.items():
        dotted = prefix.replace("__", ".")
        assert {number for name, number in found.items() if name.startswith(dotted)} == {layer}, dotted


def test_a_vit_as_in_mae() -> None:
    model = meta("vit_base_patch16_224")
    of(model, cls_token=0, pos_embed=0, patch_embed=0, blocks__0__=1, blocks__11__=12, norm=13, head=13)
    scales = layer_scales(model, 0.65)
    assert scales["head.weight"] == 1 and scales["blocks.0.attn.qkv.weight"] == pytest.approx(0.65**12)
    assert scales["cls_token"] == pytest.approx(0.65**13)


@pytest.mark.parametrize("name", ["convnext_small", "convnext_base"])
def test_convnext_in_threes_as_released(name: str) -> None:
    of(meta(name), stem=0, stages__0__=1, stages__1__=2, stages__2__blocks__0__=3, stages__2__blocks__2__=3,
       stages__2__blocks__3__=4, stages__2__blocks__26__=11, stages__3__=12,
       stages__2__downsample=3, head=13)  # fmt: skip


@pytest.mark.parametrize("name", ["cswin_small", "cswin_base"])
def test_cswin_in_twos_as_released(name: str) -> None:
    of(meta(name), stages__0__0__=0, stages__0__1__=1, stages__0__2__=1, stages__1__0__=2, stages__1__2__=2,
       stages__1__3__=3, stages__2__0__=4, stages__2__1__=4, stages__2__32__=19, stages__3__=20,
       norm=21, head=21)  # fmt: skip


def test_other_families() -> None:
    of(
        meta("swin_tiny"),
        patch_embed=0,
        layers__0__blocks__0=1,
        layers__1__downsample=3,
        layers__3__blocks__1=12,
        head=13,
    )
    of(meta("resnet50"), conv1=0, bn1=0, layer1__0__=1, layer4__2__=16, fc=17)
    of(
        meta("pvt_tiny"),
        stages__0__embed=0,
        stages__0__pos_embed=0,
        stages__0__blocks__0=1,
        stages__3__blocks__1=8,
        head=9,
    )
    of(meta("caformer_s18"), stem=0, stages__0__blocks__0=1, stages__3__downsample=16, stages__3__blocks__2=18, head=19)
    of(meta("deit_small_patch16_224"), pos_embed=0, blocks__11__=12, head=13)


@pytest.mark.parametrize("name", ["efficientnet_b0", "mobilenetv2_100", "vgg11", "densenet121", "mixer_s16_224"])
def test_any_network_of_timms_has_layers(name: str) -> None:
    with torch.device("meta"):
        found = layers(timm.create_model(name, num_classes=3))
    assert len(set(found.values())) > 3


class Own(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = (nn.Linear(1, 1) for _ in range(3))


class Told(Own):
    def block_of(self, name: str) -> tuple[int, int] | None:
        return {"first": (0, 0), "second": (0, 1)}.get(name.split(".")[0])


def test_a_network_of_ones_own() -> None:
    of(Told(), first=1, second=2, last=3)
    assert set(layer_scales(Own(), 1.0).values()) == {1.0}
    with pytest.raises(ValueError, match=r"a method `block_of\(name\)`, got Own"):
        layer_scales(Own(), 0.9)
    with pytest.raises(ValueError, match="`layer_decay` must be more than 0 and at most 1, got"):
        layer_scales(Told(), 1.5)


def test_one_dimensional_ones_and_biases_do_not_decay() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3), nn.Conv2d(1, 1, 3))
    assert no_decay(model) == {"0.bias", "1.weight", "1.bias", "2.bias"}


def test_a_models_own_names_do_not_decay_either() -> None:
    without = no_decay(tiny.deit(96))
    assert {"pos_embed", "cls_token", "norm.weight"} <= without
    assert "patch_embed.proj.weight" not in without
    assert {"stages.0.pos_embed", "stages.3.cls_token"} <= no_decay(tiny.pvt(96))


def test_bias_tables_of_swin_decay_as_in_the_released_code() -> None:
    model = tiny.swin(96)
    tables = {name for name, _ in model.named_parameters() if name.endswith("relative_position_bias_table")}
    assert tables and tables <= model.no_weight_decay()  # timm says otherwise
    assert not tables & no_decay(model)
