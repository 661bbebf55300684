from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest

from loaders.backends import BackendOptions
from loaders.backends.decoder import Decoder
from loaders.native import KernelBatch, KernelOptions
from loaders.native.kernel import library
from loaders.sources import open_dataset
from loaders.transforms.pipeline import OutputFormat
from tests.robustness import cost


@pytest.mark.slow
def test_the_two_kernels_differ_in_the_checks_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "PHOTOS", 4)
    path, without = cost._pyramid(tmp_path), cost._without_checks(tmp_path)

    def decoded(kernel: ctypes.CDLL) -> tuple[list[int], bytes]:
        with open_dataset(path) as dataset:
            decoder = Decoder(dataset, BackendOptions(train=False, max_level=0))
            format = OutputFormat.pixels(96)
            out = np.zeros(4 * 3 * 96 * 96, np.uint8)
            samples = decoder.plan(format, 0, np.arange(4)).samples
            work = KernelBatch(samples, KernelOptions(96, decoder.filter(format), dataset.fd), out)
            for i in range(4):
                kernel.et_decode_one(ctypes.c_void_p(work.address), ctypes.c_int64(i), None)
            return work.status.tolist(), out.tobytes()

    assert decoded(library()) == decoded(without)
    with open_dataset(path) as dataset:
        entry = dataset.entries([2])[0, 0]
    data = bytearray(path.read_bytes())
    data[int(entry["offset"]) - 4 * int(entry["rows"]) - 4] ^= 1  # the check of the last MCU row but nothing decoded
    data[int(entry["offset"]) - 4 * (int(entry["rows"]) + int(entry["rows"]) // 2)] ^= 1  # and of one amid the crop
    path.write_bytes(data)
    assert [status != 0 for status in decoded(library())[0]] == [False, False, True, False]
    assert decoded(without)[0] == [0] * 4
