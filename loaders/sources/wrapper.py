"""A data set that is made of another one and differs from it in a few points."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .dataset import Dataset, Fetch


class Wrapper(Dataset):
    """Another data set; a subclass defines only what differs.

    Attributes have the inner data set's present values, unless the subclass or the wrapper sets its own. Methods are
    those of the inner data set; the ones below ask it about the samples that `inside` names. What `Dataset` derives
    from other members, such as `read_original`, is not repeated here.

    Attributes:
        inner: the other data set.
    """

    def __init__(self, inner: Dataset) -> None:
        """Takes ownership of `inner`."""
        self.inner = inner

    def inside(self, indices: ArrayLike) -> NDArray[np.int64]:
        """Indices of samples in `inner`.

        Raises:
            IndexError: an index is negative or not below `len`. Where the indices are those of `inner`, it checks them.
        """
        return np.asarray(indices, np.int64)

    def _inside(self, index: int) -> int:
        return int(self.inside([index])[0])

    def __len__(self) -> int:
        return len(self.inner)

    def entries(self, indices: ArrayLike) -> NDArray[np.void]:
        return self.inner.entries(self.inside(indices))

    def index_rows(self, indices: ArrayLike) -> NDArray[np.void]:
        return self.inner.index_rows(self.inside(indices))

    def decode_entries(self, indices: ArrayLike) -> NDArray[np.void]:
        return self.inner.decode_entries(self.inside(indices))

    def labels(self, indices: ArrayLike) -> NDArray[np.int64]:
        return self.inner.labels(self.inside(indices))

    def _read_field(self, name: str, indices: NDArray[np.int64]) -> NDArray[Any] | list[Any]:
        return self.inner.read_field(name, self.inside(indices))

    def lease(self, indices: ArrayLike) -> object:
        return self.inner.lease(self.inside(indices))

    def fetch(self, indices: NDArray[np.int64], samples: NDArray[np.void]) -> Fetch | None:
        return self.inner.fetch(self.inside(indices), samples)

    def with_values(self, indices: NDArray[np.int64]) -> AbstractContextManager[object]:
        return self.inner.with_values(self.inside(indices))

    def expect(self, indices: NDArray[np.int64]) -> None:
        self.inner.expect(self.inside(indices))

    def forget(self, index: int) -> bool:
        return self.inner.forget(self._inside(index))

    def name(self, index: int) -> str:
        return self.inner.name(self._inside(index))

    def names(self, indices: ArrayLike) -> list[str]:
        return self.inner.names(self.inside(indices))

    def read(self, index: int, level: int = 0) -> bytes:
        return self.inner.read(self._inside(index), level)

    def read_record(self, index: int, level: int) -> bytes:
        return self.inner.read_record(self._inside(index), level)

    def close(self) -> None:
        self.inner.close()


class _OfInner:
    """A member of `inner`. It has no `__set__`, so that a wrapper's own attribute has precedence."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, wrapper: Wrapper, _kind: type) -> Any:
        return getattr(wrapper.inner, self._name)


_ATTRIBUTES = [name for name in Dataset.__annotations__ if not name.startswith("_")]
_METHODS = ("announce", "begin_epoch", "check_tables", "check_unchanged", "head_fd", "reader")

for _name in (*_ATTRIBUTES, *_METHODS):
    setattr(Wrapper, _name, _OfInner(_name))
