"""What stands in the way of reading or writing a table; nothing is changed anywhere."""

from __future__ import annotations

from collections.abc import Sequence

from flowsql.connector import ConnectorTable, Finding, Role, Severity
from flowsql_connectors.iceberg.address import catalog_address, metadata_name, table_identifier
from flowsql_connectors.iceberg.catalogs import load_table, open_catalog
from flowsql_connectors.iceberg.scan.batch import OpenedTable
from flowsql_connectors.iceberg.scan.metadata import check_metadata_table
from flowsql_connectors.iceberg.scan.plan import branch_head, chosen_snapshot
from flowsql_connectors.iceberg.schema import other_partitioning
from flowsql_connectors.iceberg.telling import telling
from flowsql_connectors.iceberg.write.target import check_written

__all__ = ["check_table"]


def check_table(table: ConnectorTable, role: Role) -> Sequence[Finding]:
    """Look for the table in its catalog, and whether it fits its declaration.

    Raises:
        ConnectorError: the catalog cannot be reached, there is nothing to read, or it is another
            table than was declared.
    """
    if role is Role.SINK:
        return _written(table)
    if metadata_name(table_identifier(table)[-1])[1] is not None:
        check_metadata_table(table)
        return ()
    opened = OpenedTable(table)
    if table.options["streaming"]:
        branch_head(opened.table, table)
        return ()
    # Equality deletes are found by whoever plans.
    opened.files(chosen_snapshot(opened.table, table))
    return ()


def _written(table: ConnectorTable) -> Sequence[Finding]:
    address = catalog_address(table.options)
    made = Finding(
        Severity.NOTE,
        f'table "{table.name}" is not there yet',
        cure="The first start makes it as it is declared.",
        table=table.name,
    )
    if address.file is not None and not address.file.exists():
        return (made,)
    catalog = open_catalog(address)
    with telling(address, catalog, table_identifier(table)):
        there = catalog.table_exists(table_identifier(table))
    if not there:
        return (made,)
    found = load_table(table)
    check_written(table, found)
    other = other_partitioning(table, found.spec(), found.schema())
    if other is None:
        return ()
    cure = "Its rows are divided as the catalog says: declare that, or leave it out."
    return (Finding(Severity.WARNING, other, cure=cure, table=table.name),)
