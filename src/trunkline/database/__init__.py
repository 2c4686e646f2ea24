"""PostgreSQL sessions: opened, retried, their errors translated, their schema current."""
