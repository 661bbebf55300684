"""Stores on loopback: a real S3 server, and a web server that misbehaves when it is told to."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.loaders.storage.server import Served, serving


class Bucket(NamedTuple):
    """A bucket of a server that keeps objects in memory.

    Attributes:
        url: s3://...
        client: boto3's, for what the test itself does.
    """

    url: str
    client: Any

    @property
    def name(self) -> str:
        return self.url.removeprefix("s3://")

    def put(self, file: Path, key: str) -> str:
        """Uploads a file, or a folder with all below it; returns its URL."""
        for path in sorted(file.rglob("*")) if file.is_dir() else [file]:
            if path.is_file():
                self.client.upload_file(str(path), self.name, f"{key}{os.fspath(path)[len(os.fspath(file)) :]}")
        return f"{self.url}/{key}"

    def get(self, key: str) -> bytes:
        found: bytes = self.client.get_object(Bucket=self.name, Key=key)["Body"].read()
        return found

    def keys(self) -> list[str]:
        return [one["Key"] for one in self.client.list_objects_v2(Bucket=self.name).get("Contents", [])]


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The server's address."""
    server = pytest.importorskip("moto.server")
    pytest.importorskip("boto3")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = server.ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bucket:
    """An empty bucket, which this process may read and write."""
    import boto3

    settings = {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ALLOW_HTTP": "true",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3", endpoint_url=s3_server, region_name="us-east-1")
    name = "b" + "".join(c for c in os.fspath(tmp_path).lower() if c.isalnum())[-40:]
    client.create_bucket(Bucket=name)
    return Bucket(f"s3://{name}", client)


@pytest.fixture
def served(beton: Path, tmp_path: Path) -> Iterator[Served]:
    (tmp_path / "served").mkdir()
    shutil.copy(beton, tmp_path / "served" / "train.beton")
    with serving(tmp_path / "served") as served:
        yield served
