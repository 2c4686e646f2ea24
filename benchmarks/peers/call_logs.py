"""The call log typed by polars: what the peers that are fed a table load."""

from __future__ import annotations

import polars as pl

TEXT = ("call_cost", "call_destination", "call_date", "call_duration")


def read_calls(file: str) -> pl.DataFrame:
    """Return the calls of *file*, typed: exact money, times in UTC, whole seconds."""
    text = pl.read_csv(file, schema_overrides={"customer_id": pl.Int64} | dict.fromkeys(TEXT, pl.String))
    parts = pl.col("call_duration").str.split_exact(":", 2).struct
    hours, minutes, seconds = (parts.field(f"field_{place}").cast(pl.Int32) for place in range(3))
    local = pl.col("call_date").str.to_datetime("%Y-%m-%d %H:%M:%S").dt.replace_time_zone("Africa/Nairobi")
    return text.select(
        "customer_id",
        pl.col("call_cost").str.strip_prefix("$").cast(pl.Decimal(18, 6)).alias("cost"),
        pl.col("call_destination").alias("destination"),
        local.dt.convert_time_zone("UTC").alias("started_at"),
        (hours * 3600 + minutes * 60 + seconds).alias("duration_s"),
    )
