"""A data set without its removed samples, which remain in the file until it is rewritten."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..beton.gaps import Gaps
from ..plan.order import StorageOrder
from .dataset import Dataset, Fetch


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


class Without(Dataset):
    """The samples of a data set that were not removed, numbered without gaps.

    Attributes:
        whole: the data set with the removed samples.
    """

    def __init__(self, inner: Dataset, removed: ArrayLike) -> None:
        """Takes ownership of `inner`. removed: indices in it, fewer than all."""
        self.whole = inner
        removed = np.asarray(removed, np.int64)
        self._kept = np.delete(np.arange(len(inner)), removed)
        self.path, self.kind, self.fd = inner.path, inner.kind, inner.fd
        self.classes, self.ratios = inner.classes, inner.ratios
        self.fields, self.label_field, self.meta = inner.fields, inner.label_field, inner.meta
        self.immutable, self.together = inner.immutable, inner.together
        self.span = None if inner.span is None else inner.span.without(removed.tolist())
        self.bounds = inner.bounds
        self.image_bytes = inner.image_bytes * len(self._kept) // len(inner)
        self.storage = None if inner.storage is None else _Kept(inner.storage, removed)

    def __len__(self) -> int:
        return len(self._kept)

    def inside(self, indices: ArrayLike) -> NDArray[np.int64]:
        """Indices of samples in the whole data set.

        Raises:
            IndexError: an index is negative or not below `len`.
        """
        return self._kept[self._checked(indices)]

    def entries(self, indices: ArrayLike) -> NDArray[np.void]:
        return self.whole.entries(self.inside(indices))

    def index_rows(self, indices: ArrayLike) -> NDArray[np.void]:
        return self.whole.index_rows(self.inside(indices))

    def decode_entries(self, indices: ArrayLike) -> NDArray[np.void]:
        return self.whole.decode_entries(self.inside(indices))

    def labels(self, indices: ArrayLike) -> NDArray[np.int64]:
        return self.whole.labels(self.inside(indices))

    def _read_field(self, name: str, indices: NDArray[np.int64]) -> NDArray[Any] | list[Any]:
        return self.whole.read_field(name, self.inside(indices))

    def lease(self, indices: ArrayLike) -> object:
        return self.whole.lease(self.inside(indices))

    def fetch(self, indices: NDArray[np.int64], samples: NDArray[np.void]) -> Fetch | None:
        return self.whole.fetch(self.inside(indices), samples)

    def forget(self, index: int) -> bool:
        return self.whole.forget(int(self.inside([index])[0]))

    def head_fd(self) -> int:
        return self.whole.head_fd()

    def announce(self, fields: Sequence[str]) -> None:
        self.whole.announce(fields)

    def name(self, index: int) -> str:
        return self.whole.name(int(self.inside([index])[0]))

    def names(self, indices: ArrayLike) -> list[str]:
        return self.whole.names(self.inside(indices))

    def read(self, index: int, level: int = 0) -> bytes:
        return self.whole.read(int(self.inside([index])[0]), level)

    def read_record(self, index: int, level: int) -> bytes:
        return self.whole.read_record(int(self.inside([index])[0]), level)

    def check_unchanged(self) -> None:
        self.whole.check_unchanged()

    def close(self) -> None:
        self.whole.close()
        self.fd = -1
