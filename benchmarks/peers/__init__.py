"""The contestants. Each one is a line here and a file beside this one; only its own process imports that file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Peer:
    """`prepare`: whether the module makes files first; `simd`: runs in the interpreter given by --simd-python.

    options: `randaugment` gives the contestant the option `magnitude`, RandAugment's strength.
    """

    name: str
    module: str
    label: str
    options: dict[str, Any] = field(default_factory=dict)
    prepare: bool = False
    simd: bool = False
    install: str = ""

    def target(self, function: str) -> str:
        return f"{__name__}.{self.module}:{function}"


_DALI = "pip install nvidia-dali-cuda130 (or -cuda120, as torch's CUDA)"
_SIMD = "an interpreter with pillow-simd, see benchmarks/README.md"
_FFCV = "pip install ffcv, after apt install libopencv-dev libturbojpeg0-dev pkg-config"
_ALL = (
    Peer("ours", "ours", "ours, pyramid", prepare=True),
    Peer("ours-float32", "ours", "ours, pyramid, float32 out", {"dtype": "float32"}, prepare=True),
    Peer("ours-quasi", "ours", "ours, quasi-random order", {"shuffle": "quasi"}, prepare=True),
    Peer("ours-full", "ours", "ours, full size only", {"max_level": 0}, prepare=True),
    Peer("ours-folder", "ours", "ours, image folder", {"folder": True}, prepare=True),
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
    Peer("torchvision-simd", "torchvision_", "torchvision, pillow-simd", simd=True, install=_SIMD),
    Peer(
        "torchvision-simd-randaugment",
        "torchvision_",
        "torchvision, pillow-simd + RandAugment",
        {"randaugment": True},
        simd=True,
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
    Peer("timm", "timm_", "timm loader", install="pip install timm"),
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
DEFAULT = ("ours-full", "ours-folder", "torchvision", "torchvision-randaugment", "timm", "ffcv", "dali")
GPU_ONLY = ("torchvision-gpu", "torchvision-gpu-randaugment")
ON_GPU = ("ours-dali", "ours-randaugment", "ours-dali-randaugment", *GPU_ONLY, "dali-randaugment", *DEFAULT[2:])
"""The default with `--device cuda`."""
COLD = ("ours-quasi", "ours-folder", "torchvision", "ffcv", "ffcv-quasi")
"""The default with `--cold`."""
ALWAYS = ("ours", "limit")  # the baselines of comparison


def chosen(names: list[str] | None, device: str = "cpu", cold: bool = False) -> list[Peer]:
    """The contestants to run, in the registry's order; None chooses those of `DEFAULT`, `ON_GPU` or `COLD`.

    With `cold`, `limit` does not run unless it is named, because it reads no file.

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
    wanted = {*names, "ours"} if cold else {*names, *ALWAYS}
    return [peer for peer in _ALL if peer.name in wanted]
