"""Runs conversion jobs in threads and hands their results back in order.

Threads, not processes: the kernel works without the GIL, so they fill the processors just as well, start at once, hand
their bytes over without a copy, and need no `if __name__ == "__main__":` in the calling script.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future
from queue import SimpleQueue

from .transcode import Converted, Job, convert_job

AHEAD = 2  # jobs in hand per worker: one at work, one waiting; bounds the memory

Inbox = SimpleQueue[tuple[Job, "Future[Converted]"] | None]


def results(jobs: Iterable[Job], workers: int) -> Generator[tuple[Job, Converted], None, None]:
    """Each job with its result, in the order of `jobs`, which are taken as threads become free.

    Raises:
        BadDataset: a source changed meanwhile.
    """
    inbox: Inbox = SimpleQueue()
    for _ in range(workers):
        # A daemon: one that waits for a dead disk must not keep the program from ending.
        threading.Thread(target=_work, args=(inbox,), name="convert", daemon=True).start()
    waiting: deque[tuple[Job, Future[Converted]]] = deque()
    upcoming = iter(jobs)
    try:
        while True:
            for job in upcoming:
                waiting.append((job, Future()))
                inbox.put(waiting[-1])
                if len(waiting) >= AHEAD * workers:
                    break
            if not waiting:
                return
            job, future = waiting.popleft()
            yield job, future.result()
    finally:
        for _, future in waiting:
            future.cancel()
        for _ in range(workers):
            inbox.put(None)


def _work(inbox: Inbox) -> None:
    while (order := inbox.get()) is not None:
        job, future = order
        if not future.set_running_or_notify_cancel():
            continue
        try:
            future.set_result(convert_job(job))
        except BaseException as error:
            future.set_exception(error)
