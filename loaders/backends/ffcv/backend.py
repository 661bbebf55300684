"""The FFCV backend: FFCV's loader and compiled code execute the plan; all other steps are the torch backend's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...batch import BatchPlan
from ...beton.tables import read_head
from ...sources import Dataset
from ...sources.beton_file import BetonFile
from ..base import BackendOptions
from ..torch import Submit, TorchBackend
from .epoch import Epoch, FFCVPendingBatch, make_loader

if TYPE_CHECKING:
    from ...transforms.pipeline import TransformPipeline


class FFCVBackend(TorchBackend):
    """Executes plans on the real `ffcv.loader.Loader`, bit for bit as `TorchBackend` does; see `Backend`.

    Labels that FFCV reads, if there are any, are compared with the plan's; other fields are read as by `TorchBackend`.
    Pixels are stored in our own memory, because FFCV reuses its memory. A change of stage compiles no code, because the
    compiled code depends neither on resolution nor on batch size.
    """

    def __init__(self, dataset: Dataset, pipeline: TransformPipeline, options: BackendOptions) -> None:
        """
        Raises:
            ValueError: an image folder or several betons, which FFCV cannot read.
            BadDataset: FFCV's own tables are damaged.
        """
        if not isinstance(dataset, BetonFile):
            raise ValueError(
                f'backend="ffcv" reads a single beton, got {dataset.path}; pass backend="torch", '
                "or convert the images with `efficienttrain convert`."
            )
        # The pool only decodes samples that replace bad ones.
        super().__init__(dataset, pipeline, replace(options, num_workers=1))
        self._dataset = dataset
        self._loader = make_loader(
            read_head(dataset.fd, dataset.path),
            dataset.label_field,
            threads=options.num_workers,
            ahead=max(1, options.prefetch_factor - 1),
        )
        self._epochs: set[Epoch] = set()
        self._ended: Counter[str] = Counter()

    def stats(self) -> dict[str, int]:
        """Sums over FFCV's threads, see `native.Pool.stats`."""
        total = Counter(super().stats())
        for sums in (self._ended, *(epoch.total() for epoch in list(self._epochs))):
            total.update(sums)
        return dict(total)

    def close(self) -> None:
        """Stops the threads."""
        for epoch in list(self._epochs):
            epoch.close()
        super().close()

    @contextmanager
    def _threads(self, batches: Sequence[NDArray[np.int64]]) -> Iterator[Submit]:
        self._decoder.pool.check()
        epoch = Epoch(self._loader, batches)
        self._epochs.add(epoch)

        def submit(batch: BatchPlan, out: NDArray[np.uint8]) -> FFCVPendingBatch:
            return epoch.submit(batch, self._dataset.numbered, self._decoder.kernel_options(batch), out)

        try:
            yield submit
        finally:
            if not epoch.closed:  # closed before: by `close`, or when the interpreter ends and modules are gone
                epoch.close()
                self._epochs.discard(epoch)
                self._ended.update(epoch.total())
