"""Bytes of the server as columns: its types, values, COPY, and the messages of its log; no connection."""
