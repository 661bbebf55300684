"""A contestant's own process: `python -m benchmarks.harness.child`, driven over stdin and stdout by `measure.Child`.

First line in: {"target": "module:function", "job": {...}}. It answers {"ready": ...}, {"missing": why} or
{"error": why}. Then every {"seconds": s} is answered by one timed round. Whatever libraries print goes to
stderr.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from importlib import metadata
from pathlib import Path
from typing import Any, TextIO

from . import data, page_cache, procfs
from .contestant import Job

LIBRARIES = (
    "torch",
    "torchvision",
    "timm",
    "kornia",
    "pillow",
    "pillow-simd",
    "ffcv",
    "webdataset",
    "mosaicml-streaming",
    "litdata",
    "spdl",
    "nvidia-dali-cuda120",
    "nvidia-dali-cuda130",
    "numpy",
    "numba",
    "opencv-python",
)


def main() -> None:
    os.setpgrp()  # the parent stops and continues this process and its workers as one group
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    order = json.loads(sys.stdin.readline())
    job = Job(**order["job"])
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: job.threads])
    try:
        _serve(order["target"], job, replies)
    except ImportError as error:
        traceback.print_exc()
        _reply(replies, missing=_one_line(error))
    except Exception as error:
        traceback.print_exc()
        _reply(replies, error=_one_line(error))
    os._exit(0)  # libraries' threads and exit handlers must not keep a finished contestant alive


def _serve(target: str, job: Job, replies: TextIO) -> None:
    module_name, _, function = target.partition(":")
    act = getattr(importlib.import_module(module_name), function)
    imports = procfs.memory()["anonymous_mb"]
    contestant = act(job)
    if contestant is None:  # a preparation, which is not timed
        _reply(replies, ready=True)
        return
    facts = {
        "output": contestant.output,
        "versions": versions(),
        "imports_mb": imports,
        "facts": contestant.facts(),
    }
    files = page_cache.files(job) if job.cold_images else []
    page_cache.release(files)
    images, read = contestant.delivered, procfs.bytes_read()
    _reply(replies, ready=True, **facts)
    for line in sys.stdin:
        cached = page_cache.drop(files)
        if job.reload:
            data.read(Path(job.pyramid))
        before, disk = contestant.delivered, procfs.disk_bytes_read()
        count, seconds = contestant.round(json.loads(line)["seconds"])
        per_image = (procfs.bytes_read() - read) / max(1, contestant.delivered - images)
        disk_per_image = (procfs.disk_bytes_read() - disk) / max(1, contestant.delivered - before)
        page_cache.release(files)
        _reply(
            replies,
            images=count,
            seconds=seconds,
            bytes_per_image=per_image,
            disk_bytes_per_image=disk_per_image,
            cached=cached,
            facts=contestant.facts(),
            **procfs.memory(),
        )


def versions() -> dict[str, str]:
    """Versions of the libraries that matter and are loaded here."""
    modules = {"pillow": "PIL", "pillow-simd": "PIL", "opencv-python": "cv2", "mosaicml-streaming": "streaming"}
    found = {}
    for name in LIBRARIES:
        module = modules.get(name, "nvidia.dali" if "dali" in name else name)
        if module in sys.modules:
            try:
                found[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                continue
    return found


def _reply(replies: TextIO, **message: Any) -> None:
    replies.write(json.dumps(message) + "\n")
    replies.flush()


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


if __name__ == "__main__":
    main()
