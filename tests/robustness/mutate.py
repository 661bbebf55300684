"""A seeded mutator of JPEGs: mutant number n of a seed is the same bytes everywhere."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.robustness.corpus import frame, resized

Bytes = bytearray
Draw = np.random.Generator
MARKERS = (0xC0, 0xC1, 0xC2, 0xC4, 0xC9, 0xD0, 0xD3, 0xD7, 0xD8, 0xD9, 0xDA, 0xDB, 0xDD, 0xE0, 0xEE, 0xFE, 0x01, 0xFF)
SIDES = (0, 1, 2, 7, 8, 9, 15, 16, 17, 63, 64, 65, 255, 256, 4096, 16383, 16384, 65500, 65535)


def draw(seed: int, number: int) -> Draw:
    return np.random.Generator(np.random.Philox(key=[seed, number]))


def _place(data: Bytes, rng: Draw, low: int = 0) -> int:
    return int(rng.integers(min(low, len(data) - 1), len(data)))


def _segments(data: Bytes) -> list[tuple[int, int]]:
    """Begin and end of each marker segment before the first scan's data."""
    at, found = 2, []
    while at + 4 <= len(data) and data[at] == 0xFF:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        found.append((at, min(end, len(data))))
        if data[at + 1] == 0xDA or end > len(data):
            break
        at = end
    return found


def _head(data: Bytes) -> int:
    """Where entropy-coded data begin."""
    segments = _segments(data)
    return segments[-1][1] if segments else 2


def bits(data: Bytes, rng: Draw) -> None:
    for _ in range(int(rng.integers(1, 9))):
        data[_place(data, rng)] ^= 1 << int(rng.integers(8))


def scan_bit(data: Bytes, rng: Draw) -> None:
    data[_place(data, rng, _head(data))] ^= 1 << int(rng.integers(8))


def run(data: Bytes, rng: Draw) -> None:
    at, size = _place(data, rng), int(rng.integers(1, 64))
    data[at : at + size] = bytes([int(rng.choice([0, 0xFF, int(rng.integers(256))]))]) * len(data[at : at + size])


def truncated(data: Bytes, rng: Draw) -> None:
    del data[_place(data, rng) :]


def removed(data: Bytes, rng: Draw) -> None:
    at = _place(data, rng)
    del data[at : at + int(rng.integers(1, 200))]


def inserted(data: Bytes, rng: Draw) -> None:
    at = _place(data, rng)
    data[at:at] = rng.integers(0, 256, int(rng.integers(1, 64)), np.uint8).tobytes()


def swapped(data: Bytes, rng: Draw) -> None:
    segments = _segments(data)
    if len(segments) > 1:
        (a, b), (c, d) = sorted(segments[int(k)] for k in rng.choice(len(segments), 2, replace=False))
        data[a:d] = data[c:d] + data[b:c] + data[a:b]


def repeated(data: Bytes, rng: Draw) -> None:
    segments = _segments(data)
    if segments:
        (a, b), (c, _) = (segments[int(rng.integers(len(segments)))] for _ in range(2))
        data[c:c] = data[a:b]


def soup(data: Bytes, rng: Draw) -> None:
    for _ in range(int(rng.integers(1, 12))):
        at = _place(data, rng, 2)
        data[at : at + 2] = bytes([0xFF, int(rng.choice(MARKERS))])


def dimensions(data: Bytes, rng: Draw) -> None:
    width, height = (int(rng.choice(SIDES)) if rng.random() < 0.7 else int(rng.integers(1, 65536)) for _ in range(2))
    if frame(data) > 0:
        data[:] = resized(bytes(data), width, height)


def near(data: Bytes, rng: Draw) -> None:
    """Sides off by a few pixels: a scan that nearly fits."""
    at = frame(data)
    if at > 0 and at + 9 <= len(data):
        for place in (at + 5, at + 7):
            side = int.from_bytes(data[place : place + 2], "big") + int(rng.integers(-17, 18))
            data[place : place + 2] = min(max(side, 0), 65535).to_bytes(2, "big")


def sampling(data: Bytes, rng: Draw) -> None:
    at = frame(data) + 11 + 3 * int(rng.integers(3))
    if 11 < at < len(data):
        data[at] = int(rng.integers(1, 6)) << 4 | int(rng.integers(1, 6))


def numbering(data: Bytes, rng: Draw) -> None:
    """Restart markers numbered wrongly, dropped or doubled; an interval that is not the file's."""
    at = data.find(b"\xff\xdd\x00\x04")
    marks = [k for k in range(_head(data), len(data) - 1) if data[k] == 0xFF and 0xD0 <= data[k + 1] <= 0xD7]
    which = int(rng.integers(4))
    if which == 0 or not marks:
        value = int(rng.choice([0, 1, 2, 3, 7, int(rng.integers(65536))])).to_bytes(2, "big")
        if at > 0:
            data[at + 4 : at + 6] = value
        else:
            data[2:2] = b"\xff\xdd\x00\x04" + value
        return
    mark = marks[int(rng.integers(len(marks)))]
    if which == 1:
        data[mark + 1] = 0xD0 | int(rng.integers(8))
    elif which == 2:
        del data[mark : mark + 2]
    else:
        data[mark:mark] = data[mark : mark + 2]


def tables(data: Bytes, rng: Draw) -> None:
    found = [(a, b) for a, b in _segments(data) if b - a > 5 and data[a + 1] in (0xC4, 0xDB, 0xDA)]
    if found:
        a, b = found[int(rng.integers(len(found)))]
        for _ in range(int(rng.integers(1, 5))):
            data[int(rng.integers(a + 4, b))] = int(rng.choice([0, 1, 0x10, 0x11, 0xFF, int(rng.integers(256))]))


def scans(data: Bytes, rng: Draw) -> None:
    """A bomb: the first scan again and again."""
    a = next((a for a, _ in _segments(data) if data[a + 1] == 0xDA), 0)
    if a:
        data[:] = data[:-2] + data[a:-2] * int(rng.integers(1, 150)) + b"\xff\xd9"


FAULTS: dict[str, Callable[[Bytes, Draw], None]] = {
    fault.__name__: fault
    for fault in (
        bits, scan_bit, run, truncated, removed, inserted, swapped, repeated,
        soup, dimensions, near, sampling, numbering, tables, scans,
    )
}  # fmt: skip


def mutant(sources: list[bytes], seed: int, number: int) -> tuple[bytes, str]:
    """Mutant `number`: its bytes, and the name of the fault in it. One in four has a second fault on top."""
    rng = draw(seed, number)
    data = bytearray(sources[int(rng.integers(len(sources)))])
    name = list(FAULTS)[number % len(FAULTS)]
    FAULTS[name](data, rng)
    if data and rng.random() < 0.25:
        FAULTS[list(FAULTS)[int(rng.integers(len(FAULTS)))]](data, rng)
    return bytes(data), name
