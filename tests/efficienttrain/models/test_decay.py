from __future__ import annotations

from torch import nn

from efficienttrain.models import no_decay
from tests.efficienttrain.models import tiny


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
