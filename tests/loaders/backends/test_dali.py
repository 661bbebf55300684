"""The DALI backend: the torch backend's batches but for how DALI decodes, on both of its routes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from loaders import BadSample, Loader
from tests.contract import check_resume, digest, make

pytestmark = pytest.mark.dali

Make = Callable[..., Loader]


@pytest.fixture(params=["host", "graph"])
def dali(request: pytest.FixtureRequest) -> Make:
    """Loaders that run on DALI: as on a CPU, and with the graph that a GPU gets, which works on a CPU too."""

    def make_on(data: Path, **options: Any) -> Loader:
        loader = make(data, backend="dali", **options)
        if request.param == "graph":
            from loaders.backends.dali.routes import InGraph

            backend: Any = loader._backend
            bicubic = options.get("interpolation") == "bicubic"
            backend._route = InGraph(
                backend._decoder, backend._route._pipeline, backend._clock, bicubic=bicubic, prefetch=1
            )
        return loader

    return make_on


def psnr(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """dB, of each image."""
    error = (one.double() - other.double()).square().flatten(1).mean(dim=1)
    return 10 * torch.log10(255**2 / error.clamp(min=1e-6))


def near(ours: list[Any], wanted: list[Any], least: float = 40) -> bool:
    """Same labels, and the median image is `least` dB away, or nearer."""
    assert all(torch.equal(a[1], b[1]) for a, b in zip(ours, wanted, strict=True))
    return bool(psnr(torch.cat([a for a, _ in ours]), torch.cat([b for b, _ in wanted])).median() >= least)


@pytest.mark.parametrize("options", [{"train": True}, {"train": False}, {"max_level": 0}, {"interpolation": "bicubic"}])
@pytest.mark.parametrize("resolution", [32, 96])
def test_pixels_are_the_torch_backends(beton: Path, dali: Make, resolution: int, options: dict[str, Any]) -> None:
    with dali(beton, resolution=resolution, **options) as ours, make(beton, resolution=resolution, **options) as torchs:
        wanted = list(torchs)
        assert near(list(ours), wanted)
        assert not near([(images.flip(3), labels) for images, labels in wanted], wanted)  # it can fail


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_float_output_is_the_normalised_uint8(beton: Path, dtype: str) -> None:
    with make(beton, backend="dali") as plain, make(beton, backend="dali", dtype=dtype) as loader:
        for (pixels, _), (images, _) in zip(plain, loader, strict=True):
            mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
            wanted = (pixels.float() / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1)
            torch.testing.assert_close(images, wanted.to(images.dtype), rtol=1e-2, atol=1e-2)


def test_a_stage_rebuilds_nothing_unless_batches_grow(beton: Path, dali: Make) -> None:
    with dali(beton) as loader, make(beton, resolution=64, batch_size=4) as torchs:
        list(loader)
        (graph,) = loader._backend._idle  # type: ignore[attr-defined]
        pipeline = graph._pipeline
        loader.set_stage(resolution=64, batch_size=4)
        loader.set_epoch(0)
        assert near(list(loader), list(torchs))
        loader.set_stage(magnitude=5)
        list(loader)
        assert loader._backend._idle[0]._pipeline is pipeline is not None  # type: ignore[attr-defined]
        loader.set_stage(batch_size=6)
        assert [len(labels) for _, labels in loader] == [6, 6, 6, 6]


@pytest.mark.parametrize("at", [0, 3, 5])
def test_resume_is_exact_with_partial_batches(beton: Path, dali: Make, at: int) -> None:
    check_resume(lambda: dali(beton, drop_last=False), at)


def test_a_state_moves_to_and_from_the_torch_backend(beton: Path, dali: Make) -> None:
    with dali(beton) as ours, make(beton) as torchs:
        for here, there in ((ours, torchs), (torchs, ours)):
            here.set_epoch(1), there.set_epoch(0)
            wanted = torch.cat([labels for _, labels in here])
            here.set_epoch(1)
            epoch = iter(here)
            first = torch.cat([next(epoch)[1], next(epoch)[1]])
            there.load_state_dict(here.state_dict())
            assert torch.equal(torch.cat([first, *(labels for _, labels in there)]), wanted)
            here.set_epoch(0)


def test_empty_batches_do_not_reach_dali(beton: Path, dali: Make) -> None:
    with dali(beton) as loader:
        backend = loader._backend
        none, some = np.arange(0), np.arange(3)
        assert [len(batch.labels) for batch in backend.run(loader.stage, 0, [none, some, none])] == [3]
        assert list(backend.run(loader.stage, 0, [none])) == list(backend.run(loader.stage, 0, [])) == []


def test_a_batch_is_never_written_again(beton: Path, dali: Make) -> None:
    with dali(beton) as loader:
        kept = [images for _ in range(3) for images, _ in loader]
        before = [images.clone() for images in kept]
        for _ in range(3):
            list(loader)
        kept[0].fill_(7)  # the user's to write to
        assert all(torch.equal(a, b) for a, b in zip(kept[1:], before[1:], strict=True))
    assert torch.equal(kept[-1], before[-1])


def test_two_loaders_and_two_iterators_at_once(beton: Path, dali: Make) -> None:
    with dali(beton) as train, dali(beton, train=False) as val:
        wanted, other = list(train), list(val)
        train.set_epoch(0), val.set_epoch(0)
        assert [digest([a, b]) for a, b in zip(train, val, strict=False)] == [
            digest([a, b]) for a, b in zip(wanted, other, strict=False)
        ]
        backend = train._backend
        batches = [np.arange(k, k + 5) for k in (0, 5, 10, 15)]
        pair = zip(backend.run(train.stage, 0, batches), backend.run(train.stage, 0, batches), strict=True)
        assert all(digest([(a.images, a.labels)]) == digest([(b.images, b.labels)]) for a, b in pair)


def test_going_on_after_a_break_and_after_an_error(beton: Path, dali: Make) -> None:
    with dali(beton) as loader:
        wanted = digest(list(loader))
        for stop in (0, 1, 3):
            loader.set_epoch(1)
            for k, _ in enumerate(loader):
                if k == stop:
                    break
            loader.set_epoch(0)
            with pytest.raises(ZeroDivisionError):
                for _ in loader:
                    1 / 0  # noqa: B018
            loader.set_epoch(1), loader.set_epoch(0)
            assert digest(list(loader)) == wanted


def test_odd_files_cost_only_themselves(dirty: Path, dali: Make) -> None:
    options: dict[str, Any] = {"on_error": "replace", "batch_size": 8, "drop_last": False}
    with dali(dirty, **options) as ours, make(dirty, **options) as torchs:
        assert near(list(ours), list(torchs))
        names = [[bad.index for bad in loader.stats()["bad"]] for loader in (ours, torchs)]
        assert sorted(names[0]) == sorted(names[1]) == [0, 1]
    with dali(dirty, train=False, batch_size=1) as ours, pytest.raises(BadSample, match="class000"):
        list(ours)


@pytest.mark.parametrize("junk", [b"\x55\xaa\x55", b"\xff\xd9\xff\xd9", b"\xff\xd0\xff\xd0"])
def test_flipped_bits_are_judged_by_the_kernel_and_not_by_dali(
    beton: Path, tmp_path: Path, dali: Make, junk: bytes
) -> None:
    broken = tmp_path / "broken.beton"
    shutil.copyfile(beton, broken)
    with make(beton) as loader:
        entries = loader.source.entries(np.arange(24))[:, 0]
    with open(broken, "r+b") as file:
        for entry in entries[3:20:4]:
            file.seek(int(entry["offset"]) + int(entry["size"]) // 2)
            file.write(junk)
    options: dict[str, Any] = {"max_level": 0, "on_error": "replace", "drop_last": False, "resolution": 64}
    with dali(broken, **options) as ours, make(broken, **options) as torchs:
        got, wanted = (torch.cat([images for images, _ in loader]) for loader in (ours, torchs))
        assert psnr(got, wanted).min() > 30
        assert (psnr(got, wanted) > 55).sum() >= 5  # by the kernel, all of them
        assert sorted(bad.index for bad in ours.stats()["bad"]) == sorted(bad.index for bad in torchs.stats()["bad"])


def test_what_only_dali_refuses_costs_no_batch(beton: Path, dali: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    import loaders.backends.dali.backend as module

    feed = module.DALIBackend._feeds

    def spoilt(self: Any, *arguments: Any) -> Any:
        for k, (jpegs, *rest) in enumerate(feed(self, *arguments)):
            yield ([jpegs[0][:40], *jpegs[1:]] if k == 2 else jpegs), *rest

    with dali(beton) as loader:
        wanted = list(loader)
        monkeypatch.setattr(module.DALIBackend, "_feeds", spoilt)
        loader.set_epoch(0)
        with pytest.warns(RuntimeWarning, match="DALI refused a batch that our kernel then decoded: "):
            got = list(loader)
        assert near(got, wanted) and digest(got[:2] + got[3:]) == digest(wanted[:2] + wanted[3:])


def test_a_source_of_errors_is_heard(beton: Path, dali: Make) -> None:
    with dali(beton) as loader:
        backend = loader._backend
        with pytest.raises(IndexError, match="sample indices go from 0 to 23"):
            list(backend.run(loader.stage, 0, [np.arange(4), np.array([24])]))
        assert len(list(loader)) == 4
