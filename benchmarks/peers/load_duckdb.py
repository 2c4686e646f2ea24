"""Load a call log with DuckDB: typed by its CSV reader, made distinct, inserted through its postgres extension."""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb
import duckdb_extension_postgres_scanner

CALLS = """
    create view calls as
    select distinct
        customer_id,
        cast(replace(call_cost, '$', '') as decimal(18, 6)) as cost,
        call_destination as destination,
        timezone('Africa/Nairobi', call_date) as started_at,
        cast(epoch(cast(call_duration as interval)) as integer) as duration_s
    from call_log
"""
KEY = "md5(concat_ws('|', customer_id, epoch(started_at)::bigint, destination, duration_s))::uuid as record_key"
TYPES = {
    "customer_id": "BIGINT",
    "call_cost": "VARCHAR",
    "call_destination": "VARCHAR",
    "call_date": "TIMESTAMP",
    "call_duration": "VARCHAR",
}


def main(file: str, url: str, table: str) -> None:
    """Load *file* into *table*, with a key if that is the keyed one."""
    extension = next(Path(duckdb_extension_postgres_scanner.__file__).parent.rglob("*.duckdb_extension"))
    with duckdb.connect() as session:
        session.load_extension(str(extension))
        session.execute(f"attach '{url}' as target (type postgres)")
        session.read_csv(file, header=True, dtype=TYPES).create_view("call_log")
        session.execute(CALLS)
        columns = f"*, {KEY}" if table == "keyed" else "*"
        session.execute(f"insert into target.public.{table} select {columns} from calls")


if __name__ == "__main__":
    main(*sys.argv[1:])
