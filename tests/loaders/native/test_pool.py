"""The thread pool: samples from files to pixels, errors by sample, cancellation, forks."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from loaders import native
from loaders.errors import LoaderError
from loaders.native import pool as pool_module
from loaders.native.kernel import builds
from loaders.plan.filters import build
from tests.images import SAMPLINGS, jpeg, picture
from tests.loaders.native.inner import use_build


@pytest.fixture
def shelf(tmp_path: Path) -> tuple[NDArray[np.void], list[bytes], list[Path]]:
    """Six images of several kinds: SAMPLE records that crop their middle, the names these point to, the paths."""
    kinds = ["4:2:0", "4:4:4", "4:2:2", "4:4:0", "grey", "4:2:0"]
    samples, names, paths = np.zeros(6, native.SAMPLE), [], []
    for i, kind in enumerate(kinds):
        path = tmp_path / f"{i}.jpg"
        options = {"progressive": True} if i == 5 else {}
        path.write_bytes(jpeg(picture(120, 90, i), kind, restart=0 if i == 5 else 2, **options))
        names.append(os.fsencode(path) + b"\0")
        paths.append(path)
        entry = samples["entry"][i]
        entry["path"], entry["width"], entry["height"] = np.frombuffer(names[-1], np.uint8).ctypes.data, 120, 90
        samples["entry"][i] = entry
    samples["box"], samples["full"], samples["scale"] = (10, 5, 100, 77), (90, 72), 1
    return samples, names, paths


def run(samples: NDArray[np.void], side: int = 64, name: str = "bicubic", workers: int = 2) -> native.PoolBatch:
    pool = native.Pool(workers)
    out = np.zeros(len(samples) * 3 * side * side, np.uint8)
    pending = pool.submit(samples, native.KernelOptions(side, build(side, name)), out)  # type: ignore[arg-type]
    assert pending.wait(30)
    return pending


def test_pixels_are_pillows(isa: str, shelf: tuple[NDArray[np.void], list[bytes], list[Path]]) -> None:  # noqa: ARG001
    samples, _, paths = shelf
    pending = run(samples)
    assert not pending.status.any(), [pending.message(i) for i in range(6)]
    made = pending.out.reshape(6, 3, 64, 64).transpose(0, 2, 3, 1).astype(float)
    for pixels, path in zip(made, paths, strict=True):
        with Image.open(path) as image:
            wanted = image.convert("RGB").crop((10, 5, 100, 77)).resize((64, 64), Image.Resampling.BICUBIC)
        off = np.abs(pixels - np.asarray(wanted, float))
        assert off.mean() < 0.6 and np.percentile(off, 99.9) <= 4, path


def test_flip_mirrors(shelf: tuple[NDArray[np.void], list[bytes], list[Path]]) -> None:
    samples, _, _ = shelf
    straight = run(samples).out.reshape(6, 3, 64, 64)
    samples["flip"] = 1
    np.testing.assert_array_equal(run(samples).out.reshape(6, 3, 64, 64), straight[..., ::-1])


def test_builds_and_worker_counts_agree(shelf: tuple[NDArray[np.void], list[bytes], list[Path]]) -> None:
    samples, _, _ = shelf
    made = set()
    for build_name in reversed(builds()):
        use_build(build_name)
        made |= {run(samples, 96, "fourier", workers).out.tobytes() for workers in (1, 3)}
    assert len(made) == 1


def test_lut_replaces_values(shelf: tuple[NDArray[np.void], list[bytes], list[Path]]) -> None:
    samples, _, _ = shelf
    lut = np.arange(768, dtype=np.int32).reshape(3, 256)
    plain, pool = run(samples).out.reshape(6, 3, -1), native.Pool(1)
    out = np.zeros(6 * 3 * 64 * 64 * 4, np.uint8)
    assert pool.submit(samples, native.KernelOptions(64, build(64, "bicubic"), lut=lut), out).wait(30)
    np.testing.assert_array_equal(out.view(np.int32).reshape(6, 3, -1), plain + 256 * np.arange(3)[None, :, None])


def test_each_failure_keeps_to_its_sample(shelf: tuple[NDArray[np.void], list[bytes], list[Path]]) -> None:
    samples, _, paths = shelf
    sound = run(samples).out.reshape(6, -1).copy()
    paths[0].write_bytes(b"")
    paths[1].unlink()
    paths[2].write_bytes(paths[2].read_bytes()[:700])
    paths[3].write_bytes(b"\x89PNG\r\n" + bytes(99))
    samples["entry"]["width"][4] = 121
    pending = run(samples)
    status = [native.DAMAGED, native.IO_ERROR, native.DAMAGED, native.UNSUPPORTED, native.DAMAGED, native.OK]
    assert list(pending.status) == status
    reasons = ["empty", "cannot be opened: No such file", "cut short", "not a JPEG", "index says 121 x 90", ""]
    for i, reason in enumerate(reasons):
        assert reason in pending.message(i)
    pixels = pending.out.reshape(6, -1)
    assert not pixels[:5].any()
    np.testing.assert_array_equal(pixels[5], sound[5])


def test_images_decoded_together_are_as_alone(isa: str, tmp_path: Path) -> None:  # noqa: ARG001
    """Without restart markers a thread decodes several images at once. Their Huffman tables are shared or their own."""
    kinds = [(kind, optimize) for kind in (*SAMPLINGS, "restarts", "broken", "cut short") for optimize in (True, False)]
    samples, names = np.zeros(2 * len(kinds), native.SAMPLE), []
    for i, (kind, optimize) in enumerate(2 * kinds):
        width, height = 90 + 13 * i, 150 - 3 * i
        restart = 3 if kind == "restarts" else 0
        data = bytearray(
            jpeg(picture(width, height, i), kind if kind in SAMPLINGS else "4:2:0", restart, optimize=optimize)
        )
        if kind == "broken":
            data[len(data) // 2 : len(data) // 2 + 40] = b"\xff\x00" * 20  # a code that no table has
        path = tmp_path / f"{i}.jpg"
        path.write_bytes(data[: len(data) // 3] if kind == "cut short" else data)
        names.append(os.fsencode(path) + b"\0")
        entry = samples["entry"][i]
        entry["path"], entry["width"], entry["height"] = np.frombuffer(names[-1], np.uint8).ctypes.data, width, height
        samples["entry"][i] = entry
        samples["box"][i], samples["full"][i], samples["scale"][i] = (
            (5, 9, width - 7, height),
            (width - 12, height - 9),
            1 + i % 2,
        )
    together = run(samples, workers=1)
    alone = [run(samples[i : i + 1], workers=1) for i in range(len(samples))]
    assert together.out.tobytes() == b"".join(one.out.tobytes() for one in alone)
    assert [together.message(i) for i in range(len(samples))] == [one.message(0) for one in alone]
    damaged = [kind in ("broken", "cut short") for kind, _ in 2 * kinds]
    assert list(together.status) == [native.DAMAGED if bad else native.OK for bad in damaged]


@pytest.mark.parametrize("box", [(0, 0, 0, 0), (-50, 0, 0, 50), (np.nan, 0, 50, 50), (200, 0, 300, 50), (0, 0, 1e9, 9)])
def test_bad_boxes_are_refused(shelf: tuple[NDArray[np.void], list[bytes], list[Path]], box: tuple[float, ...]) -> None:
    samples, _, _ = shelf
    samples["box"][0] = box
    assert run(samples[:1]).status[0] == native.BAD_ARGUMENT


def test_closing_cancels_and_is_idempotent(shelf: tuple[NDArray[np.void], list[bytes], list[Path]]) -> None:
    samples, _, _ = shelf
    pool = native.Pool(1)
    many = np.tile(samples, 200)
    pending = pool.submit(many, native.KernelOptions(64, build(64)), np.zeros(len(many) * 3 * 64 * 64, np.uint8))
    assert pending.wait(0) is False
    pending.close()
    assert pool.stats()["samples"] < len(many)
    pool.close()
    pool.close()
    with pytest.raises(LoaderError, match="closed"):
        pool.stats()


def test_tickets_may_outlive_their_pool(shelf: tuple[NDArray[np.void], list[bytes], list[Path]]) -> None:
    samples, _, _ = shelf
    pool = native.Pool(1)
    many = np.tile(samples, 50)
    pending = [
        pool.submit(many, native.KernelOptions(64, build(64)), np.zeros(len(many) * 3 * 64 * 64, np.uint8))
        for _ in range(3)
    ]
    pool.close()
    with pytest.raises(LoaderError, match="closed while a batch was being decoded"):
        pending[2].wait(5)
    del pool
    for batch in pending:
        batch.close()


def test_garbage_in_any_order_neither_hangs_nor_crashes() -> None:
    script = (
        "import gc, sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "import numpy as np\n"
        "from loaders import native\n"
        "from loaders.plan.filters import build\n"
        "for _ in range(200):\n"
        "    pool, out = native.Pool(2), np.zeros(99 * 768, np.uint8)\n"
        "    pending = pool.submit(np.zeros(99, native.SAMPLE), native.KernelOptions(16, build(16)), out)\n"
        "    cycle = [pool, pending]\n"
        "    cycle.append(cycle)\n"
        "    del pool, pending, out, cycle\n"
        "    gc.collect()\n"
        "print('done')\n"
    )
    root = Path(__file__).parents[3]
    made = subprocess.run([sys.executable, "-c", script, root], capture_output=True, text=True, timeout=600, check=True)
    assert made.stdout == "done\n"


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # Python 3.12 warns of exactly what is tested
def test_a_forked_child_is_told(shelf: tuple[NDArray[np.void], list[bytes], list[Path]]) -> None:
    samples, _, _ = shelf
    pool = native.Pool(1)
    kept = pool.submit(samples, native.KernelOptions(64, build(64)), np.zeros(6 * 3 * 64 * 64, np.uint8))
    child = os.fork()
    if child == 0:
        try:
            pool.stats()
        except LoaderError as error:
            os._exit(0 if "fork" in str(error) else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert kept.wait(30)


def test_headers_are_peeked(shelf: tuple[NDArray[np.void], list[bytes], list[Path]]) -> None:
    samples, _, paths = shelf
    paths[1].write_bytes(b"no image")
    widths, heights, status = native.peek_files(samples["entry"]["path"], native.Pool(2))
    assert list(status) == [0, native.UNSUPPORTED, 0, 0, 0, 0]
    assert list(widths) == [120, 0, 120, 120, 120, 120] and list(heights) == [90, 0, 90, 90, 90, 90]


def test_headers_that_a_closed_pool_did_not_read_are_no_headers(
    shelf: tuple[NDArray[np.void], list[bytes], list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = native.Pool(1)
    monkeypatch.setattr(native.pool.library(), "et_peek_files", lambda *_: pool.close())
    with pytest.raises(LoaderError, match="thread pool is closed"):
        native.peek_files(shelf[0]["entry"]["path"], pool)


@pytest.mark.parametrize("workers", [0, -1])
def test_a_pool_needs_a_thread(workers: int) -> None:
    with pytest.raises(ValueError, match="`workers` must be at least 1"):
        native.Pool(workers)


def test_pixels_of_another_decoder_are_resampled_alike() -> None:
    pixels, sample = picture(80, 60), np.zeros((), native.SAMPLE)
    sample["box"], sample["full"], sample["flip"] = (8, 4, 72, 52), (64, 48), 0
    made = native.resample(pixels, sample, side=32, filter=build(32, "bicubic"))
    wanted = Image.fromarray(pixels).crop((8, 4, 72, 52)).resize((32, 32), Image.Resampling.BICUBIC)
    assert np.abs(made.transpose(1, 2, 0).astype(int) - np.asarray(wanted)).max() <= 1


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("scale", [1, 2, 4, 8])
def test_reading_only_the_rows_changes_nothing(tmp_path: Path, sampling: str, scale: int) -> None:
    """Records with a table, against the same JPEGs read whole: same pixels, fewer bytes."""
    record = native.transcode(jpeg(picture(640, 960), sampling, quality=97), (1.0,), 90)[0]
    file = tmp_path / "record"
    file.write_bytes(record.table + record.jpeg)
    rng = np.random.Generator(np.random.Philox(key=[4, scale]))
    samples = np.zeros(300, native.SAMPLE)
    for sample in samples:
        x, y = rng.uniform(0, 500), rng.uniform(0, 800)
        sample["box"] = x, y, x + rng.uniform(30, 140), y + rng.uniform(30, 160)
    samples["full"] = samples["box"][:, 2:] - samples["box"][:, :2]
    samples["scale"] = scale
    samples["entry"]["offset"], samples["entry"]["size"] = len(record.table), len(record.jpeg)
    samples["entry"]["width"], samples["entry"]["height"] = 640, 960
    made, read = [], []
    with open(file, "rb") as opened:
        for table in (False, True):
            if table:
                samples["entry"]["rows"], samples["entry"]["head"] = record.rows, record.head
            pool, out = native.Pool(1), np.zeros(300 * 3 * 32 * 32, np.uint8)
            pending = pool.submit(samples, native.KernelOptions(32, build(32), opened.fileno()), out)
            assert pending.wait(30) and not pending.status.any(), pending.message(int(pending.status.argmax()))
            made.append(out.tobytes())
            read.append(pool.stats()["bytes_read"])
    assert made[0] == made[1]
    assert read[1] < 0.6 * read[0]


def test_a_flipped_bit_under_the_crop_is_damage_and_elsewhere_nothing(tmp_path: Path) -> None:
    record = native.transcode(jpeg(picture(640, 960), "4:2:0", quality=97), (1.0,), 90)[0]
    sound = record.table + record.jpeg
    samples = np.zeros(1, native.SAMPLE)
    samples["box"], samples["full"], samples["scale"] = (100, 320, 200, 420), (100, 100), 1
    entry = samples["entry"]
    entry["offset"], entry["size"], entry["rows"] = len(record.table), len(record.jpeg), record.rows
    entry["head"], entry["width"], entry["height"] = record.head, 640, 960
    checks, offsets = 4 * (record.rows + 1), np.frombuffer(record.table, "<u4")[record.rows + 1 :].astype(int)

    def status(at: int | None) -> int:
        damaged = bytearray(sound)
        if at is not None:
            damaged[at] ^= 16
        (tmp_path / "record").write_bytes(damaged)
        with open(tmp_path / "record", "rb") as opened:
            out = np.zeros(3 * 32 * 32, np.uint8)
            pending = native.Pool(1).submit(samples, native.KernelOptions(32, build(32), opened.fileno()), out)
            assert pending.wait(30)
        return int(pending.status[0])

    row = len(record.table) + offsets[22]  # of pixels 352 to 367
    assert status(None) == native.OK
    for at in (0, 4 * 23, checks, checks + 8, len(record.table), len(record.table) + record.head - 1, row, row + 500):
        assert status(at) == native.DAMAGED, at
    assert status(len(record.table) + offsets[0] + 50) == native.OK
    assert status(len(sound) - 3) == native.OK


def test_an_interrupt_right_behind_the_start_frees_the_batch(
    shelf: tuple[NDArray[np.void], list[bytes], list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C may come at any line: the batch's memory must not be given back while threads write to it."""
    samples, _, _ = shelf
    out, interrupts = np.zeros((len(samples), 3, 64, 64), np.uint8), 0
    freed: list[bool] = []
    pool = native.Pool(1)
    call, free = pool.call, pool_module._free_ticket

    def interrupted(function: Any, *arguments: Any) -> None:
        call(function, *arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(pool, "call", interrupted)
    monkeypatch.setattr(pool_module, "_free_ticket", lambda *a: (freed.append(bool(a[0].value)), free(*a)))
    try:
        pool.submit(samples, native.KernelOptions(64, build(64, "bicubic")), out)
    except KeyboardInterrupt:
        interrupts = 1
    gc.collect()
    assert interrupts
    assert freed == [True]
    pool.close()
