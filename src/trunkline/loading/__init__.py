"""Loading: typed calls staged, sealed and published in PostgreSQL."""
