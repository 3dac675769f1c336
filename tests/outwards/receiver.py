"""A system that is told: a real HTTP server that answers, refuses, hangs, closes, or sends elsewhere."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

#: What to do instead of answering with a status.
HANG, CLOSE, FLOOD, DRIP = "hang", "close", "flood", "drip"
FLOOD_BYTES = 64 << 20


class Got(NamedTuple):
    """A request that came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def id(self) -> str:
        return self.headers["x-khaywe-event-id"]


class Receiver:
    """`answer(got)` gives a status, or one of the above; `taken` are those that were answered 2xx."""

    def __init__(self) -> None:
        self.answer: Callable[[Got], int | str] = lambda got: 204
        self.got: list[Got] = []
        self.taken: list[Got] = []
        self.flooded = self.connections = 0
        self.ended = threading.Event()
        lock, receiver = threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                got = Got(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
                with lock:
                    receiver.got.append(got)
                    what = receiver.answer(got)
                    if isinstance(what, int) and 200 <= what < 300:
                        receiver.taken.append(got)
                match what:
                    case "hang":
                        receiver.ended.wait()
                        self.close_connection = True
                    case "close":
                        self.close_connection = True
                    case "flood":
                        self._flood()
                    case "drip":
                        self._drip()
                    case int():
                        self.send_response(what)
                        self.send_header("Location", "/elsewhere")
                        self.send_header("Content-Length", "0")
                        self.end_headers()

            def _flood(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(FLOOD_BYTES))
                self.end_headers()
                try:
                    for _ in range(FLOOD_BYTES >> 16):
                        self.wfile.write(b"x" * (1 << 16))
                        receiver.flooded += 1 << 16
                except OSError:
                    self.close_connection = True

            def _drip(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", "1000000")
                self.end_headers()
                try:
                    while not receiver.ended.wait(0.05):
                        self.wfile.write(b"x")
                except OSError:
                    self.close_connection = True

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def get_request(self) -> Any:
                receiver.connections += 1
                return super().get_request()

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Whoever hangs up is what these tests are about."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Answer nobody any more."""
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()

    def taken_ids(self) -> list[str]:
        """Ids of what was taken, the first time each."""
        return list(dict.fromkeys(got.id for got in self.taken))
