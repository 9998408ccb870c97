"""PostgreSQL's bytes, without a server."""
