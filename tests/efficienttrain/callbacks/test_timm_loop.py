"""The loop of timm's train.py: its optimizer, scheduler, average and loss, with the curriculum's batches."""

from __future__ import annotations

from pathlib import Path

import timm
import torch
from timm.loss import SoftTargetCrossEntropy
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from timm.utils import AverageMeter, ModelEmaV3

from efficienttrain.callbacks import Curriculum
from loaders.transforms import Mixup
from tests.efficienttrain.callbacks.setting import opened, short


def test_a_vit_through_timms_parts(jpeg_folder: Path) -> None:
    model = timm.create_model(
        "vit_tiny_patch16_224", img_size=64, num_classes=3, embed_dim=24, depth=2, num_heads=2, class_token=False,
        global_pool="avg", fc_norm=False,
    )  # fmt: skip
    optimizer = create_optimizer_v2(model, "adamw", lr=1e-2, weight_decay=0.05, layer_decay=0.75)
    average = ModelEmaV3(model, decay=0.9)
    mix, criterion = Mixup(0.8, 1.0, num_classes=3), SoftTargetCrossEntropy()
    loader = opened(jpeg_folder)
    curriculum = Curriculum(short(), loader, model, optimizer, ema=average.module, size=64)
    scheduler = CosineLRScheduler(
        optimizer, t_initial=curriculum.total, t_in_epochs=False
    )  # gives way to the curriculum
    updates, sides, rates = 0, [], []
    for epoch in range(curriculum.epochs):
        meter = AverageMeter()
        for number, (images, labels) in enumerate(curriculum):
            images, targets = mix(images, labels, number, seed=0, epoch=epoch)
            loss = criterion(model(images), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            sides.append(images.shape[-1])
            rates.append([group["lr"] / group["lr_scale"] for group in optimizer.param_groups])
            updates += 1
            average.update(model, step=updates)
            scheduler.step_update(num_updates=updates, metric=meter.avg)
            meter.update(loss.item(), images.size(0))
        assert number + 1 == len(curriculum)
    assert sides == [32] * 14 + [48] * 10 + [64] * 9
    assert all(max(row) - min(row) < 1e-12 for row in rates)  # one curve, times each layer's share
    assert max(max(row) for row in rates) == 1e-2
    assert model.pos_embed.shape == average.module.pos_embed.shape == (1, 16, 24)
    assert torch.isfinite(loss)
