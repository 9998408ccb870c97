"""Tables of Apache Iceberg.

    CREATE TABLE order_lines (
      order_id BIGINT, product STRING, total DECIMAL(20, 2),
      PRIMARY KEY (order_id) NOT ENFORCED
    ) WITH (
      'connector' = 'iceberg',
      'catalog-name' = 'demo',
      'catalog-type' = 'jdbc',
      'uri' = 'jdbc:sqlite:/data/catalog.db',
      'warehouse' = '/data/warehouse'
    );

| role | guarantee |
| --- | --- |
| sink | exactly-once: a checkpoint's files come in one snapshot, which says whose they are |
"""

from __future__ import annotations

from flowsql_connectors.iceberg.connector import IcebergConnector

__all__ = ["CONNECTOR"]

CONNECTOR = IcebergConnector()
