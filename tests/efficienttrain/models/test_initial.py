from __future__ import annotations

from pathlib import Path

import pytest
import torch

from efficienttrain.models import build
from efficienttrain.models.initial import begin_with
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
