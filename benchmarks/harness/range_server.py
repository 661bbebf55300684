"""A store on loopback, in a process of its own: serves the files of a folder, whole or by ranges, late, and counts.

It answers plain HTTP and what S3 clients ask to read objects: a folder directly below its own is a bucket.

python -m benchmarks.harness.range_server FOLDER LATENCY_SECONDS     prints its URL; ends when its input does
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from .measure import ROOT, Failed

_COUNTS = "/counts"
_RANGE = re.compile(r"bytes=(\d+)-(\d*)$")


def counts(url: str) -> tuple[int, int]:
    """Requests that a server has answered, and bytes of files that it has sent. url: its own."""
    with urllib.request.urlopen(url + _COUNTS) as answer:
        requests, size = json.load(answer)
    return int(requests), int(size)


def s3_environment(url: str) -> dict[str, str]:
    """Environment variables that lead S3 clients (obstore, boto3, MosaicML's) to a server. url: its own."""
    return {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": url,
        "AWS_ALLOW_HTTP": "true",
        "S3_ENDPOINT_URL": url,
    }


@contextmanager
def serving(folder: str | os.PathLike[str], latency: float) -> Iterator[str]:
    """Serves the files of a folder and gives the server's URL. latency: seconds before each answer."""
    command = [sys.executable, "-m", __name__, os.path.abspath(folder), str(latency)]
    server = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdin is not None and server.stdout is not None
    try:
        if not (url := server.stdout.readline().strip()):
            raise Failed(f"the store that serves {folder} does not start")
        yield url
    finally:
        server.stdin.close()
        server.wait()
        server.stdout.close()


def _serve(folder: str, latency: float) -> None:
    root = Path(folder).resolve()
    sent, lock = [0, 0], threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = 1 << 16

        def log_message(self, *_: object) -> None:
            pass

        def _begin(self, status: int, length: int, **headers: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(length))
            self.send_header("ETag", '"1"')
            self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
            self.send_header("Accept-Ranges", "bytes")
            for key, value in headers.items():
                self.send_header(key.replace("_", "-"), value)
            self.end_headers()

        def _file(self) -> Path | None:
            """The file that is asked for, after the latency; None, and the answer is given: there is none."""
            time.sleep(latency)
            path = root / unquote(urlsplit(self.path).path).lstrip("/")
            if path.is_file() and ".." not in path.parts:
                return path
            self._begin(404, 0)
            return None

        def do_HEAD(self) -> None:
            if (path := self._file()) is not None:
                self._count(1, 0)
                self._begin(200, path.stat().st_size)

        def do_GET(self) -> None:
            if self.path == _COUNTS:
                body = json.dumps(sent).encode()
                self._begin(200, len(body))
                self.wfile.write(body)
                return
            if (path := self._file()) is None:
                return
            start, end = 0, path.stat().st_size
            asked = _RANGE.match(self.headers.get("Range", ""))
            if asked is None:
                self._begin(200, end)
            else:
                size, start = end, int(asked[1])
                end = min(int(asked[2]) + 1, size) if asked[2] else size
                self._begin(206, end - start, Content_Range=f"bytes {start}-{end - 1}/{size}")
            self._count(1, end - start)  # before it is sent, so that a client that has it finds it in the counts
            self.wfile.flush()
            at = start
            with open(path, "rb") as opened, suppress(ConnectionError):  # the loader may be closed meanwhile
                while at < end:
                    at += os.sendfile(self.connection.fileno(), opened.fileno(), at, end - at)
            self._count(0, at - end)  # less the bytes that were not sent

        def _count(self, requests: int, size: int) -> None:
            with lock:
                sent[0] += requests
                sent[1] += size

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, *_: object) -> None:
            """A client that goes away in the middle of a request is none."""

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    sys.stdin.read()
    server.shutdown()


if __name__ == "__main__":
    _serve(sys.argv[1], float(sys.argv[2]))
