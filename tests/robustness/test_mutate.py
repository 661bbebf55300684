from __future__ import annotations

import numpy as np
import pytest

from loaders import native
from loaders.plan.filters import build
from tests.robustness import corpus, mutate


@pytest.fixture(scope="module")
def sources() -> list[bytes]:
    return corpus.corpus()


def test_every_kind_is_sound_and_what_it_says() -> None:
    for kind in corpus.KINDS:
        data = corpus.make(kind, 75, 53)
        if kind == "cmyk":
            with pytest.raises(native.JpegError, match="4 colour components"):
                native.peek(data)
            continue
        info = native.peek(data)
        assert native.decode(data).shape == (53, 75, 3)
        assert info.sampling == (kind if kind[0] == "4" else {"grey": "grey", "rgb": "4:4:4"}.get(kind, "4:2:0"))


@pytest.mark.parametrize("fault", mutate.FAULTS)
def test_every_fault_does_harm(sources: list[bytes], fault: str) -> None:
    changed = 0
    for number in range(20):
        data = bytearray(sources[number])
        mutate.FAULTS[fault](data, mutate.draw(5, number))
        changed += bytes(data) != sources[number]
    assert changed > 10


def test_a_mutant_is_a_function_of_seed_and_number(sources: list[bytes]) -> None:
    first = [mutate.mutant(sources, 1, number)[0] for number in range(60)]
    assert first == [mutate.mutant(sources, 1, number)[0] for number in range(60)]
    assert first != [mutate.mutant(sources, 2, number)[0] for number in range(60)]
    assert len(set(first)) > 50


def test_the_judge_sees_a_wrong_pixel(sources: list[bytes]) -> None:
    from tests.robustness import damage, truth

    samples = np.zeros(1, native.SAMPLE)
    samples["box"], samples["full"], samples["scale"] = (0, 0, 128, 96), (128, 96), 1
    samples["entry"]["width"], samples["entry"]["height"], samples["entry"]["size"] = 128, 96, len(sources[4])
    made = damage.decoded(native.Pool(1), samples, 64, sources[4]).out.reshape(3, 64, 64)
    assert truth.differs(made, sources[4], samples[0], 64, build(64)) == ""
    made[:, 20:30, 20:30] ^= 64
    assert "pixels off" in truth.differs(made, sources[4], samples[0], 64, build(64))
