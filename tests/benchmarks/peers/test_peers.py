"""The real contestants, each once on a few small images: they start, deliver what they say, and count."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.harness.contestant import Job
from benchmarks.harness.data import gather
from benchmarks.harness.measure import ROOT, Child, Missing
from benchmarks.peers import ALWAYS, COLD, DEFAULT, GPU_ONLY, ON_GPU, PEERS, chosen

OUTPUTS = {  # one a module at least; starting them takes seconds each
    "ours": "uint8 8x3x32x32",
    "ours-quasi": "uint8 8x3x32x32",
    "ours-folder": "uint8 8x3x32x32",
    "ours-dali": "uint8 8x3x32x32",
    "ours-ffcv": "uint8 8x3x32x32",
    "ours-ffcv-part": "uint8 8x32x32x3",
    "ours-on-ffcv-beton": "uint8 8x3x32x32",
    "torchvision-randaugment": "float32 8x3x32x32",
    "torchvision-v2": "uint8 8x3x32x32",
    "webdataset": "uint8 8x3x32x32",
    "streaming": "uint8 8x3x32x32",
    "litdata": "uint8 8x3x32x32",
    "spdl": "uint8 8x3x32x32",
    "spdl-ffmpeg": "uint8 8x32x32x3",
    "timm": "float32 8x3x32x32",
    "timm-scheduled": "float32 8x3x32x32",
    "ours-before": "uint8 8x3x32x32",
    "ffcv": "uint8 8x32x32x3",
    "ffcv-quasi": "uint8 8x32x32x3",
    "dali": "uint8 8x32x32x3",
    "limit": "uint8 8x32x32x3",
}


def test_every_module_is_tried_here() -> None:
    here = {peer.module for peer in PEERS.values() if peer.name not in GPU_ONLY}
    assert {PEERS[name].module for name in OUTPUTS} == here


def test_ours_and_the_limit_always_run() -> None:
    assert [peer.name for peer in chosen(["dali"])] == ["ours", "dali", "limit"]
    assert {peer.name for peer in chosen(None)} == {*ALWAYS, *DEFAULT}
    assert {peer.name for peer in chosen(None, cold=True)} == {"ours", *COLD}
    assert {peer.name for peer in chosen(None, before=True)} == {*ALWAYS, *DEFAULT, "ours-before"}
    assert {peer.name for peer in chosen(None, "cuda")} == {*ALWAYS, *ON_GPU}
    assert [peer.name for peer in chosen(["torchvision-gpu"], "cuda")] == ["ours", "torchvision-gpu", "limit"]
    with pytest.raises(ValueError, match="torchvision-gpu, which decodes on a GPU; add `--device cuda`"):
        chosen(["torchvision-gpu"])
    with pytest.raises(ValueError, match="`--peers` takes names of contestants, got 'dalli'; there are ours, "):
        chosen(["dalli"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        *(pytest.param(name, marks=pytest.mark.ffcv) for name in OUTPUTS if "ffcv" in PEERS[name].module),
        *(pytest.param(name, marks=pytest.mark.dali) for name in OUTPUTS if name == "dali"),
        *(name for name in OUTPUTS if name != "dali" and "ffcv" not in PEERS[name].module),
    ],
)
def test_contestant(name: str, jpeg_folder: Path, tmp_path: Path) -> None:
    peer, data = PEERS[name], gather(str(jpeg_folder / "train"), tmp_path, records=0)
    place = (str(data.folder), str(data.pyramid), str(data.work))
    job = Job(name, 32, 1, 8, *place, options={**peer.options, "resolutions": [32], "against": str(ROOT)})
    try:
        if peer.prepare:
            Child(peer.target("prepare"), job, log=tmp_path / "prepare.log").close()
        child = Child(peer.target("build"), job, log=tmp_path / "build.log")
    except Missing as error:
        pytest.skip(str(error))
    try:
        answer = child.round(0.0)
    finally:
        child.close()
    assert child.ready["output"] == OUTPUTS[name]
    assert answer["images"] >= 8
    assert answer["images"] % 8 == 0
    assert answer["seconds"] > 0
    if name == "ours":
        assert 0 < answer["bytes_per_image"] <= 1.1 * child.ready["facts"]["stored_bytes"]
