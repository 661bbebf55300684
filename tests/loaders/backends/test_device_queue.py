from __future__ import annotations

import time

import pytest
import torch

from loaders.backends.device_queue import Clock


def test_stations_add_up_on_the_cpu() -> None:
    clock = Clock(torch.device("cpu"))
    for _ in range(2):
        with clock("ops"):
            time.sleep(0.01)
    with clock("copy"):
        pass
    assert 0.02e9 <= clock.sums()["ops_ns"] < 10e9 and clock.sums()["copy_ns"] < 0.01e9


@pytest.mark.gpu
def test_a_gpu_is_timed_without_being_waited_for() -> None:
    clock, stream = Clock(torch.device("cuda")), torch.cuda.Stream()
    with torch.cuda.stream(stream), clock("ops"):
        torch.cuda._sleep(100_000_000)
    assert "ops_ns" not in clock.sums()
    stream.synchronize()
    assert clock.sums()["ops_ns"] > 1e6
