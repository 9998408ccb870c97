"""A way to a server that a test can cut, in the middle of a message too."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from types import TracebackType
from typing import Self

__all__ = ["CuttingProxy"]

_PIECE = 65_536


class CuttingProxy:
    """Passes bytes between its own port and a server's until it is told to stop.

    Args:
        port: of the server on this machine.

    Attributes:
        port: where clients connect to.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._lock = threading.Lock()
        self._refusing = False
        self._left: int | None = None
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def cut(self) -> int:
        """End all connections at once, without a goodbye; how many there were."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            _reset(*pair)
        return len(pairs)

    def cut_after(self, size: int) -> None:
        """End all connections once so many more bytes of the server have been passed on."""
        with self._lock:
            self._left = size

    def turn(self, port: int) -> None:
        """Lead to another server from now on; connections to the old one end."""
        self._target = port
        self.cut()

    def refuse(self, refusing: bool = True) -> None:
        """Take no new connections, as a server that is gone; or take them again."""
        self._refusing = refusing

    def close(self) -> None:
        """Cut all and listen no more."""
        # Wakes the thread that waits for clients; closing alone would not.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._refusing:
                _reset(client)
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                _reset(client)
                continue
            with self._lock:
                self._pairs.append((client, server))
            threading.Thread(target=self._pass, args=(client, server), daemon=True).start()

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        # A socket that was cut is an error of whatever is done with it.
        with contextlib.suppress(OSError, ValueError):
            while True:
                ready, _, _ = select.select([client, server], [], [])
                for source in ready:
                    piece = source.recv(_PIECE)
                    if not piece:
                        raise OSError("closed")
                    if source is client:
                        server.sendall(piece)
                    elif self._passed_on(client, piece):
                        self.cut()
                        return
        with self._lock:
            self._pairs = [pair for pair in self._pairs if pair[0] is not client]
        client.close()
        server.close()

    def _passed_on(self, client: socket.socket, piece: bytes) -> bool:
        """Send what may still be sent; whether that was the last."""
        with self._lock:
            if self._left is None:
                allowed = len(piece)
            else:
                allowed = min(self._left, len(piece))
                self._left -= allowed
            last = self._left == 0
            if last:
                self._left = None
        client.sendall(piece[:allowed])
        return last


def _reset(*ends: socket.socket) -> None:
    """Close without a goodbye: the other side sees a reset, as of a machine that is gone."""
    for end in ends:
        with contextlib.suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        # A thread may wait in it, which a close alone does not end.
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
