"""Iceberg: catalogs, tables that are read and tables that are written."""
