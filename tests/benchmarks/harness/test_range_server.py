"""The store on loopback gives files whole and in ranges, and counts what it gives."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path

import pytest

from benchmarks.harness.range_server import counts, s3_environment, serving


def get(url: str, **headers: str) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as answer:
        found: bytes = answer.read()
    return found


def test_files_ranges_and_counts(tmp_path: Path) -> None:
    (tmp_path / "bucket" / "deep").mkdir(parents=True)
    (tmp_path / "bucket" / "deep" / "a b").write_bytes(bytes(range(100)))
    with serving(tmp_path / "bucket", 0) as server, pytest.raises(urllib.error.HTTPError, match="404"):
        get(f"{server}/../bucket/deep/a%20b")
    with serving(tmp_path, 0) as server:
        url = f"{server}/bucket/deep/a%20b"
        assert get(url) == bytes(range(100))
        assert get(url, Range="bytes=10-19") == bytes(range(10, 20))
        assert get(url, Range="bytes=90-200") == get(url, Range="bytes=90-") == bytes(range(90, 100))
        assert counts(server) == (4, 130)
        with pytest.raises(urllib.error.HTTPError, match="404"):
            get(f"{server}/bucket/none")
        assert counts(server) == (4, 130)
        assert s3_environment(server)["AWS_ENDPOINT_URL"] == server
