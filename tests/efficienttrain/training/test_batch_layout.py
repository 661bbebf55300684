from __future__ import annotations

import pytest

from efficienttrain.training.batch_layout import Layout, lay_out


@pytest.mark.parametrize(
    ("asked", "laid"),
    [
        ((4096, 8, 512, 1), Layout(8, 1, 512)),
        ((4096, 8, 256, 1), Layout(8, 2, 256)),
        ((4096, 1, 256, 4), Layout(1, 16, 256, 4)),
        ((96, 2, 40, 1), Layout(2, 2, 24)),  # 48 a rank: the largest divisor up to 40
        ((96, 2, 40, 3), Layout(2, 2, 24, 3)),
        ((10, 1, 512, 1), Layout(1, 1, 10)),
    ],
)
def test_micro_batches_divide_the_share_evenly(asked: tuple[int, int, int, int], laid: Layout) -> None:
    assert lay_out(*asked) == laid
    assert laid.batch == asked[0]


def test_the_loader_brings_its_part() -> None:
    layout = Layout(ranks=8, accumulation=2, micro=64, factor=4)
    assert (layout.batch, layout.fresh, layout.fresh_step) == (1024, 16, 256)


def test_halving_keeps_the_batch() -> None:
    assert Layout(2, 3, 64, 4).halved() == Layout(2, 6, 32, 4)
    for layout in (Layout(1, 1, 5), Layout(1, 1, 4, 4)):
        with pytest.raises(ValueError, match=f"micro-batch of {layout.micro}, which cannot be halved"):
            layout.halved()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ((100, 8, 64, 1), r"multiple of the number of ranks, 8, got 100; nearest are 96 and 104"),
        ((16, 2, 8, 3), r"multiple of the replay factor, 3, got 8"),
    ],
)
def test_what_does_not_divide_is_said(asked: tuple[int, int, int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        lay_out(*asked)
