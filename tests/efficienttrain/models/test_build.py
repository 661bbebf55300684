from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from timm.layers import DropPath
from torch import nn

from efficienttrain.models import build, check_name, resize
from efficienttrain.presets import preset
from tests.efficienttrain.models.counts import parameters

FACTORY = """
import torch
from helper_of_a_factory import SIDE

class Net(torch.nn.Module):
    size_multiple = 8

    def __init__(self, num_classes, resolution=SIDE):
        super().__init__()
        self.pos_embed = torch.nn.Parameter(torch.zeros(1, (resolution // 8) ** 2, 4))
        self.head = torch.nn.Linear(4, num_classes)

    def forward(self, x):
        x = torch.nn.functional.avg_pool2d(x.mean(1, keepdim=True), 8).flatten(2).transpose(1, 2)
        return self.head((x + self.pos_embed).mean(1))

    def set_input_size(self, img_size):
        self.pos_embed = torch.nn.Parameter(torch.zeros(1, (img_size[0] // 8) ** 2, 4))

def build(num_classes, **wishes):
    net = Net(num_classes)
    net.wishes = wishes
    return net

def not_a_module(num_classes):
    return num_classes
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model file and a module that it imports, as the working directory."""
    (tmp_path / "factory_of_a_test.py").write_text(FACTORY)
    (tmp_path / "helper_of_a_factory.py").write_text("SIDE = 224\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for module in ("factory_of_a_test", "helper_of_a_factory"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    return tmp_path


@pytest.mark.parametrize(("model", "gamma"), [(None, 0.0), (True, 0.0), (False, 1.0)])
def test_the_last_gamma_of_a_resnets_branches(model: bool | None, gamma: float) -> None:
    made = build("resnet18", num_classes=2, zero_init_last=model)
    assert set(made.get_parameter("layer2.0.bn2.weight").tolist()) == {gamma}


def test_resnet_50_begins_as_torchvisions() -> None:
    assert preset("resnet50.a1_in1k").zero_init_last is False


@pytest.mark.usefixtures("package")
def test_dropout_before_the_classifier() -> None:
    parts = dict(build("caformer_s18", num_classes=2, head_dropout=0.4, resolution=64).named_modules())
    assert (parts["head.drop"].p, parts["head.fc.head_drop"].p) == (0, 0.4)  # within the head, as the authors have it
    for name in ("cswin_tiny", "factory_of_a_test:Net"):
        with pytest.raises(
            ValueError, match=r"`head_dropout` must be left out for .*: the network has no such setting"
        ):
            build(name, num_classes=2, head_dropout=0.4)
    with pytest.raises(ValueError, match="`zero_init_last` must be left out for convnext_atto"):
        build("convnext_atto", num_classes=2, zero_init_last=True)


@pytest.mark.parametrize("name", ["factory_of_a_test:{}", "factory_of_a_test.py:{}"])
def test_a_factory_of_the_users(package: Path, name: str) -> None:
    made = build(name.format("build"), num_classes=3, drop_path=0.2, resolution=96)
    assert made.wishes == {"drop_path": 0.2, "resolution": 96}
    model = build(name.format("Net"), num_classes=3, resolution=96)
    assert model(torch.zeros(1, 3, 96, 96)).shape == (1, 3)
    resize(model, 160)
    assert model(torch.zeros(1, 3, 160, 160)).shape == (1, 3)
    assert package.name in str(sys.path)


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("factory_of_a_test:bild", ValueError, "has no function or class 'bild'; nearest are build."),
        ("factory_of_a_test:not_a_module", ValueError, "must give a torch.nn.Module, got int."),
        ("no_such_package:build", ValueError, "No module named 'no_such_package'; is its folder on PYTHONPATH?"),
        ("no_such_file.py:build", FileNotFoundError, "no such file: no_such_file.py."),
        ("factory_of_a_test:Net", ValueError, "must be a multiple of 8, at least 32, got 100"),
    ],
)
@pytest.mark.usefixtures("package")
def test_a_factory_that_is_none_is_refused(name: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as refusal:
        build(name, num_classes=3, resolution=100 if name.endswith("Net") else 96)
    assert message in str(refusal.value) and name in str(refusal.value) + name * name.endswith("Net")


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("swim_tiny", "swin_tiny"), ("resnet500", "resnet50"), ("cswin_tinny", "cswin_tiny"), ("xyzzyxyzzy", "timm.list")],
)
def test_an_unknown_name_is_answered_with_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(ValueError, match=rf"got '{name}'; .*{nearest}"):
        check_name(name)
    with pytest.raises(ValueError, match="`model` must be a name"):
        build(name, num_classes=3)


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("resnet18", 11.2),
        ("deit_tiny", 5.5),
        ("pvt_v2_b0", 3.4),
        ("convnext_atto", 3.4),
        pytest.param("swin_tiny", 27.5, marks=pytest.mark.slow),
        pytest.param("caformer_s18", 24.3, marks=pytest.mark.slow),
        pytest.param("CSWin_64_12211_tiny_224", 21.8, marks=pytest.mark.slow),
    ],
)
def test_every_family_by_name_at_any_stage(name: str, millions: float) -> None:
    model = build(name, num_classes=10, drop_path=0.1, resolution=96).eval()
    with torch.no_grad():
        for resolution in (96, 160, 224):
            resize(model, resolution)
            assert model(torch.zeros(1, 3, resolution, resolution)).shape == (1, 10)
    assert parameters(model) == pytest.approx(millions, abs=0.05)


@pytest.mark.parametrize("name", ["deit_tiny", "swin_tiny", "cswin_tiny", "pvt_tiny", "convnext_tiny", "resnet18"])
def test_drop_path_rises_to_what_is_asked_for(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nn.init, "trunc_normal_", lambda weight, **_: weight)  # the slow part of making a network

    def rates(drop_path: float) -> list[float]:
        model = build(name, num_classes=2, drop_path=drop_path)
        return [module.drop_prob for module in model.modules() if isinstance(module, DropPath)]

    assert max(rates(0.3)) == pytest.approx(0.3)
    assert max(rates(0.0), default=0.0) == 0


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"name": "deit_tiny", "num_classes": 0}, "`num_classes` must be at least 1, got 0."),
        ({"name": "swin_tiny", "resolution": 100}, "must be a multiple of 32"),
        ({"name": "deit_tiny", "resolution": 100}, "must be a multiple of 16"),
        ({"name": "cswin_tiny", "resolution": 80}, "must be a multiple of 32"),
    ],
)
def test_what_cannot_be_built_is_refused(wishes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(**{"num_classes": 2, **wishes})


def test_drop_path_means_nothing_to_a_network_without() -> None:
    model = build("ghostnet_050", num_classes=2, drop_path=0.1)
    assert not any(isinstance(module, DropPath) for module in model.modules())
