"""The process of readers: does what the engine asks over a socket, and ends when the engine does.

Started by `reader_process`; loads the connector and what that needs, and nothing of the engine's
plans. One reader is served after another.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import threading
from dataclasses import asdict

from flowsql.connector import JSON, Reader
from flowsql.connector.plain import split_of, table_of
from flowsql.connector.plugins import find_connector
from flowsql.runtime.frames import Packer, error_json, receive, send

__all__ = ["main"]


def main(channel_fd: int, life_fd: int) -> None:
    """Serve readers.

    Args:
        channel_fd: a connected socket.
        life_fd: end of a pipe that is closed when the engine's process is gone.
    """
    # A signal to the whole group is for the engine, which ends its readers itself.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_watch, args=(life_fd,), daemon=True).start()
    channel = socket.socket(fileno=channel_fd)
    # Until nobody asks any more.
    with contextlib.suppress(EOFError, OSError):
        while True:
            asked, _ = receive(channel)
            if "load" in asked:
                # What is wrong with it the first reader says.
                with contextlib.suppress(Exception):
                    find_connector(asked["load"]).load_reader()
            else:
                _serve(asked, channel)


def _serve(asked: JSON, channel: socket.socket) -> None:
    """One reader, from its opening to its end."""
    try:
        reader = _open(asked)
    except Exception as error:  # noqa: BLE001 - the engine raises it
        send(channel, {"error": error_json(error)})
        return
    try:
        send(channel, {"ok": None})
        gc.freeze()
        served = _Served(reader, channel, [s["id"] for s, _ in asked["splits"]])
        while served.answer(receive(channel)[0]):
            pass
    finally:
        reader.close()
    send(channel, {"ok": None})


def _open(asked: JSON) -> Reader:
    connector = find_connector(asked["connector"])
    tables = [table_of(t) for t in asked["tables"]]
    splits = [(split_of(s), position) for s, position in asked["splits"]]
    return connector.open_reader(tables, asked["setup"], splits)


def _watch(life_fd: int) -> None:
    os.read(life_fd, 1)
    # The reader may hang in a call: it is not asked.
    os._exit(1)


class _Served:
    """A reader, asked over a socket."""

    def __init__(self, reader: Reader, channel: socket.socket, splits: list[str]) -> None:
        self._reader = reader
        self._channel = channel
        self._open = set(splits)
        self._packer = Packer()

    def answer(self, asked: JSON) -> bool:
        """Answer one request; whether another one may follow."""
        try:
            match asked["ask"]:
                case "poll":
                    self._poll(asked["rows"], asked["timeout"])
                case "position":
                    send(self._channel, {"ok": self._reader.position(asked["split"])})
                case "assign":
                    splits = [(split_of(s), position) for s, position in asked["splits"]]
                    self._open.update(s.id for s, _ in splits)
                    self._reader.assign(splits)
                    send(self._channel, {"ok": None})
                case "tell":
                    self._reader.tell(asked["message"])
                    send(self._channel, {"ok": None})
                case _:
                    return False
        except OSError as error:
            if isinstance(error, BrokenPipeError | ConnectionError):
                return False
            send(self._channel, {"error": error_json(error)})
        except Exception as error:  # noqa: BLE001 - the engine raises it
            send(self._channel, {"error": error_json(error)})
        return True

    def _poll(self, rows: int, timeout: float) -> None:
        poll = self._reader.poll(rows, timeout)
        status = self._reader.status()
        if poll is None:
            told = None if status is None else asdict(status)
            send(self._channel, {"nothing": told})
            return
        self._open.difference_update(poll.finished)
        positions = {}
        if poll.boundary:
            moved = {p.split for p in poll.pieces} & self._open
            positions = {split: self._reader.position(split) for split in moved}
        header, payload = self._packer.pack(poll, positions, status)
        send(self._channel, header, payload)
