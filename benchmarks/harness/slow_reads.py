"""A slow file system without one: a process whose every `pread` takes longer. Our kernel reads betons by `pread`."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from .measure import Missing


def environment(latency: float, work: Path) -> dict[str, str]:
    """Environment variables for such a process. The library that does it is compiled into the folder `work`.

    Args:
        latency: seconds.

    Raises:
        Missing: there is no C compiler.
    """
    library = work / "slow_reads.so"
    if not library.exists():
        part = work / f"slow_reads-{os.getpid()}.so"
        command = [os.environ.get("CC", "cc"), "-O2", "-shared", "-fPIC", "-o", str(part)]
        source = Path(__file__).with_name("slow_reads.c")
        try:
            subprocess.run([*command, str(source), "-ldl"], check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise Missing(f"{source.name} cannot be compiled: {getattr(error, 'stderr', None) or error}") from None
        os.replace(part, library)
    loaded = " ".join((os.environ.get("LD_PRELOAD", ""), str(library))).strip()  # sanitizers come first
    return {"LD_PRELOAD": loaded, "SLOW_READS": str(round(latency * 1e9))}
