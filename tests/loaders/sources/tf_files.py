"""TFRecord files, written without TensorFlow."""

from __future__ import annotations

import struct

from loaders.sources.tfrecord import _masked_crc


def message(number: int, data: bytes) -> bytes:
    """A field of a protocol buffer that holds bytes: its key, their length, the bytes."""
    length, size = b"", len(data)
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + data


def tf_record(data: bytes) -> bytes:
    """A record: length and its check, data and theirs."""
    head = struct.pack("<Q", len(data))
    return head + crc(head) + data + crc(data)


def crc(data: bytes) -> bytes:
    return struct.pack("<I", _masked_crc(data))
