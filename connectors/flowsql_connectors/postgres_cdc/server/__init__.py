"""What the server is asked and told: connections, tables, publications, slots; no rows."""
