"""A whole run with made-up contestants: the report, its ratios, contestants that are not there, the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as command
from benchmarks import peers, throughput
from benchmarks.harness.measure import Failed
from benchmarks.harness.report import throughput_text
from benchmarks.peers import Peer

RATES = {"ours": 600.0, "ffcv": 60.0, "dali": 80.0, "limit": 900.0}


class FakePeer(Peer):
    def target(self, function: str) -> str:
        return f"tests.benchmarks.fakes:{self.options.get('function', function)}"


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    everyone = [FakePeer(name, name, name.upper(), {"rate": rate}) for name, rate in RATES.items()]
    everyone += [FakePeer("timm", "timm_", "timm", {"function": "missing"}, install="pip install timm")]
    everyone += [FakePeer("ours-before", "ours_before", "before", {"function": "told"})]
    monkeypatch.setattr(peers, "_ALL", tuple(everyone))
    monkeypatch.setattr(peers, "PEERS", {peer.name: peer for peer in everyone})
    monkeypatch.setattr(peers, "DEFAULT", ("ffcv", "dali", "timm"))


def run(folder: Path, work: Path, names: list[str] | None = None) -> dict[str, Any]:
    return throughput.run(
        str(folder / "train"), [16, 32], names, threads=1, rounds=2, seconds=0.01, repeat_to=0, work=str(work)
    )


def test_report(jpeg_folder: Path, tmp_path: Path) -> None:
    report = json.loads(json.dumps(run(jpeg_folder, tmp_path)))
    assert list(report) == [
        "benchmark",
        "version",
        "machine",
        "settings",
        "fairness",
        "notes",
        "results",
        "ratios",
        "time_ratios",
    ]
    assert [(r["resolution"], r["contestant"]) for r in report["results"]] == [
        (b, name) for b in (16, 32) for name in RATES
    ]
    result = report["results"][0]
    assert result["rates"] == [600.0, 600.0]
    assert result["rate"] == {"median": 600.0, "q1": 600.0, "q3": 600.0}
    assert result["bytes_an_image"]["stored"] == 100.0
    assert result["bytes_an_image"]["read"] >= 0
    assert set(result["memory_mb"]) == {"imports", "anonymous", "shared"}
    over = {(r["resolution"], r["of"], *r["over"]): r["median"] for r in report["ratios"]}
    assert over[16, "ours", "ffcv", "dali"] == 7.5  # the faster of the two
    assert over[32, "ours", "ffcv"] == 10.0
    assert over[32, "ours", "limit"] == pytest.approx(2 / 3)
    assert report["notes"] == ["Skipped: timm is not available here (ImportError: No module named 'fast')."]
    assert {r["contestant"]: r["median"] for r in report["time_ratios"]} == dict.fromkeys(RATES, 1.0)
    assert str(tmp_path) not in json.dumps(report)
    assert {"cpu", "cores", "simd", "memory_gb", "python", "load_before"} <= set(report["machine"])


def test_cold(jpeg_folder: Path, tmp_path: Path) -> None:
    report = throughput.run(
        str(jpeg_folder / "train"), [16], ["ffcv"], threads=1, rounds=2, seconds=0.01, repeat_to=30, work=str(tmp_path),
        cold=True,
    )  # fmt: skip
    assert [r["contestant"] for r in report["results"]] == ["ours", "ffcv"]  # `limit` reads nothing
    assert report["settings"]["cold"] is True and report["fairness"][-1].startswith("Cold: before each window")
    read = report["results"][0]["bytes_an_image"]
    assert set(read) == {"stored", "read", "decoded", "asked", "disk", "cached_before"}
    assert 0 <= read["cached_before"] <= 1 and read["disk"] >= 0
    assert "from disk kB" in throughput_text(json.loads(json.dumps(report)))


def test_a_missing_peer_that_was_asked_for_is_an_error(jpeg_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^timm was asked for, but .*'fast'.* needed: pip install timm\.$"):
        run(jpeg_folder, tmp_path, ["ffcv", "timm"])
    with pytest.raises(ValueError, match="got 'fvcc'; there are ours, ffcv, dali"):
        run(jpeg_folder, tmp_path, ["fvcc"])


def test_interpreters_and_older_checkouts(jpeg_folder: Path, tmp_path: Path) -> None:
    """The contestant answers with its interpreter and with what it was given."""
    python, checkout = Path(sys.executable).with_name("python3"), tmp_path / "older"
    (checkout / "loaders").mkdir(parents=True)
    options: dict[str, Any] = {"threads": 1, "rounds": 1, "seconds": 0.01, "repeat_to": 0, "work": str(tmp_path)}
    report = throughput.run(
        str(jpeg_folder / "train"),
        [16],
        ["ffcv"],
        python_for=[f"ours-before={python}"],
        against=str(checkout),
        **options,
    )
    told = {result["contestant"]: result["output"] for result in report["results"]}
    assert list(told) == ["ours", "ffcv", "limit", "ours-before"]
    assert told["ours-before"] == f"{python} {checkout}"
    assert report["settings"]["against"] is None  # no git repository

    for wrong in ("ffcv", "ffcv=nothing", "fvcc=/bin/sh"):
        with pytest.raises(ValueError, match=f"NAME=PATH, got '{wrong}'"):
            throughput.run(str(jpeg_folder / "train"), [16], python_for=[wrong], **options)
    with pytest.raises(ValueError, match="`--against` takes an older checkout of this project, got nothing"):
        throughput.run(str(jpeg_folder / "train"), [16], against="nothing", **options)


def test_ours_must_not_be_missing(jpeg_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "_ALL", (FakePeer("ours", "ours", "ours", {"function": "failing"}),))
    monkeypatch.setattr(peers, "DEFAULT", ())
    with pytest.raises(Failed, match="ours at B=16: ValueError: this cannot work"):
        run(jpeg_folder, tmp_path)


def test_command_line(jpeg_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    json_path, png_path = tmp_path / "r.json", tmp_path / "r.png"
    options = ["--resolutions", "16", "--threads", "1", "--rounds", "1", "--seconds", "0.01", "--repeat-to", "0"]
    files = ["--data", str(jpeg_folder / "train"), "--json", str(json_path), "--png", str(png_path)]
    status = command.main(["throughput", *options, *files])
    out = capsys.readouterr().out
    assert status == 0
    assert "OURS" in out
    assert "ours / fastest of FFCV and DALI" in out
    assert "7.50 (7.50-7.50)" in out
    assert "bytes read / bytes stored at full size, ours" in out
    assert "Warm page cache" in out
    assert json.loads(json_path.read_text())["benchmark"] == "throughput"
    assert png_path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nothing", "--threads", "1"], "nothing does not exist"),
        (["--data", ".", "--threads", "100000"], "`--threads` must be from 1 to"),
        (["--data", ".", "--json", "no/such/folder/r.json"], "folders that exist, got no/such/folder/r.json"),
    ],
)
def test_wrong_arguments_give_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["throughput", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("resolution", ["97", "8", "x"])
def test_wrong_resolutions(resolution: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["throughput", "--data", ".", "--resolutions", resolution])
    assert f"even number from 16 to 1024, got {resolution}" in capsys.readouterr().err
