from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from loaders.errors import LoaderError
from loaders.native import structs
from loaders.native.kernel import library
from loaders.plan.records import ENTRY, SAMPLE

NATIVE = Path(__file__).resolve().parents[3] / "loaders" / "native"
COMPILER = os.environ.get("CXX", "g++")


def swapped(dtype: np.dtype, first: str, second: str) -> np.dtype:
    """The same dtype with two fields in each other's place."""
    other = {first: second, second: first}
    names = [other.get(name, name) for name in dtype.names or ()]
    return np.dtype([(name, dtype[name]) for name in names])


def test_python_describes_every_struct_of_the_kernel() -> None:
    described = {name: structs.layout(struct) for name, struct in structs.SHARED.items()}
    assert structs.kernel_layouts(library()) == described
    headers = "".join((NATIVE / name).read_text() for name in ("kernel.h", "codec.h"))
    declared = re.findall(r"^struct (Et\w+) \{", headers, re.MULTILINE)
    assert {*declared} - {"EtField"} == {*structs.SHARED}


@pytest.mark.parametrize(
    ("struct", "dtype", "first", "second"),
    [
        ("EtSample", SAMPLE, "scale", "flip"),
        ("EtSample", SAMPLE, "box", "full"),
        ("EtEntry", ENTRY, "width", "height"),
    ],
)
def test_swapped_fields_in_numpy_are_an_error(
    monkeypatch: pytest.MonkeyPatch, struct: str, dtype: np.dtype, first: str, second: str
) -> None:
    monkeypatch.setitem(structs.SHARED, struct, swapped(dtype, first, second))
    with pytest.raises(LoaderError, match=rf"of another version than this package: {struct}\.({first}|{second}) has"):
        library.__wrapped__()  # loads the kernel anew


def test_a_missing_field_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Shorter(ctypes.Structure):
        _fields_ = structs.EtBatch._fields_[:-1]

    monkeypatch.setitem(structs.SHARED, "EtBatch", Shorter)
    with pytest.raises(LoaderError, match=r"EtBatch\.augment has \(offset, size\) .* and None in Python; run `pip"):
        structs.check(library())


def test_a_library_without_the_list_of_fields_is_an_error() -> None:
    with pytest.raises(LoaderError, match="than this package: it has no et_fields; run `pip install"):
        structs.check(ctypes.CDLL(None))
    with pytest.raises(LoaderError, match="it has no et_of_tomorrow; run `pip install"):
        structs.check(library(), ["et_build", "et_of_tomorrow"])


@pytest.mark.skipif(shutil.which(COMPILER) is None, reason=f"needs {COMPILER}")
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("uint8_t scale;", "uint8_t flip;"),  # of EtSample
        ("float box[4];", "float full[2];"),
        ("uint32_t rows;", "uint32_t head;"),  # of EtEntry
        ("float argument;", "int32_t map[6];"),  # of EtOperation
    ],
)
def test_swapped_fields_in_c_do_not_compile(tmp_path: Path, first: str, second: str) -> None:
    text = (NATIVE / "kernel.h").read_text()
    assert text.count(first) == text.count(second) == 1
    (tmp_path / "kernel.h").write_text(text.replace(first, "@").replace(second, first).replace("@", second))
    done = syntax(tmp_path / "kernel.h")
    assert done.returncode and "static assertion failed" in done.stderr


@pytest.mark.skipif(shutil.which(COMPILER) is None, reason=f"needs {COMPILER}")
def test_the_header_compiles_as_it_is() -> None:
    assert syntax(NATIVE / "kernel.h").returncode == 0


def syntax(header: Path) -> subprocess.CompletedProcess[str]:
    command = [COMPILER, "-std=c++17", "-fsyntax-only", "-x", "c++", str(header)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_abi_holds_only_functions_that_the_package_calls() -> None:
    headers = "".join((NATIVE / name).read_text() for name in ("kernel.h", "codec.h"))
    declared = {*re.findall(r"\b(et_\w+)\(", headers)}
    called = {*re.findall(r"\bet_\w+", "".join(path.read_text() for path in NATIVE.glob("*.py")))}
    assert len(declared) > 15 and declared == called & declared
