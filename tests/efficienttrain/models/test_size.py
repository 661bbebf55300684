from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from timm.optim import Lamb
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from efficienttrain.models import check_resolution, resize
from efficienttrain.models.size import fit
from efficienttrain.training.optim import no_decay
from tests.efficienttrain.models import tiny

OPTIMIZERS = {
    "adamw": lambda groups: torch.optim.AdamW(groups, lr=1e-3),
    "amsgrad": lambda groups: torch.optim.AdamW(groups, lr=1e-3, amsgrad=True, foreach=True),
    "sgd": lambda groups: torch.optim.SGD(groups, lr=1e-3, momentum=0.9),
    "lamb": lambda groups: Lamb(groups, lr=1e-3),
}


def images(resolution: int, count: int = 2) -> Tensor:
    return torch.randn(count, 3, resolution, resolution, generator=torch.Generator().manual_seed(resolution))


def learn(model: nn.Module, optimizer: torch.optim.Optimizer, resolution: int) -> Tensor:
    """One step; the loss that comes back still holds its graph."""
    loss = F.cross_entropy(model(images(resolution)), torch.tensor([0, 1]))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


def in_groups(model: nn.Module, make: Any = OPTIMIZERS["adamw"]) -> torch.optim.Optimizer:
    without = no_decay(model)
    groups = [{"params": [p for n, p in model.named_parameters() if (n in without) is bare]} for bare in (False, True)]
    optimizer: torch.optim.Optimizer = make(groups)
    return optimizer


@pytest.mark.parametrize("family", tiny.FAMILIES)
@pytest.mark.parametrize("path", [(96, 160, 224), (160, 192, 224), (224, 96)])
def test_logits_are_those_of_a_fresh_model_with_its_weights(family: str, path: tuple[int, ...]) -> None:
    model = tiny.FAMILIES[family](path[0])
    for resolution in path[1:]:
        resize(model, resolution)
    fresh = tiny.FAMILIES[family](path[-1])
    fresh.load_state_dict(model.state_dict(), strict=True)
    with torch.no_grad():
        assert torch.equal(model.eval()(images(path[-1])), fresh.eval()(images(path[-1])))


@pytest.mark.parametrize(("family", "name"), [
    ("deit", "pos_embed"),
    ("swin", "layers.1.blocks.1.attn.relative_position_bias_table"),
    ("pvt", "stages.3.pos_embed"),
])  # fmt: skip
def test_values_follow_the_released_rule_from_stage_to_stage(family: str, name: str) -> None:
    model = tiny.FAMILIES[family](96)
    values = model.get_parameter(name).detach().clone()
    for resolution in (160, 224):
        resize(model, resolution)
        if family == "swin":
            side, wanted, extra = 2 * values_side(values) - 1, 2 * (resolution // 32) - 1, 0
            grid = values.T.reshape(1, -1, side, side)
        else:
            extra, cell = 1, {"deit": 16, "pvt": 32}[family]
            side, wanted = int((values.shape[1] - 1) ** 0.5), resolution // cell
            grid = values[:, 1:].transpose(1, 2).reshape(1, -1, side, side)
        grid = F.interpolate(grid, (wanted, wanted), mode="bilinear", align_corners=False).flatten(2)
        values = grid[0].T if family == "swin" else torch.cat((values[:, :extra], grid.transpose(1, 2)), dim=1)
        torch.testing.assert_close(model.get_parameter(name).detach(), values)


def values_side(table: Tensor) -> int:
    """The window that a bias table is for."""
    return (int(len(table) ** 0.5) + 1) // 2


@pytest.mark.parametrize("family", tiny.FAMILIES)
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_moments_follow_by_name(family: str, kind: str) -> None:
    model = tiny.FAMILIES[family](96)
    optimizer = in_groups(model, OPTIMIZERS[kind])
    learn(model, optimizer, 96)
    objects = dict(model.named_parameters())
    groups = [[id(parameter) for parameter in group["params"]] for group in optimizer.param_groups]
    before = {name: copy.deepcopy(optimizer.state[parameter]) for name, parameter in objects.items()}
    resize(model, 160, optimizer=optimizer)
    changed = 0
    for name, parameter in model.named_parameters():
        assert parameter is objects[name]
        assert (parameter.grad is None) or parameter.grad.shape == parameter.shape
        for key, value in before[name].items():
            now = optimizer.state[parameter][key]
            if isinstance(value, Tensor) and value.ndim:
                torch.testing.assert_close(now, fit(value, parameter.shape), rtol=0, atol=0)
                changed += now.shape != value.shape
            else:
                assert now == value
    assert changed >= {"sgd": 1, "adamw": 2, "lamb": 2, "amsgrad": 3}[kind]
    assert groups == [[id(parameter) for parameter in group["params"]] for group in optimizer.param_groups]
    assert len(optimizer.state) == len(objects)
    learn(model, optimizer, 160)


@pytest.mark.skipif(not hasattr(torch.optim, "Adafactor"), reason="needs torch 2.5")
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_factored_moments_begin_anew_where_the_shape_changes(family: str) -> None:
    model = tiny.FAMILIES[family](96)
    optimizer = torch.optim.Adafactor(model.parameters(), 1e-3)
    learn(model, optimizer, 96)
    shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
    resize(model, 160, optimizer=optimizer)
    changed = [p for name, p in model.named_parameters() if p.shape != shapes[name]]
    assert changed
    for p in changed:  # a table with one column is its own factor
        assert all(value.numel() == 1 or value.shape == p.shape for value in optimizer.state[p].values())
    learn(model, optimizer, 160)
    assert all(torch.isfinite(p).all() for p in model.parameters()) and all(optimizer.state[p] for p in changed)


def test_swin_windows_are_a_32nd_of_the_side_and_shift_by_half() -> None:
    model = tiny.swin(96)
    for resolution, window, shift in ((160, 5, 2), (192, 6, 3), (224, 7, 3), (96, 3, 1), (64, 2, 1)):
        resize(model, resolution)
        attentions = [block for block in model.modules() if hasattr(block, "shift_size")]
        assert {block.window_size for block in attentions} == {(window, window)}
        assert [block.shift_size for block in attentions] == [(0, 0), (shift, shift)] * 3 + [(0, 0)] * 2
        for block in attentions:
            assert block.attn.relative_position_bias_table.shape[0] == (2 * window - 1) ** 2
            assert block.attn.relative_position_index.shape == (window**2, window**2)
            assert (block.attn_mask is None) == (block.shift_size == (0, 0))


def test_the_average_follows_with_its_own_values() -> None:
    model = tiny.deit(96)
    ema = copy.deepcopy(model)
    with torch.no_grad():
        ema.pos_embed.mul_(2)
    own = ema.pos_embed.detach().clone()
    resize(model, 224, ema=ema)
    assert torch.equal(ema.pos_embed.detach(), fit(own, (1, 197, 24)))
    assert ema(images(224)).shape == (2, 5)


def test_a_loss_that_is_still_held_does_no_harm() -> None:
    model = tiny.deit(96)
    optimizer = in_groups(model)
    held = [learn(model, optimizer, 96)]
    for resolution in (160, 224):
        resize(model, resolution, optimizer=optimizer)
        held.append(learn(model, optimizer, resolution))
    assert model.get_parameter("pos_embed").shape == (1, 197, 24)


def test_at_its_size_already_nothing_changes() -> None:
    model = tiny.swin(160)
    optimizer = in_groups(model)
    learn(model, optimizer, 160)
    before = {name: (parameter, parameter.detach().clone()) for name, parameter in model.named_parameters()}
    resize(model, 160, optimizer=optimizer)
    for name, parameter in model.named_parameters():
        assert parameter is before[name][0] and torch.equal(parameter, before[name][1])
        assert parameter.grad is not None


def test_a_network_that_depends_on_no_size_is_left_alone() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    weight = model[0].weight
    resize(model, 98)
    assert model[0].weight is weight


def test_a_new_distributed_wrapper_around_the_same_network_learns_on(tmp_path: Path) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        model = tiny.deit(96)
        optimizer = in_groups(model)
        for resolution in (96, 160):
            resize(model, resolution, optimizer=optimizer)
            learn(DistributedDataParallel(model), optimizer, resolution)
        assert model.get_parameter("pos_embed").grad is not None
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize(
    ("model", "resolution", "message"),
    [
        (lambda: tiny.swin(96), 112, "must be a multiple of 32, at least 64, got 112; nearest are 96 and 128."),
        (lambda: tiny.swin(96), 32, "must be a multiple of 32, at least 64, got 32; nearest is 64."),
        (lambda: tiny.pvt(96), 100, "must be a multiple of 32, at least 32, got 100; nearest are 96 and 128."),
        (lambda: tiny.deit(96), 100, "must be a multiple of 16, at least 32, got 100; nearest are 96 and 112."),
        (lambda: nn.Linear(1, 1), 16, "must be a multiple of 1, at least 32, got 16; nearest is 32."),
        (lambda: timm.create_model("mixer_s32_224"), 96, "can only be 224, got 96: it has no `set_input_size`"),
    ],
)
def test_a_size_that_the_network_cannot_take_is_refused(model: Any, resolution: int, message: str) -> None:
    for refuse in (check_resolution, resize):
        with pytest.raises(ValueError) as refusal:
            refuse(model(), resolution)
        assert message in str(refusal.value)


def test_a_network_that_timm_calls_fixed_may_accept_any_size() -> None:
    network = timm.create_model("xcit_nano_12_p16_224", num_classes=3, depth=1, cls_attn_layers=1)
    network.train()
    network.head.eval()  # as a user may have it
    resize(network, 96)
    assert network.training and not network.head.training
    assert network(torch.zeros(2, 3, 96, 96)).shape == (2, 3)


def test_bias_tables_with_heads_first() -> None:
    table = torch.rand(4, 49)
    assert torch.equal(fit(table, (4, 36)), fit(table.T.contiguous(), (36, 4)).T)
    with pytest.raises(ValueError, match=r"square grid .* not"):
        fit(table, (4, 35))


def test_sizes_that_fit_are_not_refused() -> None:
    check_resolution(tiny.swin(96), 64)
    check_resolution(tiny.deit(96), 112)
    check_resolution(nn.Linear(1, 1), 98)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["deit", "swin"])
def test_a_compiled_network_notices(family: str) -> None:
    model = tiny.FAMILIES[family](96)
    optimizer = in_groups(model)
    compiled: Any = torch.compile(model, backend="eager")
    for resolution in (96, 160, 224):
        resize(model, resolution, optimizer=optimizer)
        learn(compiled, optimizer, resolution)
        with torch.no_grad():
            torch.testing.assert_close(compiled(images(resolution)), model(images(resolution)))


@pytest.mark.parametrize("extra", [0, 1, 2, 5])
@pytest.mark.parametrize(("side", "wanted"), [(6, 10), (14, 6), (12, 14)])
def test_tokens_of_a_grid_with_extra_ones_before_it(extra: int, side: int, wanted: int) -> None:
    values = torch.arange(extra + side * side).float()[None, :, None] + torch.tensor([0.0, 1000.0])
    out = fit(values, (1, extra + wanted * wanted, 2))
    assert torch.equal(out[:, :extra], values[:, :extra])
    image = values[:, extra:].reshape(1, side, side, 2).permute(0, 3, 1, 2)
    expected = F.interpolate(image, (wanted, wanted), mode="bilinear", align_corners=False)
    assert torch.equal(out[:, extra:], expected.permute(0, 2, 3, 1).reshape(1, -1, 2))


@pytest.mark.parametrize("extra", [0, 3])  # Swin, BEiT
def test_bias_tables_with_extra_rows_after_them(extra: int) -> None:
    values = torch.randn(25 + extra, 4)
    out = fit(values, (81 + extra, 4))
    expected = F.interpolate(values[:25].T.reshape(1, 4, 5, 5), (9, 9), mode="bilinear", align_corners=False)
    torch.testing.assert_close(out[:81], expected.reshape(4, 81).T)
    assert torch.equal(out[81:], values[25:])


def test_type_is_kept_and_squares_stay_positive() -> None:
    out = fit(torch.rand(1, 37, 8, dtype=torch.bfloat16), (1, 197, 8))
    assert out.dtype == torch.bfloat16 and bool((out >= 0).all())


def test_the_same_shape_is_the_same_tensor() -> None:
    values = torch.zeros(1, 50, 8)
    assert fit(values, values.shape) is values


@pytest.mark.parametrize("shape", [(1, 38, 8), (1, 101, 9), (2, 101, 8), (101, 8)])
def test_what_is_no_square_grid_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="a square grid of positions can be resized"):
        fit(torch.zeros(1, 37, 8), shape)
