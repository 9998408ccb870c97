"""The rows that are there: chunks, the snapshots they are read under, and what these have seen."""
