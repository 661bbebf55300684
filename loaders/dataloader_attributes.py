"""The attributes of a torch `DataLoader` that frameworks read."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from .dataloader_view import EpochBatchSampler, EpochSampler, LoadedDataset
    from .loader import Loader


class DataLoaderAttributes:
    """The attributes of a `DataLoader` that Lightning, Accelerate, Hugging Face's Trainer, timm, ignite and Ray use."""

    @cached_property
    def dataset(self) -> LoadedDataset:
        """The samples one by one, with `classes`, `class_to_idx` and `targets`; see `dataloader_view`."""
        from .dataloader_view import LoadedDataset

        return LoadedDataset(cast("Loader", self))

    @cached_property
    def sampler(self) -> EpochSampler:
        """This rank's samples of the next epoch, with `set_epoch`."""
        from .dataloader_view import EpochSampler

        return EpochSampler(cast("Loader", self))

    @cached_property
    def batch_sampler(self) -> EpochBatchSampler:
        """The samples of each of this rank's batches of the next epoch."""
        from .dataloader_view import EpochBatchSampler

        return EpochBatchSampler(cast("Loader", self))

    @property
    def collate_fn(self) -> Callable[[list[Any]], Any]:
        """Makes a batch of samples of `dataset`."""
        from .dataloader_view import collate

        return collate

    generator = worker_init_fn = multiprocessing_context = None
    pin_memory = persistent_workers = False
    """Batches already arrive on `device`; there are no worker processes."""
    pin_memory_device, timeout, in_order = "", 0, True
    mixup_enabled = False
    """timm's `train.py` asks this of its prefetcher, which mixes. A Loader does not: mix in the loop."""
    end_of_dataloader, remainder = False, -1
    """For Accelerate, see `integrations.accelerate`."""
