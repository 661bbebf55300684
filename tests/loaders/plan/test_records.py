from __future__ import annotations

from loaders.plan.records import ENTRY, SAMPLE


def test_entry_is_the_40_byte_struct_the_kernel_reads() -> None:
    assert ENTRY.itemsize == 40
    offsets = [ENTRY.fields[name][1] for name in ENTRY.names]
    assert ENTRY.names == ("path", "offset", "size", "rows", "head", "crc", "width", "height", "kind")
    assert offsets == [0, 8, 16, 20, 24, 28, 32, 34, 36]


def test_sample_is_the_72_byte_struct_the_kernel_reads() -> None:
    assert SAMPLE.itemsize == 72
    offsets = [SAMPLE.fields[name][1] for name in SAMPLE.names]
    assert SAMPLE.names == ("entry", "box", "full", "scale", "flip", "margin", "fill", "pad")
    assert offsets == [0, 40, 56, 64, 65, 66, 68, 71]
