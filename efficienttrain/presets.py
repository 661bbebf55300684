"""What the released launch scripts set for each model, and the names that models go by.

Source: the EfficientTrain++ launch scripts, `_ET_pp_main_*.py` and `_ET_pp_wReplay_main_*.py` (8 GPUs, 4096 samples a
step). Models that have no script (`UNPUBLISHED`) take the general curriculum with Swin's settings, and drop path from
the recipes of the models' authors; DeiT-T has none either and takes DeiT-S's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from efficienttrain.curriculum import Stage, tenths


@dataclass(frozen=True)
class Preset:
    """One model's script. Runs such as "96x2 160x4 224x4" give a value for each tenth of the compute."""

    drop_path: float
    """At a budget of 200 epochs; grows with the budget."""
    resolutions: str = "96x2 160x4 224x4"
    micro_batch: str = "512x6 256x4"
    """Samples that a GPU takes at once; the rest of the batch is accumulated."""
    amp: bool = True
    clip_grad: float | None = 5.0
    ema: float | None = None
    optimizer: str = "adamw"
    lr: float = 4e-3
    weight_decay: float = 0.05
    eps: float = 1e-8
    warmup: float | None = None
    """Share of the compute; None: 20 epochs of the first stage's length."""
    replay: tuple[str, str] | None = None
    """How often a sample is seen, and the buffer in loader batches, where a script with the buffer was released."""


def runs(text: str) -> tuple[int, ...]:
    """The value of each tenth: "96x2 160x1" gives (96, 96, 160)."""
    pairs = (run.split("x") for run in text.split())
    return tuple(int(value) for value, times in pairs for _ in range(int(times)))


REPLAY_4 = ("4x2 2x4 1x4", "1920x2 256x4 0x4")
REPLAY_2 = ("2x2 1x8", "1024x2 0x8")
LARGER = "512x2 256x4 128x4"  # micro-batches of small and base models

DEIT = Preset(drop_path=0.1, resolutions="96x2 160x4 192x2 224x2", warmup=0.2)
SWIN = Preset(drop_path=0.2)
CSWIN = Preset(drop_path=0.2, clip_grad=None, ema=0.9999)
CONVNEXT = Preset(0.1, "160x6 224x4", "256x6 128x4", amp=False, clip_grad=None, ema=0.9999)

PRESETS = {
    "resnet50": Preset(0.0, micro_batch="512x10", amp=False, clip_grad=None, replay=REPLAY_4),
    "deit_tiny_patch16_224": DEIT,
    "deit_small_patch16_224": replace(DEIT, replay=REPLAY_4),
    "swin_tiny_patch4_window7_224": replace(SWIN, replay=REPLAY_2),
    "swin_small_patch4_window7_224": replace(SWIN, drop_path=0.3, micro_batch=LARGER),
    "swin_base_patch4_window7_224": replace(SWIN, drop_path=0.5, micro_batch=LARGER),
    "cswin_tiny": replace(CSWIN, replay=REPLAY_2),
    "cswin_small": replace(CSWIN, drop_path=0.4, micro_batch=LARGER),
    "cswin_base": replace(
        CSWIN, drop_path=0.5, micro_batch=LARGER, ema=0.9998, optimizer="lamb", lr=8e-3, weight_decay=0.1, eps=1e-6
    ),
    "convnext_tiny": CONVNEXT,
    "convnext_small": replace(CONVNEXT, drop_path=0.4, micro_batch="128x6 64x4"),
    "convnext_base": replace(CONVNEXT, drop_path=0.5, micro_batch="128x6 64x4"),
}

UNPUBLISHED = {
    "pvt_tiny": 0.1, "pvt_small": 0.1, "pvt_medium": 0.3, "pvt_large": 0.3,
    "caformer_s18": 0.15, "caformer_s36": 0.3, "caformer_m36": 0.4,
}  # fmt: skip
"""Drop path of models that the paper trains without publishing a script."""

ANY = replace(SWIN, drop_path=0.1)
"""What every other model gets."""

ALIASES = {
    "swin_tiny": "swin_tiny_patch4_window7_224",
    "swin_small": "swin_small_patch4_window7_224",
    "swin_base": "swin_base_patch4_window7_224",
    "deit_tiny": "deit_tiny_patch16_224",
    "deit_small": "deit_small_patch16_224",
    "CSWin_64_12211_tiny_224": "cswin_tiny",
    "CSWin_64_24322_small_224": "cswin_small",
    "CSWin_96_24322_base_224": "cswin_base",
}
"""Names of the released scripts, and short ones."""


def canonical(model: str) -> str:
    """The name that a model is built by."""
    return ALIASES.get(model, model)


def preset(model: str) -> Preset:
    """The settings of a model by any of its names; of a model that nobody published, the general ones."""
    name = canonical(model)
    if name in UNPUBLISHED:
        return replace(ANY, drop_path=UNPUBLISHED[name])
    return PRESETS.get(name, ANY)


def replayed(model: str) -> tuple[Stage, ...]:
    """The model's stages with the released replay buffer.

    Raises:
        ValueError: none was released for this model.
    """
    script = preset(model)
    if script.replay is None:
        names = ", ".join(name for name, other in PRESETS.items() if other.replay)
        raise ValueError(
            f'`curriculum="replay"` was released for {names}, got {model}; take "auto" and choose the replay yourself.'
        )
    times, buffers = map(runs, script.replay)
    triples = zip(tenths(runs(script.resolutions)), times, buffers, strict=True)
    return tuple(replace(stage, replay=replay, replay_buffer=buffer) for stage, replay, buffer in triples)
