"""The wheel in empty environments, in a project that has a `loaders` and a `tools` of its own. Needs `make wheel`.

The interpreter of the tests lends its torch, so that nothing is downloaded. Other versions of Python, where installed,
get NumPy, Pillow and tqdm from the package index; they convert, verify and decode, which takes no torch.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from loaders import Loader, open_dataset
from loaders.native.kernel import builds

ROOT = Path(__file__).resolve().parent.parent
WHEELS = sorted((ROOT / "dist").glob(f"efficienttrain-*-py3-none-*_{platform.machine()}.whl"))
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not WHEELS, reason="needs a wheel: make wheel")]
EMULATED = ("structs", "decode", "transcode", "pool")
"""Tests of the kernel that run for arm64, without torch: in an emulator they take a minute."""
STARTS_PYTHON = "tests/loaders/native/test_pool.py::test_garbage_in_any_order_neither_hangs_nor_crashes"
"""Not run for arm64: it starts Python in a process of its own, which would not be emulated."""
USE = """
import hashlib, json, sys
import loaders, tools
from efficienttrain import Loader, convert
convert("photos/train", "api.beton", workers=1)
digest = hashlib.sha256()
with Loader("api.beton", 4, resolution=32) as loader:
    for images, labels in loader:
        digest.update(images.numpy().tobytes() + labels.numpy().tobytes())
print(json.dumps([digest.hexdigest(), loaders.MINE, tools.MINE, sys.modules[Loader.__module__].__file__]))
"""


@pytest.fixture
def project(jpeg_folder: Path, tmp_path: Path) -> Path:
    """A training project: photographs, and two packages whose names are also ours."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "photos").symlink_to(jpeg_folder)
    for name in ("loaders", "tools"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("MINE = True\n")
    return folder


def clean() -> dict[str, str]:
    """The environment without the variables that lead to a checkout."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "ETL_", "VIRTUAL_ENV"))}


def environment(python: str, place: Path, *packages: str) -> Path:
    """A virtual environment with the wheel and these packages, by uv where it is installed; returns its bin/."""
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    target = str(place / "bin" / "python")
    make = [uv, "venv", "--quiet", "--python", python] if uv else [python, "-m", "venv"]
    pip = [uv, "pip", "install", "--quiet", "--python", target] if uv else [target, "-m", "pip", "install", "--quiet"]
    subprocess.run([*make, str(place)], env=clean(), check=True)
    subprocess.run([*pip, "--no-deps", str(WHEELS[-1])], env=clean(), check=True)
    if packages:
        subprocess.run([*pip, *packages], env=clean(), check=True)
    return place / "bin"


def said(command: list[str | Path], cwd: Path) -> str:
    done = subprocess.run([str(word) for word in command], cwd=cwd, env=clean(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def lent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """bin/ of an environment that also sees this interpreter's packages, but not its editable installs."""
    place = tmp_path_factory.mktemp("wheel") / "env"
    found = environment(sys.executable, place)
    library = next((place / "lib").glob("python*")) / "site-packages"
    (library / "zz_lent.pth").write_text(f"{sysconfig.get_paths()['purelib']}\n")
    return found


def test_a_project_with_our_names_imports_loads_and_gets_the_same_batches(lent: Path, project: Path) -> None:
    digest, mine, my_tools, where = json.loads(said([lent / "python", "-c", USE], project).splitlines()[-1])
    assert mine and my_tools and where.startswith(str(lent.parent))
    expected = hashlib.sha256()
    with Loader(project / "api.beton", 4, resolution=32) as loader:
        for images, labels in loader:
            expected.update(images.numpy().tobytes() + labels.numpy().tobytes())
    assert digest == expected.hexdigest()


@pytest.mark.parametrize("start", ["script", "module"])
def test_the_command_works_there(lent: Path, project: Path, start: str) -> None:
    command: list[str | Path] = (
        [lent / "efficienttrain"] if start == "script" else [lent / "python", "-m", "efficienttrain"]
    )
    assert "24 images" in said([*command, "convert", "photos/train", "x.beton", "--quiet"], project)
    assert "sound" in said([*command, "verify", "x.beton", "--quiet"], project)
    assert "24 of 3 classes" in said([*command, "inspect", "x.beton"], project)
    if start == "script":
        return
    options = ["--peers", "ours-full", "--resolutions", "32", "--repeat-to", "0", "--rounds", "1", "--seconds", "0.1"]
    options += ["--threads", "1", "--batch-size", "8", "--json", "r.json"]
    said([*command, "benchmark", "throughput", "--data", "photos/train", *options], project)
    assert json.loads((project / "r.json").read_text())["results"]


def test_the_kernel_has_the_instruction_sets_of_the_checkouts(lent: Path, project: Path) -> None:
    script = "from efficienttrain._loaders import package; import importlib; name = package().__name__"
    script += "; print(importlib.import_module(name + '.native.kernel').builds())"
    assert said([lent / "python", "-c", script], project).strip() == str(builds())


def test_a_search_runs_its_probes_there(lent: Path, project: Path) -> None:
    """A probe is a process of its own, `python -m efficienttrain.search.probe_process`, started in this folder."""
    (project / "rules.py").write_text(
        "import loaders\nfrom efficienttrain import Loader\n\n"
        "def score(task):\n    assert 'project' not in Loader.__module__\n    return float(loaders.MINE)\n"
    )
    options = ["--algorithm", "sequential", "--stages", "2", "--resolutions", "160", "224", "--rule", "rules:score"]
    said([lent / "python", "-m", "efficienttrain", "search", *options, "--out", "run"], project)
    assert (project / "run" / "curriculum.yaml").exists()


def interpreters() -> list[str]:
    """Interpreters of other versions of Python, 3.10 or newer, on the path or of pyenv."""
    found = []
    for minor in range(10, 15):
        if minor != sys.version_info.minor:
            places = Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python")
            paths = [shutil.which(f"python3.{minor}") or "", *map(str, places)]
            works = [
                path for path in paths if path and subprocess.run([path, "-V"], capture_output=True).returncode == 0
            ]
            found += works[:1]
    return found


@pytest.mark.parametrize("python", interpreters() or [pytest.param("", marks=pytest.mark.skip("only one Python here"))])
def test_other_versions_of_python_convert_and_decode_the_same(python: str, project: Path, tmp_path: Path) -> None:
    command = environment(python, tmp_path / "env", "numpy", "pillow", "tqdm") / "efficienttrain"
    said([command, "convert", "photos/train", "x.beton", "--quiet"], project)
    said([command, "inspect", "x.beton", "--index", "3", "--resolution", "64", "--png", "x.png"], project)
    for arguments in (
        ["convert", project / "photos" / "train", project / "y.beton", "--quiet"],
        ["inspect", project / "x.beton", "--index", "3", "--resolution", "64", "--png", project / "y.png"],
    ):
        said([sys.executable, "-m", "efficienttrain", *arguments], ROOT)
    with open_dataset(project / "x.beton") as theirs, open_dataset(project / "y.beton") as ours:
        records = [(k, level) for k in range(len(ours)) for level in range(len(ours.ratios))]
        assert [theirs.read(*record) for record in records] == [ours.read(*record) for record in records]
    assert (project / "x.png").read_bytes() == (project / "y.png").read_bytes()


@pytest.mark.skipif(
    not shutil.which("qemu-aarch64-static") or not list((ROOT / "dist").glob("efficienttrain-*_aarch64.whl")),
    reason="needs qemu-user-static and a wheel: make wheel-aarch64",
)
def test_arm64_has_the_pinned_hashes_and_passes_the_kernels_tests() -> None:
    kernel = ROOT / "build" / "wheel" / "emulated" / "site" / "loaders" / "native" / "_kernel.so"
    tests = [f"tests/loaders/{name}.py" for name in ("test_hashes", *(f"native/test_{name}" for name in EMULATED))]
    options = ["-q", "-p", "no:cacheprovider", "--deselect", STARTS_PYTHON]
    done = subprocess.run(
        ["bash", str(ROOT / "tools" / "wheel" / "emulated.sh"), "-m", "pytest", *options, *tests],
        cwd=ROOT,
        env={**clean(), "ETL_KERNEL": str(kernel)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout[-3000:] + done.stderr[-1000:]
