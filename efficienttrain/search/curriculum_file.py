"""A curriculum as a file that `efficienttrain train --curriculum FILE` takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from efficienttrain.curriculum import Stage


def write_curriculum(path: Path, stages: Sequence[Stage], settings: Mapping[str, Any], remark: str = "") -> None:
    """Writes the file.

    Args:
        path: of it, .yaml.
        stages: of which the shares of compute need not add up to 1.
        settings: other fields of `Recipe`.
        remark: a first line.
    """
    total = sum(stage.compute for stage in stages)
    lines = [f"# {remark}"] if remark else []
    lines += [f"{name}: {_plain(value)}" for name, value in settings.items()]
    lines += ["stages:"]
    for stage in stages:
        magnitude, share = _plain(stage.magnitude), stage.compute / total
        lines.append(f"  - {{resolution: {stage.resolution}, magnitude: {magnitude}, compute: {share!r}}}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _plain(value: object) -> str:
    """As YAML has it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, tuple):
        return f"[{', '.join(map(_plain, value))}]"
    return str(value)
