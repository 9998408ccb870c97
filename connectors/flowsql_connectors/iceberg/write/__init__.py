"""Writing tables of Apache Iceberg: data files, commits, and what killed attempts left."""
