"""Runs conversion jobs in processes and hands their results back in order."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, get_context, parent_process

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
    pool = ProcessPoolExecutor(min(workers, len(jobs)), get_context("spawn"), initializer=_start)
    waiting: deque[tuple[Job, Future[Converted]]] = deque()
    upcoming = iter(jobs)
    try:
        while True:
            for job in upcoming:
                waiting.append((job, pool.submit(convert_job, job)))
                if len(waiting) >= AHEAD * workers:
                    break
            if not waiting:
                return
            job, future = waiting.popleft()
            yield job, future.result()
    except BrokenProcessPool:
        raise LoaderError(
            f"a worker process died, killed or out of memory, at sample {job.start} ({job.names[0]}) or soon after; "
            "what is finished is kept: run the same again, with fewer workers if memory is short"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _start() -> None:
    """Makes a worker leave Ctrl-C to its parent, and follow the parent when that is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow, daemon=True).start()


def _follow() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
