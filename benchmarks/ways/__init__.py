"""The ways that are compared: trunkline, psql, hand-written SQL, and the peers, each in a process of its own."""
