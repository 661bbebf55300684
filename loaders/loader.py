"""Loader: batches of images at a chosen resolution, with the interface of torch's DataLoader."""

from __future__ import annotations

import operator
import os
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, suppress
from types import EllipsisType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arguments import check, device_of, geometry_of, pipeline_of, sampling_of
from .at_exit import Halting
from .backends.base import BackendOptions
from .batch import Batch, check_fields, deliver
from .cache import CachedFolder
from .cursor import Cursor
from .dataloader_attributes import DataLoaderAttributes
from .errors import LoaderError
from .integrations.accelerate import report_to_accelerate
from .iteration import Iteration
from .plan import Batches, Shares
from .plugins import BACKENDS
from .processors import default_workers, ranks
from .sources import Dataset, open_dataset
from .stage import Stage
from .stats import storage_advice, summarise
from .values import absolute, unbox

if TYPE_CHECKING:
    import torch

    from .backends.auto import AutoBackend
    from .transforms.pipeline import Transform

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class _Epoch(NamedTuple):
    """The values that determine an epoch's batches, besides the arguments of the loader."""

    stage: Stage
    number: int
    position: int
    rank: int
    world_size: int


class Loader(DataLoaderAttributes):
    """Batches of images at any resolution, from a pyramid beton, a beton that FFCV wrote, or an image folder.

    `for images, labels in loader` runs one epoch: images [n, 3, B, B], labels int64 [n], both on `device`. The caller
    may keep each batch. Every `iter(loader)` starts the next epoch, even after a `break`, unless `set_epoch` or
    `load_state_dict` has chosen another. Several iterators at the same time run different epochs.
    """

    def __init__(
        self,
        data: str | os.PathLike[str] | Dataset | Any,
        batch_size: int = 256,
        *,
        resolution: int = 224,
        magnitude: float | None = None,
        train: bool = True,
        shuffle: bool | Literal["quasi"] | None = None,
        seed: int = 0,
        drop_last: bool | None = None,
        fields: Sequence[str] = ("image", "label"),
        collate: str = "tuple",
        transforms: Sequence[Transform] | None = None,
        classes: Sequence[str] | None = None,
        label_field: str | Literal[False] | None = None,
        cache: str | os.PathLike[str] | None = None,
        indices: ArrayLike | None = None,
        weights: ArrayLike | str | None = None,
        aug_repeats: int = 1,
        views: int = 1,
        uneven: str | None = None,
        interpolation: str | None = None,
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (3 / 4, 4 / 3),
        hflip: float = 0.5,
        crop_pct: float = 0.875,
        crop_mode: str = "center",
        resize_size: int | None = None,
        augment_at: str = "resolution",
        augment_on: str = "auto",
        erase: float = 0.0,
        max_level: int | None = None,
        backend: str = "torch",
        device: str | torch.device = "cpu",
        dtype: str | torch.dtype = "float32",
        memory_format: str | torch.memory_format = "contiguous",
        num_workers: int | None = None,
        prefetch_factor: int = 3,
        on_error: str = "raise",
        cache_dir: str | os.PathLike[str] | None = None,
        cache_gb: float = 50,
        rank: int | None = None,
        world_size: int | None = None,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        """Opens the data set. Threads start, and images are read, with the first batch.

        Args:
            data, classes, label_field: a `.beton`, a folder with a sub-folder per class, or any other source of
                `loaders.open_dataset`; give a validation set the training set's `classes`.
            cache: for an image folder: a pyramid that is made in the background while the folder is read. Later epochs
                read it, with the same order, crops and flips; pixels differ as between folder and pyramid.
            batch_size: samples per batch on each rank.
            resolution: side B of the output, 16 to 1024 pixels.
            magnitude: RandAugment strength 0 to 10 (timm's `rand-m{M}-mstd0.5-inc1`); None: no RandAugment.
            train: random resized crop, flip and shuffling; else the centre crop of evaluation, in index order.
            shuffle: True: random order; False: index order; "quasi": samples that are neighbours in storage are read
                at about the same time, for object stores and hard disks (docs/storage.md); None: as `train`.
            seed: 0 to 2**64 - 1; the same seed gives the same batches on every backend, worker count and world size.
            drop_last: leave out the last batch unless it is full on every rank; None: as `train`.
            fields: the parts of a batch, in this order: "image", "label", "index" (position in the data set), "name",
                "crop" (x0, y0, x1, y1 in full-size pixels), "flip", "mask" (False for a repeated sample that only fills
                up a rank's share), and every stored field.
            collate: "tuple", or "dict" with Hugging Face's names.
            transforms: batch transforms, `transform(images, batch)`, which return images or `(images, targets)`; they
                get uint8 images and replace RandAugment, normalisation and erasing. None: these three.
            indices: sample indices to use; None: all.
            weights: relative probability of each sample, drawn with replacement; "balanced": classes equally likely.
            aug_repeats: repeated augmentation: how often each sample is repeated in a row, with different crops.
            views: crops of each sample; with 2 or more, the field "image" is a tuple of as many tensors.
            uneven: treatment of a last batch that the ranks cannot share evenly: "drop" the rest, "pad" it with
                repeated samples (see the field "mask"), or "keep": some ranks get one sample more, in equally
                many batches. None: "drop" in training; "keep" in evaluation: each sample is seen once.
            interpolation: "fourier": the low-pass of EfficientTrain (ICCV 2023), bicubic from 224 pixels on;
                "lanczos": in training that of EfficientTrain++ (TPAMI 2024), in evaluation Pillow's; "bicubic" and
                "bilinear": Pillow's. None: "fourier".
            scale, ratio, hflip: training: the crop's share of the area and its aspect ratio, as torchvision's
                RandomResizedCrop; probability of mirroring left to right.
            crop_pct, crop_mode, resize_size: evaluation, see `loaders.plan.CropGeometry`; `loaders.eval_like` gives
                them for a timm model or torchvision weights.
            augment_at: "resolution": RandAugment on images of B x B; "base": the published order, at 224 and then down
                to B by `interpolation`; this loses most of the time that a small B saves.
            augment_on: "cpu": the decoding threads augment each image while it is in cache; "device": whole batches are
                augmented on `device`; "auto": "device" on a GPU, else "cpu". The pixels are the same.
            erase: probability of timm's RandomErasing (pixel mode), 0 to 1; normalised output only.
            max_level: coarsest stored level to use; 0: full size only.
            backend: "torch" (the reference); "ffcv" (the same batches, driven by FFCV's loader; betons only); "dali"
                (decoded by DALI, on a GPU if `device` is one: pixels differ slightly); "auto": torch on the CPU, and
                on a GPU the faster of torch and DALI, measured once for all ranks and kept in the state.
            device: of the delivered batches: "cpu"; or "cuda" (torch's current GPU), "cuda:1", ...: copies then use
                pinned memory and a separate stream.
            dtype: "float32", "float16", "bfloat16", normalised by `mean` and `std`; or "uint8", as decoded.
            memory_format: "contiguous" or "channels_last".
            num_workers: decoding threads; None: this rank's share of the available processors; on a GPU less two for
                each rank, which launch the training's kernels.
            prefetch_factor: batches decoded ahead.
            on_error: "raise" BadSample for a sample that cannot be decoded, or "replace" it by another.
            cache_dir, cache_gb: for data at a URL, see `open_dataset`.
            rank, world_size: this process's share; None: read from torch's process group.
            mean, std: per channel, of pixels in 0..1.

        Raises:
            ValueError: an argument out of its range, or an epoch without a single batch.
            FileNotFoundError, BadDataset: the data set does not exist, or is damaged.
        """
        given = self._arguments = {k: unbox(v) for k, v in locals().items() if k not in ("self", "data", "__class__")}
        self._stage = Stage(resolution=resolution, magnitude=magnitude, batch_size=batch_size)
        check(given)
        self.train, self.seed, self.collate, self.views = given["train"], operator.index(seed), collate, given["views"]
        self.device, self.prefetch_factor, self.backend = device_of(device), given["prefetch_factor"], backend
        self.shuffle = self.train if shuffle is None else given["shuffle"]
        self.drop_last = self.train if drop_last is None else given["drop_last"]
        self._uneven = uneven or ("drop" if self.train else "keep")
        self._given_ranks = given["rank"], given["world_size"]
        self.num_workers = given["num_workers"] or default_workers(spare=2 if self.device.type == "cuda" else 0)
        self._coming: tuple[_Epoch, Generator[Batch, None, None]] | None = None
        self._closed, self._waited, self._iterated = False, 0.0, 0.0
        self._data = absolute(data)
        if cache is None:
            names = ("classes", "label_field", "cache_dir", "cache_gb")
            self.source = open_dataset(self._data, **{name: given[name] for name in names})
        else:
            given["cache"] = absolute(cache)
            self.source = CachedFolder(self._data, absolute(cache), self.num_workers, classes=classes)
        try:
            self.fields = check_fields(fields, self.source, self._uneven)
            self.source.announce(self.fields)
            self.sampling = sampling_of(given, self.source)
            self._cursor = Cursor(len(self.sampling), self.seed, self.shuffle, **self.sampling.identity)
            self._check_stage(self._stage)
            options = BackendOptions(
                train=self.train,
                seed=self.seed,
                num_workers=self.num_workers,
                prefetch_factor=self.prefetch_factor,
                on_error=on_error,
                filter=interpolation or "fourier",
                max_level=given["max_level"],
                geometry=geometry_of(given),
                replace_from=self.sampling.drawable,
                window=self.sampling.window if self.shuffle == "quasi" else 0,
            )
            self._backend = BACKENDS.find(backend)(self.source, pipeline_of(given), options)
        except BaseException:
            if self.source is not data:
                self.source.close()
            raise
        self._made = True

    @property
    def classes(self) -> list[str]:
        """Class names; a label is a position in this list."""
        return self.source.classes

    @property
    def batch_size(self) -> int:
        """Samples per batch on each rank, at the present stage."""
        return self._stage.batch_size

    @property
    def stage(self) -> Stage:
        """Settings of the next iteration: resolution, magnitude and batch size."""
        return self._stage

    def set_stage(
        self,
        resolution: int | None = None,
        magnitude: float | EllipsisType | None = ...,
        batch_size: int | None = None,
    ) -> None:
        """Changes the settings from the next iteration on, without rebuilding anything.

        Raises:
            ValueError: a value out of range, or an epoch without a single batch.
        """
        stage = Stage(
            resolution=self._stage.resolution if resolution is None else resolution,
            magnitude=self._stage.magnitude if magnitude is ... else magnitude,
            batch_size=self._stage.batch_size if batch_size is None else batch_size,
        )
        self._check_stage(stage)
        self._stage = stage

    @property
    def epoch(self) -> int:
        """The epoch in progress; outside of an iteration, the epoch of the next one."""
        return self._cursor.epoch

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch of the next iteration, as torch's DistributedSampler does.

        A position that `load_state_dict` restored within this same epoch is kept.

        Raises:
            ValueError: not a whole number from 0 to 2**32 - 1.
        """
        self._cursor.set_epoch(epoch)

    @property
    def ranks(self) -> tuple[int, int]:
        """This process's rank, and the number of ranks."""
        return ranks(*self._given_ranks)

    def __len__(self) -> int:
        """Batches that the next iteration delivers on this rank."""
        return self._shares(self._stage, *self.ranks).steps(len(self.sampling), self._cursor.position)

    def __iter__(self) -> Iterator[Any]:
        self.check_open()
        self._check_stage(self._stage)  # a process group may exist only now
        self._cursor.claim()
        return Iteration(self._deliver())

    def _deliver(self) -> Generator[Any, None, None]:
        n, stage, (rank, world_size) = len(self.sampling), self._stage, self.ranks
        shares = self._shares(stage, rank, world_size)
        progress = self._cursor.begin(lambda position: shares.most_steps(n, position))
        epoch = _Epoch(stage, progress.epoch, progress.position, rank, world_size)
        steps = shares.steps(n, epoch.position)
        with (
            closing(self._taken(epoch)) as batches,
            report_to_accelerate(self, steps, shares.rest(n, epoch.position)) as report,
            Halting() as halting,
        ):
            started = time.perf_counter()
            for done, batch in enumerate(batches):
                if done == max(0, steps - 1 - self.prefetch_factor):  # all other batches are in progress
                    self._prepare(epoch._replace(number=epoch.number + 1, position=0))
                batch.mask, batch.views = shares.mask(progress.position, n), self.views
                value = deliver(batch, self.source, self.fields, self.collate)
                progress.position = shares.place(1, progress.position, n)
                progress.steps_left -= 1
                report(steps - done - 1)
                delivered = time.perf_counter()
                yield value
                halting.before_batch()
                self._waited += delivered - started
                self._iterated += time.perf_counter() - started
                started = time.perf_counter()
        progress.ended = True

    def next_batches(self, advance: bool = True) -> tuple[int, Batches]:
        """The next epoch's number and the draw keys of this rank's batches. advance: count this as an iteration."""
        epoch = _Epoch(self._stage, *self._cursor.place, *self.ranks)
        if advance:
            self._cursor.begin(lambda _: 0)
        return epoch.number, self._batches(epoch)

    def decode(self, keys: NDArray[np.int64], epoch: int) -> Batch:
        """Decodes the samples of these draw keys as one batch, for `LoadedDataset`."""
        with closing(self._backend.run(self._stage, epoch, [keys])) as run:
            return next(run)

    def _shares(self, stage: Stage, rank: int, world_size: int) -> Shares:
        return Shares(stage.batch_size, rank, world_size, drop_last=self.drop_last, uneven=self._uneven)

    def _check_stage(self, stage: Stage) -> None:
        """Raises ValueError if an epoch of this stage has no batch."""
        self._shares(stage, *self.ranks).check_steps(len(self.sampling))

    def _batches(self, epoch: _Epoch) -> Batches:
        shares = self._shares(epoch.stage, epoch.rank, epoch.world_size)
        return Batches(self.sampling.order(epoch.number), shares, epoch.position, self.views)

    def _run(self, epoch: _Epoch) -> Generator[Batch, None, None]:
        return self._backend.run(epoch.stage, epoch.number, self._batches(epoch))

    def _prepare(self, epoch: _Epoch) -> None:
        """Prepares the next epoch while the threads are busy: its order, and the plan of its first batch."""
        self._coming = None
        with suppress(Exception):  # an error in the next epoch is raised when that epoch begins
            self._coming = epoch, self._run(epoch)

    def _taken(self, epoch: _Epoch) -> Generator[Batch, None, None]:
        """The prepared epoch if it is the requested one, else a new one."""
        ready, self._coming = self._coming, None
        return ready[1] if ready and ready[0] == epoch else self._run(epoch)

    def state_dict(self) -> dict[str, Any]:
        """The loader's position as plain numbers. Batches decoded ahead do not count. It is the same on all ranks.
        After the last batch that any rank gets in an epoch, it is the start of the next epoch.
        """
        chosen = cast("AutoBackend", self._backend).chosen if self.backend == "auto" else None
        return {**self._cursor.state_dict(), **({} if chosen is None else {"backend": chosen})}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resumes exactly after the batch at which `state` was taken. Workers, world size and batch size may differ.

        Raises:
            ValueError, TypeError: the state belongs to other data, another seed or another order; or is none.
            LoaderError: `backend="auto"` had chosen a backend that is missing here.
        """
        self._cursor.load_state_dict(state)
        if self.backend == "auto" and "backend" in state:
            cast("AutoBackend", self._backend).decide(state["backend"])

    def __getstate__(self) -> dict[str, Any]:
        return {"data": self._data, "arguments": self._arguments, "stage": self._stage, "place": self.state_dict()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Makes the same loader (arguments, stage, position) in another process. A subclass adds its own state."""
        Loader.__init__(self, state["data"], **state["arguments"])
        self._stage = state["stage"]
        self.load_state_dict(state["place"])

    def stats(self) -> dict[str, Any]:
        """Seconds and bytes per processing step since the loader was made, bad samples, and the bottleneck."""
        sums, bad = self._backend.stats(), list(self._backend.bad.values())
        advice = storage_advice(self.source, self.shuffle, bool(self._arguments["cache_dir"]))
        wall = {"waited": self._waited, "iterated": self._iterated}
        return summarise(sums, bad, **wall, workers=self.num_workers, advice=advice)

    def check_open(self) -> None:
        """Raises LoaderError if the loader is closed."""
        if self._closed:
            raise LoaderError("the loader is closed; make a new Loader")

    def close(self) -> None:
        """Stops the threads and closes the files of this loader. `with` and garbage collection do this, too."""
        self._closed, self._coming = True, None
        self._backend.close()
        if self.source is not self._data:
            self.source.close()

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        stage, what = self._stage, "training" if self.train else "evaluation"
        return (
            f"Loader({self.source.path!r}: {len(self.sampling):,} samples of {len(self.classes):,} classes, {what}, "
            f"batch_size={stage.batch_size}, resolution={stage.resolution}, magnitude={stage.magnitude}, "
            f"epoch {self.epoch}, backend={self.backend!r}, device={str(self.device)!r})"
        )
