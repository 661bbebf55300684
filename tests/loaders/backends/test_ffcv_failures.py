"""What goes wrong in FFCV, shown, and what becomes of it here."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from loaders import Loader
from loaders.errors import BadSample, LoaderError
from loaders.sources import open_dataset
from tests.contract import digest, make

pytestmark = pytest.mark.ffcv

Run = Callable[..., subprocess.CompletedProcess[str]]

# FFCV as the scripts below use it; interpreted, because compiling takes its time and changes nothing here.
FFCV_SCRIPT = """
import sys, threading, os
import loaders.backends.ffcv.imports  # imports FFCV quickly
from ffcv.pipeline.compiler import Compiler
Compiler.set_enabled(False)
import torch
from ffcv.fields.decoders import IntDecoder, RandomResizedCropRGBImageDecoder
from ffcv.loader import Loader, OrderOption
from ffcv.transforms import ToTensor

def ffcv_beton(*more):
    pipelines = {"image": [RandomResizedCropRGBImageDecoder((32, 32), scale=(1, 1)), ToTensor(), *more],
                 "label": [IntDecoder(), ToTensor()]}
    return Loader(sys.argv[1], batch_size=4, num_workers=1, order=OrderOption.SEQUENTIAL, pipelines=pipelines)
"""


@pytest.fixture
def damaged(ffcv_beton: Path, tmp_path: Path) -> Path:
    """The beton that FFCV wrote, nothing left of its samples 3 and 17 but the size in the metadata."""
    data = bytearray(ffcv_beton.read_bytes())
    with open_dataset(ffcv_beton) as dataset:
        for entry in dataset.entries([3, 17])[:, 0]:
            start, size = int(entry["offset"]), int(entry["size"])
            data[start : start + size] = bytes(size)
    (tmp_path / "damaged.beton").write_bytes(data)
    return tmp_path / "damaged.beton"


def test_ffcv_delivers_damaged_samples_as_if_nothing_were(damaged: Path, python: Run) -> None:
    script = FFCV_SCRIPT + "print(sum(len(images) for images, _ in ffcv_beton()))"
    assert python(script, damaged).stdout.split()[-1] == "24"


def test_damaged_samples_are_raised(damaged: Path) -> None:
    with (
        make(damaged, backend="ffcv", train=False) as loader,
        pytest.raises(BadSample, match=r"sample 3 .* cannot be used"),
    ):
        list(loader)


def test_damaged_samples_are_replaced(damaged: Path) -> None:
    def loader(backend: str) -> Loader:
        return make(damaged, backend=backend, on_error="replace", drop_last=False)

    with loader("ffcv") as ours, loader("torch") as reference:
        assert digest(list(ours)) == digest(list(reference))
        assert {bad.index for bad in ours.stats()["bad"]} == {3, 17}


def test_ffcv_waits_for_ever_when_its_thread_dies(ffcv_beton: Path, python: Run) -> None:
    script = FFCV_SCRIPT + (
        "class Broken(torch.nn.Module):\n"
        "    def forward(self, images): raise RuntimeError('broken')\n"
        "consumer = threading.Thread(target=lambda: next(iter(ffcv_beton(Broken()))), daemon=True)\n"
        "consumer.start()\n"
        "consumer.join(3)\n"
        "print('waits' if consumer.is_alive() else 'ends', flush=True)\n"
        "os._exit(0)\n"
    )
    assert python(script, ffcv_beton).stdout.split()[-1] == "waits"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_dead_thread_is_told_at_once(beton: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from loaders.backends.ffcv.epoch import Epoch

    begin = Epoch.start_batch

    def broken(self: Epoch, batch: int) -> None:
        begin(self, batch)
        if batch == 2:
            raise MemoryError

    monkeypatch.setattr(Epoch, "start_batch", broken)
    with make(beton, backend="ffcv") as loader:
        epoch = iter(loader)
        next(epoch), next(epoch)
        started = time.perf_counter()
        with pytest.raises(LoaderError, match="FFCV's thread has failed with the error that is printed above"):
            next(epoch)
        assert time.perf_counter() - started < 5
        monkeypatch.undo()
        assert len(list(loader)) == 4  # and the loader is as good as before


def test_ffcv_overwrites_batches(ffcv_beton: Path, python: Run) -> None:
    script = (
        FFCV_SCRIPT
        + "images = [images for images, _ in ffcv_beton()]\nprint(len(images), len({i.data_ptr() for i in images}))"
    )
    assert python(script, ffcv_beton).stdout.split()[-2:] == ["6", "5"]


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_batches_stay_as_they_are(beton: Path, dtype: str) -> None:
    with make(beton, backend="ffcv", batch_size=2, dtype=dtype) as loader:
        kept, copies = [], []
        for images, labels in loader:
            kept.append((images, labels))
            copies.append((images.clone(), labels.clone()))
        list(loader)
        assert digest(kept) == digest(copies)
        assert len({images.data_ptr() for images, _ in kept}) == len({labels.data_ptr() for _, labels in kept}) == 12


def test_ffcv_changes_torchs_threads(ffcv_beton: Path, python: Run) -> None:
    script = "import torch\ntorch.set_num_threads(3)\n" + FFCV_SCRIPT + "ffcv_beton()\nprint(torch.get_num_threads())"
    assert python(script, ffcv_beton).stdout.split()[-1] == "1"


def test_several_loaders_at_once(beton: Path, ffcv_beton: Path) -> None:
    options = ({"data": beton}, {"data": ffcv_beton}, {"data": beton, "seed": 5, "resolution": 64, "num_workers": 1})
    wanted = []
    for option in options:
        with make(backend="torch", **option) as reference:
            wanted.append(digest(list(reference)))
    loaders = [make(backend="ffcv", **option) for option in options]
    together = list(zip(*loaders, strict=True))
    assert [digest([batches[k] for batches in together]) for k in range(len(options))] == wanted

    got: dict[int, str] = {}
    threads = [
        threading.Thread(target=lambda k=k, loader=loader: got.update({k: digest([*loader, *loader])}))
        for k, loader in enumerate(loaders)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(got) == len(options)
    for loader in loaders:
        loader.close()


def test_one_loader_iterated_twice_at_once(beton: Path) -> None:
    with make(beton, backend="ffcv") as loader, make(beton, backend="torch") as reference:
        wanted = [digest(list(reference)) for _ in range(2)]  # two iterators have epochs of their own
        first, second = [], []
        for one, other in zip(loader, loader, strict=True):
            first.append(one)
            second.append(other)
        assert [digest(first), digest(second)] == wanted


@pytest.mark.parametrize("how", ["break", "exception", "garbage", "close"])
def test_ffcvs_thread_ends_with_the_loop(beton: Path, how: str) -> None:
    def running() -> list[str]:
        return [type(thread).__name__ for thread in threading.enumerate() if "Epoch" in type(thread).__name__]

    loader = make(beton, backend="ffcv", batch_size=1)
    epoch = iter(loader)
    next(epoch)
    assert running() == ["EpochIterator"]
    started = time.perf_counter()
    if how == "break":
        for _ in loader:
            break
        epoch.close()  # type: ignore[attr-defined]
    elif how == "exception":
        del epoch
        with pytest.raises(ZeroDivisionError):
            for _ in loader:
                1 / 0  # noqa: B018
    elif how == "garbage":
        del loader, epoch
    else:
        loader.close()
        with pytest.raises(LoaderError):
            next(epoch)
    gc.collect()
    assert running() == []
    assert time.perf_counter() - started < 5


def test_ctrl_c_ends_a_wait(beton: Path) -> None:
    script = (
        "import sys\n"
        "from loaders import Loader\n"
        "loader = Loader(sys.argv[1], batch_size=2, resolution=32, num_workers=1, backend='ffcv')\n"
        "list(loader)\n"
        "print('ready', flush=True)\n"
        "try:\n"
        "    while True:\n"
        "        for batch in loader: pass\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted', flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, beton], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
        time.sleep(0.2)
        heard = threading.Event()

        def press() -> None:  # Python drops an interrupt that meets a finalizer: users press again
            for _ in range(60):
                if heard.wait(1):
                    return
                child.send_signal(signal.SIGINT)
            child.kill()

        child.send_signal(signal.SIGINT)
        pressing = threading.Thread(target=press)
        pressing.start()
        said = child.stdout.readline()
        heard.set()
        pressing.join()
        assert said == "interrupted\n" and child.wait(60) == 0


def test_a_program_may_end_in_the_middle(beton: Path, python: Run) -> None:
    script = (
        "import sys\n"
        "from loaders import Loader\n"
        "loader = Loader(sys.argv[1], batch_size=2, resolution=224, backend='ffcv')\n"
        "epoch = iter(loader)\n"
        "print(len(next(epoch)[0]))\n"
    )
    done = python(script, beton)
    assert done.stdout == "2\n" and done.stderr == ""


def test_memory_follows_the_resolution(beton: Path) -> None:
    """No memory of FFCV's but the labels': FFCV takes the data set's largest image times batch times five."""
    with make(beton, backend="ffcv") as loader:
        epoch = iter(loader)
        next(epoch)
        (ffcv,) = (thread for thread in threading.enumerate() if type(thread).__name__ == "EpochIterator")
        memory = ffcv.memory_allocations["operation"].values()  # type: ignore[attr-defined]
        assert sum(array.nbytes for array in memory if array is not None) <= 8 * 5 * 5
        epoch.close()  # type: ignore[attr-defined]
