"""`efficienttrain benchmark ops`: microseconds per image of each on-device operation, ours and other libraries'."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from tqdm import tqdm

from .harness import machine
from .harness.contestant import Job
from .harness.measure import Child, Missing, interleave, ratio, summary
from .harness.report import columns, head, workplace

FAIRNESS = (
    "The same images for all, made up, in the form that each library wants them in: a batch, or Pillow's images.",
    "One thread, one CPU; a process for each library, stopped while another one works; rounds interleaved, start "
    "rotated. On a GPU its own clock counts, from idle to idle; Pillow stays on the CPU.",
    "The same strengths, probabilities and alphas. torchvision has no Lanczos and no bicubic rotation of tensors: "
    "cheaper kernels stand in. kornia draws each operation of RandAugment once a batch, and erases with a constant.",
    "Times are medians of rounds; ± is half the distance of the quartiles. Ratios are taken inside a round.",
)
LABELS = {
    "ours": "ours",
    "timm": "timm / Pillow",
    "torchvision": "torchvision v2",
    "kornia": "kornia",
    "fft": "torch.fft",
}
TARGET = 4.0  # RandAugment: ours at the smallest resolution over timm's at 224, on a CPU


def names() -> list[str]:
    """The operations, in the order of the report."""
    from . import ops_work as work

    whole = [work.FOURIER, work.LANCZOS, work.RANDAUGMENT, work.ERASE, work.MIX, work.NORMALISE]
    return [*whole, *(work.title(op) for op in work.Op)]


def run(
    resolutions: Sequence[int],
    ops: Sequence[str] | None = None,
    *,
    device: str | None = None,
    batch_size: int = 128,
    rounds: int = 5,
    seconds: float = 0.1,
    seed: int = 0,
    work: str | None = None,
) -> dict[str, Any]:
    """Measures and returns the report that `--json` writes.

    Args:
        resolutions: sides of the images, pixels; with 224 among them, the aim for RandAugment is looked at, too.
        ops: parts of names of operations; None: all.
        device: "cpu" or "cuda"; None: "cuda" if torch sees a GPU.
        batch_size: images.
        rounds, seconds: windows for each operation of each library, and their least length.
        seed: of the images.
        work: folder of the contestants' logs; None: they are not kept.

    Raises:
        ValueError: no operation has such a name, or there is no GPU.
        Failed: a contestant failed.
    """
    device, chosen = _device(device), _chosen(ops)
    card, notes = machine.card(), []
    with workplace(work) as place, ExitStack() as stack:
        children = []
        for name in tqdm(LABELS, "starting", leave=False, file=sys.stderr):
            options = {"resolutions": list(resolutions), "ops": chosen}
            job = Job(name, 0, 1, batch_size, "", "", str(place), seed, options, device)
            try:
                children.append(Child(f"{__package__}.ops_work:build", job, log=place / f"{name}-ops.log"))
            except Missing as error:
                notes.append(f"Skipped: {LABELS[name]} is not available here ({error}).")
                continue
            stack.callback(children[-1].close)
        with tqdm(total=len(children) * (rounds + 1), desc="measuring", leave=False, file=sys.stderr) as bar:

            def progress(child: Child) -> None:
                bar.set_postfix_str(child.job.name)
                bar.update()

            answers = interleave(children, rounds, seconds, progress)
    times = {
        (child.job.name, *_key(name)): [answer["facts"][name] for answer in given]
        for child, given in zip(children, answers, strict=True)
        for name in given[0]["facts"]
    }
    settings = {"resolutions": list(resolutions), "device": device, "batch_size": batch_size, "rounds": rounds}
    return {
        "benchmark": "ops",
        "version": 1,
        "machine": card,
        "settings": {**settings, "seconds": seconds, "seed": seed, "threads": 1},
        "fairness": list(FAIRNESS),
        "notes": notes,
        "results": [
            {"op": op, "resolution": side, "contestant": name, "seconds": given, "microseconds": _micro(given)}
            for (name, op, side), given in times.items()
        ],
        "ratios": _ratios(times),
        "target": _target(times, min(resolutions)),
        "versions": {child.job.name: child.ready["versions"] for child in children},
    }


def text(report: dict[str, Any]) -> str:
    """The report as tables, one a resolution: microseconds per image, and in brackets how many times ours it is."""
    blocks = [head(report)]
    found = {(r["op"], r["resolution"], r["contestant"]): r["microseconds"] for r in report["results"]}
    over = {(r["op"], r["resolution"], r["over"]): r["median"] for r in report["ratios"]}
    present = [name for name in LABELS if any(key[2] == name for key in found)]
    for side in dict.fromkeys(r["resolution"] for r in report["results"]):
        rows = [[f"B = {side}, us / image", *(LABELS[name] for name in present)]]
        for op in (name for name in names() if any(key[:2] == (name, side) for key in found)):
            rows.append([op, *(_cell(found.get((op, side, name)), over.get((op, side, name))) for name in present)])
        blocks.append(columns(rows))
    if report["target"]:
        goal = report["target"]
        blocks.append(
            f"RandAugment, ours at {goal['resolution']} / timm's at 224: {goal['median']:.1f} times as fast "
            f"({goal['q1']:.1f}-{goal['q3']:.1f}); the aim on a CPU is {goal['aim']:g}"
        )
    return "\n\n".join(blocks)


def draw(report: dict[str, Any], path: str) -> None:
    """How many times as long as ours others take, on a logarithmic scale: a panel a resolution, a row an operation."""
    from .harness.figures import FAINT, LIMIT, OURS, PEER, finish, panels_of

    colours = {"timm": PEER, "torchvision": LIMIT, "kornia": "#7a5ea8", "fft": "#c0533e"}
    ratios, sides = report["ratios"], report["settings"]["resolutions"]
    labels = [name for name in names() if any(r["op"] == name for r in ratios)][::-1]
    figure, panels = panels_of(sides, labels, "time / ours", 3.0, 0.3)
    for panel, side in zip(panels, sides, strict=True):
        panel.set_xscale("log")
        panel.axvline(1, color=OURS, linewidth=2)
        for name, colour in colours.items():
            mine = [r for r in ratios if (r["resolution"], r["over"]) == (side, name)]
            rows = [labels.index(r["op"]) for r in mine]
            panel.hlines(rows, [r["q1"] for r in mine], [r["q3"] for r in mine], color=colour, linewidth=4, alpha=0.4)
            panel.plot([r["median"] for r in mine], rows, "o", color=colour, label=LABELS[name] if mine else None)
        panel.xaxis.set_major_formatter("{x:g}")
    panels[0].legend(fontsize=8, frameon=False, labelcolor=FAINT, loc="lower left")
    settings = report["settings"]
    how = f"batches of {settings['batch_size']}, medians and quartiles of {settings['rounds']} interleaved rounds"
    where = f"{report['machine']['cpu']}, one thread" if settings["device"] == "cpu" else report["machine"]["gpu"]
    finish(figure, path, "Operations on batches: how much longer others take", f"{where}; {how}")


def _device(asked: str | None) -> str:
    if asked == "cuda":
        machine.require_gpu()
    if asked is None:
        import torch

        return "cuda" if torch.cuda.is_available() else "cpu"
    return asked


def _chosen(parts: Sequence[str] | None) -> list[str]:
    known = names()
    for part in parts or ():
        if not any(part.lower() in name.lower() for name in known):
            raise ValueError(f"`--ops` takes parts of names, got {part!r}; there are {', '.join(known)}.")
    return [name for name in known if parts is None or any(part.lower() in name.lower() for part in parts)]


def _key(name: str) -> tuple[str, int]:
    op, _, side = name.rpartition("@")
    return op, int(side)


def _micro(seconds: Sequence[float]) -> dict[str, float]:
    return summary(1e6 * value for value in seconds)


def _ratios(times: dict[tuple[str, str, int], list[float]]) -> list[dict[str, Any]]:
    """Each other library's time over ours, by operation and resolution."""
    return [
        {"op": op, "resolution": side, "over": name, **ratio(given, times["ours", op, side])}
        for (name, op, side), given in times.items()
        if name != "ours"
    ]


def _target(times: dict[tuple[str, str, int], list[float]], side: int) -> dict[str, Any] | None:
    """timm's time for RandAugment at 224 over ours at the smallest resolution, inside each round."""
    from .ops_work import BASE, RANDAUGMENT

    theirs, mine = times.get(("timm", RANDAUGMENT, BASE)), times.get(("ours", RANDAUGMENT, side))
    return {"resolution": side, "aim": TARGET, **ratio(theirs, mine)} if theirs and mine else None


def _cell(microseconds: dict[str, float] | None, over: float | None) -> str:
    if microseconds is None:
        return ""
    median = microseconds["median"]
    spread = 50 * (microseconds["q3"] - microseconds["q1"]) / median
    return f"{median:,.1f} ±{spread:.0f}%" + ("" if over is None else f" ({over:.1f}x)")
