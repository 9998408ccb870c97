"""`python -m tests.services postgres [version]`: a server to play with, until Ctrl-C."""

from __future__ import annotations

import argparse
import contextlib
import signal

from tests.services.binaries import VERSIONS
from tests.services.postgres import PostgresServer


def main() -> None:
    """Start what was asked for and say where it is."""
    parser = argparse.ArgumentParser(prog="python -m tests.services", description=__doc__)
    parser.add_argument("service", choices=["postgres"])
    parser.add_argument("version", type=int, nargs="?", default=15, choices=VERSIONS)
    asked = parser.parse_args()
    with PostgresServer(asked.version) as server:
        print(f"psql '{server.dsn()}'", flush=True)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
