"""The kernel's structs of kernel.h as ctypes has them. Its records are NumPy's: see loaders/plan/records.py."""

from __future__ import annotations

import ctypes

from ..plan.records import ENTRY, ERASURE, OPERATION, SAMPLE

STATS = ("read_ns", "decode_ns", "resample_ns", "bytes_read", "bytes_decoded", "samples", "cut_ns")
"""The fields of `EtStats`, int64 each."""

_I32, _I64, _PTR = ctypes.c_int32, ctypes.c_int64, ctypes.c_void_p


class EtFilter(ctypes.Structure):
    _fields_ = [
        ("table", _PTR),
        ("radius", _PTR),
        ("rows", _I32),
        ("columns", _I32),
        ("steps", _I32),
        ("base", _I32),
        ("stretch_step", ctypes.c_float),
    ]


class EtAugment(ctypes.Structure):
    _fields_ = [
        ("operations", _PTR),
        ("erasures", _PTR),
        ("cubic", _PTR),
        ("noise", _PTR),
        ("steps", _I32),
        ("fill", ctypes.c_uint8 * 4),
    ]


class EtBatch(ctypes.Structure):
    _fields_ = [
        ("samples", _PTR),
        ("count", _I64),
        ("filter", EtFilter),
        ("fd", _I32),
        ("side", _I32),
        ("out", _PTR),
        ("lut", _PTR),
        ("element", _I32),
        ("channels_last", _I32),
        ("status", _PTR),
        ("messages", _PTR),
        ("augment", EtAugment),
    ]


class EtCutBatch(ctypes.Structure):
    _fields_ = [
        ("samples", _PTR),
        ("count", _I64),
        ("fd", _I32),
        ("out", _PTR),
        ("slots", _PTR),
        ("sizes", _PTR),
        ("origins", _PTR),
        ("status", _PTR),
        ("messages", _PTR),
    ]


def sizes() -> tuple[int, ...]:
    """Bytes of each struct, in the order of the kernel's `et_sizes`."""
    records = (ENTRY, SAMPLE, OPERATION, ERASURE)
    return (*(r.itemsize for r in records), ctypes.sizeof(EtBatch), ctypes.sizeof(EtCutBatch), 8 * len(STATS))
