"""A store on loopback, in a process of its own: serves one file by ranges, late, and counts.

python -m benchmarks.harness.range_server FILE LATENCY_SECONDS     prints its URL; ends when its input does
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .measure import ROOT, Failed

_COUNTS = "/counts"


def counts(url: str) -> tuple[int, int]:
    """Requests for ranges that a server has answered, and bytes that it has sent. url: of the file."""
    with urllib.request.urlopen(url.rpartition("/")[0] + _COUNTS) as answer:
        requests, size = json.load(answer)
    return int(requests), int(size)


@contextmanager
def serving(file: str, latency: float) -> Iterator[str]:
    """Serves a file and gives its URL. latency: seconds before each answer."""
    command = [sys.executable, "-m", __name__, os.path.abspath(file), str(latency)]
    server = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdin is not None and server.stdout is not None
    try:
        if not (url := server.stdout.readline().strip()):
            raise Failed(f"the store that serves {file} does not start")
        yield url
    finally:
        server.stdin.close()
        server.wait()
        server.stdout.close()


def _serve(file: str, latency: float) -> None:
    size, name = os.path.getsize(file), "/" + os.path.basename(file)
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
            for key, value in headers.items():
                self.send_header(key.replace("_", "-"), value)
            self.end_headers()

        def do_HEAD(self) -> None:
            time.sleep(latency)
            self._begin(200 if self.path == name else 404, size)

        def do_GET(self) -> None:
            if self.path == _COUNTS:
                body = json.dumps(sent).encode()
                self._begin(200, len(body))
                self.wfile.write(body)
                return
            time.sleep(latency)
            start, last = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
            end = min(last + 1, size)
            self._begin(206, end - start, Content_Range=f"bytes {start}-{end - 1}/{size}")
            self.wfile.flush()
            with open(file, "rb") as opened, suppress(ConnectionError):  # the loader may be closed meanwhile
                while start < end:
                    start += os.sendfile(self.connection.fileno(), opened.fileno(), start, end - start)
            with lock:
                sent[0] += 1
                sent[1] += end - int(self.headers["Range"].removeprefix("bytes=").split("-")[0])

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}{name}", flush=True)
    sys.stdin.read()
    server.shutdown()


if __name__ == "__main__":
    _serve(sys.argv[1], float(sys.argv[2]))
