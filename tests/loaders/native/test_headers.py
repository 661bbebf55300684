from __future__ import annotations

import os
import platform
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

NATIVE = Path(__file__).resolve().parents[3] / "loaders" / "native"
COMPILER = os.environ.get("CXX", "g++")
HEADERS = sorted(NATIVE.rglob("*.h"))
AVX512 = ["-mavx2", "-mbmi2", "-mlzcnt", *(f"-mavx512{part}" for part in ("f", "bw", "dq", "vl", "vnni"))]
AVX512 += ["-DET_AVX2", "-DET_VNNI"]
pytestmark = pytest.mark.skipif(shutil.which(COMPILER) is None, reason=f"needs {COMPILER}")


def complaints(header: Path, flags: list[str]) -> str:
    """What the compiler says about a file that includes nothing but this header; "" where it compiles."""
    command = [COMPILER, "-std=c++17", "-fsyntax-only", f"-I{NATIVE}", *flags, "-x", "c++", "-"]
    done = subprocess.run(command, input=f'#include "{header}"\n', capture_output=True, text=True, check=False)
    return f"{header.name} {flags}: {done.stderr[:1000]}" if done.returncode else ""


def test_every_header_compiles_alone() -> None:
    assert len(HEADERS) > 20 and not list(NATIVE.rglob("*.inl"))
    jobs: list[tuple[Path, list[str]]] = [(header, []) for header in HEADERS]
    if platform.machine() == "x86_64":  # those of the inner loops have other code for it
        jobs += [(header, AVX512) for header in HEADERS if "namespace ET_BUILD" in header.read_text()]
    with ThreadPoolExecutor(2) as pool:
        assert [text for text in pool.map(lambda job: complaints(*job), jobs) if text] == []


def test_the_rule_can_fail(tmp_path: Path) -> None:
    (tmp_path / "uses.h").write_text("inline uint8_t half(uint8_t x) { return x / 2; }\n")
    assert "uint8_t" in complaints(tmp_path / "uses.h", [])
