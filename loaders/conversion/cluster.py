"""A conversion in parts as tasks of a Ray cluster.

The driver lists the source and hands each task the samples of its part. A task writes its part, with a journal, to the
folder of `out`, which all machines share. If the driver dies, the same call resumes: complete parts are kept, and
unfinished ones continue from their journals. If a machine is lost, Ray starts its tasks again elsewhere.

If `out` is a URL, the journal lies in `work_dir` of the task's machine: a part continues if it comes to the same
machine again, else it starts anew.
"""

from __future__ import annotations

import importlib
import os
import tempfile
import time
from typing import Any

from ..errors import LoaderError
from ..progress import progress_bar
from ..storage.store import is_url
from ..values import absolute
from .convert import Summary
from .journal import Busy
from .shards import Part, ShardedConversion

ATTEMPTS = 10  # of one part, when its machines are lost
PATIENCE, POLL = 180.0, 2.0  # seconds to wait for the lock of a converter whose machine was lost, between two tries
AHEAD = 2  # tasks in hand for each that can run: a cluster that grows by demand sees that more are waiting


def join_cluster(address: str | None) -> Any:
    """Connects to a Ray cluster and returns the module `ray`.

    Args:
        address: of the cluster, "auto" for the one this machine is part of; None: a new one of this machine alone.

    Raises:
        ValueError: Ray is not installed, or there is no such cluster.
    """
    try:
        ray = importlib.import_module("ray")
    except ImportError:
        raise ValueError("`--ray` needs Ray, which is not installed: pip install ray") from None
    try:
        ray.init(address=address, ignore_reinit_error=True, log_to_driver=False)
    except ConnectionError as error:
        raise ValueError(f"no Ray cluster at {address!r}: {str(error).splitlines()[0]}") from error
    return ray


def convert_on_ray(
    src: Any,
    out: str | os.PathLike[str],
    address: str | None = None,
    *,
    parts: int | None = None,
    cpus: int = 1,
    restart: bool = False,
    progress: bool = False,
    work_dir: str | os.PathLike[str] | None = None,
    **settings: Any,
) -> Summary:
    """Converts a source on the machines of a Ray cluster, which need this package, the source and the folder of `out`.

    Args:
        src: see `convert`. A Python object is sent to the machines, so it must be picklable.
        out: `train.beton` makes the parts `train-00000-of-00016.beton`, ... and the manifest `train.json`; a path or a
            URL.
        address: see `join_cluster`.
        parts: how many; None: see `shards.usual_parts`.
        cpus: of each task, which converts in as many threads.
        restart: throw away complete and unfinished parts of an earlier call.
        progress: show a progress bar on stderr, which advances with every complete part.
        work_dir: if `out` is a URL, a folder of each machine where unfinished parts lie; None: its folder for temporary
            files.
        settings: keywords of `convert`, except `workers`, `as_cache` and `report`.

    Returns:
        The summary of all parts; `out` is the manifest.

    Raises:
        ValueError: a wrong argument, no Ray, or no such cluster.
        As `convert`. Finished parts are kept, and the same call resumes.
    """
    if cpus < 1:
        raise ValueError(f"`cpus` must be at least 1, got {cpus}")
    # The machines' processes have folders of their own.
    conversion = ShardedConversion(absolute(src), absolute(out), parts, **settings)
    waiting = list(range(len(conversion))) if restart else conversion.missing()
    done = conversion.images - sum(conversion.size(number) for number in waiting)
    ray = join_cluster(address)
    task = ray.remote(num_cpus=cpus, max_retries=ATTEMPTS)(_convert_part)
    running: dict[Any, int] = {}
    with progress_bar(progress, total=conversion.images, initial=done, unit="img", desc="convert") as bar:
        try:
            while waiting or running:
                room = max(1, AHEAD * int(ray.cluster_resources().get("CPU", 0)) // cpus) - len(running)
                for number in waiting[: max(0, room)]:
                    running[task.remote(conversion.part(number), cpus, restart, work_dir)] = number
                del waiting[: max(0, room)]
                ended, _ = ray.wait(list(running), timeout=POLL)
                for reference in ended:
                    number = running.pop(reference)
                    _result(ray, reference, conversion, number)
                    bar.update(conversion.size(number))
        finally:
            for reference in running:
                ray.cancel(reference, force=True)
    whole = conversion.finish()
    if whole is None:
        lost = conversion.paths[conversion.missing()[0]]
        raise LoaderError(f"{lost}: was written on another machine but is not here; `out` must be in a shared folder")
    return whole


def _convert_part(
    part: Part, cpus: int, restart: bool, work_dir: str | os.PathLike[str] | None = None
) -> BaseException | None:
    """The task: converts one part. Returns the error that stopped it, since not every error survives Ray's own."""
    end = time.monotonic() + PATIENCE
    if work_dir is None and is_url(part.path):
        work_dir = tempfile.gettempdir()  # a task's current folder is Ray's, and changes
    while True:
        try:
            part.convert(workers=cpus, restart=restart, work_dir=work_dir)
        except Busy as error:  # the lock of a lost machine, which a network file system releases after a while
            if time.monotonic() > end:
                return error
            time.sleep(POLL)
        except (LoaderError, ValueError, OSError) as error:
            return error
        else:
            return None


def _result(ray: Any, reference: Any, conversion: ShardedConversion, number: int) -> None:
    """Raises the error of a task that ended, if there was one."""
    try:
        error = ray.get(reference)
    except ray.exceptions.RayError as lost:
        reason = str(lost).splitlines()[0]
        raise LoaderError(f"{conversion.paths[number]}: its task was lost: {reason}; the same call resumes") from lost
    if error is not None:
        raise error
