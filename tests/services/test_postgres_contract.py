"""postgres-cdc keeps what every source promises."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from flowsql_connectors.postgres_cdc.log.log_reader import LOG

from flowsql.connector import ConnectorTable, Reader, Source
from tests.contract.reading import Run
from tests.contract.sources import Case
from tests.contract.test_source import (  # noqa: F401 (collected here with the case below)
    test_a_bounded_source_ends,
    test_a_cut_anywhere_gives_the_same_rows,
    test_a_foreign_position_is_refused,
    test_a_poll_waits_no_longer_than_asked,
    test_an_old_position_gives_the_same_rows_again,
    test_checks_pass_and_boundedness_is_known_before,
    test_positions_are_plain_json_that_says_whose_it_is,
    test_projection_gives_only_the_asked_columns,
    test_reads_two_takes_the_position_and_reads_on,
    test_the_same_rows_in_a_process,
)
from tests.services.following import drop_slot, server_table
from tests.services.postgres import PostgresServer

_NUMBER = count()


class _Case(Case):
    """Closes what a test opens and leaves; reads to where the server's log ends, however slowly."""

    def __init__(self, folder: Path, tables: list[ConnectorTable], server: PostgresServer) -> None:
        super().__init__(folder, tables)
        self._server = server
        self._opened: list[Source] = []

    def open(self, position: dict | None = None) -> Source:
        self._opened.append(super().open(position))
        return self._opened[-1]

    def read(self, position: dict | None = None, **how: Any) -> Run:
        asked = "SELECT pg_current_wal_flush_lsn() - '0/0'::pg_lsn"
        end = int(self._server.execute(asked)[0][0])

        def ended(reader: Reader, splits: Collection[str]) -> bool:
            return LOG in splits and reader.position(LOG)["lsn"] >= end

        return super().read(position, **how, ended=ended)

    def narrow(self, tables: list[ConnectorTable]) -> Case:
        made = _Case(self.folder, tables, self._server)
        made._opened = self._opened
        return made

    def close(self) -> None:
        """All sources."""
        for source in self._opened:
            source.close()


@pytest.fixture(params=["initial", "log"])
def case(
    request: pytest.FixtureRequest, postgres: PostgresServer, tmp_path: Path
) -> Iterator[Case]:
    """Two tables through one slot, from their snapshot or from their log."""
    number = next(_NUMBER)
    names = [f"contract{number}_{part}" for part in ("a", "b")]
    options = {
        "slot__name": f"contract{number}",
        "debezium__publication__name": f"contract{number}",
        "scan__incremental__snapshot__chunk__size": "4",
        # Its position tells where a log ends, and comes that often.
        "heartbeat__interval__ms": "20ms",
        "scan__startup__mode": "committed-offset" if request.param == "log" else "initial",
    }
    for name in names:
        postgres.execute(f"CREATE TABLE {name} (id bigint PRIMARY KEY, name text)")
        postgres.execute(f"ALTER TABLE {name} REPLICA IDENTITY FULL")
    tables = [server_table(postgres, "id BIGINT, name STRING", n, **options) for n in names]
    made = _Case(tmp_path, tables, postgres)
    if request.param == "log":
        made.open().close()
    for start in (1, 9, 10):
        both = "; ".join(
            f"INSERT INTO {name} SELECT g, 'n' || g FROM generate_series({start}, {start} * 2) g"
            f" WHERE g NOT IN (SELECT id FROM {name})"
            for name in names
        )
        postgres.execute(f"BEGIN; {both}; UPDATE {names[0]} SET name = 'x' WHERE id = 2; COMMIT")
    yield made
    made.close()
    postgres.cut_connections("application_name = 'flowsql'")
    drop_slot(postgres, f"contract{number}")
    postgres.execute(f"DROP PUBLICATION contract{number}")
    for name in names:
        postgres.execute(f"DROP TABLE {name}")
