"""The attributes of a torch `DataLoader` that frameworks read."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn, cast

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

    from .dataloader_view import EpochBatchSampler, EpochSampler, LoadedDataset
    from .loader import Loader


_NO_WORKERS = "threads of this process decode, in order and without a time limit; leave it out"
_PINNED = "batches arrive on `device`, through pinned memory if that is a GPU; leave it out"
_TRANSFORM = "crops are set by `train`, `scale`, `crop_pct` ..., other changes of a batch by `transforms`"
INSTEAD = {
    "dataset": "the first argument is `data`",
    "sampler": "pass `shuffle`, `indices` or `weights`; ranks share the samples by themselves",
    "batch_sampler": "pass `batch_size`, `drop_last` and `shuffle`, `indices` or `weights`",
    "collate_fn": 'pass `fields`, `collate="dict"` or `transforms`',
    "generator": "all random numbers follow from `seed`",
    "worker_init_fn": "there are no worker processes, and all random numbers follow from `seed`; leave it out",
    **dict.fromkeys(("timeout", "multiprocessing_context", "persistent_workers", "in_order"), _NO_WORKERS),
    **dict.fromkeys(("pin_memory", "pin_memory_device"), _PINNED),
    **dict.fromkeys(("transform", "target_transform"), _TRANSFORM),
    **dict.fromkeys(("size", "img_size", "image_size", "input_size"), "pass `resolution`, the side in pixels"),
    "bandwidth": "it is now `resolution`",
    "workers": "it is now `num_workers`",
    "output": "it is now `dtype`",
    "prefetch": "it is now `prefetch_factor`",
    "order": 'it is now `shuffle`: True, False or "quasi"',
    "filter": "it is now `interpolation`",
}
"""Replacements for arguments of torch's `DataLoader`, of its data sets and of the first edition."""


class DataLoaderAttributes:
    """The attributes of a `DataLoader` that Lightning, Accelerate, Hugging Face's Trainer, timm, ignite and Ray use."""

    def __new__(cls, *_: Any, **given: Any) -> Any:
        """Raises TypeError for an argument that a Loader does not have; the message gives the remedy."""
        from .loader import Loader

        known = inspect.signature(Loader.__init__).parameters
        own = cls.__init__ is not Loader.__init__  # a subclass may have other arguments
        for name in () if own else given.keys() - known.keys():
            close = difflib.get_close_matches(name, known, 1)
            remedy = INSTEAD.get(name) or (f"did you mean `{close[0]}`?" if close else "see docs/loader.md for all")
            raise TypeError(f"Loader has no argument `{name}`: {remedy}")
        return super().__new__(cls)

    def __setattr__(self, name: str, value: Any) -> None:
        """Raises AttributeError for arguments of an existing Loader, and for settings of torch's `DataLoader`, because
        setting them would have no effect. Lightning sets `worker_init_fn` after `seed_everything(workers=True)`.
        """
        if not name.startswith("_") and self.__dict__.get("_made"):
            if name in INSTEAD and name != "worker_init_fn" and hasattr(DataLoaderAttributes, name):
                raise AttributeError(f"`{name}` of a Loader cannot be set: {INSTEAD[name]}")
            from .loader import Loader

            if name in inspect.signature(Loader.__init__).parameters:
                stage = name in ("resolution", "magnitude", "batch_size")
                remedy = f"`set_stage({name}=...)`" if stage else "a new Loader"
                raise AttributeError(f"`{name}` cannot be set after the Loader is made; it takes {remedy}")
        super().__setattr__(name, value)

    @cached_property
    def dataset(self) -> LoadedDataset:
        """The samples one by one, with `classes`, `class_to_idx`, `targets` and `samples`; see `dataloader_view`."""
        from .dataloader_view import LoadedDataset

        return LoadedDataset(cast("Loader", self))

    @cached_property
    def sampler(self) -> EpochSampler:
        """This rank's samples of the next epoch, with `set_epoch`."""
        from .dataloader_view import EpochSampler, SequentialEpochSampler

        loader = cast("Loader", self)
        return SequentialEpochSampler(loader) if loader.sampling.in_order else EpochSampler(loader)

    @cached_property
    def batch_sampler(self) -> EpochBatchSampler:
        """The samples of each of this rank's batches of the next epoch."""
        from .dataloader_view import EpochBatchSampler

        return EpochBatchSampler(cast("Loader", self))

    @property
    def collate_fn(self) -> Callable[[list[Any]], Any]:
        """Makes a batch from samples of `dataset`."""
        from .dataloader_view import collate

        return collate

    def __getitems__(self, _indices: Any) -> NoReturn:
        """torch's `DataLoader` and `Subset` call this of a data set. captum and SpeechBrain take whatever is no
        `DataLoader` for a data set.

        Raises:
            TypeError: always.
        """
        raise TypeError(
            "a DataLoader or Subset must be made from a data set, got a Loader, which delivers batches by itself: pass "
            "`loader.as_dataloader()` where a DataLoader is expected, `loader.dataset` where a data set is"
        )

    def as_dataloader(self) -> DataLoader[Any]:
        """A real torch `DataLoader` that delivers this loader's batches, for code that accepts no other class: Keras,
        `Fabric.setup_dataloaders`, captum, SpeechBrain. Each of its iterations is an epoch of this loader. Set stages,
        epochs and states on this loader.
        """
        from .dataloader_view import BatchedDataLoader, LoadedBatches

        made: Any = BatchedDataLoader(LoadedBatches(cast("Loader", self)), batch_size=None)
        made._is_accelerate_prepared = True  # keeps Accelerate from dividing the samples among the ranks again
        return made

    generator = worker_init_fn = multiprocessing_context = None
    pin_memory = persistent_workers = False
    """Batches already arrive on `device`; there are no worker processes."""
    pin_memory_device, timeout, in_order = "", 0, True
    mixup_enabled = False
    """timm's `train.py` reads this attribute of its prefetcher, which can mix. A Loader cannot: mix in the loop."""
    end_of_dataloader, remainder = False, -1
    """For Accelerate, see `integrations.accelerate`."""
