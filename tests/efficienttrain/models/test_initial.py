from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch

from efficienttrain.models import build
from efficienttrain.models.initial import begin_with, scale_head, timm_state_dict
from efficienttrain.pretraining.mae import MaskedAutoencoder
from tests.efficienttrain.pretraining.networks import vit


def test_weights_of_another_size_and_number_of_classes(tmp_path: Path) -> None:
    old, new = vit(num_classes=5, resolution=64), vit(num_classes=3, resolution=32)
    torch.save(old.state_dict(), tmp_path / "old.pt")
    kept = new.head.weight.clone()
    assert begin_with(new, tmp_path / "old.pt") == ["head.weight", "head.bias"]
    assert torch.equal(new.blocks[1].mlp.fc1.weight, old.blocks[1].mlp.fc1.weight)
    assert torch.equal(new.head.weight, kept)
    middle = old.pos_embed[0, 1:].reshape(4, 2, 4, 2, 32).mean((1, 3)).reshape(16, 32)  # halved: means of four
    assert torch.allclose(new.pos_embed[0, 1:], middle, atol=1e-6)


def test_of_a_checkpoint_the_encoder(tmp_path: Path) -> None:
    model, new = MaskedAutoencoder(vit(1, 32), 192, 32), vit(3, 32)
    state = {"identity": {}, "learner": {"model": model.state_dict()}}
    torch.save(state, tmp_path / "step.pt")
    assert begin_with(new, tmp_path / "step.pt") == ["head.weight", "head.bias"]
    assert torch.equal(new.cls_token, model.encoder.cls_token)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save(build("resnet18", num_classes=3).state_dict(), tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"other.pt holds the weights of another network: cls_token is \[1, 1, 32\]"):
        begin_with(vit(3, 32), tmp_path / "other.pt")


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.pt").write_bytes(b"not weights")
    with pytest.raises(ValueError, match=r"bad\.pt holds no weights"):
        begin_with(vit(3, 32), tmp_path / "bad.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(ValueError, match="give a checkpoint, or a state dict"):
        begin_with(vit(3, 32), tmp_path / "list.pt")


def test_only_the_classifier_of_a_fresh_head_is_scaled() -> None:
    model = timm.create_model("convnext_tiny", depths=(1, 1, 1, 1), dims=(8, 8, 8, 8), num_classes=3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    scale_head(model, ["head.norm.weight", "head.fc.weight", "head.fc.bias"], 0.001)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"head.fc.weight"}  # the bias is zero
    assert torch.allclose(model.head.fc.weight, before["head.fc.weight"] * 0.001)


def test_a_checkpoint_of_ours_in_a_plain_model_of_timms(tmp_path: Path) -> None:
    ours = build("deit_tiny_patch16_224", num_classes=3, resolution=32)
    averaged = {name: value + 1 for name, value in ours.state_dict().items()}
    torch.save({"identity": {}, "learner": {"model": ours.state_dict(), "ema": averaged}}, tmp_path / "best.pt")
    plain = timm.create_model("deit_tiny_patch16_224", num_classes=3, img_size=32)
    plain.load_state_dict(timm_state_dict(str(tmp_path / "best.pt")))
    assert torch.equal(plain.cls_token, averaged["cls_token"])
    plain.load_state_dict(timm_state_dict(tmp_path / "best.pt", average=False))
    images = torch.zeros(1, 3, 32, 32)
    assert torch.equal(plain.eval()(images), ours.eval()(images))
