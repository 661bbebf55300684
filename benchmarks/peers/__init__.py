"""The contestants. Each one is a line here and a file beside this one; only its own process imports that file."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Peer:
    """A contestant.

    Attributes:
        prepare: whether the module makes files first.
        options: passed to the module.
        read_latency: seconds that every read of the contestant takes longer, as on a slow file system.
        warm: with `--cold`, the pyramid is in the page cache nevertheless.
        install: the remedy if the contestant cannot run here.
    """

    name: str
    module: str
    label: str
    options: dict[str, Any] = field(default_factory=dict)
    prepare: bool = False
    read_latency: float = 0.0
    warm: bool = False
    install: str = ""

    @property
    def takes(self) -> tuple[str, ...]:
        """Options of the whole run that the module is given, too: RandAugment's strength, an older checkout's path."""
        return (
            *(("magnitude",) if self.options.get("randaugment") else ()),
            *(("against",) if "before" in self.name else ()),
        )

    def target(self, function: str) -> str:
        return f"{__name__}.{self.module}:{function}"


_DALI = "pip install nvidia-dali-cuda130 (or -cuda120, as torch's CUDA)"
_SIMD = "an interpreter with pillow-simd by `--python-for`, see benchmarks/README.md"
_BEFORE = "an older checkout of this project by `--against`"
_CC = "a C compiler"
_SPDL = "pip install spdl torchvision"
_FFCV = "pip install ffcv, after apt install libopencv-dev libturbojpeg0-dev pkg-config"
_ALL = (
    Peer("ours", "ours", "ours, pyramid", prepare=True),
    Peer("ours-float32", "ours", "ours, pyramid, float32 out", {"dtype": "float32"}, prepare=True),
    Peer("ours-quasi", "ours", "ours, quasi-random order", {"shuffle": "quasi"}, prepare=True),
    Peer(
        "ours-quasi-warm",
        "ours",
        "ours, quasi-random order, in the page cache",
        {"shuffle": "quasi"},
        prepare=True,
        warm=True,
    ),
    Peer("ours-full", "ours", "ours, full size only", {"max_level": 0}, prepare=True),
    Peer("ours-folder", "ours", "ours, image folder", {"folder": True}, prepare=True),
    Peer("ours-1ms", "ours", "ours, each read 1 ms slower", prepare=True, read_latency=0.001, install=_CC),
    Peer("ours-20ms", "ours", "ours, each read 20 ms slower", prepare=True, read_latency=0.02, install=_CC),
    Peer("ours-before", "ours_before", "ours, older version", prepare=True, install=_BEFORE),
    Peer(
        "ours-before-folder",
        "ours_before",
        "ours, older version, image folder",
        {"folder": True},
        prepare=True,
        install=_BEFORE,
    ),
    Peer(
        "ours-before-randaugment",
        "ours_before",
        "ours, older version, + RandAugment",
        {"randaugment": True},
        prepare=True,
        install=_BEFORE,
    ),
    Peer("ours-dali", "ours", "ours, DALI decodes", {"backend": "dali"}, prepare=True, install=_DALI),
    Peer("ours-ffcv", "ours_ffcv", "ours, FFCV backend", prepare=True, install=_FFCV),
    Peer("ours-ffcv-part", "ours_ffcv", "FFCV, our decoder in it", {"part": True}, prepare=True, install=_FFCV),
    Peer("ours-ffcv-beton", "ours_ffcv", "ours, FFCV backend, FFCV's beton", {"ffcv_beton": True}, True, install=_FFCV),
    Peer(
        "ours-on-ffcv-beton",
        "ours_ffcv",
        "ours, FFCV's beton",
        {"ffcv_beton": True, "backend": "torch"},
        prepare=True,
        install=_FFCV,
    ),
    Peer("ours-randaugment", "ours", "ours + RandAugment", {"randaugment": True}, prepare=True),
    Peer(
        "ours-randaugment-float32",
        "ours",
        "ours + RandAugment, float32 out",
        {"randaugment": True, "dtype": "float32"},
        prepare=True,
    ),
    Peer(
        "ours-randaugment-base",
        "ours",
        "ours + RandAugment at 224, then down",
        {"randaugment": True, "augment_at": "base"},
        prepare=True,
    ),
    Peer(
        "ours-dali-randaugment",
        "ours",
        "ours, DALI decodes, + RandAugment",
        {"backend": "dali", "randaugment": True},
        prepare=True,
        install=_DALI,
    ),
    Peer("torchvision", "torchvision_", "torchvision DataLoader", install="pip install torchvision"),
    Peer(
        "torchvision-randaugment",
        "torchvision_",
        "torchvision + RandAugment",
        {"randaugment": True},
        install="pip install torchvision timm",
    ),
    Peer("torchvision-simd", "torchvision_", "torchvision, pillow-simd", {"simd": True}, install=_SIMD),
    Peer(
        "torchvision-simd-randaugment",
        "torchvision_",
        "torchvision, pillow-simd + RandAugment",
        {"randaugment": True, "simd": True},
        install=_SIMD,
    ),
    Peer(
        "torchvision-gpu",
        "torchvision_gpu",
        "torchvision v2, decode_jpeg on the GPU",
        install="pip install torchvision",
    ),
    Peer(
        "torchvision-gpu-randaugment",
        "torchvision_gpu",
        "the same + RandAugment",
        {"randaugment": True},
        install="pip install torchvision",
    ),
    Peer("torchvision-v2", "torchvision_v2", "torchvision v2, decode_jpeg", install="pip install torchvision"),
    Peer(
        "webdataset",
        "webdataset_",
        "WebDataset",
        prepare=True,
        install="pip install webdataset torchvision",
    ),
    Peer(
        "streaming",
        "streaming_",
        "MosaicML streaming",
        prepare=True,
        install="pip install mosaicml-streaming torchvision, in an environment of its own by `--python-for`",
    ),
    Peer("litdata", "litdata_", "litData", prepare=True, install="pip install litdata torchvision"),
    Peer("spdl", "spdl_", "SPDL, decode_jpeg", install=_SPDL),
    Peer("spdl-ffmpeg", "spdl_", "SPDL, FFmpeg", {"ffmpeg": True}, install=f"{_SPDL}, and FFmpeg's libraries"),
    Peer("timm", "timm_", "timm loader", install="pip install timm"),
    Peer("timm-scheduled", "timm_", "timm loader, crop to B", {"scheduled": True}, install="pip install timm>=1.0.31"),
    Peer(
        "timm-randaugment",
        "timm_",
        "timm loader + RandAugment",
        {"randaugment": True},
        install="pip install timm",
    ),
    Peer(
        "ffcv",
        "ffcv_",
        "FFCV",
        prepare=True,
        install=_FFCV,
    ),
    Peer("ffcv-quasi", "ffcv_", "FFCV, quasi-random order", {"quasi": True}, prepare=True, install=_FFCV),
    Peer("dali", "dali_", "DALI", install=_DALI),
    Peer("dali-randaugment", "dali_", "DALI + RandAugment", {"randaugment": True}, install=_DALI),
    Peer("limit", "limit", "limit: libjpeg-turbo, pre-cut", prepare=True, install="apt install libturbojpeg0"),
)
PEERS = {peer.name: peer for peer in _ALL}
REMOTE = ("ours-quasi", "webdataset", "streaming", "litdata")
"""Those whose modules have `remote(job)`: they read from a store."""
DEFAULT = ("ours-full", "ours-folder", "torchvision", "torchvision-randaugment", "timm", "ffcv", "dali")
GPU_ONLY = ("torchvision-gpu", "torchvision-gpu-randaugment")
ON_GPU = ("ours-dali", "ours-randaugment", "ours-dali-randaugment", *GPU_ONLY, "dali-randaugment", *DEFAULT[2:])
"""The default with `--device cuda`."""
COLD = (
    "ours-quasi",
    "ours-quasi-warm",
    "ours-folder",
    "torchvision",
    "webdataset",
    "streaming",
    "litdata",
    "ffcv",
    "ffcv-quasi",
)
"""The default with `--cold`."""
ALWAYS = ("ours", "limit")  # the baselines of comparison


def chosen(names: list[str] | None, device: str = "cpu", cold: bool = False, before: bool = False) -> list[Peer]:
    """The contestants to run, in the registry's order; None chooses those of `DEFAULT`, `ON_GPU` or `COLD`.

    With `cold`, `limit` does not run unless it is named, because it reads no file.
    With `before`, `ours-before` runs, too.

    Raises:
        ValueError: a name that is not registered, or needs a GPU.
    """
    for name in names or ():
        if name not in PEERS:
            raise ValueError(f"`--peers` takes names of contestants, got {name!r}; there are {', '.join(PEERS)}.")
        if name in GPU_ONLY and device == "cpu":
            raise ValueError(f"`--peers` names {name}, which decodes on a GPU; add `--device cuda`.")
    if names is None:
        names = list(COLD if cold else DEFAULT if device == "cpu" else ON_GPU)
    wanted = {*names, *(("ours",) if cold else ALWAYS), *(("ours-before",) if before else ())}
    return [peer for peer in _ALL if peer.name in wanted]


def interpreters(texts: Iterable[str]) -> dict[str, str]:
    """Contestants' interpreters, by name, from texts `NAME=PATH`.

    Symbolic links stay: one leads out of a virtual environment.

    Raises:
        ValueError: no such contestant, or no such interpreter.
    """
    found = {}
    for text in texts:
        name, _, path = text.partition("=")
        if name not in PEERS or not os.access(path, os.X_OK):
            raise ValueError(f"`--python-for` takes a contestant and its Python interpreter, NAME=PATH, got {text!r}.")
        found[name] = os.path.abspath(path)
    return found
