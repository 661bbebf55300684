"""The FFCV backend delivers what the torch backend delivers, bit for bit, and as readily."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from numba.core.event import install_recorder

from loaders import Loader, convert
from loaders.errors import BadDataset, LoaderError
from loaders.plugins import BACKENDS
from tests.contract import check_resume, digest, make

pytestmark = pytest.mark.ffcv


@pytest.fixture(scope="module")
def loader(beton: Path) -> Iterator[Loader]:
    with make(beton, backend="ffcv") as loader:
        yield loader


def both(data: Path, **options: Any) -> tuple[Loader, Loader]:
    return make(data, backend="torch", **options), make(data, backend="ffcv", **options)


def check_equal(ours: Loader, reference: Loader, epochs: int = 1) -> None:
    for _ in range(epochs):
        got, wanted = list(ours), list(reference)
        assert [len(labels) for _, labels in got] == [len(labels) for _, labels in wanted]
        assert {labels.dtype for _, labels in got} == {torch.int64}
        assert digest(got) == digest(wanted)


STAGES: tuple[dict[str, Any], ...] = (
    {"resolution": 16, "batch_size": 7, "magnitude": None},
    {"resolution": 96, "batch_size": 4, "magnitude": 5},
    {"resolution": 224, "batch_size": 24, "magnitude": None},
)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_stages_and_epochs_equal_the_torch_backends(beton: Path, workers: int, train: bool) -> None:
    reference, ours = both(beton, num_workers=workers, train=train, drop_last=False, seed=11)
    with reference, ours:
        for stage in (*STAGES, STAGES[0]):
            reference.set_stage(**stage)
            ours.set_stage(**stage)
            assert len(ours) == len(reference)
            check_equal(ours, reference, epochs=2)


@pytest.mark.parametrize(
    "options",
    [
        {
            "dtype": dtype,
            "max_level": level,
            "interpolation": interpolation,
            "shuffle": shuffle,
            "prefetch_factor": prefetch,
        }
        for (dtype, shuffle), (level, interpolation), prefetch in product(
            (("float32", "quasi"), ("bfloat16", False)),
            ((None, "lanczos"), (0, "bicubic"), (1, "fourier")),
            (1, 3),
        )
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
def test_every_option_means_the_same(beton: Path, options: dict[str, Any]) -> None:
    reference, ours = both(beton, **options)
    with reference, ours:
        check_equal(ours, reference)


@pytest.mark.parametrize("drop_last", [True, False])
@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_share_the_order(beton: Path, monkeypatch: pytest.MonkeyPatch, world_size: int, drop_last: bool) -> None:
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_rank", lambda: 0)
    monkeypatch.setattr(dist, "get_world_size", lambda: world_size)
    reference, ours = both(beton, batch_size=5, drop_last=drop_last)
    with reference, ours:
        for rank in range(world_size):
            monkeypatch.setattr(dist, "get_rank", lambda rank=rank: rank)
            for side in (reference, ours):
                side.set_epoch(3 + rank)
            check_equal(ours, reference)


@pytest.mark.parametrize("rank", range(3))
def test_the_batch_before_the_last_may_be_smaller(beton: Path, rank: int) -> None:
    """22 samples leave one for the last batches of 3 ranks, which take two from the batches before them."""
    reference, ours = both(beton, batch_size=7, train=False, indices=range(22), rank=rank, world_size=3)
    with reference, ours:
        assert [len(labels) for _, labels in reference] == [7 if rank == 0 else 6, 1]
        check_equal(ours, reference)


def test_betons_that_ffcv_wrote(ffcv_beton: Path) -> None:
    for options in ({"train": True}, {"train": False, "drop_last": False}):
        reference, ours = both(ffcv_beton, resolution=64, **options)
        with reference, ours:
            check_equal(ours, reference, epochs=2)


def test_further_fields_are_left_out(mixed: Path, ffcv_beton: Path) -> None:
    with make(mixed, backend="ffcv") as ours, make(ffcv_beton, backend="torch") as reference:
        check_equal(ours, reference)


def test_a_field_of_unknown_type_is_named(mixed: Path, tmp_path: Path) -> None:
    data = bytearray(mixed.read_bytes())
    data[24] = 255  # type of the first field
    (tmp_path / "custom.beton").write_bytes(data)
    with pytest.raises(BadDataset, match="field types 0 to 6 are known, got 255"):
        make(tmp_path / "custom.beton", backend="ffcv")


def test_an_image_folder_is_refused(jpeg_folder: Path) -> None:
    with pytest.raises(ValueError, match=r'reads a single beton, got .*; pass backend="torch"'):
        make(jpeg_folder / "train", backend="ffcv")


@pytest.mark.parametrize("at", [0, 2, 4, 6])
def test_resume(beton: Path, at: int) -> None:
    check_resume(lambda: make(beton, backend="ffcv"), at)


def test_a_state_moves_between_backends(beton: Path) -> None:
    reference, ours = both(beton)
    with reference, ours:
        wanted = list(reference)
        reference.set_epoch(0)
        epoch = iter(reference)
        got = [next(epoch), next(epoch)]
        ours.load_state_dict(reference.state_dict())
        epoch.close()  # type: ignore[attr-defined]
        assert digest([*got, *ours]) == digest(wanted)


def test_a_new_stage_compiles_nothing(beton: Path) -> None:
    with install_recorder("numba:compile") as compilations, make(beton, backend="ffcv") as loader:
        list(loader)
        before = len(compilations.buffer)
        assert before > 0
        for stage in STAGES:
            loader.set_stage(**stage)
            next(iter(loader))
        assert len(compilations.buffer) == before


def test_stats_count_every_sample(beton: Path) -> None:
    reference, ours = both(beton)
    with reference, ours:
        list(reference), list(ours)
        counted = {"samples", "bytes_read", "bytes_decoded"}
        assert {key: ours.stats()[key] for key in counted} == {key: reference.stats()[key] for key in counted}
        epoch = iter(ours)
        next(epoch)
        assert ours.stats()["samples"] > reference.stats()["samples"]


def test_threads_of_torch_stay_as_they_are(beton: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        with make(beton, backend="ffcv", num_workers=1) as loader:
            assert torch.get_num_threads() == before + 1
            list(loader)
            assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_missing_ffcv_is_told_in_one_line(beton: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("loaders.backends.ffcv")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ffcv.loader", None)
    monkeypatch.setitem(BACKENDS, "ffcv", ".backends.ffcv:FFCVBackend")  # as before its first use
    with pytest.raises(LoaderError, match=r"need FFCV \([^\n]*\); apt install [^\n]*$"):
        make(beton, backend="ffcv")


def test_a_fork_is_told_to_make_its_own(loader: Loader) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            list(loader)
        except LoaderError as error:
            os._exit(17 if "made before a fork" in str(error) else 18)
        os._exit(19)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 17


@pytest.mark.parametrize("types", [{"label": "int", "age": "float"}, {"age": "float"}], ids=["label", "no label"])
def test_further_fields(jpeg_folder: Path, tmp_path: Path, types: dict[str, str]) -> None:
    files = sorted((jpeg_folder / "train").rglob("*.jpg"))
    samples = [{"image": path, "label": k % 2, "age": k / 4} for k, path in enumerate(files)]
    convert(samples, tmp_path / "x.beton", fields=types, workers=1)
    fields = ("image", "index", *types)
    reference, ours = both(tmp_path / "x.beton", fields=fields, batch_size=7, drop_last=False)
    with reference, ours:
        for _ in range(2):
            for got, wanted in zip(ours, reference, strict=True):
                assert all(torch.equal(a, b) for a, b in zip(got, wanted, strict=True))
