"""FFCV and DALI on damaged JPEGs: the same mutants, one in a batch of eight. Each function runs in a child.

named: an error or a report says which sample it was. lost: pixels of a JPEG that libjpeg refuses, without a word (FFCV
leaves what was in the buffer); sound samples wrong; an error that names no sample; a crash or a hang.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loaders import native
from loaders.errors import LoaderError
from tests.robustness import corpus
from tests.robustness.mutate import draw
from tests.robustness.tally import LOST, NAMED, OURS, Tally
from tests.robustness.watchdog import ROOT

SIDE, BATCH = 64, 8
BAD = 3  # the damaged one
TOLERANCE = 24  # of 255: decoders round differently
Decoded = tuple[list[NDArray[np.uint8]], list[int]]
"""Images [SIDE, SIDE, 3] of a batch, and which samples of it were reported."""
Decode = Callable[[list[bytes]], Decoded]


def mutants(seed: int, tries: int) -> Iterator[tuple[str, bytes]]:
    """JPEGs that libjpeg refuses or warns of, their headers in order: cut, overwritten or empty in their data."""
    number = found = 0
    while found < tries:
        rng, number = draw(seed, 1 << 50 | number), number + 1
        data = bytearray(corpus.make("4:2:0", SIDE, SIDE, number))
        at = int(rng.integers(data.index(b"\xff\xda") + 14, len(data) - 40))
        how = ("truncated", "overwritten", "junk")[number % 3]
        if how == "truncated":
            del data[at:]
        elif how == "overwritten":
            data[at : at + 30] = b"\xff\xd9" * 15
        else:
            data[:] = rng.integers(0, 256, len(data), np.uint8).tobytes()
        try:
            native.decode(bytes(data))
        except LoaderError:
            found += 1
            yield how, bytes(data)


def ours(seed: int, tries: int, backend: str = "torch") -> Iterator[dict[str, Any]]:
    """Told to go on: it must report sample 3, and deliver the seven others."""
    from loaders import Loader

    with tempfile.TemporaryDirectory() as place:

        def decode(batch: list[bytes]) -> Decoded:
            path = Path(place, "x.beton")
            _beton(batch, path)
            options: dict[str, Any] = {"train": False, "dtype": "uint8", "num_workers": 1, "on_error": "replace"}
            with Loader(path, batch_size=BATCH, backend=backend, resolution=SIDE, **options) as loader:
                (images, _), *_ = loader
                return list(images.permute(0, 2, 3, 1).numpy()), [bad.index for bad in loader.stats()["bad"]]

        undisturbed, _ = decode(_batch(corpus.make("4:2:0", SIDE, SIDE)))
        yield from _judged(OURS[backend], decode, undisturbed, seed, tries)


def ffcv(seed: int, tries: int) -> Iterator[dict[str, Any]]:
    """One loader for all batches, as in training: what a decoder leaves in its buffers matters."""
    try:
        from ffcv.fields.decoders import CenterCropRGBImageDecoder
        from ffcv.loader import Loader, OrderOption
    except ImportError as error:
        yield {"skipped": f"FFCV is not installed ({error})"}
        return
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "x.beton")
        _beton([jpeg for _, data in mutants(seed, tries) for jpeg in _batch(data)], path)
        pipelines = {"image": [CenterCropRGBImageDecoder((SIDE, SIDE), ratio=1.0)], "label": None}
        loader = Loader(
            str(path), batch_size=BATCH, num_workers=1, order=OrderOption.SEQUENTIAL, pipelines=pipelines, os_cache=True
        )
        images = iter(loader)
        wanted = [_libjpeg(jpeg) for jpeg in _batch(b"")]
        yield from _judged("FFCV", lambda _: (list(np.array(next(images)[0])), []), wanted, seed, tries)


def dali(seed: int, tries: int) -> Iterator[dict[str, Any]]:
    """A new pipeline for each batch: after an error DALI calls the old one no longer valid."""
    try:
        from nvidia.dali import fn
        from nvidia.dali.pipeline import Pipeline
    except ImportError as error:
        yield {"skipped": f"DALI is not installed ({error})"}
        return

    def decode(batch: list[bytes]) -> Decoded:
        pipeline = Pipeline(BATCH, 2, device_id=None, prefetch_queue_depth=1)
        with pipeline:
            source = fn.external_source(lambda: [np.frombuffer(jpeg, np.uint8) for jpeg in batch], batch=True)
            pipeline.set_outputs(fn.resize(fn.decoders.image(source, device="cpu"), size=[SIDE, SIDE]))
        pipeline.build()
        (images,) = pipeline.run()
        return [np.asarray(images.at(k)) for k in range(BATCH)], []

    yield from _judged("DALI", decode, [_libjpeg(jpeg) for jpeg in _batch(b"")], seed, tries)


def _batch(bad: bytes) -> list[bytes]:
    sound = [corpus.make("4:2:0", SIDE, SIDE, 1000 + k) for k in range(BATCH)]
    sound[BAD] = bad
    return sound


def _judged(
    contestant: str, decode: Decode, wanted: list[NDArray[np.uint8]], seed: int, tries: int
) -> Iterator[dict[str, Any]]:
    """wanted: the batch's pixels; of sample BAD they do not matter."""
    tallies = {how: Tally(f"one of {BATCH} JPEGs {how}", contestant) for how in ("truncated", "overwritten", "junk")}
    for how, data in mutants(seed, tries):
        tallies[how].add(*_judge(decode, _batch(data), wanted))
        yield {"alive": 1}
    for tally in tallies.values():
        yield tally.as_dict()


def _judge(decode: Decode, batch: list[bytes], wanted: list[NDArray[np.uint8]]) -> tuple[str, str]:
    try:
        images, reported = decode(batch)
    except Exception as error:
        text = " ".join(str(error).replace(f"{ROOT}/", "").split())
        named = any(word in text for word in (f"sample {BAD}", f"sample #{BAD}"))
        return (NAMED if named else LOST), f"{type(error).__name__}: {text[-300:]}"
    wrong = [k for k in range(BATCH) if k != BAD and np.abs(images[k].astype(int) - wanted[k]).max() > TOLERANCE]
    if wrong or reported != [BAD]:
        return LOST, f"{f'reported {reported}' if reported else 'pixels without a word'}; sound samples wrong: {wrong}"
    return NAMED, ""


def _libjpeg(jpeg: bytes) -> NDArray[np.uint8]:
    from PIL import Image

    if not jpeg:
        return np.zeros((SIDE, SIDE, 3), np.uint8)
    with Image.open(io.BytesIO(jpeg)) as image:
        return np.asarray(image)


def _beton(jpegs: list[bytes], path: Path) -> None:
    """A FFCV beton of these very bytes, all said to be SIDE x SIDE."""
    from loaders.beton import layout
    from loaders.beton.tables import Pages
    from tests.loaders.ffcv_files import write_tables

    levels, pages = np.zeros(len(jpegs), layout.LEVEL), Pages(len(jpegs), layout.MIN_PAGE)
    with open(path, "w+b") as file:
        for level, jpeg in zip(levels, jpegs, strict=True):
            level["ptr"], level["size"] = pages.place(len(jpeg)), len(jpeg)
            level["width"] = level["height"] = SIDE
            file.seek(int(level["ptr"]))
            file.write(jpeg)
        file.seek(0, 2)
        write_tables(file, layout.MIN_PAGE, iter([(levels, np.zeros(len(jpegs), np.int64))]))
