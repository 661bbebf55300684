from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from loaders import replay
from loaders.replay import Replay, check_memory, free_bytes, ring_bytes
from tests.pretend import pretending


def batch(number: int, size: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    """Samples that say in every pixel, and as their label, which they are."""
    labels = torch.arange(size) + 1000 * number
    return (labels.float() / 2048).view(-1, 1, 1, 1).expand(-1, 3, 16, 16), labels


def test_fresh_samples_come_first_and_replayed_ones_after_them() -> None:
    ring = Replay(3, 64, 16, factor=4)
    images, labels = ring(*batch(0), seed=0, step=0)
    assert images.shape == (256, 3, 16, 16)
    assert images.dtype == torch.float32
    assert torch.equal(labels[:64], batch(0)[1])
    assert torch.equal(images[:64], batch(0)[0])
    assert torch.equal((images[:, 0, 0, 0] * 2048).round().long(), labels)  # images and labels stay together


def test_the_oldest_batch_makes_room() -> None:
    ring = Replay(2, 64, 16, factor=8)
    for number in range(4):
        _, labels = ring(*batch(number), seed=0, step=number)
        seen = set((labels[64:] // 1000).tolist())
        assert seen == set(range(max(0, number - 1), number + 1))  # the new batch and the one before, no other


def test_chunks_of_neighbours_are_drawn_with_replacement() -> None:
    ring = Replay(1, 64, 16, factor=5)
    ring.push(*batch(0))
    pairs = ring.draw(seed=0, step=0)[1].view(-1, 2)  # 32 chunks of two
    assert len(pairs) == 4 * 32
    assert torch.equal(pairs[:, 0] + 1, pairs[:, 1])
    assert (pairs[:, 0] % 2 == 0).all()
    assert 20 < len(pairs[:, 0].unique()) < 32 + 1
    counts = np.bincount(pairs[:, 0] // 2, minlength=32)
    assert counts.max() > 4  # without replacement each would come exactly four times


@pytest.mark.parametrize(("size", "chunk"), [(64, 2), (100, 2), (20, 1), (31, 1), (256, 8), (99, 3)])
def test_a_batch_is_cut_into_32_chunks_or_the_next_number_that_divides_it(size: int, chunk: int) -> None:
    ring = Replay(1, size, 16, factor=2)
    assert ring._chunk == chunk
    assert len(ring(*batch(0, size), seed=0, step=0)[1]) == 2 * size


def test_draws_depend_on_seed_step_and_group_alone() -> None:
    def labels(seed: int = 0, step: int = 0, group: int = 0) -> list[int]:
        ring = Replay(2, 64, 16, factor=2)
        ring.push(*batch(0))
        return ring.draw(seed=seed, step=step, group=group)[1].tolist()

    assert labels() == labels()
    different = [labels(), labels(seed=1), labels(step=1), labels(group=1)]
    assert all(a != b for i, a in enumerate(different) for b in different[:i])


@pytest.mark.parametrize("launcher", ["LOCAL_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE"])
def test_a_ring_without_room_is_refused_before_it_is_made(launcher: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "free_bytes", lambda _: 2 * 2**30)
    monkeypatch.setenv(launcher, "2")
    with pytest.raises(
        ValueError,
        match=r"1920 batches of 128 at 96 px takes 25\.\d GiB for the 2 ranks.* 2\.0 GiB .*; 136 batches",
    ):
        Replay(1920, 128, 96, factor=4)
    check_memory(136, 128, 96, torch.device("cpu"))


def test_the_figures_are_those_of_the_released_buffers() -> None:
    assert ring_bytes(1920, 128, 96) / 2**30 == pytest.approx(12.7, abs=0.05)  # DeiT-S, a process
    assert ring_bytes(256, 256, 160) / 2**30 == pytest.approx(9.4, abs=0.05)


def test_free_memory_is_that_of_this_machine() -> None:
    total = int(Path("/proc/meminfo").read_text().split()[1]) * 1024
    assert 0 < free_bytes(torch.device("cpu")) <= total


@pytest.mark.parametrize(("batches", "size", "factor"), [(0, 8, 2), (1, 0, 2), (1, 8, 1)])
def test_numbers_out_of_range_are_named(batches: int, size: int, factor: int) -> None:
    with pytest.raises(
        ValueError, match=f"must be at least 1 and `factor` at least 2, got {batches}, {size} and {factor}"
    ):
        Replay(batches, size, 16, factor)


def test_targets_of_any_shape_and_type_are_replayed() -> None:
    ring = Replay(2, 64, 16, factor=2)
    images, labels = batch(0)
    _, targets = ring(images, torch.stack([labels, -labels], 1) / 2, seed=0, step=0)
    assert targets.shape == (128, 2) and targets.dtype == torch.float32
    assert torch.equal(targets[:, 0], -targets[:, 1]) and torch.equal(targets[:64, 0] * 2, labels.float())
    with pytest.raises(ValueError, match=r"`labels` \[n, 2\]"):
        ring.push(images, labels)


def test_a_batch_of_another_shape_is_refused() -> None:
    ring = Replay(1, 64, 16, 2)
    images, labels = batch(0, 64)
    for strange in ((images[:, :1], labels), (images, labels[:63])):
        with pytest.raises(ValueError, match=r"must be \[n, 3, 16, 16\] and `labels` \[n\]"):
            ring.push(*strange)


def test_an_empty_ring_has_nothing_to_draw() -> None:
    with pytest.raises(ValueError, match="needs a batch in the ring"):
        Replay(1, 64, 16, 2).draw(seed=0, step=0)


def test_the_limit_of_a_control_group_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "free_memory", lambda: 8000)
    assert free_bytes(torch.device("cpu")) == 8000


def test_a_batch_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="must be 64, as the ring was made for, got 63"):
        Replay(1, 64, 16, 2).push(*batch(0, 63))


@pytest.mark.gpu
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_batches_on_a_gpu(device: str) -> None:
    ring, plain = Replay(2, 64, 16, factor=4, device=device), Replay(2, 64, 16, factor=4)
    for step in range(3):
        images, labels = batch(step)
        got = ring(images.cuda(), labels.cuda(), seed=0, step=step)
        wanted = plain(images, labels, seed=0, step=step)
        assert torch.equal(got[0].cpu(), wanted[0])
        assert torch.equal(got[1].cpu(), wanted[1])


class Later:
    """An event that has passed once it was waited for."""

    waits = 0

    def __init__(self, **_: object) -> None:
        self.passed = False

    def record(self) -> None: ...

    def query(self) -> bool:
        return self.passed

    def synchronize(self) -> None:
        Later.waits += not self.passed
        self.passed = True


def test_batches_on_their_way_to_ram_are_drawn_from_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "Event", Later)
    monkeypatch.setattr(Later, "waits", 0)
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *sizes, pin_memory=False, **more: empty(*sizes, **more))  # noqa: ARG005
    plain, late = Replay(6, 64, 16, factor=4), Replay(6, 64, 16, factor=4)

    def push(images: torch.Tensor, labels: torch.Tensor) -> None:
        late._make_room(labels)
        late._coming.append(replay._Coming(late.pushed % 6, images, labels))
        late._arrive(replay.LATE)
        late.pushed += 1

    monkeypatch.setattr(late, "push", push)  # as for images on a GPU
    for number in range(9):
        wanted, got = (ring(*batch(number), seed=0, step=number) for ring in (plain, late))
        assert torch.equal(wanted[0], got[0]) and torch.equal(wanted[1], got[1])
        assert len(late._coming) == min(number + 1, replay.LATE)
    assert Later.waits == 9 - replay.LATE  # each for a batch of LATE batches ago


@pytest.mark.parametrize("ring", ["cpu", "cuda"])
def test_on_a_gpu_no_micro_batch_waits(ring: str) -> None:
    with pretending() as count:
        held = Replay(8, 32, 16, factor=2, device=ring)
        images = torch.empty((32, 3, 16, 16), device="cuda")
        labels = torch.zeros(32, dtype=torch.int64, device="cuda")
        for step in range(3):
            made, targets = held(images, labels, seed=0, step=step)
            assert made.device.type == targets.device.type == "cuda" and len(made) == 64
        assert not count.copies["pageable"] and not +count.waits
