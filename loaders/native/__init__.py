"""The C++ kernel from Python: the pool that loading runs on, and the codec that conversion runs on."""

from ..plan.records import ENTRY, ERASURE, OPERATION, SAMPLE
from .augmentation import Augment, LowPass
from .codec import JpegError, JpegInfo, Record, cut, decode, encode, peek, transcode
from .cutting import Cutting
from .kernel import crc32c
from .pool import (
    BAD_ARGUMENT,
    DAMAGED,
    EXHAUSTED,
    IO_ERROR,
    OK,
    UNSUPPORTED,
    KernelBatch,
    KernelOptions,
    Pool,
    PoolBatch,
    finished,
    peek_files,
    resample,
)

__all__ = [
    "Augment",
    "BAD_ARGUMENT",
    "Cutting",
    "DAMAGED",
    "ENTRY",
    "ERASURE",
    "EXHAUSTED",
    "IO_ERROR",
    "JpegError",
    "JpegInfo",
    "KernelBatch",
    "KernelOptions",
    "LowPass",
    "OK",
    "OPERATION",
    "Pool",
    "PoolBatch",
    "Record",
    "SAMPLE",
    "UNSUPPORTED",
    "crc32c",
    "cut",
    "decode",
    "encode",
    "finished",
    "peek",
    "peek_files",
    "resample",
    "transcode",
]
