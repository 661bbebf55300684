from __future__ import annotations

import gc
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
    """Another thread takes and returns a buffer of its own size in the middle of a `take`, unless it has to wait."""
    slab, other = BufferPool(4), threading.Thread(target=lambda: slab.take(64))

    class Free(list[np.ndarray]):
        def clear(self) -> None:
            super().clear()
            if not other.ident:
                other.start()
                other.join(0.3)  # it waits for this `take`

    slab._free = Free()
    assert slab.take(65).nbytes == 65
    other.join()
