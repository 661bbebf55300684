"""The backend: feeds DALI, takes its outputs, and falls back to the kernel if DALI fails."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...batch import Batch
from ...errors import LoaderError
from ...requirements import dali_missing
from ...sources import Dataset
from ...stage import Stage
from ..base import BackendOptions
from ..decoder import Decoder
from ..device_queue import Clock
from .cut import Cut
from .threads import Threads

if TYPE_CHECKING:
    from ...transforms.pipeline import OutputFormat, TransformPipeline
    from .graph import Feed, Graph
    from .routes import DecodedByDALI, Route

CUTS = 2
"""Batches that are cut before DALI requests them."""


class DALIBackend:
    """Executes plans with DALI, see `Backend`. Crops, flips and order are the torch backend's; pixels are DALI's."""

    def __init__(self, dataset: Dataset, pipeline: TransformPipeline, options: BackendOptions) -> None:
        """
        Raises:
            LoaderError: DALI is missing here; the message names the package.
        """
        why = dali_missing()
        if why is not None:
            raise LoaderError(why)
        from .routes import Host, InGraph

        cuda, workers, prefetch = pipeline.device.type == "cuda", options.num_workers, options.prefetch_factor
        # On a GPU the kernel cuts while DALI parses and uploads: both pools run in parallel and share the processors.
        # On a CPU they mostly run in turn.
        threads, kernel = (-(-workers // 2), max(1, workers // 2)) if cuda else (workers, workers)
        self._decoder = Decoder(dataset, replace(options, num_workers=kernel))
        self._threads = Threads(threads)  # for the CPU route; they start when they are first used
        self._clock = Clock(pipeline.device)
        self._route: Route = (
            InGraph(self._decoder, pipeline, self._clock, bicubic=options.filter == "bicubic", prefetch=prefetch)
            if cuda
            else Host(self._decoder, pipeline, self._clock, threads=self._threads, prefetch=prefetch)
        )
        self._pipeline, self._dataset = pipeline, dataset
        self._device, self._workers, self._depth = pipeline.device, threads, prefetch + 1
        self._idle: list[Graph] = []
        self._awaited = 0
        self.bad = self._decoder.bad

    def run(self, stage: Stage, epoch: int, batches: Sequence[NDArray[np.int64]]) -> Generator[Batch, None, None]:
        """See `Backend.run`."""
        self._decoder.pool.check()
        batches = [batch for batch in batches if len(batch)]  # an empty batch crashes DALI
        fed: deque[Cut] = deque()
        taken: deque[DecodedByDALI] = deque()
        feeds = self._feeds(self._pipeline.format(stage), epoch, batches, fed)
        graph = self._graph(max(map(len, batches), default=1))
        graph.start(feeds)
        try:
            for left in range(len(batches), 0, -1):
                while len(taken) < min(left, self._route.ahead):
                    taken.append(self._take(graph, feeds, fed))
                yield self._route.finish(taken.popleft())
        finally:
            feeds.close()
            for pending in taken:
                pending.kernel.close()
            self._idle.append(graph)

    def stats(self) -> dict[str, int]:
        """The kernel's and the device's sums, see `native.Pool.stats` and `Clock.sums`; DALI's go into `decode_ns`.

        DALI does not report the working time of its threads, so all of them count while the loader waits for DALI.
        """
        total = Counter(self._decoder.stats())
        for sums in (self._route.sums, self._clock.sums(), {"decode_ns": self._awaited * self._workers}):
            total.update(sums)
        return dict(total)

    def close(self) -> None:
        """Stops the threads."""
        while self._idle:
            self._idle.pop().close()
        self._threads.close()
        self._decoder.close()

    def _graph(self, batch_size: int) -> Graph:
        """A free graph. Only batches larger than any before need a new one."""
        if self._idle and self._idle[-1].batch_size >= batch_size:
            return self._idle.pop()
        self._idle.clear()
        from .graph import Graph

        return Graph(
            self._route.body,
            self._route.inputs,
            device=self._device,
            threads=self._workers,
            batch_size=batch_size,
            depth=self._depth,
        )

    def _feeds(
        self, format: OutputFormat, epoch: int, batches: Sequence[NDArray[np.int64]], fed: deque[Cut]
    ) -> Generator[Feed, None, None]:
        """DALI's input, batch by batch; each batch is added to `fed` when it is passed."""
        plans = self._decoder.plans(format, epoch, batches)
        coming = (Cut(plan, self._decoder.pool, self._dataset.fd) for plan in plans)
        cuts = deque(islice(coming, CUTS))
        try:
            while cuts:
                cut = cuts.popleft()
                cuts.extend(islice(coming, 1))
                began = time.perf_counter_ns()
                cut.wait()
                self._awaited -= time.perf_counter_ns() - began  # this part of `_take`'s waiting time is not DALI's
                fed.append(cut)
                yield self._route.feed(cut)
        finally:
            for cut in cuts:
                cut.close()

    def _take(self, graph: Graph, feeds: Iterator[Feed], fed: deque[Cut]) -> DecodedByDALI:
        """The next batch from DALI. If DALI fails, the kernel decodes this batch, and DALI begins with the next one."""
        from .graph import reason

        began = time.perf_counter_ns()
        images, why = None, ""
        try:
            images = graph.next(self._route.stream)
        except RuntimeError as error:
            if not fed:
                raise
            why = reason(error)
            graph.start(chain([self._route.feed(cut) for cut in list(fed)[1:]], feeds))
        self._awaited += time.perf_counter_ns() - began
        return self._route.take(fed.popleft(), images, why)
