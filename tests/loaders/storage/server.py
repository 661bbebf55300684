"""An HTTP server on loopback that serves a folder by ranges, and misbehaves as it is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote


@dataclass
class Served:
    """A folder that is served, what was asked of it, and how it misbehaves.

    Attributes:
        ranges: path, start and end of each range that was delivered.
        failing: requests to fail from now on, by `status`, or by a dropped connection where `drop` is set.
        status: 503, as from a store that throttles, unless it is set.
        wrong: deliveries from now on in which one byte in the middle is wrong.
        latency: seconds before each answer.
        tag: version of all files.
    """

    root: Path
    url: str = ""
    ranges: list[tuple[str, int, int]] = field(default_factory=list)
    failing: int = 0
    status: int = 503
    drop: bool = False
    wrong: int = 0
    latency: float = 0.0
    tag: str = '"1"'
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, what: str) -> bool:
        """Whether this request is one of those that shall go wrong."""
        with self.lock:
            left = getattr(self, what)
            setattr(self, what, max(0, left - 1))
            return left > 0


@contextmanager
def serving(root: Path) -> Iterator[Served]:
    """Serves a folder."""
    served = Served(root)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def _fails(self) -> bool:
            time.sleep(served.latency)
            if not served.take("failing"):
                return False
            self.close_connection = True
            if not served.drop:
                self.send_response(served.status)
                self.send_header("Content-Length", "0")
                self.end_headers()
            return True

        def _answer(self, status: int, body: bytes, whole: int, extent: str | None = None) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(whole))
            self.send_header("ETag", served.tag)
            self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
            if extent:
                self.send_header("Content-Range", extent)
            self.end_headers()
            self.wfile.write(body)

        def do_HEAD(self) -> None:
            path = served.root / unquote(self.path.lstrip("/"))
            if self._fails():
                return
            if path.is_file():
                self._answer(200, b"", path.stat().st_size)
            else:
                self._answer(404, b"", 0)

        def do_GET(self) -> None:
            path = served.root / unquote(self.path.lstrip("/"))
            if self._fails():
                return
            if not path.is_file():
                self._answer(404, b"", 0)
                return
            if self.headers.get("If-Match", served.tag) != served.tag:
                self._answer(412, b"", 0)
                return
            start, end = (int(part) for part in self.headers["Range"].removeprefix("bytes=").split("-"))
            with path.open("rb") as file:
                file.seek(start)
                body = bytearray(file.read(end + 1 - start))
            if served.take("wrong"):
                body[len(body) // 2] ^= 0x55
            with served.lock:
                served.ranges.append((self.path, start, end + 1))
            self._answer(206, bytes(body), len(body), f"bytes {start}-{start + len(body) - 1}/{path.stat().st_size}")

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
