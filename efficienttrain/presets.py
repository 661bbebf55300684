"""The training settings of each model, their publication, and the values that are guesses.

Sources, by `Preset.source`:

* "script": the EfficientTrain++ launch scripts, `_ET_pp_main_*.py` and `_ET_pp_wReplay_main_*.py` (8 GPUs, 4096 samples
  a step). Every number is released.
* "family": another size of a model that has a script. Curriculum and optimizer are the script's; drop path is that of
  the model's authors, or a guess.
* "authors": the paper trains the model, but its script was not released. The curriculum is the general one; optimizer,
  drop path and so on are those of the model's authors. This reconstruction is ours.
* "general": every other model gets the most common curriculum of the scripts with Swin's settings, all guesses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import NamedTuple

from efficienttrain.curriculum import Stage, tenths


@dataclass(frozen=True)
class Preset:
    """The settings of one model. Texts such as "96x2 160x4 224x4" give a value for each tenth of the compute."""

    drop_path: float
    """At a budget of 200 epochs; grows with the budget."""
    resolutions: str = "96x2 160x4 224x4"
    micro_batch: str = "512x6 256x4"
    """Samples per micro-batch of a GPU; gradients are accumulated over the batch."""
    amp: bool = True
    clip_grad: float | None = 5.0
    ema: float | None = None
    optimizer: str = "adamw"
    lr: float = 4e-3
    weight_decay: float = 0.05
    eps: float = 1e-8
    warmup: float | None = None
    """Share of the compute; None: 20 epochs of each stage's own length."""
    head_dropout: float = 0.0
    zero_init_last: bool | None = None
    """Whether the last norm of each residual branch begins at 0; None: the default of the model's code."""
    replay: tuple[str, str] | None = None
    """Uses of each sample, and the buffer in steps, if a script with the buffer was released."""
    source: str = "script"
    """"script", "family", "authors" or "general": see the module."""
    origin: str = ""
    """The script or code that the numbers come from."""
    guesses: str = ""
    """Values that are not published; empty: none."""


class Family(NamedTuple):
    """Models that differ in size only."""

    pattern: str
    """A regular expression that matches a whole name without its tag; its first group is the size."""
    sizes: dict[str, Preset]
    other: Preset
    """For sizes not in `sizes`."""


def runs(text: str) -> tuple[int, ...]:
    """The value of each tenth: "96x2 160x1" gives (96, 96, 160)."""
    pairs = (run.split("x") for run in text.split())
    return tuple(int(value) for value, times in pairs for _ in range(int(times)))


REPLAY_4 = ("4x2 2x4 1x4", "1920x2 256x4 0x4")
REPLAY_2 = ("2x2 1x8", "1024x2 0x8")
LARGER = "512x2 256x4 128x4"  # micro-batches of small and base models

RESNET = Preset(
    0.0, micro_batch="512x10", amp=False, clip_grad=None, zero_init_last=False, replay=REPLAY_4,
    origin="_ET_pp_main_res50.py",
)  # fmt: skip
DEIT = Preset(
    0.1, resolutions="96x2 160x4 192x2 224x2", warmup=0.2, replay=REPLAY_4, origin="_ET_pp_main_deitS.py"
)  # fmt: skip
SWIN = Preset(0.2, replay=REPLAY_2, origin="_ET_pp_main_swinT.py")
SWIN_BASE = replace(SWIN, drop_path=0.5, micro_batch=LARGER, replay=None, origin="_ET_pp_main_swinB.py")
CSWIN = Preset(0.2, clip_grad=None, ema=0.9999, replay=REPLAY_2, origin="_ET_pp_main_cswinT.py")
CSWIN_BASE = replace(
    CSWIN, drop_path=0.5, micro_batch=LARGER, ema=0.9998, optimizer="lamb", lr=8e-3, weight_decay=0.1, eps=1e-6,
    replay=None, origin="_ET_pp_main_cswinB.py",
)  # fmt: skip
CONVNEXT = Preset(
    0.1, "160x6 224x4", "256x6 128x4", amp=False, clip_grad=None, ema=0.9999, origin="_ET_pp_main_convnextT.py"
)
CONVNEXT_BASE = replace(CONVNEXT, drop_path=0.5, micro_batch="128x6 64x4", origin="_ET_pp_main_convnextB.py")

ANY = replace(
    SWIN, drop_path=0.1, replay=None, source="general", origin="the curriculum of most scripts with Swin's settings",
    guesses="all of it: no recipe was published for this model",
)  # fmt: skip
"""The recipe of every model outside the families."""


def _family(of: Preset, guesses: str, **changes: float | str | None) -> Preset:
    """Another size of a model: the script's numbers, except for `changes`."""
    return replace(of, source="family", guesses=guesses, replay=None, **changes)  # type: ignore[arg-type]


def _authors(origin: str, guesses: str, **settings: float | str | None) -> Preset:
    """A model of the paper without a script: the general curriculum with the settings of the model's authors."""
    return replace(ANY, source="authors", origin=origin, guesses=guesses, **settings)  # type: ignore[arg-type]


_PVT_CODE, _PVT_GUESS = "whai362/PVT, classification/configs/pvt", "curriculum, micro-batches"
_METAFORMER, _CAFORMER_GUESS = "sail-sg/metaformer, scripts/caformer", "curriculum, mixed precision, micro-batches"


def _pvt(drop_path: float, clip_grad: float | None) -> Preset:
    return _authors(_PVT_CODE, _PVT_GUESS, drop_path=drop_path, clip_grad=clip_grad)


def _caformer(drop_path: float, head_dropout: float) -> Preset:
    return _authors(
        _METAFORMER, _CAFORMER_GUESS, drop_path=drop_path, head_dropout=head_dropout, optimizer="lamb", lr=8e-3,
        eps=1e-6, clip_grad=None,
    )  # fmt: skip


FAMILIES = (
    Family(
        r"resnet(18|26|34|50|101|152)",
        {"50": RESNET},
        _family(RESNET, "that ResNet-50's settings hold for other depths"),
    ),
    Family(
        r"deit_(tiny|small|base)_patch16_(?:224|384)",
        {
            "tiny": _family(DEIT, "that DeiT-S's curriculum holds for DeiT-T (drop path: ET_training.py of 2023)"),
            "small": DEIT,
            "base": _family(DEIT, "micro-batches (drop path: DeiT's authors)", micro_batch=LARGER),
        },
        DEIT,
    ),
    Family(
        r"vit_(tiny|small|base|large)_patch16_224",
        {"large": _family(DEIT, "that DeiT-S's settings hold for the larger ViT", micro_batch=LARGER)},
        _family(DEIT, "that the settings of DeiT-S, the same network, hold for a ViT of this name"),
    ),
    Family(
        r"swin_(tiny|small|base|large)_patch4_window\d+_\d+",
        {
            "tiny": SWIN,
            "small": replace(SWIN_BASE, drop_path=0.3, origin="_ET_pp_main_swinS.py"),
            "base": SWIN_BASE,
            "large": _family(SWIN_BASE, "drop path (Swin-B's), micro-batches"),
        },
        SWIN,
    ),
    Family(
        r"cswin_(tiny|small|base|large)",
        {
            "tiny": CSWIN,
            "small": replace(
                CSWIN, drop_path=0.4, micro_batch=LARGER, replay=None, origin="_ET_pp_main_cswinS.py"
            ),
            "base": CSWIN_BASE,
            "large": _family(CSWIN_BASE, "drop path (CSWin-B's), micro-batches"),
        },
        CSWIN,
    ),
    Family(
        r"convnext_(atto|femto|pico|nano|tiny|small|base|large|xlarge)",
        {
            "tiny": CONVNEXT,
            "small": replace(CONVNEXT_BASE, drop_path=0.4, origin="_ET_pp_main_convnextS.py"),
            "base": CONVNEXT_BASE,
            "large": _family(CONVNEXT_BASE, "micro-batches (drop path: ConvNeXt's authors)"),
            "xlarge": _family(CONVNEXT_BASE, "drop path (ConvNeXt-L's), micro-batches"),
        },
        _family(CONVNEXT, "drop path (ConvNeXt-T's), micro-batches"),
    ),
    Family(
        r"pvt_(tiny|small|medium|large)",
        {"tiny": _pvt(0.1, None), "small": _pvt(0.1, None), "medium": _pvt(0.3, 1.0), "large": _pvt(0.3, 1.0)},
        ANY,
    ),
    Family(
        r"caformer_(s18|s36|m36|b36)",
        {
            "s18": _caformer(0.15, 0.0),
            "s36": _caformer(0.3, 0.4),
            "m36": _caformer(0.4, 0.4),
            "b36": _caformer(0.6, 0.5),
        },
        ANY,
    ),
)  # fmt: skip

ALIASES = {
    "swin_tiny": "swin_tiny_patch4_window7_224",
    "swin_small": "swin_small_patch4_window7_224",
    "swin_base": "swin_base_patch4_window7_224",
    "swin_large": "swin_large_patch4_window7_224",
    "deit_tiny": "deit_tiny_patch16_224",
    "deit_small": "deit_small_patch16_224",
    "deit_base": "deit_base_patch16_224",
    "CSWin_64_12211_tiny_224": "cswin_tiny",
    "CSWin_64_24322_small_224": "cswin_small",
    "CSWin_96_24322_base_224": "cswin_base",
    "CSWin_144_24322_large_224": "cswin_large",
}
"""Aliases of models: the names in the released scripts, and short names."""

PUBLISHED = (
    "resnet50", "deit_small_patch16_224", "swin_tiny", "swin_small", "swin_base", "CSWin_64_12211_tiny_224",
    "CSWin_64_24322_small_224", "CSWin_96_24322_base_224", "convnext_tiny", "convnext_small", "convnext_base",
)  # fmt: skip
"""Models with a released script, by the name in the script."""

WITH_REPLAY = ("resnet50", "deit_small_patch16_224", "swin_tiny", "CSWin_64_12211_tiny_224")
"""Models whose script for the replay buffer was released."""


def canonical(model: str) -> str:
    """The name under which a model is built."""
    return ALIASES.get(model, model)


def preset(model: str) -> Preset:
    """The settings of a model by any of its names; those of `ANY` for a model outside the families.

    A tag of timm's ("resnet50.a1_in1k") names weights, not a network: it is ignored.
    """
    name = model if ":" in model else canonical(model.partition(".")[0])
    for family in FAMILIES:
        if found := re.fullmatch(family.pattern, name):
            return family.sizes.get(found[1], family.other)
    return ANY


def provenance(model: str) -> str:
    """One sentence: a model's recipe, its origin, and its guessed values."""
    found = preset(model)
    where = {
        "script": f"the released script {found.origin}",
        "family": f"the family's released script {found.origin}",
        "authors": f"reconstructed, since no script was released: the model's authors' settings ({found.origin})",
        "general": f"the general one ({found.origin})",
    }[found.source]
    return f"recipe of {model}: {where}; " + (f"guessed: {found.guesses}." if found.guesses else "nothing is guessed.")


def replayed(model: str) -> tuple[Stage, ...]:
    """The model's stages with the released replay buffer.

    Raises:
        ValueError: none was released for this model.
    """
    script = preset(model)
    if script.replay is None:
        raise ValueError(
            f'`curriculum="replay"` was released for {", ".join(WITH_REPLAY)}, got {model}; '
            'take "auto" and choose the replay yourself.'
        )
    times, buffers = map(runs, script.replay)
    triples = zip(tenths(runs(script.resolutions)), times, buffers, strict=True)
    return tuple(replace(stage, replay=replay, replay_buffer=buffer) for stage, replay, buffer in triples)
