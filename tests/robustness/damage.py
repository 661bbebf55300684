"""Damaged JPEGs: through the kernel's pool, through conversion, through a Loader. Each function runs in a child."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loaders import native
from loaders.plan.filters import build
from loaders.plan.records import table_bytes
from tests.robustness import corpus, truth
from tests.robustness.mutate import draw, mutant
from tests.robustness.tally import LOST, NAMED, SURVIVED, Tally

BLOCK = 100  # mutants in a batch of the pool, and between two signs of life


def blocks(first: int, count: int) -> Iterator[range]:
    for start in range(first, first + count, BLOCK):
        yield range(start, min(start + BLOCK, first + count))


def reply(tally: Tally, done: int) -> dict[str, Any]:
    return {**tally.as_dict(), "done": done}


def sound(seed: int, tries: int) -> Iterator[dict[str, Any]]:
    """No fault at all: every kind, so large that only some rows are read, converted and loaded at all resolutions."""
    from loaders import Loader, convert

    tally = Tally("nothing is wrong")
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "photos" / "class").mkdir(parents=True)
        for kind in corpus.KINDS:
            path = Path(place) / "photos" / "class" / f"{kind.replace(':', '')}.jpg"
            path.write_bytes(corpus.make(kind, 900, 700))
        convert(path.parents[1], Path(place) / "x.beton", workers=1)
        for data in (Path(place) / "x.beton", path.parents[1]):
            for epoch in range(4 * tries):
                side = (64, 96, 160, 224)[epoch % 4]
                with Loader(data, batch_size=4, resolution=side, on_error="replace", seed=seed) as it:
                    it.set_epoch(epoch)
                    for _ in it:
                        pass
                    for bad in it.stats()["bad"]:
                        tally.add(LOST, str(bad))
                tally.add(SURVIVED)
            yield {"alive": 0}
    yield tally.as_dict()


def pool(seed: int, first: int, count: int) -> Iterator[dict[str, Any]]:
    """Files as an image folder's, without a row table; compared with libjpeg under a random crop and DCT scale."""
    sources, threads = corpus.corpus(), native.Pool(2)
    for numbers in blocks(first, count):
        tally, made = Tally(""), [mutant(sources, seed, number) for number in numbers]
        samples, offset = np.zeros(len(made), native.SAMPLE), 0
        for sample, number, (data, _) in zip(samples, numbers, made, strict=True):
            try:
                info = native.peek(data)
                sides = info.width, info.height
            except native.JpegError:
                sides = 128, 96
            _aim(sample, *sides, draw(seed, 1 << 40 | number))
            sample["entry"]["offset"], sample["entry"]["size"] = offset, len(data)
            offset += len(data)
        side = int(draw(seed, 1 << 41 | numbers[0]).choice([16, 64, 96]))
        pending = decoded(threads, samples, side, b"".join(data for data, _ in made))
        pixels = pending.out.reshape(len(made), 3, side, side)
        for i, (number, (data, fault)) in enumerate(zip(numbers, made, strict=True)):
            if pending.status[i]:
                tally.add(NAMED if pending.message(i) else LOST, f"{fault} {number}: no reason given")
                continue
            wrong = truth.differs(pixels[i], data, samples[i], side, build(side))
            tally.add(LOST if wrong else SURVIVED, f"{fault}, mutant {number} of seed {seed}: {wrong}")
        yield reply(tally, numbers[-1] + 1 - first)


def records(seed: int, first: int, count: int) -> Iterator[dict[str, Any]]:
    """A pyramid's records with row tables, damaged anywhere, the table included. Nothing may crash.

    Pixels are not judged here, see `files.flips`.
    """
    threads, sources = native.Pool(2), [(data, rows, w, h) for data, rows, w, h in corpus.pyramid_records()]
    for numbers in blocks(first, count):
        tally, blob = Tally(""), bytearray()
        samples = np.zeros(len(numbers), native.SAMPLE)
        for sample, number in zip(samples, numbers, strict=True):
            rng = draw(seed, number)
            data, rows, width, height = sources[int(rng.integers(len(sources)))]
            table = table_bytes(rows)
            offsets, jpeg = np.frombuffer(data, "<u4", rows, table - 4 * rows).copy(), data[table:]
            head = int(offsets[0])
            if number % 3:
                jpeg = mutant([jpeg], seed, number)[0]
            if number % 2:
                _tangle(offsets, len(data) - table, rng)
            # one in four with the checks it had, which must find the damage; else with right ones, to get past them
            record = corpus.forged(offsets, jpeg) if number % 4 else data[:table] + jpeg
            blob += bytes(-len(blob) % 4) + record[:table]
            _aim(sample, width, height, rng)
            entry = sample["entry"]
            entry["offset"], entry["size"], entry["rows"], entry["head"] = len(blob), len(jpeg), rows, head
            blob += jpeg
        pending = decoded(threads, samples, 32, bytes(blob) + b"\0")
        for i in range(len(numbers)):
            tally.add(NAMED if pending.status[i] else SURVIVED)
        yield reply(tally, numbers[-1] + 1 - first)


def transcode(seed: int, first: int, count: int) -> Iterator[dict[str, Any]]:
    """Through the converter: refused with a reason, or level 0 holds exactly libjpeg's pixels of the source."""
    from loaders.conversion.transcode import Refused, records_of

    sources = corpus.corpus()
    for numbers in blocks(first, count):
        tally = Tally("")
        for number in numbers:
            data, fault = mutant(sources, seed, number)
            try:
                made, changed = records_of(data, (1.0, 0.5), 90)
            except Refused as refused:
                tally.add(NAMED if str(refused) else LOST, f"{fault} {number}: refused without a reason")
                continue
            wrong = "" if changed else _unlike(data, made[0].jpeg)
            tally.add(LOST if wrong else SURVIVED, f"{fault}, mutant {number} of seed {seed}: {wrong}")
        yield reply(tally, numbers[-1] + 1 - first)


def loader(seed: int, first: int, count: int) -> Iterator[dict[str, Any]]:
    """A folder of mutants through `Loader(on_error="replace")`: full batches, each index sound or reported."""
    from loaders import Loader

    sources = corpus.corpus()
    for start in range(first, first + count, 10 * BLOCK):
        numbers = range(start, min(start + 10 * BLOCK, first + count))
        tally = Tally("")
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place, "photos", "class")
            folder.mkdir(parents=True)
            for number in numbers:
                (folder / f"{number:08d}.jpg").write_bytes(mutant(sources, seed, number)[0])
            for k in range(len(numbers)):  # sound ones, to replace with
                (folder / f"sound{k:08d}.jpg").write_bytes(sources[k % 20])
            options: dict[str, Any] = {"train": False, "drop_last": False, "dtype": "uint8", "on_error": "replace"}
            with Loader(folder.parent, batch_size=64, resolution=32, num_workers=2, **options) as made:
                delivered = sum(len(images) for images, _ in made)
                bad = {error.index: error for error in made.stats()["bad"]}
            if delivered != 2 * len(numbers) or any(index >= len(numbers) for index in bad):
                tally.add(LOST, f"{delivered} of {2 * len(numbers)} samples delivered, or sound ones reported")
            for i, number in enumerate(numbers):
                known = i not in bad or (bad[i].name == f"class/{number:08d}.jpg" and bad[i].why)
                tally.add((NAMED if i in bad else SURVIVED) if known else LOST, f"mutant {number}: {bad.get(i)}")
        yield reply(tally, numbers[-1] + 1 - first)


def _aim(sample: np.void, width: int, height: int, rng: np.random.Generator) -> None:
    """A crop: the whole image one time in two."""
    x0, y0, x1, y1 = 0.0, 0.0, float(width), float(height)
    if rng.random() < 0.5:
        x0, y0 = rng.uniform(0, max(0, width - 9)), rng.uniform(0, max(0, height - 9))
        x1, y1 = min(width, x0 + rng.uniform(8, 100)), min(height, y0 + rng.uniform(8, 100))
    scale = int(
        rng.choice([1, 1, 2, 4, 8])
    )  # as of a full-size image as small as that: no filter narrower than a sample
    sample["box"], sample["full"], sample["scale"] = (x0, y0, x1, y1), ((x1 - x0) / scale, (y1 - y0) / scale), scale
    sample["entry"]["width"], sample["entry"]["height"] = width, height


def _tangle(table: NDArray[np.uint32], size: int, rng: np.random.Generator) -> None:
    """Row offsets that overlap, jump or repeat, most of them still in order."""
    how = int(rng.integers(4))
    if how == 0:
        table[:] = table[0]
    elif how == 1:
        table[int(rng.integers(len(table)))] = rng.integers(0, 1 << 32)
    elif how == 2:
        table[1:] = np.sort(rng.integers(int(table[0]), size, len(table) - 1))
    else:
        table[int(rng.integers(len(table))) :] += int(rng.integers(1, 9))


def decoded(threads: native.Pool, samples: NDArray[np.void], side: int, blob: bytes) -> native.PoolBatch:
    """A batch of samples whose entries count from the first byte of `blob`, done; cut, too, which must not crash."""
    with tempfile.TemporaryFile() as file:
        file.write(blob)
        file.flush()
        out = np.zeros(len(samples) * 3 * side * side, np.uint8)
        pending = threads.submit(samples, native.KernelOptions(side, build(side), file.fileno()), out)
        cutting = native.Cutting(threads, samples, file.fileno())  # the same bytes through the other door
        pending.wait()
        cutting.wait()
    return pending


def _unlike(source: bytes, stored: bytes) -> str:
    """ "" where the converted JPEG has exactly the source's pixels, by libjpeg."""
    wanted, made = truth.opened(source, "RGB"), truth.opened(stored, "RGB")
    if wanted is None or made is None:
        return "converted, though libjpeg refuses it" if wanted is None else "libjpeg refuses what was stored"
    if wanted.shape != made.shape or not np.array_equal(wanted, made):
        return "level 0 has other pixels than its source"
    return ""
