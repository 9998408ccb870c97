"""`python -m tests.services postgres [version]`: a server to play with, until Ctrl-C.

`python -m tests.services fetch`: all programs that `make test` else fetches when it needs them.
"""

from __future__ import annotations

import argparse
import contextlib
import signal

from tests.services.binaries import VERSIONS, binaries, catalog_classes, metastore_classes
from tests.services.fixtures import POSTGRES_VERSIONS
from tests.services.postgres import PostgresServer
from tests.support.iceberg_reader import reader


def main() -> None:
    """Start what was asked for and say where it is, or fetch it."""
    parser = argparse.ArgumentParser(prog="python -m tests.services", description=__doc__)
    parser.add_argument("service", choices=["postgres", "fetch"])
    parser.add_argument("version", type=int, nargs="?", default=15, choices=VERSIONS)
    asked = parser.parse_args()
    if asked.service == "fetch":
        for version in POSTGRES_VERSIONS:
            binaries(version)
        catalog_classes()
        metastore_classes()
        reader()
        return
    with PostgresServer(asked.version) as server:
        print(f"psql '{server.dsn()}'", flush=True)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
