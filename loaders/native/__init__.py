"""The C++ kernel from Python: the pool that loading runs on, and the codec that conversion runs on."""

from ..plan.records import ENTRY, SAMPLE
from .codec import JpegError, JpegInfo, Record, cut, decode, encode, peek, transcode
from .cutting import Cutting
from .pool import (
    BAD_ARGUMENT,
    DAMAGED,
    IO_ERROR,
    OK,
    UNSUPPORTED,
    KernelBatch,
    PendingBatch,
    Pool,
    peek_files,
    resample,
)

__all__ = [
    "BAD_ARGUMENT",
    "Cutting",
    "DAMAGED",
    "ENTRY",
    "IO_ERROR",
    "JpegError",
    "JpegInfo",
    "OK",
    "Pool",
    "Record",
    "SAMPLE",
    "PendingBatch",
    "UNSUPPORTED",
    "KernelBatch",
    "cut",
    "decode",
    "encode",
    "peek",
    "peek_files",
    "resample",
    "transcode",
]
