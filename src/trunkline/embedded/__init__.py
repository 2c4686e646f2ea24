"""An embedded PostgreSQL and Valkey, for as long as somebody uses them."""
