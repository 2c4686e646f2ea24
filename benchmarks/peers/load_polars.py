"""Load a call log with polars, through the ADBC driver of PostgreSQL."""

from __future__ import annotations

import sys

from benchmarks.peers.call_logs import read_calls


def main(file: str, url: str, table: str) -> None:
    """Append the calls of *file* to *table*."""
    read_calls(file).write_database(table, url, if_table_exists="append", engine="adbc")


if __name__ == "__main__":
    main(*sys.argv[1:])
