"""Who competes. Each contestant is a line here and a file beside this one; only its own process imports that file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Peer:
    """`prepare` tells whether the module makes files first; `simd`: runs in the interpreter given by --simd-python."""

    name: str
    module: str
    label: str
    options: dict[str, Any] = field(default_factory=dict)
    prepare: bool = False
    simd: bool = False
    install: str = ""

    def target(self, function: str) -> str:
        return f"benchmarks.peers.{self.module}:{function}"


_SIMD = "an interpreter with pillow-simd, see benchmarks/README.md"
_ALL = (
    Peer("ours", "ours", "ours, ladder", prepare=True),
    Peer("ours-float32", "ours", "ours, ladder, float32 out", {"output": "float32"}, prepare=True),
    Peer("ours-full", "ours", "ours, full size only", {"max_level": 0}, prepare=True),
    Peer("ours-folder", "ours", "ours, image folder", {"folder": True}, prepare=True),
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
        install="pip install ffcv, after apt install libopencv-dev libturbojpeg0-dev pkg-config",
    ),
    Peer("dali", "dali_", "DALI, CPU", install="pip install nvidia-dali-cuda130"),
    Peer("limit", "limit", "limit: libjpeg-turbo, pre-cut", prepare=True, install="apt install libturbojpeg0"),
)
PEERS = {peer.name: peer for peer in _ALL}
DEFAULT = ("ours-full", "ours-folder", "torchvision", "torchvision-randaugment", "timm", "ffcv", "dali")
ALWAYS = ("ours", "limit")  # what the others are compared with


def chosen(names: list[str] | None) -> list[Peer]:
    """The contestants to run, in the registry's order; None chooses those of `DEFAULT`.

    Raises:
        ValueError: a name that is not registered.
    """
    for name in names or ():
        if name not in PEERS:
            raise ValueError(f"`--peers` takes names of contestants, got {name!r}; there are {', '.join(PEERS)}.")
    wanted = {*(DEFAULT if names is None else names), *ALWAYS}
    return [peer for peer in _ALL if peer.name in wanted]
