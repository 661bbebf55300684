"""The machine card: the facts needed to interpret the numbers, without names of the machine or its user."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

from loaders.processors import available_processors


def card() -> dict[str, Any]:
    """CPU, cores, memory, system, load before the run, GPU, commit of this project (libraries: see each contestant)."""
    info = _fields("/proc/cpuinfo")
    flags = set(info.get("flags", info.get("Features", "")).split())
    return {
        "cpu": info.get("model name", platform.processor() or platform.machine()),
        "architecture": platform.machine(),
        "simd": [flag for flag in ("sse4_2", "avx2", "avx512bw", "avx512_vbmi", "asimd", "sve") if flag in flags],
        "cores": available_processors(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "virtual": "hypervisor" in flags,
        "system": _fields("/etc/os-release", "=").get("PRETTY_NAME", platform.system()).strip('"'),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
        "gpu": _run("nvidia-smi", "--query-gpu=name", "--format=csv,noheader"),
        "commit": commit(Path(__file__).parent),
    }


def commit(folder: str | Path) -> str | None:
    """The commit of a checkout; None if it is not a git repository's own."""
    return _run("git", "-C", str(folder), "rev-parse", "--short", "HEAD")


def available_mb() -> float:
    """Memory that new processes can have, in MB."""
    return float(_fields("/proc/meminfo").get("MemAvailable", "0 kB").split()[0]) * 1.024e-3


def cuda() -> dict[str, Any]:
    """The GPU as torch sees it, and the versions around it."""
    import torch

    found = torch.cuda.get_device_properties(0)
    return {
        "gpu": found.name,
        "gpu_memory_gb": round(found.total_memory / 1e9, 1),
        "gpu_capability": f"{found.major}.{found.minor}",
        "gpus": torch.cuda.device_count(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "driver": _run("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"),
    }


def require_gpu() -> None:
    """Raises ValueError if torch sees no GPU."""
    import torch

    if not torch.cuda.is_available():
        raise ValueError(
            "this needs a GPU that torch can use, there is none here; throughput and ops take `--device cpu`."
        )


def describe(card: dict[str, Any]) -> str:
    """The card in one line."""
    gpu = f", {card['gpu']}" if card["gpu"] else ""
    return (
        f"{card['cores']} cores of {card['cpu']} ({' '.join(card['simd'])}{', virtual' if card['virtual'] else ''}), "
        f"{card['memory_gb']:.0f} GB{gpu}, {card['system']}, Python {card['python']}, load before {card['load_before']}"
    )


def _fields(path: str, separator: str = ":") -> dict[str, str]:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.split(separator, 1) for line in reversed(lines) if separator in line)  # the first of its name wins
    return {key.strip(): value.strip() for key, value in pairs}


def _run(*command: str) -> str | None:
    if shutil.which(command[0]) is None:
        return None
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None if done.returncode == 0 else None
