"""`metrics.port`: Prometheus's text at `/metrics`, and `/healthz` for whoever restarts what is ill.

One server a process and address: its jobs are labels. What a job said last can be read until its
session is closed, so that one that failed stays `503`. `prometheus_client` writes the text, in
whichever of its forms is asked for; it is loaded with the first server.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from flowsql.errors import ConfigError
from flowsql.runtime.metrics import METRICS, Kind
from flowsql.version import __version__

__all__ = ["Watched", "exposition", "watch"]

JSON = dict[str, Any]
Status = Callable[[], JSON]

# Seconds after which somebody who connects and asks nothing is left.
_PATIENCE = 10.0
_SERVERS: dict[tuple[str, int], _Server] = {}
_LOCK = threading.Lock()


class Watched:
    """A job that a server shows, until `close`.

    Attributes:
        url: of its metrics.
    """

    def __init__(self, server: _Server, name: str, status: Status) -> None:
        self._server = server
        self._name = name
        self._status = status
        self.url = f"http://{server.at}/metrics"

    def close(self) -> None:
        """Show it no more; the last one takes the server with it."""
        with _LOCK:
            if self._server.jobs.get(self._name) is self._status:
                # Else a later job of the name has taken its place.
                del self._server.jobs[self._name]
            if not self._server.jobs and _SERVERS.pop(self._server.asked, None) is not None:
                self._server.close()


def watch(host: str, port: int, job: str, status: Status) -> Watched:
    """Show a job.

    Args:
        host: name or address to listen at.
        port: 0 for one that is free.
        job: its id; a second one of the name that runs gets a number behind it.
        status: what `Job.status` tells; called in other threads.

    Raises:
        ConfigError: the port is taken, or there is no such host.
    """
    with _LOCK:
        server = _SERVERS.get((host, port))
        if server is None:
            server = _SERVERS[host, port] = _Server(host, port)
        name, number = job, 1
        while name in server.jobs and server.jobs[name]()["ended"] is None:
            number += 1
            name = f"{job}#{number}"
        server.jobs[name] = status
        return Watched(server, name, status)


class _Server:
    """Answers in threads of its own.

    Attributes:
        asked: host and port as they were given.
        at: where it listens, `host:port`.
        jobs: what it shows.
    """

    def __init__(self, host: str, port: int) -> None:
        self.asked = (host, port)
        self.jobs: dict[str, Status] = {}
        self._http = _listen(host, port, self)
        name, number = self._http.server_address[:2]
        shown = name.decode() if isinstance(name, bytes) else name
        self.at = f"[{shown}]:{number}" if ":" in shown else f"{shown}:{number}"
        self._closing = False
        threading.Thread(target=self._serve, name="metrics", daemon=True).start()

    def _serve(self) -> None:
        while not self._closing:
            # It waits for a request or for the socket's end: nobody is woken in between.
            with contextlib.suppress(OSError, ValueError):
                self._http.handle_request()

    def close(self) -> None:
        self._closing = True
        with contextlib.suppress(OSError):
            self._http.socket.shutdown(socket.SHUT_RDWR)
        self._http.server_close()

    def statuses(self) -> Iterator[tuple[str, JSON]]:
        for name, status in list(self.jobs.items()):
            yield name, status()


def _listen(host: str, port: int, server: _Server) -> ThreadingHTTPServer:
    class Handler(_Handler):
        shown = server

    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]

        class Listener(ThreadingHTTPServer):
            address_family = family
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """Whoever hangs up before the answer is nobody's trouble."""

        return Listener((host, port), Handler)
    except OSError as error:
        raise ConfigError(
            f'metrics cannot be shown at "{host}:{port}": {(error.strerror or str(error)).lower()}',
            hint="Choose another 'metrics.port', as another process listens there; jobs of one "
            "process share theirs."
            if not isinstance(error, socket.gaierror)
            else "'metrics.host' is the name or address of a network of this machine; 0.0.0.0 for all.",
            option="metrics.host" if isinstance(error, socket.gaierror) else "metrics.port",
        ) from None


class _Handler(BaseHTTPRequestHandler):
    """One request."""

    shown: _Server
    timeout = _PATIENCE
    server_version = f"flowsql/{__version__}"
    sys_version = ""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics":
            body, kind = exposition(self.shown.statuses(), self.headers.get("Accept") or "")
            self._answer(HTTPStatus.OK, body, kind)
        elif path == "/healthz":
            jobs = {name: status["health"] for name, status in self.shown.statuses()}
            well = all(health == "ok" for health in jobs.values())
            told = {"status": "ok" if well else "unhealthy", "jobs": jobs}
            body = f"{json.dumps(told, ensure_ascii=False)}\n".encode()
            code = HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE
            self._answer(code, body, "application/json")
        else:
            body = b"flowsql: /metrics for Prometheus, /healthz\n"
            self._answer(HTTPStatus.NOT_FOUND, body, "text/plain; charset=utf-8")

    def do_HEAD(self) -> None:
        self.do_GET()

    def _answer(self, code: HTTPStatus, body: bytes, kind: str) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Whoever asks every few seconds is no news."""


def exposition(statuses: Iterator[tuple[str, JSON]], accept: str = "") -> tuple[bytes, str]:
    """Everything in the form that Prometheus reads, and its content type.

    Args:
        statuses: of jobs, each with the name to show.
        accept: the forms that the asker knows, as the header says.
    """
    from prometheus_client import CollectorRegistry, ProcessCollector  # noqa: PLC0415 - few need it
    from prometheus_client.exposition import choose_encoder  # noqa: PLC0415

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(list(statuses)))
    ProcessCollector(registry=registry)
    encode, kind = choose_encoder(accept)
    return encode(registry), kind


class _Collector:
    """`METRICS` of some statuses, as the library wants them."""

    def __init__(self, statuses: list[tuple[str, JSON]]) -> None:
        self._statuses = statuses

    def collect(self) -> Iterator[Any]:
        from prometheus_client import core  # noqa: PLC0415

        for metric in METRICS:
            statuses = self._statuses[:1] if metric.scope.of_process else self._statuses
            found = [s for job, status in statuses for s in metric.samples(job, status)]
            if not found:
                continue
            family: Any
            match metric.kind:
                case Kind.COUNTER:
                    family = core.CounterMetricFamily(metric.name, metric.doc, labels=metric.labels)
                case Kind.GAUGE:
                    family = core.GaugeMetricFamily(metric.name, metric.doc, labels=metric.labels)
                case _:
                    family = core.HistogramMetricFamily(
                        metric.name, metric.doc, labels=metric.labels
                    )
            for labels, value in found:
                if metric.kind == Kind.HISTOGRAM:
                    within = [*value["buckets"].items(), ("+Inf", value["count"])]
                    family.add_metric(labels, within, value["sum"])
                else:
                    family.add_metric(labels, value)
            yield family
