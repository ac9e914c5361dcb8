"""Serve a folder on loopback as a web host would: with gzip, and with its 404 page."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

#: Takes a file and the bytes of its body on the wire.
Log = Callable[[Path, int], object]

_TEXT = ("text/", "application/javascript", "application/json", "application/wasm", "image/svg+xml")


@lru_cache(maxsize=64)  # a host compresses once, not at every visit
def _compressed(body: bytes) -> bytes:
    return gzip.compress(body, 6, mtime=0)


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, *args: Any, log: Log, **options: Any) -> None:
        self.log = log
        super().__init__(*args, **options)

    def do_GET(self) -> None:
        folder = Path(self.directory)
        path = Path(self.translate_path(self.path))
        path = path / "index.html" if path.is_dir() else path
        status = HTTPStatus.OK
        if not path.is_file():
            path, status = folder / "404.html", HTTPStatus.NOT_FOUND
        body = path.read_bytes() if path.is_file() else b"not found"
        kind = self.guess_type(str(path))
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if kind.startswith(_TEXT) and "gzip" in self.headers.get("Accept-Encoding", ""):
            body = _compressed(body)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.log(path, len(body))

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: pytest's output is for the tests."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing when a browser hangs up, as it does with every page it leaves."""


@contextmanager
def serve(folder: Path, log: Log = lambda path, size: None) -> Iterator[str]:
    """Serve *folder* while the block runs, and tell *log* of each answer.

    Yields
    ------
    str
        The address, with a slash at its end.
    """
    server = _Server(("127.0.0.1", 0), partial(_Handler, directory=str(folder), log=log))
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
