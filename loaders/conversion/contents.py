"""What any data set holds, in a few lines: number of images, classes, fields, formats, and how it is converted."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from ..pillow import Header
from ..sources.open import kind_of, open_dataset, open_source
from ..sources.parts import names_parts
from ..sources.source import Sample, Source, extras, indexable
from ..storage.files import connections
from .headers import headers, some_samples
from .inspect import facts, names_of, types_of

KINDS = {
    "folder": "image folder",
    "parquet": "Parquet or Arrow",
    "mds": "MosaicML MDS",
    "litdata": "litData",
    "tfrecord": "TFRecord",
    "webdataset": "WebDataset",
    "imagenet": "ILSVRC2012",
    "table": "table of image paths",
}


@connections()
def contents(data: str) -> str:
    """The contents of what a path or URL names. No image is decoded.

    Raises:
        FileNotFoundError, ValueError, LoaderError: see `open_dataset` and `open_source`.
    """
    kind = kind_of(os.path.expanduser(data))
    if kind in ("beton", None) or names_parts(data):
        with open_dataset(data) as dataset:
            return facts(dataset)
    source = open_source(data)
    lines = [("kind", KINDS.get(kind, kind)), ("samples", f"{len(source):,}")]
    some = list(some_samples(source))
    lines += [("classes", _classes(source, some)), ("fields", types_of(source.fields)), *_images(some)]
    lines += [("note", hint) for hint in extras(source).hints]
    words = ["efficienttrain", "convert", data, f"{os.path.basename(data.rstrip('/')).partition('.')[0]}.beton"]
    direct = "; a Loader also reads it as it is, more slowly" if indexable(source) else ""
    lines.append(("convert", f"{shlex.join(words)}{direct}"))
    return "\n".join([source.path, *(f"{name:9}{text}" for name, text in lines)])


def _classes(source: Source, some: Sequence[Sample]) -> str:
    if source.classes:
        return f"{len(source.classes):,}: {names_of(source.classes)}"
    labels = [sample.values["label"] for sample in some if "label" in sample.values]
    if "label" not in source.fields or not labels:
        return "no label was found; `convert --label-column` names one"
    seen = names_of([*dict.fromkeys(map(str, labels))])
    return f"not known before all labels are read; among {len(labels)} samples: {seen}"


def _images(some: Sequence[Sample]) -> Iterator[tuple[str, str]]:
    """Formats and sizes, by the headers of the images; the first of those that cannot be read."""
    found: list[Header] = []
    problems: list[str] = []
    sizes = []
    for sample, facts_or_why in zip(some, headers(some), strict=True):
        if isinstance(facts_or_why, Header):
            found.append(facts_or_why)
            sizes.append(len(sample.image) if isinstance(sample.image, bytes) else sample.image.size)
        else:
            problems.append(f"{sample.name}: {facts_or_why}")
    if found:
        formats = ", ".join(f"{count} {kind}" for kind, count in Counter(one.kind for one in found).most_common())
        sides = np.array([one[1:] for one in found])
        width, height = np.median(sides, axis=0)
        yield "images", f"{formats} of {len(some)} looked at, {np.mean(sizes) / 1024:.1f} KiB each"
        longest, shortest = sides.max(axis=1).max(), sides.min(axis=1).min()
        yield "pixels", f"{width:.0f} x {height:.0f} in the median, sides from {shortest} to {longest}"
    if problems:
        yield "unusable", f"{len(problems)} of {len(some)} looked at, the first: {problems[0]}"
