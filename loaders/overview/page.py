"""Shows a survey as one HTML file: no script, no network, readable in light and dark, and in print."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Sequence
from html import escape

import numpy as np

from .survey import Survey

_LISTED = 40  # classes with a bar and a name; more are drawn as a curve, and the largest and smallest named
_NAMED = 8
_REMARKS = 100  # changed, refused or unreadable samples listed at most
_BARS = 24  # of a histogram

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #59636e; --line: #d7dce1; --paper: #fff; --card: #f6f8fa;
  --bar: #0f7b6c; --warn: #b35900 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9aa4af; --line: #343b44; --paper: #11151a;
  --card: #1a2027; --bar: #35b8a4; --warn: #e8a33d } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 32px 24px 64px; max-width: 1080px; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif }
h1 { font-size: 26px; line-height: 1.2; margin: 0 0 4px; overflow-wrap: anywhere }
h2 { font-size: 18px; margin: 40px 0 12px; padding-top: 16px; border-top: 1px solid var(--line) }
h3 { font-size: 14px; margin: 0 0 8px }
p { margin: 0 0 12px } .soft, figcaption, th { color: var(--soft); font-weight: 400 }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(130px, 1fr)); gap: 12px; margin: 20px 0 }
.tile, .card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 12px 14px }
.tile b { display: block; font-size: 22px; font-weight: 600; line-height: 1.25; overflow-wrap: anywhere }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(400px, 100%), 1fr)); gap: 16px }
.scroll { overflow-x: auto } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { text-align: right; padding: 5px 10px; border-bottom: 1px solid var(--line) }
th:first-child, td:first-child { text-align: left; padding-left: 0; overflow-wrap: anywhere }
td.why { text-align: left; color: var(--soft) }
svg { display: block; width: 100%; max-width: 520px; height: auto } svg text { fill: var(--soft); font-size: 11px }
svg .bar { fill: var(--bar) } svg .axis { stroke: var(--line) } svg .dot { fill: var(--bar); fill-opacity: .35 }
svg .name { fill: var(--ink); font-size: 12px }
.grid { display: grid; gap: 8px } .grid figure { margin: 0 } figcaption { font-size: 12px; overflow: hidden;
  text-overflow: ellipsis; white-space: nowrap }
.grid img { display: block; width: 100%; border-radius: 4px; background: var(--card) }
.warn { color: var(--warn) } footer { margin-top: 48px; color: var(--soft); font-size: 13px }
@media print { body { max-width: none; padding: 0; font-size: 11pt } h2, h3 { break-after: avoid }
  .card, .tile, figure, tr { break-inside: avoid } }
"""


def page(survey: Survey) -> str:
    """The whole HTML file."""
    name = survey.path.rstrip("/").rsplit("/", 1)[-1] or survey.path
    sections = [_head(survey, name), _classes(survey), _images(survey), _levels(survey), _reading(survey)]
    sections += [_views(survey), _remarks(survey)]
    style = " ".join(_STYLE.split())
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{_text(name)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{style}</style></head>\n'
        f"<body>\n{chr(10).join(filter(None, sections))}\n"
        "<footer>Made by <code>efficienttrain inspect --html</code>.</footer>\n</body></html>\n"
    )


def _text(value: object) -> str:
    """Text for HTML. Bytes of a file name that are no UTF-8 become question marks."""
    return escape(str(value).encode("utf-8", "replace").decode())


def _bytes(size: float) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.2f} TB"


def _head(survey: Survey, name: str) -> str:
    tiles = [("samples", f"{survey.samples:,}")]
    if survey.classes:
        tiles.append(("classes", f"{len(survey.classes):,}"))
    if survey.file_bytes is not None:
        tiles.append(("on disk", _bytes(survey.file_bytes)))
    if len(survey.bytes):
        tiles.append(("an image, median", _bytes(float(np.median(survey.bytes)))))
        width, height = np.median(survey.sides, axis=0)
        tiles.append(("pixels, median", f"{width:.0f} × {height:.0f}"))
    for kind in ("changed", "refused"):
        if kind in survey.remarks:
            tiles.append((f"{kind} by the conversion", f"{survey.remarks[kind][0]:,}"))
    if survey.problems:
        tiles.append((f"unreadable of {survey.seen:,} seen", f"{len(survey.problems):,}"))
    some = "" if survey.seen == survey.samples else ", spread evenly over the data set"
    fields = ", ".join(f"{field} ({kind})" for field, kind in survey.fields.items()) or "none"
    return (
        f'<h1>{_text(name)}</h1>\n<p class="soft">{_text(survey.kind)} · {_text(survey.path)}'
        f"<br>fields: {_text(fields)}<br>sizes, formats and qualities of {survey.seen:,} samples{some}</p>\n"
        '<div class="tiles">'
        + "".join(
            f'<div class="tile"><b>{_text(value)}</b><span class="soft">{_text(what)}</span></div>'
            for what, value in tiles
        )
        + "</div>"
    )


def _classes(survey: Survey) -> str:
    if survey.counts is None or not len(survey.counts):
        return ""
    counts, names = survey.counts, survey.classes
    some = "" if survey.counted == survey.samples else f" among {survey.counted:,} samples, spread evenly"
    order = np.argsort(-counts, kind="stable")
    empty = int((counts == 0).sum())
    fewest, most = int(counts.min()), int(counts.max())
    spread = f"{fewest:,} to {most:,} samples a class, median {np.median(counts):,.0f}"
    text = (spread if fewest < most else f"{most:,} samples in each class") + f"{some}."
    if empty:
        text += f' <span class="warn">{empty:,} classes have no samples.</span>'
    if len(counts) <= _LISTED:
        chart = _named_bars([(names[k], int(counts[k])) for k in order])
        return f'<h2>Classes</h2><p>{text}</p><div class="card">{chart}</div>'
    ends = [*order[:_NAMED].tolist(), *order[-_NAMED:].tolist()]
    rows = "".join(f"<tr><td>{_text(names[k])}</td><td>{int(counts[k]):,}</td></tr>" for k in ends)
    curve = _columns([float(counts[k]) for k in order], "largest class", "smallest class")
    table = f"<table><tr><th>largest and smallest</th><th>samples</th></tr>{rows}</table>"
    cards = f'<div class="card">{curve}</div><div class="card">{table}</div>'
    return f'<h2>Classes</h2><p>{text}</p><div class="cards">{cards}</div>'


def _images(survey: Survey) -> str:
    cards = []
    if len(survey.sides):
        cards.append(("Width and height, pixels", _scatter(survey.sides)))
        cards.append(("Bytes of an image", _histogram(np.log10(np.maximum(survey.bytes, 1)), lambda v: _bytes(10**v))))
    if survey.qualities:
        qualities = np.array(survey.qualities, float)
        edges = (min(50.0, float(qualities.min())), 100.0)
        cards.append(("JPEG quality, about", _histogram(qualities, lambda v: f"{v:.0f}", edges)))
    for title, counter in (("Format", survey.formats), ("Chroma sub-sampling", survey.samplings)):
        if counter:
            cards.append((title, _named_bars(counter.most_common(10), share=True)))
    body = "".join(f'<div class="card"><h3>{title}</h3>{chart}</div>' for title, chart in cards)
    return f'<h2>Images</h2><div class="cards">{body}</div>' if body else ""


def _levels(survey: Survey) -> str:
    if len(survey.levels) < 2:
        return ""
    first = survey.levels[0].bytes or 1
    rows = "".join(
        f"<tr><td>{number} (1/{1 / level.ratio:.3g})</td><td>{level.stored:.0%}</td>"
        f"<td>{level.width:.0f} × {level.height:.0f}</td><td>{_bytes(level.bytes)}</td>"
        f"<td>{level.stored * level.bytes / first:.0%}</td></tr>"
        for number, level in enumerate(survey.levels)
    )
    head = "<tr><th>level</th><th>stored</th><th>mean size</th><th>mean bytes</th><th>bytes of level 0</th></tr>"
    return f'<h2>Stored sizes</h2><div class="scroll"><table>{head}{rows}</table></div>'


def _reading(survey: Survey) -> str:
    mean = float(survey.bytes.mean()) if len(survey.bytes) else 0.0
    if not survey.views or not mean:
        return ""
    rows = "".join(
        f"<tr><td>{view.resolution} × {view.resolution}</td><td>{_bytes(view.bytes_read)}</td>"
        f"<td>{view.bytes_read / mean:.0%}</td><td>{_bytes(view.bytes_read * survey.samples)}</td></tr>"
        for view in survey.views
    )
    head = "<tr><th>resolution</th><th>a sample</th><th>of level 0</th><th>an epoch</th></tr>"
    return (
        "<h2>Bytes a stage reads</h2><p>Training crops of the default scale and ratio; an epoch is estimated.</p>"
        f'<div class="scroll"><table>{head}{rows}</table></div>'
    )


def _views(survey: Survey) -> str:
    parts = []
    for view in survey.views:
        columns = f"repeat(auto-fill, minmax(min({view.resolution}px, 45%), 1fr))"
        figures = "".join(
            f'<figure><img src="data:image/jpeg;base64,{base64.b64encode(image).decode()}" alt="{_text(name)}" '
            f'width="{view.resolution}" height="{view.resolution}" style="max-width:{view.resolution}px">'
            f'<figcaption title="{_text(name)}">{_text(label or name)}</figcaption></figure>'
            for image, (name, label) in zip(view.images, survey.shown, strict=True)
        )
        parts.append(
            f"<h3>{view.resolution} × {view.resolution}</h3>"
            f'<div class="grid" style="grid-template-columns:{columns};margin-bottom:24px">{figures}</div>'
        )
    return (
        f"<h2>As the loader delivers them</h2><p>The same crops at each resolution.</p>{''.join(parts)}"
        if parts
        else ""
    )


def _remarks(survey: Survey) -> str:
    kinds = [(f"{kind.capitalize()} by the conversion", *noted) for kind, noted in sorted(survey.remarks.items())]
    if survey.problems:
        kinds.append((f"Unreadable among {survey.seen:,} samples seen", len(survey.problems), survey.problems))
    text = ""
    for title, count, first in kinds:
        rows = "".join(
            f'<tr><td>{_text(name)}</td><td class="why">{_text(why)}</td></tr>' for name, why in first[:_REMARKS]
        )
        listed = min(len(first), _REMARKS)
        more = f'<p class="soft">{listed:,} of {count:,} are listed.</p>' if listed < count else ""
        text += f'<h2>{title}: {count:,}</h2>{more}<div class="scroll"><table>{rows}</table></div>'
    return text


def _named_bars(rows: Sequence[tuple[str, int]], share: bool = False) -> str:
    """Horizontal bars with names; with shares of the sum behind the numbers if wanted."""
    most, total = max(1, *(count for _, count in rows)), max(1, sum(count for _, count in rows))
    body = ""
    for k, (name, count) in enumerate(rows):
        y, length = 20 * k, 190 * count / most
        short = name if len(name) <= 22 else f"{name[:21]}…"
        number = f"{count:,} ({count / total:.0%})" if share else f"{count:,}"
        body += (
            f'<text class="name" x="0" y="{y + 14}">{_text(short)}<title>{_text(name)}</title></text>'
            f'<rect class="bar" x="150" y="{y + 4}" width="{max(length, 1 if count else 0):.1f}" height="12" rx="2"/>'
            f'<text x="{156 + length:.1f}" y="{y + 14}">{number}</text>'
        )
    return f'<svg viewBox="0 0 420 {20 * len(rows)}" role="img">{body}</svg>'


def _columns(values: Sequence[float], left: str, right: str) -> str:
    """Columns without gaps, with a word at each end."""
    most, width = max(1.0, *values), 420 / max(1, len(values))
    bars = "".join(
        f'<rect class="bar" x="{k * width:.2f}" y="{140 - 130 * value / most:.1f}" width="{max(width * 0.9, 0.4):.2f}" '
        f'height="{130 * value / most:.1f}"/>'
        for k, value in enumerate(values)
        if len(values) <= 1000 or k % (len(values) // 1000 + 1) == 0
    )
    return (
        f'<svg viewBox="0 0 420 160" role="img">{bars}<line class="axis" x1="0" x2="420" y1="140" y2="140"/>'
        f'<text x="0" y="155">{_text(left)}</text><text x="420" y="155" text-anchor="end">{_text(right)}</text></svg>'
    )


def _histogram(values: np.ndarray, name: Callable[[float], str], edges: tuple[float, float] | None = None) -> str:
    """Columns over a range; `name` writes the value of its ends."""
    low, high = edges or (float(values.min()), float(values.max()))
    high = high if high > low else low + 1
    counts, _ = np.histogram(values, bins=_BARS, range=(low, high))
    return _columns(counts.astype(float).tolist(), name(low), name(high))


def _scatter(sides: np.ndarray) -> str:
    """Width to the right, height upwards; both on one logarithmic scale."""
    low = math.log(max(1, int(sides.min())) * 0.9)
    high = math.log(int(sides.max()) * 1.1)
    scale = 1 / max(high - low, 1e-9)
    dots = "".join(
        f'<circle class="dot" cx="{34 + 380 * scale * (math.log(max(w, 1)) - low):.1f}" '
        f'cy="{206 - 196 * scale * (math.log(max(h, 1)) - low):.1f}" r="3"/>'
        for w, h in sides[:1000].tolist()
    )
    ticks = ""
    for side in (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384):
        at = scale * (math.log(side) - low)
        if 0 <= at <= 1:
            x, y = 34 + 380 * at, 206 - 196 * at
            ticks += (
                f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="10" y2="206"/>'
                f'<line class="axis" x1="34" x2="414" y1="{y:.1f}" y2="{y:.1f}"/>'
                f'<text x="{x:.1f}" y="220" text-anchor="middle">{side}</text>'
                f'<text x="30" y="{y + 4:.1f}" text-anchor="end">{side}</text>'
            )
    return f'<svg viewBox="0 0 420 225" role="img">{ticks}{dots}</svg>'
