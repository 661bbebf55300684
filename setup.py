"""Builds the C++ kernel and lists what is installed; the only place of the version and of every requirement.

Environment variables for special builds; tools/wheel.sh sets the last two:
  ETL_SANITIZE=1      AddressSanitizer and UndefinedBehaviorSanitizer
  ETL_JPEG=FOLDER     link FOLDER/lib/libjpeg.a, with the headers in FOLDER/include, instead of the system's libjpeg
  ETL_LINKER=COMMAND  link with this command, which is given objects and output
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from glob import glob
from typing import Any

from setuptools import Extension, find_packages, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

VERSION = "0.1.0"

EXTRAS = {
    "ffcv": ["ffcv>=1.0.2"],
    "dali": ["nvidia-dali-cuda130>=1.50; sys_platform == 'linux'"],
    "simd": ["pillow-simd"],  # replaces Pillow: keep it in an environment of its own
    "sources": ["pyarrow"],
    "train": ["torchvision", "timm>=1.0", "pyyaml", "matplotlib"],
    "tensorboard": ["tensorboard"],  # log.jsonl is written without it, too
    "remote": ["obstore>=0.6"],
    "ray": ["ray>=2.40"],  # convert --ray, search --ray
    "trackers": ["wandb"],  # trackio, too, but it holds Pillow below 13: install it by name
    # For efficienttrain.callbacks, and to test the Loader in them.
    "frameworks": ["lightning>=2.4", "transformers>=4.46", "accelerate>=1", "pytorch-ignite>=0.5", "ray[train]>=2.40"],
    "bench": ["torchvision", "timm>=1.0", "matplotlib", "psutil"],
    # For `benchmark throughput`. mosaicml-streaming needs an environment of its own: it holds NumPy below 2.2.
    "peers": ["webdataset", "litdata", "spdl"],
    "fuzz": ["atheris>=3.0"],  # wheels for Linux on x86-64 only
    "dev": [
        *("pytest>=8", "pytest-xdist", "ruff", "mypy", "setuptools>=70.1", "pillow>=10.2"),
        *("torchvision", "timm>=1.0", "matplotlib", "pyyaml", "pyarrow"),
        *("obstore>=0.6", "moto[server]>=5"),
        *("webdataset", "datasets", "litdata", "tfrecord", "scipy"),  # write files that the tests read
    ],
}
EXTRAS["all"] = sorted({need for extra, needs in EXTRAS.items() if extra not in ("simd", "fuzz") for need in needs})


def libjpeg_flags(what: str, default: list[str]) -> list[str]:
    """Compiler or linker flags of libjpeg as pkg-config knows them (libraries outside the default path)."""
    try:
        found = subprocess.run(["pkg-config", what, "libjpeg"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return default
    return found.stdout.split()


def libjpeg_path(flags: list[str]) -> str | None:
    """The path of the shared libjpeg that the linker takes with these flags, or None if it cannot be told.

    It ends in the name that the library states, as libjpeg.so.62, because the file's own name changes with updates.
    """
    folders = [flag[2:] for flag in flags if flag.startswith("-L")]
    try:
        default = subprocess.run(["c++", "-print-file-name=libjpeg.so"], capture_output=True, text=True, check=True)
        for path in (*(f"{folder}/libjpeg.so" for folder in folders), default.stdout.strip()):
            if os.path.exists(path):
                tables = subprocess.run(["objdump", "-p", path], capture_output=True, text=True, check=True).stdout
                name = next(line.split()[1] for line in tables.splitlines() if line.split()[:1] == ["SONAME"])
                path = os.path.join(os.path.realpath(os.path.dirname(path)), name)
                return path if os.path.exists(path) else None
    except (OSError, subprocess.CalledProcessError, StopIteration):
        pass
    return None


# The kernel chooses its instruction set when it runs, so what is built here also runs on an older machine:
# no -march. It is loaded by ctypes and exports a C ABI, not a Python module.
# Fused multiply-adds would round differently from one machine to the next: -ffp-contract=off. Damaged coefficients may
# overflow the inverse DCT, which must then give wrong pixels, the same in every build, but never crash: -fwrapv.
# g++'s straight-line vectoriser packs the entropy decoder's pointers into vector registers.
compile_args = ["-std=c++17", "-O3", "-g0", "-ffp-contract=off", "-fwrapv", "-fno-tree-slp-vectorize", "-pthread"]
compile_args += ["-Wall", "-Wextra"]
if static_jpeg := os.environ.get("ETL_JPEG"):
    compile_args.append(f"-I{static_jpeg}/include")
    link_args = ["-pthread", f"{static_jpeg}/lib/libjpeg.a"]
else:
    compile_args += libjpeg_flags("--cflags", [])
    link_args = ["-pthread", *libjpeg_flags("--libs", ["-ljpeg"])]
if os.environ.get("ETL_SANITIZE") == "1":
    checks = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]
    compile_args += [*checks, "-g", "-O1"]
    link_args += checks

kernel = Extension(
    "loaders.native._kernel",
    sources=sorted(glob("loaders/native/**/*.cpp", recursive=True)),
    depends=["setup.py", *sorted(glob("loaders/native/**/*.h", recursive=True))],
    include_dirs=["loaders/native"],
    language="c++",
    extra_compile_args=compile_args,
    extra_link_args=link_args,
)


class BuildKernel(build_ext):
    """The kernel's file name carries no Python version, because it is a C library that ctypes loads."""

    def get_ext_filename(self, fullname: str) -> str:
        return os.path.join(*fullname.split(".")) + ".so"

    def link_by_path(self, path: str) -> None:
        """Makes the kernel ask for this libjpeg by its path.

        Asked by name, the loader of libraries gives any of that name which the process already has: torchvision brings
        a libjpeg of another version that states the system's name. The linker notes down what a library states, so it
        gets an empty one that states the path.
        """
        stub = os.path.abspath(os.path.join(self.build_temp, "libjpeg_by_path.so"))
        os.makedirs(self.build_temp, exist_ok=True)
        self.spawn(["c++", "-shared", f"-Wl,-soname,{path}", "-o", stub])
        others = [flag for flag in link_args if flag != "-ljpeg"]
        kernel.extra_link_args = ["-Wl,--push-state,--no-as-needed", stub, "-Wl,--pop-state", *others]

    def build_extensions(self) -> None:
        if not static_jpeg and sys.platform == "linux" and (path := libjpeg_path(link_args)):
            self.link_by_path(path)
        if linker := os.environ.get("ETL_LINKER"):

            def link(objects: list[str], output: str, *_: Any, extra_postargs: list[str], **__: Any) -> None:
                self.spawn([*shlex.split(linker), "-shared", *objects, *extra_postargs, "-o", output])

            self.compiler.link_shared_object = link
        super().build_extensions()


class KernelWheel(bdist_wheel):
    """One wheel for all versions of Python, for the same reason."""

    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", super().get_tag()[2]


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
    package_data={
        "loaders": ["py.typed"],
        "efficienttrain": ["py.typed"],
        "efficienttrain.benchmarks": [
            *("results/convert_*.json", "results/throughput_*.json"),  # for plan-run
            "harness/slow_reads.c",
        ],
    },
    ext_modules=[kernel],
    install_requires=["numpy>=1.24", "torch>=2.4", "tqdm", "pillow>=10.1"],
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["efficienttrain = efficienttrain.__main__:main"]},
    cmdclass={"build_ext": BuildKernel, "bdist_wheel": KernelWheel},
    license_files=["LICENSE", "tools/wheel/LICENSE.*"],
    zip_safe=False,
)
