"""Iceberg tables, read: the rows of one snapshot, or every change from snapshot to snapshot."""
