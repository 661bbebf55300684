from __future__ import annotations

import gc
import sys
import threading

import numpy as np
import torch

from loaders.buffer_pool import BufferPool


def test_memory_returns_only_after_the_last_view() -> None:
    slab = BufferPool(2)
    first = slab.take(64)
    place = first.ctypes.data
    view = torch.from_numpy(first).view(8, 8)[3]
    del first
    gc.collect()
    assert slab.take(64).ctypes.data != place
    view.fill_(7)
    del view
    gc.collect()
    assert slab.take(64).ctypes.data == place


def test_at_most_spare_buffers_are_kept() -> None:
    slab = BufferPool(1)
    batches = [slab.take(64) for _ in range(4)]
    del batches
    gc.collect()
    assert len(slab._free) == 1


def test_another_size_lets_the_old_go() -> None:
    slab = BufferPool(4)
    old = slab.take(64)
    slab.take(128)
    del old
    gc.collect()
    assert all(buffer.nbytes == 128 for buffer in slab._free)


def test_a_batch_may_outlive_its_buffers() -> None:
    slab = BufferPool(2)
    kept = slab.take(16)
    kept[:] = 5
    del slab
    gc.collect()
    assert np.all(kept == 5)


def test_threads_that_need_other_sizes_do_not_get_each_others() -> None:
    slab, wrong = BufferPool(4), []

    def work(size: int) -> None:
        for _ in range(3000):
            if slab.take(size).nbytes != size:
                wrong.append(size)

    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work, args=(size,)) for size in (64, 65, 66, 67)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(usual)
    assert not wrong
