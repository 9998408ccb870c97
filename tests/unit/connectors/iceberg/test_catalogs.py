"""Catalogs by their options: addresses, what is found in them, and what is told where it is not."""

from __future__ import annotations

import errno
import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from flowsql_connectors.iceberg.address import CatalogAddress, catalog_address, table_identifier
from flowsql_connectors.iceberg.catalogs import load_table, open_catalog
from flowsql_connectors.iceberg.options import OPTIONS
from flowsql_connectors.iceberg.telling import telling
from pyiceberg.schema import Schema
from pyiceberg.types import LongType, NestedField

from flowsql.config import parse_options
from flowsql.connector import ConnectorTable
from flowsql.errors import ConfigError, ConnectorError
from flowsql.types import BigIntType, Field, RowType

SCHEMA = Schema(NestedField(1, "id", LongType(), required=True))


def declared(name: str = "default_catalog.shop.orders", **options: str) -> ConnectorTable:
    """Declared."""
    given = {k.replace("__", ".").replace("_", "-"): v for k, v in options.items()}
    given = {"catalog-name": "demo", **given}
    values = parse_options(OPTIONS, given, where="table")
    return ConnectorTable(
        name, RowType((Field("id", BigIntType()),)), values, declared_name=name.rpartition(".")[2]
    )


def address(**options: str) -> CatalogAddress:
    """Address."""
    return catalog_address(declared(**options).options)


def test_sqlite_addresses(tmp_path: Path) -> None:
    """Sqlite addresses."""
    found = address(uri="jdbc:sqlite:/data/c.db", warehouse="/data/wh")
    assert found.kind == "sql"
    assert found.properties == {"uri": "sqlite:////data/c.db", "warehouse": "/data/wh"}
    assert found.place == "/data/c.db"
    assert address(warehouse=f"file://{tmp_path}/wh").file == tmp_path / "wh" / "catalog.db"
    assert address(warehouse=f"{tmp_path}/wh").file == tmp_path / "wh" / "catalog.db"
    assert address(uri="jdbc:sqlite:file:/data/c.db?mode=rw").file == Path("/data/c.db")
    assert address(uri="jdbc:sqlite:c.db").file == Path.cwd() / "c.db"


def test_postgresql_address_hides_the_password_from_people() -> None:
    """Postgresql address hides the password from people."""
    found = address(uri="jdbc:postgresql://db:5432/lake", jdbc__user="flow", jdbc__password="a@b")
    assert found.properties["uri"].endswith("://flow:a%40b@db:5432/lake")
    assert "a%40b" not in found.place
    assert found.place.endswith("://db:5432/lake")


def test_rest_address() -> None:
    """Rest address."""
    found = address(
        catalog_type="rest",
        uri="http://localhost:8181",
        warehouse="lake",
        token="t0ken",
        s3__endpoint="http://localhost:9000",
        s3__path_style_access="true",
        header__x="1",
    )
    assert found.kind == "rest"
    assert found.properties == {
        "uri": "http://localhost:8181",
        "warehouse": "lake",
        "token": "t0ken",
        "s3.endpoint": "http://localhost:9000",
        "header.x": "1",
    }


def test_a_catalog_and_its_tables_are_found(tmp_path: Path) -> None:
    """A catalog and its tables are found."""
    table = declared(warehouse=str(tmp_path / "wh"))
    catalog = open_catalog(catalog_address(table.options), make=True)
    catalog.create_namespace(("default",))
    catalog.create_table(("default", "orders"), SCHEMA)
    assert table_identifier(table) == ("default", "orders")
    assert load_table(table).schema().find_field("id").required
    assert open_catalog(catalog_address(table.options)) is catalog
    named = declared(warehouse=str(tmp_path / "wh"), catalog_database="a.b", catalog_table="c.d")
    assert table_identifier(named) == ("a", "b", "c.d")


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ({}, 'a catalog of type "jdbc" needs option "uri"', "jdbc:sqlite:/data/catalog.db"),
        (
            {"warehouse": "s3://lake/wh"},
            'a catalog of type "jdbc" needs option "uri"',
            "'warehouse' is a local folder",
        ),
        (
            {"uri": "jdbc:mysql://root@db/x?user=root"},
            '"jdbc:mysql://db/x" is no address of a catalog of type "jdbc"',
            "jdbc:sqlite: or jdbc:postgresql:",
        ),
        (
            {"uri": "jdbc:postgresql://root:hidden@db/x"},
            'option "uri" holds a password',
            "'jdbc.password' = '${NAME}'",
        ),
        (
            {"uri": "jdbc:postgresql://db/x?user=root&password=hidden"},
            'option "uri" holds a password',
            "'jdbc.password' = '${NAME}'",
        ),
        (
            {"catalog_type": "rest", "uri": "http://root:hidden@db/"},
            'option "uri" holds a password',
            "'credential' or 'token' = '${NAME}'",
        ),
        ({"catalog_type": "rest"}, 'a catalog of type "rest" needs option "uri"', "8181"),
        ({"catalog_type": "hive"}, 'a catalog of type "hive" needs option "uri"', "thrift://"),
        (
            {"catalog_type": "hadoop", "warehouse": "/wh"},
            'catalogs of type "hadoop" are not supported',
            "'catalog-type' = 'jdbc'",
        ),
        (
            {"catalog_type": "nessie"},
            'catalogs of type "nessie" are not supported',
            "'catalog-type' = 'rest'",
        ),
    ],
)
def test_wrong_options_are_told_with_their_cure(
    options: dict[str, str], message: str, hint: str
) -> None:
    """Wrong options are told with their cure."""
    with pytest.raises(ConfigError) as caught:
        address(**options)
    assert caught.value.message == message
    assert hint in (caught.value.hint or "")


def test_what_is_not_there_is_told_with_what_is(tmp_path: Path) -> None:
    """What is not there is told with what is."""
    missing = declared(warehouse=str(tmp_path / "wh"))
    with pytest.raises(ConnectorError, match='catalog "demo" does not exist: there is no file'):
        load_table(missing)
    assert not (tmp_path / "wh").exists()
    catalog = open_catalog(catalog_address(missing.options), make=True)
    with pytest.raises(ConnectorError) as caught:
        load_table(missing)
    assert caught.value.message == 'database "default" does not exist in catalog "demo"'
    assert caught.value.hint == "The catalog has no databases yet."
    catalog.create_namespace(("shop",))
    with pytest.raises(ConnectorError) as caught:
        load_table(declared(warehouse=str(tmp_path / "wh"), catalog_database="shpo"))
    assert caught.value.hint == 'Did you mean "shop"?'
    there = declared(warehouse=str(tmp_path / "wh"), catalog_database="shop")
    with pytest.raises(ConnectorError) as caught:
        load_table(there)
    assert (
        caught.value.message == 'table "orders" does not exist in database "shop" of catalog "demo"'
    )
    assert caught.value.hint == 'Database "shop" has no tables.'
    catalog.create_table(("shop", "order"), SCHEMA)
    with pytest.raises(ConnectorError) as caught:
        load_table(there)
    assert caught.value.hint == 'Did you mean "order"?'


def test_a_catalog_that_was_removed_is_not_used_any_more(tmp_path: Path) -> None:
    """A catalog that was removed is not used any more."""
    place = catalog_address(declared(warehouse=str(tmp_path)).options)
    open_catalog(place, make=True)
    assert place.file is not None
    place.file.unlink()
    with pytest.raises(ConnectorError, match="does not exist"):
        open_catalog(place)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    """A file that is no database."""
    (tmp_path / "catalog.db").write_text("no database at all, but long enough to look at it")
    with pytest.raises(ConnectorError) as caught:
        open_catalog(catalog_address(declared(warehouse=str(tmp_path)).options))
    assert "file is not a database" in caught.value.message
    assert "can be read and written" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("number", "cure"),
    [
        (errno.ENOSPC, 'Make room on the disk of "/data/wh".'),
        (errno.EDQUOT, 'Make room on the disk of "/data/wh".'),
        (errno.EACCES, 'Let this user read and write in "/data/wh".'),
        (errno.EROFS, 'Let this user read and write in "/data/wh".'),
        (errno.EIO, 'Check that "/data/wh" is a folder that can be read and written.'),
    ],
)
def test_a_local_warehouse_that_fails_is_told_with_its_folder_and_the_cure(
    number: int, cure: str
) -> None:
    """Nobody can look at a disk that is not named."""
    with pytest.raises(ConnectorError) as caught, telling(address(warehouse="file:///data/wh")):
        raise OSError(number, "Error writing bytes to file. Detail: [errno …] …")
    said = f'the storage of catalog "demo" at /data/wh failed: {os.strerror(number)}'
    assert (caught.value.message, caught.value.hint) == (said, cure)
    assert not caught.value.final


def test_a_warehouse_that_is_a_file_is_named(tmp_path: Path) -> None:
    """As above, by the file system itself."""
    (tmp_path / "wh").touch()
    with pytest.raises(ConnectorError) as caught:
        open_catalog(address(warehouse=f"{tmp_path}/wh"), make=True)
    assert f'catalog "demo" at {tmp_path}/wh failed' in caught.value.message
    assert (
        caught.value.hint == f'Check that "{tmp_path}/wh" is a folder that can be read and written.'
    )


def test_other_storage_is_told_with_its_settings() -> None:
    """An error number of what is reached over a network says nothing of a folder."""
    there = address(uri="jdbc:sqlite:/data/c.db", warehouse="s3://bucket/wh")
    with pytest.raises(ConnectorError) as caught, telling(there):
        raise FileNotFoundError(errno.ENOENT, "Path does not exist 'bucket/wh/x'")
    assert "Path does not exist" in caught.value.message
    assert "'s3.endpoint'" in (caught.value.hint or "")


def test_the_client_writes_no_lines_of_its_own_to_standard_error(tmp_path: Path) -> None:
    """They would stand between lines of JSON; programs with handlers of their own hear them."""
    told = (
        "import logging, sys\n"
        "from flowsql_connectors.iceberg.address import CatalogAddress\n"
        "from flowsql_connectors.iceberg.catalogs import open_catalog\n"
        "open_catalog(CatalogAddress('demo', 'sql', {'uri': 'sqlite:///' + sys.argv[1]}))\n"
        "logging.getLogger('pyiceberg.table').warning('Commit failed, retrying')\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", told, str(tmp_path / "c.db")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stderr == ""


def test_a_server_that_is_down() -> None:
    """A server that is down."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound, not listening: nobody else gets the port
        uri = f"http://127.0.0.1:{held.getsockname()[1]}"
        with pytest.raises(ConnectorError) as caught:
            open_catalog(address(catalog_type="rest", uri=uri))
    assert (
        caught.value.message
        == f'catalog "demo" at {uri} did not answer: [Errno 111] Connection refused'
    )
    assert caught.value.hint == "Check 'uri', and that the server runs."


@pytest.mark.parametrize(
    ("options", "lacking"),
    [
        ({"catalog_type": "glue", "warehouse": "s3://x"}, "boto3"),
        ({"catalog_type": "hive", "uri": "thrift://h:1"}, "thrift"),
    ],
)
def test_a_missing_package_is_named_with_the_line_that_installs_it(
    options: dict[str, str], lacking: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing package is named with the line that installs it."""
    kind = options["catalog_type"]
    for module in (f"pyiceberg.catalog.{kind}", f"flowsql_connectors.iceberg.{kind}"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    for module in [m for m in sys.modules if m.partition(".")[0] == lacking]:
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, lacking, None)
    with pytest.raises(ConnectorError) as caught:
        open_catalog(address(**options))
    assert caught.value.hint == f'Run: pip install "pyiceberg[{kind}]"'


def test_without_the_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the client."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.delitem(sys.modules, "flowsql_connectors.iceberg.clients", raising=False)
    monkeypatch.setitem(sys.modules, "pyiceberg.catalog", None)
    with pytest.raises(ConnectorError) as caught:
        open_catalog(catalog_address(declared(warehouse=str(tmp_path)).options), make=True)
    assert caught.value.message == 'catalog "demo" needs pyiceberg, which is not installed'
    assert caught.value.hint == 'Run: pip install "flowsql[iceberg]"'
