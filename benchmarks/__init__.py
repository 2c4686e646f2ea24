"""Benchmarks of trunkline against its goals and against what else loads the same file; run them with `make bench`."""
