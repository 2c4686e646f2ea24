"""Benchmarks of trunkline against what else loads the same file; run them with `make bench`."""
