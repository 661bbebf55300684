"""The same faults through FFCV and DALI, as far as their packages are installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loaders import Loader
from loaders.beton import layout
from loaders.errors import BadDataset
from tests.robustness import files, load, peers, reading
from tests.robustness.watchdog import watch

BACKENDS = [pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("ffcv", "dali")]


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("run", "tries"), [(files.flips, 1), (files.swaps, 1), (load.consumers, 12)])
def test_damage_swaps_and_odd_consumers(backend: str, run: Any, tries: int) -> None:
    replies = [reply for reply in run(3, tries, backend) if "fault" in reply]
    assert replies and all(reply["tries"] and reply["reproducers"] == [] for reply in replies)


@pytest.mark.parametrize("backend", ["torch", *BACKENDS])
def test_one_bad_image_costs_one_image(backend: str) -> None:
    replies = {reply["fault"]: reply for reply in peers.ours(3, 9, backend) if "fault" in reply}
    assert sum(reply["tries"] for reply in replies.values()) == 9
    for fault, reply in replies.items():
        assert (reply["named"], reply["lost"]) == (3, 0), fault


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_thread_that_raises_is_told_of(backend: str) -> None:
    *_, reply = load.threads(3, 2, backend)
    assert reply["named"] == 2 and reply["reproducers"] == []


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_failing_disk(backend: str, tmp_path: Path) -> None:
    shim = reading.build_shim(tmp_path)
    if shim is None:
        pytest.skip("needs a C compiler")
    env = {"LD_PRELOAD": str(shim)}
    replies = watch("tests.robustness.reading:disk", 120, env=env, seed=3, tries=2, backend=backend)
    told = [reply for reply in replies if "fault" in reply]
    assert [(reply["named"], reply["survived"]) for reply in told] == [(2, 0), (0, 2), (0, 2), (0, 2)]


@pytest.fixture
def forged(tmp_path: Path) -> Iterator[tuple[Path, bytearray]]:
    """A pyramid's path, and its bytes to be changed and written there."""
    path = files.pyramid(tmp_path)
    yield path, bytearray(path.read_bytes())


@pytest.mark.ffcv
def test_labels_of_ffcv_that_the_index_contradicts(forged: tuple[Path, bytearray]) -> None:
    path, data = forged
    first, _ = files.regions(path)["metadata"][0]
    row = layout.metadata_dtype([layout.IMAGE_FIELD, layout.INT_FIELD])
    offset = first + 5 * row.itemsize + int(row.fields["f1"][1])  # type: ignore[index]
    data[offset : offset + 8] = np.int64(1).tobytes()
    path.write_bytes(data)
    with (
        Loader(path, backend="ffcv", batch_size=4, resolution=32, train=False) as loader,
        pytest.raises(BadDataset, match=r"beton: damaged, FFCV's tables give sample 5 the label 1, its index 0"),
    ):
        list(loader)


@pytest.mark.ffcv
@pytest.mark.parametrize(("at", "what"), [(12, "names of its fields"), (0, "needs an image and an int field")])
def test_fields_that_ffcv_cannot_read(forged: tuple[Path, bytearray], at: int, what: str) -> None:
    path, data = forged
    _, (label, _) = files.regions(path)["field descriptors"]
    data[label + at] ^= 0x80 if at else layout.INT_FIELD
    path.write_bytes(data)
    with pytest.raises(BadDataset, match=f"{path.name}: .*{what}"), Loader(path, 8, backend="ffcv") as loader:
        list(loader)
