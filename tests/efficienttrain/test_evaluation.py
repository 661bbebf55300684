from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from efficienttrain.evaluation import evaluate, protocol
from efficienttrain.models import build
from loaders import Loader
from tests.efficienttrain.training.runs import NETWORKS

TINY = f"{NETWORKS}:tiny"


def saved(path: Path, model: str = TINY, classes: int = 3, size: int = 32) -> Path:
    torch.manual_seed(0)
    torch.save({"model": build(model, num_classes=classes, resolution=size).state_dict()}, path)
    return path


def test_the_same_as_by_hand(jpeg_folder: Path, tmp_path: Path) -> None:
    init = saved(tmp_path / "net.pth")
    found = evaluate(TINY, jpeg_folder / "train", init, size=48, batch_size=5, device="cpu", num_workers=1)
    network = build(TINY, num_classes=3)
    network.load_state_dict(torch.load(init, weights_only=True)["model"])
    network.eval()
    options: dict[str, Any] = {"train": False, "num_workers": 1, "resolution": 48, "interpolation": "bicubic"}
    with Loader(jpeg_folder / "train", 24, **options) as loader, torch.no_grad():
        images, labels = next(iter(loader))
        logits = network(images)
    right = logits.argmax(1) == labels
    assert (found.images, found.size) == (24, 48)
    assert found.top1 == pytest.approx(right.float().mean().item())
    assert found.loss == pytest.approx(torch.nn.functional.cross_entropy(logits, labels).item(), rel=1e-5)
    each = [right[labels == k].float().mean().item() for k in range(3)]
    assert [score.scores["top1"] for score in found.classes] == pytest.approx(each)
    assert [(score.name, score.images) for score in found.classes] == [(f"class{k:03}", 8) for k in range(3)]
    assert found.top5 >= found.top1


def test_a_vit_that_averages_is_recognised_and_resized(jpeg_folder: Path, tmp_path: Path) -> None:
    vit = timm.create_model("vit_tiny_patch16_224", num_classes=3, img_size=32, global_pool="avg")
    torch.save({"model": vit.state_dict()}, tmp_path / "mae.pth")
    found = evaluate(
        "vit_tiny_patch16_224", jpeg_folder / "val", tmp_path / "mae.pth", size=48, device="cpu", num_workers=1
    )
    assert found.images == 6


def test_labels_are_numbered_as_in_the_training(jpeg_folder: Path, tmp_path: Path) -> None:
    network = build(TINY, num_classes=3)
    torch.nn.init.zeros_(network.head.weight)
    network.head.bias.data.copy_(torch.tensor([0.0, 0.0, 9.0]))  # always answers the third class
    target = {"kind": "classes", "field": "label", "names": [f"class{k:03}" for k in range(3)]}
    learner = {"model": network.state_dict(), "ema": None}
    torch.save({"identity": {}, "learner": learner, "target": target}, tmp_path / "best.pt")
    for name in ("class000", "class002"):
        shutil.copytree(jpeg_folder / "val" / name, tmp_path / "val" / name)
    found = evaluate(TINY, tmp_path / "val", tmp_path / "best.pt", size=32, device="cpu", num_workers=1)
    assert {score.name: score.scores["top1"] for score in found.classes if score.images} == {
        "class000": 0,
        "class002": 1,
    }
    (tmp_path / "val" / "class002").rename(tmp_path / "val" / "classs002")
    with pytest.raises(ValueError, match=r"must be one of the 3 of the training, 'classs002' is not; give it the name"):
        evaluate(TINY, tmp_path / "val", tmp_path / "best.pt", size=32, device="cpu", num_workers=1)


def test_wrong_wishes(jpeg_folder: Path, tmp_path: Path) -> None:
    val, init = jpeg_folder / "val", saved(tmp_path / "net.pth", classes=5)
    with pytest.raises(ValueError, match=r"net\.pth has no head for 3 classes \(head\.weight is missing"):
        evaluate(TINY, val, init, device="cpu")
    assert evaluate(TINY, val, init, classes=5, device="cpu", size=32, num_workers=1).images == 6
    with pytest.raises(ValueError, match="`classes` must be at least the 3 classes of the data, got 2"):
        evaluate(TINY, val, saved(tmp_path / "two.pth", classes=2), classes=2, device="cpu", size=32, num_workers=1)
    with pytest.raises(ValueError, match="give the weights: either `--init FILE`, or `--pretrained`"):
        evaluate(TINY, val)
    with pytest.raises(ValueError, match="`amp` must be one of off, bf16, fp16, got 'half'"):
        evaluate(TINY, val, init, amp="half")


def test_images_are_prepared_as_published() -> None:
    assert protocol("swin_tiny", False) == {"resolution": 224, "interpolation": "bicubic", "crop_pct": 0.875}
    large = {"resolution": 384, "interpolation": "bicubic", "crop_pct": 1.0, "crop_mode": "squash"}
    assert protocol("cswin_base", False, 384) == large
    timms = protocol("deit3_small_patch16_384.fb_in1k", True)
    assert timms["resolution"] == 384 and timms["crop_pct"] == 1.0
    assert protocol("resnet50.a1_in1k", True, 160)["resolution"] == 160


def test_timms_weights_that_cannot_be_had_are_one_sentence(jpeg_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ValueError, match=r"timm's weights of resnet18 are not available"):
        evaluate("resnet18", jpeg_folder / "val", pretrained=True, device="cpu", num_workers=1)
