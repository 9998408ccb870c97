"""A way to an HTTP server on which answers are lost and errors are made up."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

__all__ = ["Fault", "FaultyWay"]


@dataclass
class Fault:
    """What happens to a request.

    Attributes:
        method: of the requests that it happens to.
        path: that these end with.
        passed: the server gets the request, and does what it asks.
        status: of the answer that is made up; None ends the connection without an answer.
        times: how many requests it still happens to.
        held: the server gets the request when this is set; the client has no answer.
    """

    method: str
    path: str
    passed: bool
    status: int | None
    times: int = 1
    held: threading.Event | None = None

    def happens(self, method: str, path: str) -> bool:
        """Whether it happens to this request."""
        if not self.times or method != self.method or not path.endswith(self.path):
            return False
        self.times -= 1
        return True


class FaultyWay:
    """Passes requests to a server of this machine.

    Args:
        port: of the server.

    Attributes:
        port: where clients ask.
        faults: in the order in which they are looked at.
    """

    def __init__(self, port: int) -> None:
        self.faults: list[Fault] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(port, self))
        self.port = self._server.server_port
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def fault_of(self, method: str, path: str) -> Fault | None:
        """What happens to a request."""
        with self._lock:
            return next((f for f in self.faults if f.happens(method, path)), None)


def _handler(port: int, way: FaultyWay) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def handle_one_request(self) -> None:
            with contextlib.suppress(ConnectionError):
                super().handle_one_request()

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            fault = way.fault_of(self.command, self.path.partition("?")[0])
            status, kind, text = 500, "text/plain", b"made up"
            if fault is not None and fault.held is not None:
                self.connection.shutdown(socket.SHUT_RDWR)
                fault.held.wait(60)
            if fault is None or fault.passed:
                server = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                headers = {k: v for k, v in self.headers.items() if k.lower() != "host"}
                server.request(self.command, self.path, body, headers)
                answer = server.getresponse()
                status, text = answer.status, answer.read()
                kind = answer.headers.get("Content-Type", kind)
                server.close()
            if fault is not None:
                if fault.status is None:
                    self.close_connection = True
                    self.connection.close()
                    return
                status, kind, text = fault.status, "text/plain", b"made up"
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(text)

        do_GET = do_POST = do_DELETE = do_HEAD = _answer  # noqa: N815 - names of the library

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    return Handler
