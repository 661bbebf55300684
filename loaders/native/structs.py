"""The structs that Python and the kernel share: kernel.h and codec.h as ctypes structures.

The records of a batch are NumPy dtypes: see loaders/plan/records.py. `check` compares all of them with the compiled
kernel when it is loaded, so that a kernel built from other sources raises an error instead of giving wrong pixels.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..errors import LoaderError
from ..plan.records import ENTRY, ERASURE, OPERATION, SAMPLE

STATS = ("read_ns", "decode_ns", "resample_ns", "bytes_read", "bytes_decoded", "samples", "cut_ns", "storage_ns")
"""The fields of `EtStats`, int64 each."""

_REMEDY = "run `pip install -e .` in the checkout again"
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


class EtLowPass(ctypes.Structure):
    _fields_ = [
        ("taps", _PTR),
        ("weights", _PTR),
        ("down_even", _PTR),
        ("down_odd", _PTR),
        ("across_even", _PTR),
        ("across_odd", _PTR),
        ("normalise", _PTR),
        ("side", _I32),
        ("room", _I32),
        ("rows_even", _I32),
        ("rows_odd", _I32),
        ("columns_even", _I32),
        ("columns_odd", _I32),
        ("corner", _I32),
    ]


class EtAugment(ctypes.Structure):
    _fields_ = [
        ("operations", _PTR),
        ("erasures", _PTR),
        ("cubic", _PTR),
        ("noise", _PTR),
        ("low_pass", _PTR),
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


class EtInfo(ctypes.Structure):
    _fields_ = [
        ("width", _I32),
        ("height", _I32),
        ("components", _I32),
        ("restart", _I32),
        ("progressive", _I32),
        ("own", _I32),
        ("h", _I32 * 3),
        ("v", _I32 * 3),
    ]


class EtRecord(ctypes.Structure):
    _fields_ = [
        ("offset", ctypes.c_uint64),
        ("size", ctypes.c_uint64),
        ("table", ctypes.c_uint64),
        ("width", ctypes.c_uint32),
        ("height", ctypes.c_uint32),
        ("head", ctypes.c_uint32),
        ("rows", ctypes.c_uint32),
    ]


class _EtField(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("offset", ctypes.c_uint32), ("size", ctypes.c_uint32)]


SHARED: dict[str, Any] = {
    "EtEntry": ENTRY,
    "EtSample": SAMPLE,
    "EtOperation": OPERATION,
    "EtErasure": ERASURE,
    "EtStats": np.dtype([(name, "<i8") for name in STATS]),
    **{struct.__name__: struct for struct in (EtFilter, EtLowPass, EtAugment, EtBatch, EtCutBatch, EtInfo, EtRecord)},
}
"""Python's description of each struct of the C ABI: a NumPy dtype or a ctypes structure."""

Layout = dict[str, tuple[int, int]]
"""A struct's fields: name -> offset and size in bytes."""


def kernel_layouts(kernel: ctypes.CDLL) -> dict[str, Layout]:
    """The layout of every shared struct as the kernel was compiled."""
    count = ctypes.c_int32()
    kernel.et_fields.argtypes, kernel.et_fields.restype = (_PTR,), ctypes.POINTER(_EtField)
    fields = kernel.et_fields(ctypes.byref(count))
    layouts: dict[str, Layout] = {}
    for field in fields[: count.value]:
        struct, name = field.name.decode().split(".")
        layouts.setdefault(struct, {})[name] = (field.offset, field.size)
    return layouts


def layout(struct: Any) -> Layout:
    """The layout of a NumPy dtype or a ctypes structure."""
    if isinstance(struct, np.dtype):
        return {name: (offset, kind.itemsize) for name, (kind, offset, *_) in (struct.fields or {}).items()}
    fields = ((name, getattr(struct, name)) for name, *_ in struct._fields_)
    return {name: (field.offset, field.size) for name, field in fields}


def check(kernel: ctypes.CDLL, functions: Iterable[str] = ()) -> None:
    """Compares every shared struct, field by field, and looks for the functions.

    Raises:
        LoaderError: the kernel was built from other sources; the message names the first difference.
    """
    for name in ("et_fields", *functions):
        if not hasattr(kernel, name):
            what = f"is of another version than this package: it has no {name}"
            raise LoaderError(f"the C++ kernel {kernel._name} {what}; {_REMEDY}")
    theirs = kernel_layouts(kernel)
    for struct, description in SHARED.items():
        mine, built = layout(description), theirs.get(struct, {})
        for name in {**mine, **built}:
            if mine.get(name) != built.get(name):
                raise LoaderError(
                    f"the C++ kernel {kernel._name} is of another version than this package: {struct}.{name} has "
                    f"(offset, size) {built.get(name)} in the kernel and {mine.get(name)} in Python; {_REMEDY}"
                )
