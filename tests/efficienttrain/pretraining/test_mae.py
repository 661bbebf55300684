from __future__ import annotations

import pytest
import torch
from timm.layers import build_sincos2d_pos_embed
from torch.utils.flop_counter import FlopCounterMode

from efficienttrain.curriculum import ICCV, merged
from efficienttrain.models import build, resize
from efficienttrain.pretraining.mae import MaskedAutoencoder, positions
from efficienttrain.pretraining.masked_train_state import draw_mask
from efficienttrain.pretraining.masking import Masking
from tests.efficienttrain.pretraining.networks import vit


def autoencoder(resolution: int, size: int = 64) -> MaskedAutoencoder:
    return MaskedAutoencoder(vit(num_classes=1, resolution=resolution), outputs=192, size=size)


def test_positions_at_full_size_are_timms() -> None:
    assert torch.allclose(positions(14, 64, 14), build_sincos2d_pos_embed([14, 14], 64), atol=1e-5)


def test_a_patch_keeps_its_place_in_the_image() -> None:
    assert torch.allclose(positions(1, 16, 5)[0], positions(5, 16, 5)[12], atol=1e-6)  # the middle
    assert torch.allclose(positions(2, 16, 6)[0], positions(6, 16, 6)[7], atol=1e-6)  # of the upper left quarter


@pytest.mark.parametrize(("first", "then"), [(32, 64), (64, 48)])
def test_at_another_resolution_it_is_a_fresh_one_with_its_weights(first: int, then: int) -> None:
    model = autoencoder(first)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad])
    resize(model, then, optimizer=optimizer)
    fresh = autoencoder(then)
    weights = {name: value for name, value in model.state_dict().items() if name != "encoder.pos_embed"}
    assert fresh.load_state_dict(weights, strict=False).missing_keys == ["encoder.pos_embed"]
    images, mask = torch.randn(2, 3, then, then), draw_mask(0, 0, 0, 2, model.patches, 4)
    assert torch.equal(model.encode(images, mask.visible), fresh.encode(images, mask.visible))
    assert torch.equal(model(images, *mask), fresh(images, *mask))


def test_shown_everything_it_encodes_as_timm_does() -> None:
    model = autoencoder(32)
    images, order = torch.randn(2, 3, 32, 32), torch.arange(16).expand(2, -1)
    assert torch.allclose(model.encode(images, order), model.encoder.forward_features(images), atol=1e-6)


def test_hidden_patches_are_not_looked_at() -> None:
    model, mask = autoencoder(32), draw_mask(0, 0, 0, 2, 16, 4)
    images = torch.randn(2, 3, 32, 32)
    others = images.clone()
    for image, hidden in zip(others, mask.hidden, strict=True):
        for place in hidden.tolist():
            image[:, place // 4 * 8 : place // 4 * 8 + 8, place % 4 * 8 : place % 4 * 8 + 8] = 9
    assert torch.equal(model(images, *mask), model(others, *mask))
    assert not torch.equal(model(images, *mask), model(others + 1, *mask))


@pytest.mark.parametrize(("name", "width"), [("tiny", 128), ("small", 256), ("base", 512), ("large", 512)])
def test_decoders(name: str, width: int) -> None:
    with torch.device("meta"):
        model = MaskedAutoencoder(build(f"vit_{name}_patch16_224", num_classes=1), 768, 224)
    assert (model.embed.out_features, len(model.decoder)) == (width, 8)


@pytest.mark.parametrize(("name", "published"), [("base", 1.54), ("large", 1.53)])
def test_the_curriculum_of_2023_saves_what_the_paper_says(name: str, published: float) -> None:
    with torch.device("meta"):
        model = MaskedAutoencoder(build(f"vit_{name}_patch16_224", num_classes=1), 768, 224)
    cost = {}
    for stage in merged(ICCV):
        resize(model, stage.resolution)
        mask = draw_mask(0, 0, 0, 1, model.patches, Masking().visible(model.patches))
        images = torch.empty(1, 3, stage.resolution, stage.resolution, device="meta")
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(images, *(places.to("meta") for places in mask))
        cost[stage.resolution] = counter.get_total_flops()
    assert cost[224] / (0.6 * cost[160] + 0.2 * cost[192] + 0.2 * cost[224]) == pytest.approx(published, abs=0.005)


def test_another_network_is_refused() -> None:
    with pytest.raises(ValueError, match=r"takes a VisionTransformer of timm's.*got ResNet; vit_base_patch16_224"):
        MaskedAutoencoder(build("resnet18", num_classes=1), 1, 224)
