"""The C++ kernel from Python: the pool that loading runs on, and the codec that conversion runs on."""

from loaders.native.codec import JpegError, JpegInfo, Record, cut, decode, encode, peek, transcode
from loaders.native.cutting import Cutting
from loaders.native.pool import (
    BAD_ARGUMENT,
    DAMAGED,
    IO_ERROR,
    OK,
    UNSUPPORTED,
    Pool,
    Ticket,
    Work,
    peek_files,
    resample,
)
from loaders.plan.records import ENTRY, SAMPLE

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
    "Ticket",
    "UNSUPPORTED",
    "Work",
    "cut",
    "decode",
    "encode",
    "peek",
    "peek_files",
    "resample",
    "transcode",
]
