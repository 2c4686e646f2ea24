"""Load a call log with pandas: `read_csv`, typed columns, `to_sql` as it comes."""

from __future__ import annotations

import sys

import pandas as pd
import sqlalchemy


def main(file: str, url: str, table: str) -> None:
    """Append the calls of *file* to *table*; money is float, since that is what pandas makes of it."""
    text = pd.read_csv(file)
    local = pd.to_datetime(text["call_date"]).dt.tz_localize("Africa/Nairobi")
    calls = pd.DataFrame(
        {
            "customer_id": text["customer_id"],
            "cost": text["call_cost"].str.removeprefix("$").astype(float),
            "destination": text["call_destination"],
            "started_at": local,
            "duration_s": pd.to_timedelta(text["call_duration"]).dt.total_seconds().astype(int),
        }
    )
    engine = sqlalchemy.create_engine(url.replace("postgresql://", "postgresql+psycopg2://", 1))
    calls.to_sql(table, engine, if_exists="append", index=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
