"""What a reader in a process of its own is built from."""

from __future__ import annotations

import json

from flowsql_connectors.postgres_cdc.decode.types import PgType, Shape
from flowsql_connectors.postgres_cdc.server.catalog import ServerColumn, ServerTable, UniqueKey
from flowsql_connectors.postgres_cdc.setup import ReaderSetup, TableSetup
from flowsql_connectors.postgres_cdc.snapshot.chunks import chunk_key

from flowsql.changelog import ChangelogMode
from flowsql.testing import connector_table


def test_it_comes_back_as_it_was() -> None:
    """Through JSON: types within types, keys, tables without a chunk key."""
    element = PgType(23, -1, "integer", Shape.INT4)
    types = {(23, -1): element, (1007, -1): PgType(1007, -1, "integer[]", Shape.ARRAY, element)}
    columns = [
        ServerColumn("id", 23, -1, "integer", True, "", None),
        ServerColumn("many", 1007, -1, "integer[]", False, "", None),
    ]
    keyed = ServerTable(1, "s", "t", False, "default", columns, [UniqueKey(True, False, ("id",), True)])  # fmt: skip
    bare = ServerTable(2, "s", "u", True, "full", columns, [])
    options = {
        "connector": "postgres-cdc", "hostname": "h", "username": "u", "database-name": "d",
        "schema-name": "s", "table-name": "t|u", "slot.name": "x",
    }  # fmt: skip
    tables = [
        connector_table("id INT, many ARRAY<INT>", options, name="a", primary_key=("id",)),
        connector_table("many ARRAY<INT>", options, name="b"),
    ]
    key = chunk_key(tables[0], keyed, types)
    assert key is not None
    setup = ReaderSetup(
        "x",
        "p",
        17,
        {"s.t": TableSetup(keyed, key, ("a",)), "s.u": TableSetup(bare, None, ("a", "b"))},
        types,
    )
    found = ReaderSetup.read(json.loads(json.dumps(setup.described())))
    assert found == setup
    assert hash(found.tables["s.t"].key) == hash(key)
    modes = [ChangelogMode.UPSERT, ChangelogMode.RETRACT]
    assert found.shapes("s.u", tables, modes) == setup.shapes("s.u", tables, modes)
    assert [s.table.name for s in found.shapes("s.u", tables, modes)] == ["a", "b"]
    assert [s.mode for s in found.shapes("s.t", tables, modes)] == modes[:1]
