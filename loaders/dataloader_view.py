"""The loader's data set and samplers in the form of torch's `DataLoader`, for frameworks that read or rebuild them.

`DataLoader(loader.dataset, batch_sampler=loader.batch_sampler, collate_fn=loader.collate_fn)` gives the loader's own
batches, but slower. Accelerate's `skip_first_batches`, which the Hugging Face Trainer uses to resume, makes such a
`DataLoader`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence, Sized
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import BatchSampler, DataLoader, Dataset, DistributedSampler, IterableDataset, SequentialSampler

from .batch import deliver
from .errors import LoaderError
from .plan.rng import Purpose, words

if TYPE_CHECKING:
    from .loader import Loader


class KeyedIndex(int):
    """A draw key (see `plan.rng.draw_keys`) and its epoch. Together they determine a sample's pixels.

    Attributes:
        epoch: the loader's.
        views: crops of each sample in its batch.
        counts: False for a repeated sample that only fills up a rank's share, see the field "mask".
    """

    epoch: int
    views: int
    counts: bool

    def __new__(cls, key: int, epoch: int, views: int = 1, counts: bool = True) -> KeyedIndex:
        made = super().__new__(cls, key)
        made.epoch, made.views, made.counts = epoch, views, counts
        return made

    def __getnewargs__(self) -> tuple[int, int, int, bool]:  # type: ignore[override]
        return int(self), self.epoch, self.views, self.counts


class DecodedSamples(Sequence[Any]):
    """The samples of one batch, and the batch itself, which `Loader.collate_fn` returns."""

    def __init__(self, count: int, values: tuple[Any, ...], batch: Any) -> None:
        """values: the batch's parts; they are divided into samples only when a single sample is read.

        batch: the same as the Loader delivers it; if a dictionary, samples are dictionaries of the same keys.
        """
        self._count, self._values, self.batch = count, values, batch

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        """A sample.

        Raises:
            LoaderError: a part of the batch does not have one value per sample.
        """
        return self._samples[index]

    @cached_property
    def _samples(self) -> list[Any]:
        if not all(isinstance(part, Sized) and len(part) == self._count for part in self._values) or any(
            isinstance(part, Mapping) for part in self._values
        ):
            raise LoaderError(
                "a batch whose parts do not have one value per sample (several views, targets of a transform) has no "
                "single samples; iterate the Loader, or use its `collate_fn`"
            )
        samples = list(zip(*map(_numbers, self._values), strict=True))
        if isinstance(self.batch, dict):
            return [dict(zip(self.batch, sample, strict=True)) for sample in samples]
        return samples


def _numbers(part: Any) -> Any:
    """Whole numbers and booleans as Python's, as torchvision's data sets have them: a tensor does not find its entry in
    a dictionary or a `Counter`. On a GPU they stay there.
    """
    whole = isinstance(part, torch.Tensor) and part.ndim == 1 and part.dtype in (torch.int64, torch.bool)
    return part.tolist() if whole and part.device.type == "cpu" else part


_REMEDIES = {
    **dict.fromkeys(("transform", "target_transform", "transforms"), "transforms"),
    **dict.fromkeys(("samples", "imgs", "targets"), "indices"),
}
"""Attributes that users set on torchvision's data sets, and the argument of a Loader with the same effect."""


class LoadedDataset(Dataset[Any]):
    """The samples of a loader, one by one: `dataset[i]` is sample i as the loader's present stage shows it.

    With an index from the loader's samplers, the sample has the pixels that the loader delivers in that epoch. With a
    plain index, each access in training gives another crop, keyed by torch's seed, because a `DataLoader` made from
    this data set alone has no epochs.
    """

    def __init__(self, loader: Loader) -> None:
        self._loader, self._pid, self._accesses = loader, os.getpid(), 0

    def __len__(self) -> int:
        """Samples of one epoch, all ranks together."""
        return len(self._loader.sampling)

    @property
    def classes(self) -> list[str]:
        """Class names; a label is a position in this list."""
        return self._loader.classes

    @property
    def class_to_idx(self) -> dict[str, int]:
        """Class name -> label."""
        return {name: label for label, name in enumerate(self.classes)}

    @cached_property
    def targets(self) -> list[int]:
        """The label of each of the `len` samples, in index order."""
        return self._here().source.labels(self._indices).tolist()

    @cached_property
    def samples(self) -> list[tuple[str, int]]:
        """Name and label of each of the `len` samples; names are relative to the opened or converted folder."""
        name = self._here().source.name
        return [(name(index), label) for index, label in zip(self._indices.tolist(), self.targets, strict=True)]

    @property
    def imgs(self) -> list[tuple[str, int]]:
        """As `samples`; torchvision's other name for them."""
        return self.samples

    @property
    def _indices(self) -> NDArray[np.int64]:
        """Sample indices in the loader's data set, [len]."""
        chosen = self._loader.sampling.indices
        return np.arange(len(self._loader.source)) if chosen is None else chosen

    transform = target_transform = None
    """Samples arrive as the loader makes them."""

    def __setattr__(self, name: str, value: Any) -> None:
        """Raises AttributeError for attributes of torchvision's data sets that would have no effect here."""
        if name in _REMEDIES:
            raise AttributeError(
                f"`{name}` of a Loader's data set cannot be set: pass `{_REMEDIES[name]}=` to the Loader"
            )
        super().__setattr__(name, value)

    def __getitem__(self, index: int) -> Any:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> DecodedSamples:
        """Decodes these samples as one batch.

        Raises:
            IndexError: a plain index that is not from -`len` to `len` - 1.
        """
        loader = self._here()
        chosen = loader.sampling.indices
        keys = []
        for index in indices:
            if isinstance(index, KeyedIndex):
                keys.append(int(index))
            elif not -len(self) <= index < len(self):
                raise IndexError(f"sample indices go from 0 to {len(self) - 1}, got {index}")
            else:
                keys.append(int(index) % len(self) if chosen is None else int(chosen[index]))
        epoch = next((index.epoch for index in indices if isinstance(index, KeyedIndex)), None)
        if epoch is None:
            epoch = self._next_access() if loader.train else loader.epoch
        batch = loader.decode(np.array(keys, np.int64), epoch)
        keyed = [index for index in indices if isinstance(index, KeyedIndex)]
        if keyed and len(keyed) == len(indices):
            batch.views = keyed[0].views
            counts = np.array([index.counts for index in keyed[: batch.count]])
            batch.mask = None if counts.all() else counts
        values = deliver(batch, loader.source, loader.fields, "tuple")
        made = values if loader.collate == "tuple" else deliver(batch, loader.source, loader.fields, loader.collate)
        return DecodedSamples(batch.count, values, made)

    def _next_access(self) -> int:
        """An epoch number for an access by plain index. Torch gives each worker process a new seed in every epoch."""
        self._accesses += 1
        return int(words(torch.initial_seed(), self._accesses, np.zeros(1, np.int64), Purpose.ACCESS, 1)[0, 0])

    def _here(self) -> Loader:
        """The loader. In a forked process, which has no copies of its threads, a new loader of the process.

        Raises:
            LoaderError: it is closed.
        """
        self._loader.check_open()
        if os.getpid() != self._pid:
            twin = object.__new__(type(self._loader))
            twin.__setstate__(self._loader.__getstate__())
            self._loader, self._pid = twin, os.getpid()
        return self._loader


class LoadedBatches(LoadedDataset, IterableDataset[Any]):
    """The same data set in the form in which torch's `DataLoader` takes batches from it: an iteration is an epoch."""

    def __iter__(self) -> Iterator[Any]:
        return iter(self._loader)


class BatchedDataLoader(DataLoader[Any]):
    """A `DataLoader` of `LoadedBatches`. torch would take the data set's length for the number of batches."""

    def __len__(self) -> int:
        return len(cast(LoadedBatches, self.dataset)._loader)


class EpochSampler(DistributedSampler[Any]):
    """This rank's samples of the loader's next epoch; each of several views counts as one. It is a
    `DistributedSampler`, so that no framework replaces it.
    """

    def __init__(self, loader: Loader) -> None:
        self._loader = loader
        self.dataset = loader.dataset
        self.shuffle, self.seed, self.drop_last = loader.shuffle is not False, loader.seed, loader.drop_last

    @property
    def rank(self) -> int:  # type: ignore[override]
        """This process's rank."""
        return self._loader.ranks[0]

    @property
    def num_replicas(self) -> int:  # type: ignore[override]
        """Number of ranks."""
        return self._loader.ranks[1]

    @property
    def epoch(self) -> int:  # type: ignore[override]
        """The loader's epoch."""
        return self._loader.epoch

    @property
    def num_samples(self) -> int:  # type: ignore[override]
        """As `len`."""
        return len(self)

    @property
    def total_size(self) -> int:  # type: ignore[override]
        """Samples of the epoch on all ranks, if each has as many as this one."""
        return len(self) * self.num_replicas

    def set_epoch(self, epoch: int) -> None:
        """As `Loader.set_epoch`."""
        self._loader.set_epoch(epoch)

    def __iter__(self) -> Iterator[Any]:
        for batch in self._loader.batch_sampler:  # the batches keep the views of a sample together
            yield from (KeyedIndex(int(key), key.epoch, counts=key.counts) for key in batch)

    def __len__(self) -> int:
        return sum(len(keys) for keys in self._loader.next_batches(advance=False)[1])


class SequentialEpochSampler(EpochSampler, SequentialSampler):
    """The sampler of a loader that delivers its samples in order. Frameworks recognise it as not shuffled."""


class EpochBatchSampler(BatchSampler):
    """The indices of each of this rank's batches of the loader's next epoch."""

    def __init__(self, loader: Loader) -> None:
        self._loader, self.sampler = loader, loader.sampler

    @property
    def batch_size(self) -> int:  # type: ignore[override]
        """Samples of a batch on this rank."""
        return self._loader.batch_size

    @property
    def drop_last(self) -> bool:  # type: ignore[override]
        """Whether a last batch that is not full is left out."""
        return self._loader.drop_last

    def set_epoch(self, epoch: int) -> None:
        """As `Loader.set_epoch`."""
        self._loader.set_epoch(epoch)

    def __iter__(self) -> Iterator[list[KeyedIndex]]:  # type: ignore[override]
        loader = self._loader
        epoch, batches = loader.next_batches()
        for keys, mask in zip(batches, batches.masks(), strict=True):
            counts = [True] * len(keys) if mask is None else mask.tolist() * loader.views
            yield [
                KeyedIndex(key, epoch, loader.views, counted)
                for key, counted in zip(keys.tolist(), counts, strict=True)
            ]

    def __len__(self) -> int:
        return len(self._loader)


def collate(samples: list[Any]) -> Any:
    """The batch that `LoadedDataset.__getitems__` decoded; samples taken one by one are stacked."""
    if isinstance(samples, DecodedSamples):
        return samples.batch
    return torch.utils.data.default_collate(samples)
