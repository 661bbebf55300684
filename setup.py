"""Builds the C++ kernel and says what is installed; the one place of the version and of every requirement."""

from __future__ import annotations

import os
import subprocess
from glob import glob

from setuptools import Extension, find_packages, setup

VERSION = "0.1.0"

EXTRAS = {
    "ffcv": ["ffcv>=1.0.2"],
    "dali": ["nvidia-dali-cuda130>=1.50; sys_platform == 'linux'"],
    "simd": ["pillow-simd"],  # replaces Pillow: keep it in an environment of its own
    "train": ["torchvision", "timm>=1.0", "pyyaml", "matplotlib"],
    "tensorboard": ["tensorboard"],  # log.jsonl is written without it, too
    "bench": ["torchvision", "timm>=1.0", "matplotlib", "psutil"],
    "fuzz": ["atheris>=3.0"],  # wheels for Linux on x86-64 only
    "dev": ["pytest>=8", "ruff", "mypy", "setuptools>=64", "torchvision", "timm>=1.0", "matplotlib", "pyyaml"],
}
EXTRAS["all"] = sorted({need for extra, needs in EXTRAS.items() if extra not in ("simd", "fuzz") for need in needs})


def libjpeg_flags(what: str, default: list[str]) -> list[str]:
    """Compiler or linker flags of libjpeg as pkg-config knows them (libraries outside the default path)."""
    try:
        found = subprocess.run(["pkg-config", what, "libjpeg"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return default
    return found.stdout.split()


# The kernel chooses its instruction set when it runs, so what is built here also runs on an older machine:
# no -march. It is loaded by ctypes and exports a C ABI, not a Python module.
# Fused multiply-adds would round differently from one machine to the next: -ffp-contract=off. Damaged coefficients may
# overflow the inverse DCT, which must then give wrong pixels and nothing worse, the same in every build: -fwrapv.
# g++'s straight-line vectoriser packs the entropy decoder's pointers into vector registers.
compile_args = ["-std=c++17", "-O3", "-g0", "-ffp-contract=off", "-fwrapv", "-fno-tree-slp-vectorize", "-pthread"]
compile_args += ["-Wall", "-Wextra"]
link_args = ["-pthread", *libjpeg_flags("--libs", ["-ljpeg"])]
if os.environ.get("ETL_SANITIZE") == "1":
    checks = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]
    compile_args += [*checks, "-g", "-O1"]
    link_args += checks

kernel = Extension(
    "loaders.native._kernel",
    sources=sorted(glob("loaders/native/*.cpp")),
    depends=sorted(glob("loaders/native/*.h") + glob("loaders/native/*.inl")),
    language="c++",
    extra_compile_args=compile_args + libjpeg_flags("--cflags", []),
    extra_link_args=link_args,
)

PACKAGES = find_packages(include=["loaders", "loaders.*", "efficienttrain", "efficienttrain.*"])
BENCHMARKS = find_packages(include=["benchmarks", "benchmarks.*"])

with open("README.md", encoding="utf-8") as readme:
    description = readme.read()

setup(
    name="efficienttrain",
    version=VERSION,
    description="Data loading for EfficientTrain++: reads, decodes and resamples only what a curriculum stage shows",
    long_description=description,
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    # The checkout's benchmarks/ is installed as efficienttrain.benchmarks: no top-level package of that common name.
    packages=[*PACKAGES, *(f"efficienttrain.{name}" for name in BENCHMARKS)],
    package_dir={"efficienttrain.benchmarks": "benchmarks"},
    package_data={"loaders": ["py.typed"], "efficienttrain": ["py.typed"]},
    ext_modules=[kernel],
    install_requires=["numpy>=1.24", "torch>=2.4", "tqdm", "pillow>=10.1"],
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["efficienttrain = efficienttrain.__main__:main"]},
    zip_safe=False,
)
