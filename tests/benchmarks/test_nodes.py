"""The benchmark of conversion on one node and on two, with a cluster that is this process."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import nodes
from benchmarks.__main__ import main
from loaders.conversion import cluster
from tests.loaders.conversion.test_cluster import Local


def test_the_report(
    jpeg_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    class Nodes:
        address = "here"

        def __init__(self, **_: Any) -> None:
            done.append("head")

        def __getattr__(self, name: str) -> Any:
            return lambda *_, **__: done.append(name)

    modules = {"ray": SimpleNamespace(shutdown=lambda: None), "ray.cluster_utils": SimpleNamespace(Cluster=Nodes)}
    monkeypatch.setattr(nodes, "importlib", SimpleNamespace(import_module=modules.__getitem__))
    monkeypatch.setattr(cluster, "join_cluster", lambda _: Local())
    data = ["--data", str(jpeg_folder / "val"), "--json", str(tmp_path / "n.json"), "--threads", "1"]
    assert main(["nodes", *data, "--rounds", "1", "--parts", "2"]) == 0
    assert "two nodes" in capsys.readouterr().out
    report = json.loads((tmp_path / "n.json").read_text())
    assert report["settings"]["images"] == 6
    assert all(report["results"][what]["median"] > 0 for what in ("one", "two", "ratio"))
    assert done == ["head", *["add_node", "wait_for_nodes", "remove_node"] * 2, "shutdown"]
