"""Finds and loads the compiled kernel."""

from __future__ import annotations

import ctypes
import os
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any

from ..errors import LoaderError
from . import structs

_I32, _I64, _PTR = ctypes.c_int32, ctypes.c_int64, ctypes.c_void_p
_FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "et_pool_new": (_PTR, (_I32,)),
    "et_pool_free": (None, (_PTR,)),
    "et_pool_stats": (None, (_PTR, _PTR)),
    "et_pool_readers": (_I32, (_PTR,)),
    "et_submit": (None, (_PTR, _PTR, _PTR)),
    "et_submit_cut": (None, (_PTR, _PTR, _PTR)),
    "et_ticket_wait": (_I32, (_PTR, _I32)),
    "et_ticket_free": (None, (_PTR,)),
    "et_peek_files": (None, (_PTR, _PTR, _I64, _PTR, _PTR, _PTR)),
    "et_resample": (_I32, (_PTR, _I32, _I32, _PTR, _PTR, _I32, _PTR)),
    "et_finish_one": (_I32, (_PTR, _I64, _PTR, _PTR)),
    "et_crc32c": (ctypes.c_uint32, (ctypes.c_char_p, _I64)),
    "et_build": (ctypes.c_char_p, (_I32,)),
}
"""The functions of kernel.h that Python calls: result and arguments."""


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL:
    """The kernel, its functions declared as in kernel.h. Calls release the GIL.

    The environment variable ETL_KERNEL names another build of it (for example with sanitizers).

    Raises:
        LoaderError: it has not been built, does not load here, or is of another version than this Python code.
    """
    beside = Path(__file__).with_name("_kernel.so")
    built = Path(os.environ.get("ETL_KERNEL") or beside)
    if not built.exists():
        raise LoaderError(
            f"the C++ kernel {built.name} is not built; run `pip install -e .` in the checkout, "
            "which needs g++ and libjpeg-dev"
        )
    try:
        kernel = ctypes.CDLL(str(built))
    except OSError as error:
        raise LoaderError(
            f"the C++ kernel does not load: {error}; build it again here with `pip install -e .` in the checkout"
        ) from None
    structs.check(kernel, _FUNCTIONS)
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(kernel, name)
        function.restype, function.argtypes = result, arguments
    return kernel


def crc32c(data: bytes) -> int:
    """The CRC-32C (Castagnoli) of some bytes."""
    return int(library().et_crc32c(data, len(data)))


def builds() -> list[str]:
    """The builds of the kernel's inner loops that this processor runs; the first, the fastest, is used."""
    return [name.decode() for name in iter(map(library().et_build, count()).__next__, None)]
