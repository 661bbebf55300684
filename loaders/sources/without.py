"""A data set without its removed samples, which remain in the file until it is rewritten."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..beton.gaps import Gaps
from ..plan.order import StorageOrder
from .dataset import Dataset
from .wrapper import Wrapper


class _Kept:
    """The storage order of the remaining samples; indices and positions are numbered without gaps."""

    def __init__(self, whole: StorageOrder, removed: NDArray[np.int64]) -> None:
        """removed: indices in the whole data set."""
        self._whole, self._indices, self._places = whole, Gaps(removed), Gaps(whole.positions(removed))

    def indices(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """See `plan.order.StorageOrder`."""
        return self._indices.ranks(self._whole.indices(self._places.present(positions)))

    def positions(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """See `plan.order.StorageOrder`."""
        return self._places.ranks(self._whole.positions(self._indices.present(indices)))


class Without(Wrapper):
    """The samples of a data set that were not removed, numbered without gaps. `inner` also has the removed samples."""

    def __init__(self, inner: Dataset, removed: ArrayLike) -> None:
        """Takes ownership of `inner`. removed: indices in it, fewer than all."""
        super().__init__(inner)
        removed = np.asarray(removed, np.int64)
        self._kept = np.delete(np.arange(len(inner)), removed)
        self.span = None if inner.span is None else inner.span.without(removed.tolist())
        self.image_bytes = inner.image_bytes * len(self._kept) // len(inner)
        self.storage = None if inner.storage is None else _Kept(inner.storage, removed)

    def __len__(self) -> int:
        return len(self._kept)

    def inside(self, indices: ArrayLike) -> NDArray[np.int64]:
        return self._kept[self._checked(indices)]
