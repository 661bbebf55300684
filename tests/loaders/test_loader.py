"""The public surface of Loader on a pyramid and on an image folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from loaders import BadDataset, BadSample, Loader, open_dataset
from loaders.plan import epoch_order
from tests.contract import check_resume, digest, make


def test_batches_are_what_was_asked_for(beton: Path) -> None:
    with Loader(beton, batch_size=7, resolution=48, num_workers=2) as loader:
        batches = list(loader)
        assert len(batches) == len(loader) == 3
        for images, labels in batches:
            assert images.shape == (7, 3, 48, 48) and images.dtype == torch.float32
            assert labels.shape == (7,) and labels.dtype == torch.int64 and labels.min() >= 0 and labels.max() < 3
        assert loader.classes == ["class000", "class001", "class002"]


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_float_output_is_the_normalised_uint8(beton: Path, dtype: str) -> None:
    with make(beton) as plain, make(beton, dtype=dtype) as loader:
        for (pixels, _), (images, _) in zip(plain, loader, strict=True):
            mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
            wanted = (pixels.float() / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1)
            torch.testing.assert_close(images, wanted.to(images.dtype))


def test_an_epoch_has_each_sample_once(beton: Path) -> None:
    with make(beton, drop_last=False) as loader, make(beton, train=False, drop_last=False) as ordered:
        assert [len(labels) for _, labels in loader] == [5, 5, 5, 5, 4]
        assert torch.cat([labels for _, labels in ordered]).tolist() == [0] * 8 + [1] * 8 + [2] * 8
        assert torch.cat([labels for _, labels in loader]).sort().values.tolist() == [0] * 8 + [1] * 8 + [2] * 8


def test_same_seed_same_batches_for_any_workers(beton: Path) -> None:
    made = set()
    for workers in (1, 2, 5):
        with make(beton, num_workers=workers, prefetch_factor=workers) as loader:
            made.add(digest(list(loader)))
    assert len(made) == 1
    with make(beton, seed=1) as loader:
        assert digest(list(loader)) not in made


def test_epochs_differ_and_can_be_named(beton: Path) -> None:
    with make(beton) as loader:
        first, second = digest(list(loader)), digest(list(loader))
        assert first != second and loader.epoch == 2
        loader.set_epoch(0)
        assert digest(list(loader)) == first


def test_the_next_epoch_is_prepared_before_the_last_batches_are_awaited(
    beton: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shuffled = []

    def order(n: int, seed: int, epoch: int, *rest: Any) -> Any:
        shuffled.append(epoch)
        return epoch_order(n, seed, epoch, *rest)

    with make(beton, prefetch_factor=2) as loader:
        monkeypatch.setattr("loaders.plan.order.epoch_order", order)
        seen = [list(shuffled) for _ in loader]
        assert seen == [[0], [0, 1], [0, 1], [0, 1]]
        first, *_ = [list(shuffled) for _ in loader]
        assert first == [0, 1]
        loader.set_epoch(9)
        first, *_ = [list(shuffled) for _ in loader]
        assert first == [0, 1, 2, 9]


@pytest.mark.parametrize("change", ["nothing", "stage", "epoch", "position", "rank", "world size"])
def test_what_was_prepared_is_used_only_where_it_is_what_is_asked_for(
    beton: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    ranks = {"rank": (1, 2), "world size": (0, 1)}.get(change, (0, 2))

    def asked(loader: Loader) -> str:
        monkeypatch.setattr("loaders.loader.ranks", lambda *_: ranks)
        if change == "stage":
            loader.set_stage(resolution=48)
        if change == "position":
            loader.load_state_dict({**loader.state_dict(), "epoch": 1, "position": 10})
        loader.set_epoch(2 if change == "epoch" else 1)
        return digest(list(loader))

    monkeypatch.setattr("loaders.loader.ranks", lambda *_: (0, 2))
    with make(beton) as loader, make(beton) as fresh:
        list(loader)
        assert asked(loader) == asked(fresh)


def test_a_backend_does_not_write_to_the_indices_it_is_given(dirty: Path) -> None:
    with make(dirty, on_error="replace", drop_last=False) as loader:
        batches = np.array_split(np.arange(sum(map(len, list(loader)))), 2)
        for batch in batches:
            batch.flags.writeable = False
        assert len(list(loader._backend.run(loader.stage, 0, batches))) == 2
        assert loader.stats()["bad"]


def test_what_is_wrong_with_the_next_epoch_is_told_in_it(beton: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def order(n: int, seed: int, epoch: int, *rest: Any) -> Any:
        if epoch:
            raise BadDataset("gone")
        return epoch_order(n, seed, epoch, *rest)

    with make(beton) as loader:
        monkeypatch.setattr("loaders.plan.order.epoch_order", order)
        assert len(list(loader)) == len(loader)
        with pytest.raises(BadDataset, match="gone"):
            next(iter(loader))


def test_stages_change_without_a_new_loader(beton: Path) -> None:
    with make(beton) as loader, make(beton, resolution=64, batch_size=8) as other:
        list(loader)
        loader.set_stage(resolution=64, batch_size=8)
        loader.set_epoch(0)
        assert digest(list(loader)) == digest(list(other))
        with pytest.raises(ValueError, match="from 16 to 1024, got 1025"):
            loader.set_stage(resolution=1025)
        assert loader.stage.resolution == 64


@pytest.mark.parametrize(
    "options",
    [
        {"dtype": "uint8"},
        {"dtype": "uint8", "memory_format": "channels_last"},
        {"dtype": "float32", "erase": 0.6},
        {"dtype": "float16", "erase": 0.6, "memory_format": "channels_last"},
        {"dtype": "bfloat16", "augment_at": "base", "erase": 0.6},
        {"dtype": "uint8", "augment_at": "base", "interpolation": "lanczos"},
        {"dtype": "float32", "magnitude": None, "memory_format": "channels_last", "erase": 1.0},
    ],
)
def test_the_kernels_threads_augment_as_the_batch_transforms_do(dirty: Path, options: dict[str, Any]) -> None:
    options = {"magnitude": 8, "on_error": "replace", "resolution": 48, "train": True, **options}
    with make(dirty, augment_on="cpu", **options) as kernel, make(dirty, augment_on="device", **options) as batch:
        for (images, labels), (wanted, theirs) in zip(kernel, batch, strict=True):
            assert torch.equal(images, wanted) and torch.equal(labels, theirs)
            assert images.stride() == wanted.stride() and images.dtype == wanted.dtype
        assert kernel.stats()["bad"] and len(kernel.stats()["bad"]) == len(batch.stats()["bad"])


def test_magnitude_changes_pixels_and_none_switches_it_off(beton: Path) -> None:
    with make(beton) as loader:
        plain = digest(list(loader))
        loader.set_stage(magnitude=9)
        loader.set_epoch(0)
        strong = digest(list(loader))
        loader.set_stage(magnitude=None)
        loader.set_epoch(0)
        assert digest(list(loader)) == plain != strong


@pytest.mark.parametrize("at", [0, 1, 3, 4, 5])
@pytest.mark.parametrize("drop_last", [False, True])
def test_resume_is_exact(beton: Path, at: int, drop_last: bool) -> None:
    check_resume(lambda: make(beton, drop_last=drop_last), at)


def test_resume_survives_other_batch_sizes(beton: Path) -> None:
    with make(beton, batch_size=4) as loader, make(beton, batch_size=6) as other:
        whole = torch.cat([images for images, _ in loader])
        loader.set_epoch(0)
        epoch = iter(loader)
        next(epoch), next(epoch), next(epoch)
        other.load_state_dict(loader.state_dict())
        other.set_epoch(0)
        rest = torch.cat([images for images, _ in other])
        torch.testing.assert_close(rest, whole[12:])


@pytest.mark.parametrize(
    ("key", "value"), [("position", -1), ("position", 10**9), ("position", 2.0), ("epoch", -1), ("epoch", None)]
)
def test_a_state_that_names_no_place_is_refused(beton: Path, key: str, value: object) -> None:
    with Loader(beton, batch_size=4) as loader, pytest.raises(ValueError, match=rf"`state\['{key}'\]` must be a whole"):
        loader.load_state_dict({**loader.state_dict(), key: value})


def test_a_state_of_other_data_is_refused(beton: Path) -> None:
    said = "the state was taken with seed = 3, this loader has 0"
    with make(beton) as loader, make(beton, seed=3) as other, pytest.raises(ValueError, match=said):
        loader.load_state_dict(other.state_dict())


def test_a_batch_is_never_written_again(beton: Path) -> None:
    with make(beton) as loader:
        kept = [images for _ in range(3) for images, _ in loader]
        before = [images.clone() for images in kept]
        for _ in range(3):
            list(loader)
        assert all(torch.equal(a, b) for a, b in zip(kept, before, strict=True))


def test_a_folder_gives_the_same_crops(beton: Path, jpeg_folder: Path) -> None:
    with make(beton, max_level=0) as pyramid, make(jpeg_folder / "train") as folder:
        for (ours, labels), (theirs, same) in zip(pyramid, folder, strict=True):
            assert torch.equal(labels, same) and torch.equal(ours, theirs)


def test_evaluation_is_resize_and_centre_crop(jpeg_folder: Path) -> None:
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import CenterCrop, Compose, PILToTensor, Resize

    how = [Resize(int(96 / 0.875), InterpolationMode.BICUBIC), CenterCrop(96), PILToTensor()]
    theirs = torch.stack([image for image, _ in ImageFolder(str(jpeg_folder / "val"), Compose(how))])
    options = {"train": False, "drop_last": False, "dtype": "uint8", "interpolation": "bicubic"}
    with Loader(jpeg_folder / "val", 4, resolution=96, **options) as loader:
        assert len(loader) == 2
        ours = torch.cat([images for images, _ in loader])
    off = (ours.float() - theirs.float()).square().mean(dim=(1, 2, 3))
    assert (10 * torch.log10(255**2 / off)).median() > 30


def test_bad_samples_raise_by_name(dirty: Path) -> None:
    with make(dirty, train=False, drop_last=False, batch_size=1) as loader, pytest.raises(BadSample) as caught:
        list(loader)
    assert caught.value.index == 0 and "class000" in str(caught.value) and "end too early" in str(caught.value)


def test_bad_samples_are_replaced_alike_everywhere(dirty: Path) -> None:
    made = set()
    for batch_size in (4, 24):
        with make(dirty, on_error="replace", batch_size=batch_size, drop_last=False) as loader:
            batches = list(loader)
            images = torch.cat([images for images, _ in batches])
            made.add(digest([(images, torch.cat([labels for _, labels in batches]))]))
            assert images.flatten(1).amax(1).min() > 0
            assert sorted(bad.index for bad in loader.stats()["bad"]) == [0, 1]
    assert len(made) == 1


def test_png_under_a_jpeg_name_is_read(dirty: Path, jpeg_folder: Path) -> None:
    options = {"train": False, "drop_last": False}
    with make(dirty, on_error="replace", **options) as loader, make(jpeg_folder / "train", **options) as sound:
        ours, wanted = next(iter(loader))[0], next(iter(sound))[0]
        assert (ours[2].float() - wanted[2].float()).abs().mean() < 1


def test_nothing_but_damage_ends_in_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for k in range(3):
        (tmp_path / "a" / f"{k}.jpg").write_text("no image")
    with make(tmp_path, on_error="replace", batch_size=1) as loader, pytest.raises(BadSample):
        list(loader)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"resolution": 15}, "`resolution` must be a whole number from 16 to 1024, got 15."),
        ({"batch_size": 0}, "`batch_size` must be a whole number from 1"),
        ({"backend": "tensorflow"}, "`backend` must be one of 'torch', 'ffcv', 'dali', 'auto', got 'tensorflow'."),
        ({"dtype": "int8"}, "`dtype` must be one of 'float32'"),
        ({"on_error": "ignore"}, "`on_error` must be one of 'raise', 'replace', got 'ignore'."),
        ({"num_workers": 0}, "`num_workers` must be a whole number from 1 to 1024, got 0"),
        ({"seed": -1}, "`seed` must be"),
        ({"device": "tpu"}, "tpu"),
        ({"std": (0, 1, 1)}, "`std` must be positive"),
    ],
)
def test_wrong_arguments_say_what_is_right(beton: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises((ValueError, RuntimeError)) as caught:
        make(beton, **options)
    assert said in str(caught.value)


def test_wrong_data_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Loader(tmp_path / "none.beton")
    text = tmp_path / "text.beton"
    text.write_text("I am no beton, whatever my name says\n" * 99)
    with pytest.raises(BadDataset, match=r"text\.beton"):
        Loader(text)


def test_ranks_share_the_global_order(beton: Path) -> None:
    with make(beton, batch_size=8, drop_last=False) as alone:
        whole = [images for images, _ in alone]
    for world_size in (2, 4):
        shares = []
        for rank in range(world_size):
            place = {"rank": rank, "world_size": world_size}
            with make(beton, batch_size=8 // world_size, drop_last=False, **place) as loader:
                shares.append([images for images, _ in loader])
        for step, images in enumerate(whole):
            np.testing.assert_array_equal(torch.cat([share[step] for share in shares]).numpy(), images.numpy())


def test_loaders_share_an_open_data_set(beton: Path) -> None:
    with open_dataset(beton) as dataset:
        dataset.together = together = 8
        for shuffle in ("quasi", True):
            with Loader(dataset, batch_size=8, resolution=32, num_workers=1, shuffle=shuffle) as loader:
                assert len(list(loader)) == 3
            assert dataset.together == together
