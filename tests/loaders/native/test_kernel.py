from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from loaders import LoaderError
from loaders.native.kernel import library


def loading(before: str, **variables: str) -> str:
    """What another process prints that runs `before` and then loads the kernel."""
    code = f"{before}\nfrom loaders.native.kernel import builds\nprint(builds())"
    environment = {**os.environ, **variables}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120)
    return done.stdout + done.stderr


@pytest.mark.skipif(sys.platform != "linux" or shutil.which("c++") is None, reason="needs Linux and a compiler")
def test_another_library_of_libjpegs_name_is_not_taken_for_it(tmp_path: Path) -> None:
    """As torchvision 0.19 brings one: an older libjpeg under a file name of its own that states the system's name."""
    library()
    names = set(re.findall(r"/(libjpeg\.so\.\d+)", Path("/proc/self/maps").read_text(encoding="utf-8")))
    if not names:
        pytest.skip("libjpeg is a part of this kernel")
    other = tmp_path / "libjpeg-other.so"
    stated = [f"-Wl,-soname,{name}" for name in names]
    subprocess.run(["c++", "-shared", *stated, "-o", other], check=True, timeout=60)
    assert "portable" in loading(f"import ctypes; ctypes.CDLL({str(other)!r})")


def test_a_kernel_that_does_not_load_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "kernel.so"
    broken.write_text("no library")
    monkeypatch.setenv("ETL_KERNEL", str(broken))
    with pytest.raises(LoaderError, match=r"kernel does not load: .*; build it again here with `pip install -e \.`"):
        library.__wrapped__()
