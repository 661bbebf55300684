from __future__ import annotations

import struct
from pathlib import Path

import pytest

from loaders.errors import BadDataset
from loaders.sources.open import open_source
from loaders.sources.tfrecord import TFRecord, _masked_crc, parse_example
from tests.loaders.sources.tf_files import crc


def record(data: bytes) -> bytes:
    head = struct.pack("<Q", len(data))
    return head + crc(head) + data + crc(data)


def part(number: int, data: bytes) -> bytes:
    """A field of a message that holds bytes; lengths below 128 only."""
    return bytes([number << 3 | 2, len(data)]) + data


def example(**features: bytes) -> bytes:
    entries = [part(1, part(1, name.encode()) + part(2, value)) for name, value in features.items()]
    return b"\x0a" + bytes([sum(map(len, entries))]) + b"".join(entries)


def test_the_crc_is_castagnolis() -> None:
    crc32c = 0xE3069283  # of this text, by RFC 3720
    assert _masked_crc(b"123456789") == ((crc32c >> 15 | crc32c << 17) + 0xA282EAD8) & 0xFFFFFFFF


def test_lists_packed_or_not() -> None:
    data = example(
        one=part(1, part(1, b"x")),
        floats=part(2, part(1, struct.pack("<2f", 0.5, 2))),
        packed=part(3, part(1, b"\x01\xac\x02" + b"\xff" * 9 + b"\x01")),
        plain=part(3, b"\x08\x07\x08\x09"),
        none=b"",
    )
    assert parse_example(data) == {
        "one": b"x",
        "floats": [0.5, 2.0],
        "packed": [1, 300, -1],
        "plain": [7, 9],
        "none": [],
    }


def test_records_that_are_no_samples_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "x.tfrecord"
    path.write_bytes(record(b"\xff\xff") + record(example(size=part(3, b"\x08\x07"))) + record(b""))
    source = open_source(path)
    assert isinstance(source, TFRecord) and len(source) == 3
    told = [sample.problem for sample in source.samples()]
    assert "is no tf.train.Example" in told[0]
    assert told[1] == "has no bytes 'image/encoded'; its features are size"
    assert [sample.name for sample in source.samples(2)] == ["x.tfrecord record 2"]


def test_data_are_compared_with_their_crc(tmp_path: Path) -> None:
    path = tmp_path / "x.tfrecord"
    sound = b"".join(record(example(image=part(1, part(1, bytes([k]) * 40)))) for k in range(3))
    path.write_bytes(sound.replace(bytes([1]) * 40, bytes([1]) * 39 + b"\0"))
    told = [sample.problem for sample in open_source(path, image_column="image").samples()]
    assert told == ["", "is damaged, its data do not have their CRC; copy the file again", ""]


@pytest.mark.parametrize(
    ("keep", "told"), [(-1, "cut short"), (20, "not a valid TFRecord file at byte 18"), (5, "byte 0")]
)
def test_damage_is_told(tmp_path: Path, keep: int, told: str) -> None:
    path = tmp_path / "x.tfrecord"
    path.write_bytes((record(b"ab") + record(b"cd"))[:keep])
    with pytest.raises(BadDataset, match=told):
        open_source(path)
    path.write_bytes(b"this is a text and no TFRecord file")
    with pytest.raises(BadDataset, match="not a valid TFRecord file at byte 0"):
        open_source(path)
