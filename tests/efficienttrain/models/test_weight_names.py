"""Weights under their authors' names arrive at the right place. The names are written down here once more, by hand."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor, nn

from efficienttrain.models.cswin import CSWin
from efficienttrain.models.initial import begin_with
from tests.efficienttrain.models import tiny
from tests.efficienttrain.pretraining.networks import vit


def cswin() -> nn.Module:
    return CSWin(8, (1, 2, 2, 1), (2, 2, 2, 2), num_classes=5)


def cswin_name(name: str) -> str:
    if not name.startswith("stages."):
        return name
    _, stage, block, *rest = name.split(".")
    tail = ".".join(rest)
    number = int(stage) + 1
    if block == "0":
        if stage == "0":
            return "stage1_conv_embed." + tail.replace("conv", "0").replace("norm", "2")
        return f"merge{stage}.{tail}"
    tail = re.sub(r"attention\.(\d)\.position", r"attns.\1.get_v", tail).replace("project.", "proj.")
    return f"stage{number}.{int(block) - 1}.{tail}"


def pvt_name(name: str) -> str:
    found = re.match(r"stages\.(\d)\.(.*)", name)
    if found is None:
        return name
    number, tail = int(found[1]) + 1, found[2]
    if tail == "cls_token":
        return tail
    if tail == "pos_embed":
        return f"pos_embed{number}"
    if tail.startswith("blocks."):
        for ours, theirs in (
            ("query", "q"),
            ("key_value", "kv"),
            ("project", "proj"),
            ("reduce", "sr"),
            ("norm", "norm"),
        ):
            tail = tail.replace(f"attention.{ours}.", f"attn.{theirs}.")
        return f"block{number}." + tail.removeprefix("blocks.")
    return f"patch_embed{number}." + tail.replace("embed.", "proj.")


def convnext() -> nn.Module:
    return timm.create_model("convnext_tiny", depths=(1, 1, 2, 1), dims=(8, 8, 8, 16), num_classes=5)


def convnext_name(name: str) -> str:
    name = name.replace("stem.", "downsample_layers.0.").replace(".blocks.", ".")
    name = re.sub(r"stages\.(\d)\.downsample\.", r"downsample_layers.\1.", name)
    name = name.replace("conv_dw", "dwconv").replace("mlp.fc", "pwconv")
    return name.replace("head.norm.", "norm.").replace("head.fc.", "head.")


def swin_name(name: str) -> str:
    name = re.sub(r"layers\.(\d)\.downsample", lambda found: f"layers.{int(found[1]) - 1}.downsample", name)
    return name.replace("head.fc.", "head.")


def same(name: str) -> str:
    return name


FAMILIES: dict[str, tuple[Callable[[], nn.Module], Callable[[str], str]]] = {
    "cswin": (cswin, cswin_name),
    "pvt": (lambda: tiny.pvt(96), pvt_name),
    "convnext": (convnext, convnext_name),
    "swin": (lambda: tiny.swin(96), swin_name),
    "deit": (lambda: tiny.deit(96), same),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_authors_names(tmp_path: Path, family: str) -> None:
    make, theirs = FAMILIES[family]
    torch.manual_seed(1)
    old = make()
    for parameter in old.parameters():
        nn.init.normal_(parameter)
    saved = {theirs(name): value.clone() for name, value in old.state_dict().items()}
    assert theirs is same or set(saved) != set(old.state_dict())
    torch.save({"model": saved}, tmp_path / "theirs.pth")
    new = make()
    assert begin_with(new, tmp_path / "theirs.pth") == []
    for name, value in old.state_dict().items():
        assert torch.equal(new.state_dict()[name], value), name


def test_a_pretraining_of_maes_authors(tmp_path: Path) -> None:
    old = vit(1, 32)
    more: dict[str, Tensor] = {"mask_token": torch.zeros(1, 1, 8), "decoder_embed.weight": torch.zeros(8, 32)}
    saved = {name: value for name, value in old.state_dict().items() if not name.startswith("head")} | more
    torch.save({"model": saved}, tmp_path / "mae.pth")
    new = vit(3, 32)
    assert begin_with(new, tmp_path / "mae.pth") == ["head.weight", "head.bias"]
    assert torch.equal(new.blocks[0].attn.qkv.weight, old.blocks[0].attn.qkv.weight)


@pytest.mark.parametrize("family", ["cswin", "convnext", "swin"])
def test_weights_of_another_family_are_refused_by_name(tmp_path: Path, family: str) -> None:
    torch.save(tiny.deit(96).state_dict(), tmp_path / "deit.pth")
    with pytest.raises(ValueError, match="holds the weights of another network: "):
        begin_with(FAMILIES[family][0](), tmp_path / "deit.pth")
