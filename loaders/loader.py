"""Loader: the door. Iterating it decides which samples make which batch, and has a backend deliver them in order."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, suppress
from types import EllipsisType, TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

from .plan import Batches, epoch_order, next_position, steps_per_epoch
from .sources import open_dataset
from .stage import Stage
from .stats import summarise

if TYPE_CHECKING:
    import torch

    _Batches = Generator[tuple[torch.Tensor, torch.Tensor], None, None]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class _Run(NamedTuple):
    """What an epoch's batches depend on, besides what a loader is made with."""

    stage: Stage
    epoch: int
    position: int
    rank: int
    world_size: int


class Loader:
    """Batches of images at any resolution, from a pyramid, a beton that FFCV wrote, or an image folder.

    `for images, labels in loader` runs one epoch: images [n, 3, B, B], labels int64 [n], both on `device`. Each batch
    is the caller's to keep. The next epoch follows by itself, or `set_epoch` names it.
    """

    def __init__(
        self,
        data: str | os.PathLike[str],
        batch_size: int = 256,
        backend: str = "auto",
        device: str | torch.device = "cpu",
        train: bool = True,
        seed: int = 0,
        resolution: int = 224,
        magnitude: float | None = None,
        workers: int | None = None,
        drop_last: bool = True,
        output: str = "float32",
        on_error: str = "raise",
        *,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        order: str | None = None,
        prefetch: int = 3,
        filter: str = "fourier",
        max_level: int | None = None,
        augment_at: str = "resolution",
        erase: float = 0.0,
    ) -> None:
        """Opens the data set; threads start, images are read with the first batch.

        Args:
            data: a `.beton`, or a folder with one sub-folder a class.
            batch_size: samples a batch on each rank.
            backend: "torch" (the reference); "ffcv" (the same batches, driven by FFCV's loader; betons only); "dali"
                (decoded by DALI, on a GPU where `device` is one: pixels differ slightly); "auto": torch on the CPU, and
                on a GPU the faster of torch and DALI, measured at each kind of stage.
            device: where batches arrive; "cuda" brings pinned memory and a stream of the loader's own.
            train: random resized crop, flip and shuffling; else the centre crop of evaluation, in stored order.
            seed: 0 to 2**64 - 1; the same seed gives the same batches on every backend, worker count and world size.
            resolution: side B of the output, an even number from 16 to 1024.
            magnitude: RandAugment strength 0 to 10 (timm's `rand-m{M}-mstd0.5-inc1`); None: no RandAugment.
            workers: decoding threads; None: the processors at hand, shared by this machine's ranks.
            drop_last: leave out a last batch that is not full on every rank. For evaluation pass False: every sample
                is then seen once, on one rank.
            output: "float32", "float16", "bfloat16", normalised by `mean` and `std`; or "uint8", as decoded.
            on_error: "raise" BadSample at a sample that cannot be decoded, or "skip": replace it by another, count it.
            mean, std: per channel, of pixels in 0..1.
            order: "random", "quasi" (near neighbours together, for data larger than memory), "sequential".
            prefetch: batches decoded ahead of the one in use.
            filter: "fourier", "lanczos" or "bicubic", see `loaders.plan.filters.build`.
            max_level: coarsest stored level to use; 0: full size only.
            augment_at: "resolution": RandAugment on images of B x B; "base": the published order, at 224 and then down
                to B by `filter`, which costs most of what a small B saves.
            erase: probability of timm's RandomErasing (pixel mode), 0 to 1; normalised output only.

        Raises:
            ValueError: an argument out of its range; the message says which range.
            FileNotFoundError, BadDataset: the data set is not there, or not sound.
        """
        import torch

        from .backends import BACKENDS, make_backend
        from .transforms.pipeline import DTYPES, Pipeline

        self._stage = Stage(resolution=resolution, magnitude=magnitude, batch_size=batch_size)
        _one_of("backend", backend, BACKENDS)
        _one_of("output", output, tuple(DTYPES))
        _one_of("on_error", on_error, ("raise", "skip"))
        _one_of("order", order, (None, "random", "quasi", "sequential"))
        _one_of("filter", filter, ("fourier", "lanczos", "bicubic"))
        _at_least("workers", workers, 1)
        _at_least("prefetch", prefetch, 1)
        _at_least("max_level", max_level, 0)
        _one_of("augment_at", augment_at, ("resolution", "base"))
        if not 0 <= erase <= 1:
            raise ValueError(f"`erase` must be a probability, 0 to 1, got {erase}.")
        device = torch.device(device)
        if device.type not in ("cpu", "cuda") or (device.type == "cuda" and not torch.cuda.is_available()):
            raise ValueError(f'`device` must be "cpu", or "cuda" where torch sees a GPU, got "{device}".')
        if len(mean) != 3 or len(std) != 3 or not all(s > 0 for s in std):
            raise ValueError(f"`mean` and `std` must be three numbers each, `std` positive, got {mean} and {std}.")
        self._seed, self._drop_last = seed, drop_last
        self._order = order or ("random" if train else "sequential")
        epoch_order(0, seed, 0, self._order)  # refuses a bad seed now
        self._epoch = self._position = self._resume = 0
        self._prefetch = prefetch
        self._coming: tuple[_Run, _Batches] | None = None
        self._waited = self._iterated = 0.0
        self._pipeline = Pipeline(
            output=output,
            mean=tuple(mean),
            std=tuple(std),
            device=device,
            seed=seed,
            augment_at=augment_at,
            method=filter,
            erase=erase,
        )
        self._workers = workers or default_workers()
        self._dataset = open_dataset(data)
        self._backend = make_backend(
            backend,
            self._dataset,
            self._pipeline,
            train=train,
            seed=seed,
            workers=self._workers,
            prefetch=prefetch,
            on_error=on_error,
            filter=filter,
            max_level=max_level,
        )

    @property
    def classes(self) -> list[str]:
        """Class names; a label is a position in this list."""
        return self._dataset.classes

    @property
    def epoch(self) -> int:
        """The epoch that the next iteration runs, or the present one is in."""
        return self._epoch

    @property
    def stage(self) -> Stage:
        """What the next iteration delivers."""
        return self._stage

    def set_stage(
        self,
        resolution: int | None = None,
        magnitude: float | EllipsisType | None = ...,
        batch_size: int | None = None,
    ) -> None:
        """Changes what is given, from the next iteration on. Nothing is rebuilt.

        Raises:
            ValueError: a value out of range.
        """
        self._stage = Stage(
            resolution=self._stage.resolution if resolution is None else resolution,
            magnitude=self._stage.magnitude if magnitude is ... else magnitude,
            batch_size=self._stage.batch_size if batch_size is None else batch_size,
        )

    def set_epoch(self, epoch: int) -> None:
        """Names the epoch of the next iteration, as with torch's DistributedSampler.

        A position that `load_state_dict` restored within this same epoch is kept.
        """
        if not 0 <= epoch < 2**32:
            raise ValueError(f"`epoch` must be an integer from 0 to 2**32 - 1, got {epoch}.")
        if epoch != self._epoch:
            self._epoch, self._position, self._resume = epoch, 0, 0

    def __len__(self) -> int:
        """Batches of a whole epoch on this rank."""
        rank, world_size = _ranks()
        return steps_per_epoch(len(self._dataset), self._stage.batch_size, world_size, self._drop_last, rank=rank)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        (rank, world_size), stage, epoch, n = _ranks(), self._stage, self._epoch, len(self._dataset)
        self._position, self._resume = self._resume, 0
        asked = _Run(stage, epoch, self._position, rank, world_size)
        steps = steps_per_epoch(n, stage.batch_size, world_size, self._drop_last, self._position, rank)
        with closing(self._taken(asked)) as run:
            started = time.perf_counter()
            for done, batch in enumerate(run):
                if done == max(0, steps - 1 - self._prefetch):  # the others are all under way
                    self._prepare(_Run(stage, epoch + 1, 0, rank, world_size))
                self._position = next_position(self._position, n, stage.batch_size, world_size)
                delivered = time.perf_counter()
                yield batch
                self._waited += delivered - started
                self._iterated += time.perf_counter() - started
                started = time.perf_counter()
        self._epoch, self._position = epoch + 1, 0

    def _started(self, run: _Run) -> _Batches:
        order = epoch_order(len(self._dataset), self._seed, run.epoch, self._order)
        batches = Batches(order, run.stage.batch_size, run.rank, run.world_size, self._drop_last, run.position)
        return self._backend.run(self._pipeline.decoded(run.stage), run.epoch, batches)

    def _prepare(self, run: _Run) -> None:
        """Shuffles, and plans the first batch of, what is likely to be asked for next, while threads have work yet."""
        self._coming = None
        with suppress(Exception):  # what is wrong shall be told when it is asked for
            self._coming = run, self._started(run)

    def _taken(self, run: _Run) -> _Batches:
        """What was prepared, where it is what is asked for."""
        coming, self._coming = self._coming, None
        return coming[1] if coming and coming[0] == run else self._started(run)

    def state_dict(self) -> dict[str, Any]:
        """Where the loader stands: plain numbers, counting batches delivered, not those decoded ahead."""
        return {
            "version": 1,
            "samples": len(self._dataset),
            "seed": self._seed,
            "order": self._order,
            "epoch": self._epoch,
            "position": self._position,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where `state_dict` was taken, exactly, whatever the worker count, world size or batch size are now.

        Raises:
            ValueError: the state belongs to other data, another seed or another order.
        """
        mine = self.state_dict()
        for key in ("version", "samples", "seed", "order"):
            if state.get(key) != mine[key]:
                raise ValueError(
                    f"the state was taken with {key} = {state.get(key)!r}, this loader has {mine[key]!r}; "
                    "make the loader with the same data, `seed` and `order`."
                )
        self._epoch = state["epoch"]
        self._position = self._resume = state["position"]

    def stats(self) -> dict[str, Any]:
        """Seconds and bytes per station since the loader was made, bad samples, and what limits it."""
        bad = list(self._backend.bad.values())
        return summarise(self._backend.stats(), bad, self._waited, self._iterated, self._workers)

    def close(self) -> None:
        """Stops the threads and closes the file. Also done at garbage collection, and by `with`."""
        self._coming = None
        self._backend.close()
        self._dataset.close()

    def __enter__(self) -> Loader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def default_workers() -> int:
    """Threads for one loader: the processors this process may use, shared by the ranks of the machine."""
    return max(1, len(os.sched_getaffinity(0)) // max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))


def _ranks() -> tuple[int, int]:
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def _one_of(name: str, value: object, legal: tuple[object, ...]) -> None:
    if value not in legal:
        raise ValueError(f"`{name}` must be one of {', '.join(repr(v) for v in legal)}, got {value!r}.")


def _at_least(name: str, value: int | None, least: int) -> None:
    if value is not None and value < least:
        raise ValueError(f"`{name}` must be at least {least}, got {value}.")
