"""Stock FFCV and DALI on damaged JPEGs: the same mutants, one in a batch of eight. Each function runs in a child.

named: an error says which sample it was. lost: pixels of a JPEG that libjpeg refuses, without a word (FFCV leaves what
was in the buffer); sound samples wrong; an error that names no sample; a crash or a hang.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.faults import corpus
from benchmarks.faults.mutate import draw
from benchmarks.faults.outcome import LOST, NAMED, Tally
from loaders import native
from loaders.errors import LoaderError

SIDE, BATCH = 64, 8
Decode = Callable[[list[bytes]], list[NDArray[np.uint8]]]


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


def ours(seed: int, tries: int) -> Iterator[dict[str, Any]]:
    from loaders import Loader

    with tempfile.TemporaryDirectory() as place:

        def decode(batch: list[bytes]) -> list[NDArray[np.uint8]]:
            path = Path(place, "x.beton")
            _beton(batch, path)
            options: dict[str, Any] = {"train": False, "output": "uint8", "workers": 1, "on_error": "raise"}
            with Loader(path, batch_size=BATCH, bandwidth=SIDE, **options) as loader:
                (images, _), *_ = loader
                return list(images.permute(0, 2, 3, 1).numpy())

        yield from _judged("ours", decode, seed, tries)


def ffcv(seed: int, tries: int) -> Iterator[dict[str, Any]]:
    """One loader for all batches, as in training: what a decoder leaves in its buffers matters."""
    try:
        from ffcv.fields.decoders import CenterCropRGBImageDecoder
        from ffcv.loader import Loader, OrderOption
    except ImportError as error:
        yield {"skipped": f"FFCV is not installed ({error})"}
        return
    damaged = list(mutants(seed, tries))
    batches = [_batch(data) for _, data in damaged]
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "x.beton")
        _beton([jpeg for batch in batches for jpeg in batch], path)
        pipelines = {"image": [CenterCropRGBImageDecoder((SIDE, SIDE), ratio=1.0)], "label": None}
        loader = Loader(
            str(path), batch_size=BATCH, num_workers=1, order=OrderOption.SEQUENTIAL, pipelines=pipelines, os_cache=True
        )
        images = iter(loader)

        def decode(_: list[bytes]) -> list[NDArray[np.uint8]]:
            return list(np.array(next(images)[0]))

        yield from _judged("FFCV", decode, seed, tries)


def dali(seed: int, tries: int) -> Iterator[dict[str, Any]]:
    try:
        from nvidia.dali import fn
        from nvidia.dali.pipeline import Pipeline
    except ImportError as error:
        yield {"skipped": f"DALI is not installed ({error})"}
        return
    given: list[list[bytes]] = []

    def built() -> Pipeline:
        pipeline = Pipeline(BATCH, 2, device_id=None, prefetch_queue_depth=1)
        with pipeline:
            source = fn.external_source(lambda: [np.frombuffer(jpeg, np.uint8) for jpeg in given.pop(0)], batch=True)
            pipeline.set_outputs(fn.resize(fn.decoders.image(source, device="cpu"), size=[SIDE, SIDE]))
        pipeline.build()
        return pipeline

    def decode(batch: list[bytes]) -> list[NDArray[np.uint8]]:
        given[:] = [batch]
        (images,) = built().run()  # a new one each time: after an error DALI calls the old one no longer valid
        return [np.asarray(images.at(k)) for k in range(BATCH)]

    yield from _judged("DALI", decode, seed, tries)


def _batch(bad: bytes) -> list[bytes]:
    sound = [corpus.make("4:2:0", SIDE, SIDE, 1000 + k) for k in range(BATCH)]
    sound[3] = bad
    return sound


def _judged(contestant: str, decode: Decode, seed: int, tries: int) -> Iterator[dict[str, Any]]:
    tallies = {how: Tally(f"one of {BATCH} JPEGs {how}", contestant) for how in ("truncated", "overwritten", "junk")}
    wanted = [_libjpeg(jpeg) for jpeg in _batch(b"")]
    for how, bad in mutants(seed, tries):
        try:
            images = decode(_batch(bad))
        except Exception as error:
            text = " ".join(str(error).split())
            named = any(word in text for word in ("sample 3", "sample #3"))
            tallies[how].add(NAMED if named else LOST, f"{type(error).__name__}: {text[-300:]}")
            continue
        wrong = [k for k in range(BATCH) if k != 3 and np.abs(images[k].astype(int) - wanted[k]).max() > 24]
        tallies[how].add(LOST, "pixels without a word" + (f", sound samples {wrong} wrong as well" if wrong else ""))
        yield {"alive": 1}
    for tally in tallies.values():
        yield tally.as_dict()


def _libjpeg(jpeg: bytes) -> NDArray[np.int64]:
    from PIL import Image

    if not jpeg:
        return np.zeros((SIDE, SIDE, 3), np.int64)
    with Image.open(io.BytesIO(jpeg)) as image:
        return np.asarray(image).astype(np.int64)


def _beton(jpegs: list[bytes], path: Path) -> None:
    """A stock beton of these very bytes, all said to be SIDE x SIDE."""
    from loaders.store import layout
    from loaders.store.beton import Pages, write_tables

    levels, pages = np.zeros(len(jpegs), layout.LEVEL), Pages(len(jpegs), layout.MIN_PAGE)
    with open(path, "w+b") as file:
        for level, jpeg in zip(levels, jpegs, strict=True):
            level["ptr"], level["size"] = pages.place(len(jpeg)), len(jpeg)
            level["width"] = level["height"] = SIDE
            file.seek(int(level["ptr"]))
            file.write(jpeg)
        file.seek(0, 2)
        write_tables(file, layout.MIN_PAGE, iter([(levels, np.zeros(len(jpegs), np.int64))]))
