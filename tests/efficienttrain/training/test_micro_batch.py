"""Micro-batches that fit into the memory, which is pretended: a network takes so much for each sample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from efficienttrain.training import micro_batch, train
from efficienttrain.training.logbook import read
from efficienttrain.training.trainer import Trainer
from tests.efficienttrain.training.networks import Tiny
from tests.efficienttrain.training.runs import config, curve

SHORT: dict[str, Any] = {"epochs": 1.0, "evaluate_every": 1.0, "save_every": 1.0}
FIXED, EACH = 5_000, 100
"""Bytes that a step of the pretended network takes, and those for each of its samples."""


@dataclass
class Memory:
    """See `micro_batch.Memory`: counts the samples that pass through the network."""

    free: int
    probed: list[int] = field(default_factory=list)

    def room(self) -> int:
        return self.free

    def peak(self, work: Callable[[], object]) -> int:
        sizes: list[int] = []
        forward = torch.nn.Conv2d.forward
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.nn.Conv2d, "forward", lambda net, x: (sizes.append(len(x)), forward(net, x))[1])
            work()
        self.probed += sizes
        return FIXED + EACH * max(sizes)


@pytest.fixture(autouse=True)
def small_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(micro_batch, "PROBES", (1, 2))
    monkeypatch.setattr(micro_batch, "MOMENTS", 0)


def have(monkeypatch: pytest.MonkeyPatch, samples: float) -> Memory:
    """Memory for micro-batches of so many samples."""
    memory = Memory(int((FIXED + EACH * samples) / micro_batch.USED) + 1)
    monkeypatch.setattr(micro_batch, "memory_of", lambda _: memory)
    return memory


def layouts(out: Path) -> list[tuple[int, int]]:
    return [(line["micro"], line["accumulation"]) for line in read(out) if line["kind"] == "layout"]


@pytest.mark.parametrize(("samples", "micro"), [(7.9, 4), (3.9, 2), (0.5, 1)])
def test_the_largest_that_fits_and_divides_the_batch(
    samples: float, micro: int, jpeg_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = have(monkeypatch, samples)
    train(config(jpeg_folder, tmp_path / "run", **SHORT))
    assert memory.probed == [1, 2] * 3  # once a stage
    assert layouts(tmp_path / "run") == [(micro, 8 // micro)] * 3


def test_measuring_changes_nothing(jpeg_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(config(jpeg_folder, tmp_path / "given", micro_batch=4))
    have(monkeypatch, 4)
    train(config(jpeg_folder, tmp_path / "fitted"))
    assert curve(tmp_path / "fitted") == curve(tmp_path / "given")
    assert layouts(tmp_path / "fitted") == layouts(tmp_path / "given")


def test_running_statistics_are_as_before(jpeg_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tmp_path / "normed.py"
    model.write_text(
        "from torch import nn\nfrom tests.efficienttrain.training.networks import Tiny\n\n"
        "def normed(num_classes):\n    net = Tiny(num_classes)\n    net.norm = nn.BatchNorm2d(12)\n    return net\n"
    )
    memory = have(monkeypatch, 100)
    seen: list[torch.Tensor] = []
    begin = Trainer.supply

    def supply(self: Trainer, *arguments: Any) -> None:
        seen.append(self.train_state.model.norm.running_mean.clone())  # type: ignore[union-attr,operator]
        begin(self, *arguments)

    monkeypatch.setattr(Trainer, "supply", supply)
    train(config(jpeg_folder, tmp_path / "run", model=f"{model}:normed", **SHORT))
    assert memory.probed and not seen[0].any() and seen[1].any()


def test_the_users_micro_batch_prevails(jpeg_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = have(monkeypatch, 1)
    train(config(jpeg_folder, tmp_path / "run", micro_batch=4, **SHORT))
    assert not memory.probed and layouts(tmp_path / "run") == [(4, 2)] * 3


def test_a_resumed_stage_keeps_its_micro_batch(
    jpeg_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = config(jpeg_folder, tmp_path / "run", save_every=0.05)
    have(monkeypatch, 3)
    train(config(jpeg_folder, tmp_path / "straight", save_every=0.05))
    advance = Trainer.advance

    def killed(self: Trainer) -> None:
        if self.step == sum(self.schedule.steps[:1]) + 2:  # in the second stage
            raise KeyboardInterrupt
        advance(self)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "advance", killed)
        with pytest.raises(KeyboardInterrupt):
            train(options)
    memory = have(monkeypatch, 100)  # other programs have ended since
    train(options)
    assert memory.probed == [1, 2]  # for the third stage alone
    assert [micro for micro, _ in layouts(tmp_path / "run")] == [2, 2, 2, 8]
    step = sum(read_steps(tmp_path / "run")[:2])
    assert curve(tmp_path / "run")[:step] == curve(tmp_path / "straight")[:step]


def read_steps(out: Path) -> list[int]:
    """Steps of each stage."""
    stages = [line["stage"] for line in read(out) if line["kind"] == "train"]
    return [stages.count(stage) for stage in range(3)]


def test_too_little_memory_to_measure(jpeg_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(micro_batch, "PROBES", (4, 6))
    memory = have(monkeypatch, 100)

    def starved(_: object) -> int:
        raise torch.cuda.OutOfMemoryError("as if")

    monkeypatch.setattr(memory, "peak", starved)
    train(config(jpeg_folder, tmp_path / "run", **SHORT))
    assert layouts(tmp_path / "run") == [(2, 4)] * 3


def test_moments_are_left_room(jpeg_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(micro_batch, "MOMENTS", 8)
    memory, weights = have(monkeypatch, 8), sum(parameter.numel() for parameter in Tiny(3).parameters())
    memory.free += 8 * weights - EACH  # almost
    train(config(jpeg_folder, tmp_path / "run", **SHORT))
    assert [micro for micro, _ in layouts(tmp_path / "run")] == [4, 8, 8]  # later stages have the moments already
