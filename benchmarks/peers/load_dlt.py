"""Load a call log with dlt: Arrow tables in, COPY of CSV out, which is the quickest way it has into PostgreSQL."""

from __future__ import annotations

import os
import sys
import tempfile
from urllib.parse import quote

from psycopg2.extensions import parse_dsn


def main(file: str, url: str, table: str) -> None:
    """Append the calls of *file* to *table*, named with its schema; dlt makes both."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"DLT_DATA_DIR": folder, "RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "ERROR"}
        import dlt  # reads the environment when it is imported

        from benchmarks.peers.call_logs import read_calls

        schema, _, name = table.partition(".")
        pipeline = dlt.pipeline(
            "bench",
            pipelines_dir=folder,
            destination=dlt.destinations.postgres(_credentials(url)),
            dataset_name=schema,
        )
        calls = dlt.resource(read_calls(file).to_arrow(), name=name, write_disposition="append")
        pipeline.run(calls, loader_file_format="csv").raise_on_failed_jobs()


def _credentials(url: str) -> str:
    """Return *url* with the host and the password that dlt asks for; the last host that is named counts for libpq."""
    parts = parse_dsn(url)
    user, password = (quote(parts.get(name, "unused"), safe="") for name in ("user", "password"))
    port, host = parts.get("port", "5432"), quote(parts.get("host", "localhost"), safe="")
    return f"postgresql://{user}:{password}@localhost:{port}/{parts['dbname']}?host={host}"


if __name__ == "__main__":
    main(*sys.argv[1:])
