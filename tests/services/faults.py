"""A way to an HTTP server on which answers are lost and errors are made up."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

__all__ = ["Fault", "FaultyWay"]


@dataclass
class Fault:
    """What happens to a request.

    Attributes:
        method: of the requests that it happens to.
        path: that these end with, before what is asked of it.
        passed: the server gets the request, and does what it asks.
        status: of the answer that is made up; None ends the connection without an answer.
        times: how many requests it still happens to.
        held: the server gets the request when this is set; the client has no answer.
        asked: what stands behind the path, or part of it.
    """

    method: str
    path: str
    passed: bool
    status: int | None
    times: int = 1
    held: threading.Event | None = None
    asked: str = ""

    def happens(self, method: str, target: str) -> bool:
        """Whether it happens to this request."""
        path, _, asked = target.partition("?")
        if not path.endswith(self.path) or self.asked not in asked:
            return False
        if not self.times or method != self.method:
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

    def fault_of(self, method: str, target: str) -> Fault | None:
        """What happens to a request."""
        with self._lock:
            return next((f for f in self.faults if f.happens(method, target)), None)


def _ends(headers: Message) -> dict[str, str]:
    """Those that are for the other end, not for one connection."""
    return {k: v for k, v in headers.items() if k.lower() not in {"connection", "keep-alive"}}


def _handler(port: int, way: FaultyWay) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            with contextlib.suppress(ConnectionError):
                super().handle_one_request()

        def _answer(self) -> None:
            body = self._body()
            fault = way.fault_of(self.command, self.path)
            status, text, told = 500, b"made up", {"Content-Type": "text/plain"}
            if fault is not None and fault.held is not None:
                self.connection.shutdown(socket.SHUT_RDWR)
                fault.held.wait(60)
            if fault is None or fault.passed:
                server = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                server.request(
                    self.command, self.path, body, _ends(self.headers),
                    encode_chunked=not isinstance(body, bytes),
                )  # fmt: skip
                answer = server.getresponse()
                status, text, told = answer.status, answer.read(), _ends(answer.headers)
                server.close()
            if fault is not None:
                if fault.status is None:
                    self.close_connection = True
                    self.connection.close()
                    return
                status, text, told = fault.status, b"made up", {"Content-Type": "text/plain"}
            self.send_response_only(status)
            # Of what is only asked about the server tells a length, too.
            if self.command != "HEAD" or "Content-Length" not in told:
                told["Content-Length"] = str(len(text))
            for name, value in told.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(text)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _answer  # noqa: N815 - the library's

        def _body(self) -> bytes | list[bytes]:
            """Whole, or the pieces in which it comes."""
            if self.headers.get("Transfer-Encoding") is None:
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            pieces = []
            while size := int(self.rfile.readline().partition(b";")[0], 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return pieces

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    return Handler
