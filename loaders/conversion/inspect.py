"""Facts about a data set, and one sample at each stage of loading: original, level, sub-JPEG, B x B result.

The functions return text and pictures; `efficienttrain inspect` prints and saves them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import native
from ..backends.pillow_threads import PillowJob, StoredFile, decode_with_pillow
from ..beton.fields import FieldType
from ..errors import LoaderError
from ..pillow import decode_rgb
from ..plan import filters, plan_batch
from ..plan.records import OTHER
from ..sources.dataset import Dataset

if TYPE_CHECKING:
    from PIL import Image

NAMED = 8
"""Classes that are named."""
CHUNK = 65_536  # samples whose entries are looked at together
INK, PAPER, MARK, GAP, LINE = (27, 31, 36), (255, 255, 255), (15, 123, 108), 20, 22


class Station(NamedTuple):
    """One picture on a sample's way: title, facts, pixels, and the crop in it if any."""

    title: str
    facts: list[str]
    pixels: NDArray[np.uint8]
    box: tuple[float, float, float, float] | None = None


def facts(dataset: Dataset) -> str:
    """A beton's contents, as a table: samples, classes, fields, and size, bytes and markers of each level."""
    count, levels, parts = len(dataset), len(dataset.ratios), len(dataset.parts)
    pixels, size, found, marked = np.zeros((levels, 2)), np.zeros(levels), np.zeros(levels), np.zeros(levels)
    for start in range(0, count, CHUNK):
        entries = dataset.entries(np.arange(start, min(start + CHUNK, count)))
        stored = entries["width"] > 0
        pixels += np.stack([(entries[side] * stored).sum(axis=0) for side in ("width", "height")], axis=1)
        size += entries["size"].sum(axis=0, dtype=np.float64)
        found, marked = found + stored.sum(axis=0), marked + (entries["rows"] > 0).sum(axis=0)
    lines = [
        dataset.path,
        f"kind     {dataset.kind}{' (FFCV reads it too)' if dataset.meta else ''}{f', {parts} parts' * (parts > 1)}",
        f"samples  {count:,} of {len(dataset.classes):,} classes",
        f"classes  {names_of(dataset.classes)}",
        f"fields   {types_of(dataset.fields)}",
    ]
    if dataset.image_bytes:
        lines.append(f"storage  {'in the order of the indices' if dataset.storage is None else 'shuffled'}")
    if (total := dataset.file_bytes) is not None:
        name = "file" if parts == 1 else "files"
        lines.append(f"{name:8} {total / 1e6:,.1f} MB, {total / size[0]:.2f} times the bytes of level 0")
    if dataset.originals is not None:
        kept = sizes_of_originals(dataset)
        lines.append(f"kept     {len(kept):,} original files, {kept.sum() / 1e6:,.1f} MB, read in place of level 0")
    lines.append("level    ratio     images  indexed    mean size   mean KiB   total MB")
    for level, ratio in enumerate(dataset.ratios):
        if level and not found[level]:
            why = "left out for all images: below 16 pixels, or see `convert --overhead`"
            lines.append(f"{level:5}  {ratio:7.3f}          0  {why}")
            continue
        width, height = pixels[level] / max(found[level], 1)
        weight = f"{size[level] / max(found[level], 1) / 1024:8.1f}   {size[level] / 1e6:8.1f}"
        lines.append(
            f"{level:5}  {ratio:7.3f}  {found[level]:9,.0f}  {marked[level] / max(found[level], 1):7.0%}  "
            f"{width:5.0f} x {height:<5.0f}   {weight if size[level] else '       ?          ?'}"
        )
    return "\n".join(lines)


def names_of(classes: Sequence[str]) -> str:
    """The first class names."""
    return ", ".join(classes[:NAMED]) + ", ..." * (len(classes) > NAMED) or "none"


def types_of(fields: Mapping[str, FieldType]) -> str:
    """All fields with their types."""
    return ", ".join(f"{name} ({kind})" for name, kind in fields.items()) or "none but the image"


def sizes_of_originals(dataset: Dataset) -> NDArray[np.int64]:
    """Bytes of each original file that is kept."""
    sizes = []
    for start in range(0, len(dataset), CHUNK):
        full = dataset.decode_entries(np.arange(start, min(start + CHUNK, len(dataset))))[:, 0]
        sizes.append(full["size"][full["kind"] == OTHER].astype(np.int64))
    return np.concatenate(sizes)


def stations(
    dataset: Dataset, index: int, resolution: int, *, seed: int = 0, epoch: int = 0, train: bool = True
) -> list[Station]:
    """The way of one sample, as a Loader with these settings would take it in this epoch."""
    indices = np.array([index])
    entries = dataset.decode_entries(indices)
    sample = plan_batch(entries, indices, seed=seed, epoch=epoch, resolution=resolution, train=train)
    record = sample[0]
    level = int(np.flatnonzero(entries[0] == record["entry"])[0])
    x0, y0, x1, y1 = map(float, record["box"])
    original = dataset.read_original(index)
    stored = dataset.read(index, level) if level else original
    full, small = _decoded(original), _decoded(stored)
    shrink = full.shape[1] / small.shape[1]

    whole = (x0 * shrink, y0 * shrink, x1 * shrink, y1 * shrink)
    way = [
        Station("original", [_size(full), _bytes(original)], full, whole),
        Station(f"level {level}", [_size(small), _bytes(stored)], small, (x0, y0, x1, y1)),
    ]
    inner = (int(x0), int(y0), int(np.ceil(x1)), int(np.ceil(y1)))
    try:
        cut, left, top = native.cut(stored, inner)
    except native.JpegError:
        pixels = small[inner[1] : inner[3], inner[0] : inner[2]]
        way.append(
            Station(
                "sub-JPEG",
                [_size(pixels), "not cut: no restart markers" if stored[:2] == b"\xff\xd8" else "not cut: no JPEG"],
                pixels,
            )
        )
    else:
        box = (x0 - left, y0 - top, x1 - left, y1 - top)
        pixels = native.decode(cut)
        way.append(Station("sub-JPEG", [_size(pixels), _bytes(cut)], pixels, box))

    result, read = _result(dataset, sample, resolution)
    how = f"decoded at 1/{record['scale']}" + (", flipped" if record["flip"] else "")
    made = [f"of {x1 - x0:.0f} x {y1 - y0:.0f}", how, f"{read:,} bytes read"]
    return [*way, Station(f"{resolution} x {resolution}", made, result)]


def _decoded(data: bytes) -> NDArray[np.uint8]:
    """Pixels of an image file, uint8 [height, width, 3]."""
    try:
        return native.decode(data)
    except native.JpegError as error:
        if error.status != native.UNSUPPORTED:
            raise
        return decode_rgb(data).pixels


def _result(dataset: Dataset, sample: NDArray[np.void], resolution: int) -> tuple[NDArray[np.uint8], int]:
    """The sample as the loader delivers it, uint8 [B, B, 3], and the bytes that it read."""
    out = np.empty((1, 3, resolution, resolution), np.uint8)
    entry, options = sample[0]["entry"], native.KernelOptions(resolution, filters.build(resolution), dataset.fd)
    if entry["kind"] == OTHER:
        result = decode_with_pillow(PillowJob(StoredFile(entry, dataset.fd).read, sample, options), out.nbytes)
        if result.pixels is None:
            raise LoaderError(result.why)
        return result.pixels.reshape(out.shape)[0].transpose(1, 2, 0), result.read
    pool = native.Pool(1)
    try:
        pending = pool.submit(sample, options, out)
        pending.wait()
        if pending.status[0] != native.OK:
            raise native.JpegError(int(pending.status[0]), pending.message(0))
        return out[0].transpose(1, 2, 0), pool.stats()["bytes_read"]
    finally:
        pool.close()


def _size(pixels: NDArray[Any]) -> str:
    return f"{pixels.shape[1]} x {pixels.shape[0]}"


def _bytes(data: bytes) -> str:
    return f"{len(data):,} bytes"


def draw(way: list[Station]) -> Image.Image:
    """All stations side by side at their true sizes, the crop outlined."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(15)
    texts = [[station.title, *station.facts] for station in way]
    widths = [
        max(station.pixels.shape[1], *(round(font.getlength(line)) for line in lines))
        for station, lines in zip(way, texts, strict=True)
    ]
    text = LINE * max(map(len, texts)) + 6
    height = text + max(station.pixels.shape[0] for station in way)
    sheet = Image.new("RGB", (sum(widths) + GAP * (len(way) + 1), height + 2 * GAP), PAPER)
    pen, left = ImageDraw.Draw(sheet), GAP
    for station, lines, width in zip(way, texts, widths, strict=True):
        for line, words in enumerate(lines):
            pen.text((left, GAP + LINE * line), words, fill=MARK if line == 0 else INK, font=font)
        top = GAP + text
        sheet.paste(Image.fromarray(np.ascontiguousarray(station.pixels)), (left, top))
        if station.box is not None:
            x0, y0, x1, y1 = station.box
            corners = (left + x0, top + y0, left + max(x0, x1 - 1), top + max(y0, y1 - 1))
            pen.rectangle(corners, outline=PAPER, width=4)
            pen.rectangle(corners, outline=MARK, width=2)
        left += width + GAP
    return sheet
