"""Runs conversion jobs in processes and hands their results back in order."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection

from loaders.errors import LoaderError
from loaders.store.source import Converted, Job, convert_job

AHEAD = 2  # jobs in hand per worker: one at work, one waiting; bounds the memory


def results(jobs: list[Job], workers: int) -> Generator[tuple[Job, Converted], None, None]:
    """Each job with what became of it, in the order of `jobs`.

    Raises:
        LoaderError: a worker process died.
        BadDataset: a source changed meanwhile.
    """
    if workers == 1 or len(jobs) < 2:
        yield from ((job, convert_job(job)) for job in jobs)
        return
    context = get_context("spawn")
    alive, stop = context.Pipe(duplex=False)  # `alive` ends when `stop` is closed, or this process killed
    pool = ProcessPoolExecutor(min(workers, len(jobs)), context, initializer=_start, initargs=(alive,))
    waiting: deque[tuple[Job, Future[Converted]]] = deque()
    upcoming = iter(jobs)
    try:
        while True:
            for job in upcoming:
                with _without_ctrl_c():
                    waiting.append((job, pool.submit(convert_job, job)))
                if len(waiting) >= AHEAD * workers:
                    break
            if not waiting:
                pool.shutdown()
                return
            job, future = waiting.popleft()
            yield job, future.result()
    except BrokenProcessPool:
        raise LoaderError(
            f"a worker process died, killed or out of memory, at sample {job.start} ({job.names[0]}) or soon after; "
            "what is finished is kept: run the same again, with fewer workers if memory is short"
        ) from None
    finally:
        stop.close()  # workers that are still at work have lost their purpose
        pool.shutdown(cancel_futures=True)
        alive.close()


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Processes that start in here leave Ctrl-C to their parent, from their first moment on."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start(alive: Connection) -> None:
    """Makes a worker go when its parent goes."""
    threading.Thread(target=_follow, args=(alive,), daemon=True).start()


def _follow(alive: Connection) -> None:
    alive.poll(None)
    os._exit(1)
