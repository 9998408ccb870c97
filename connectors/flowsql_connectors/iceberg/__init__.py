"""Apache Iceberg: its catalogs, and the options of its tables."""
