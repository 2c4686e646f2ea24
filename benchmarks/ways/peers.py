"""Other programs, each run as a script of `peers/` by the Python of the peers' own environment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.measurements import Run
from benchmarks.process import run_program
from benchmarks.rounds import Way, run_of
from benchmarks.ways.psql import making
from benchmarks.workbench import PEERS_DATABASE, Dataset, Workbench

SCRIPTS = Path(__file__).parents[1] / "peers"
SLOW_ROUNDS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Peer:
    """
    A program and what it loads into.

    Attributes:
        script: Its file in `peers/`, called with the file, the database's URL and the table.
        setup: What makes room for it, in `sql/`.
        table: What it loads into.
    """

    name: str
    label: str
    keeps: str
    script: str
    setup: str = "bare_table.sql"
    table: str = "bare"
    at_most: int | None = None


DUCKDB_BARE = Peer(
    name="duckdb_bare",
    label="DuckDB with its postgres extension",
    keeps="typed, distinct in the file, no key",
    script="load_duckdb.py",
)
DUCKDB_KEYED = Peer(
    name="duckdb_keyed",
    label="DuckDB with its postgres extension, keyed table",
    keeps="typed, distinct in the file, key; fails on any duplicate",
    script="load_duckdb.py",
    setup="keyed_table.sql",
    table="keyed",
)
POLARS = Peer(
    name="polars",
    label="polars with ADBC",
    keeps="typed, no key",
    script="load_polars.py",
)
DLT = Peer(
    name="dlt",
    label="dlt, append, fed Arrow tables by polars",
    keeps="typed, no key",
    script="load_dlt.py",
    setup="dlt_schema.sql",  # it makes its tables itself
    table="dlt_calls.calls",
    at_most=SLOW_ROUNDS,
)
PANDAS = Peer(
    name="pandas",
    label="pandas `to_sql`",
    keeps="typed, money as float, no key",
    script="load_pandas.py",
)


def peer_way(bench: Workbench, peer: Peer, dataset: Dataset) -> Way:
    """Return the way of a peer."""
    environ = {**bench.servers.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    program: list[str | Path] = [
        bench.peers_python,
        SCRIPTS / peer.script,
        dataset.file,
        bench.servers.url(PEERS_DATABASE),
        peer.table,
    ]

    def run(_: int) -> Run:
        return run_of(run_program(program, environ))

    return Way(
        name=peer.name,
        label=peer.label,
        keeps=peer.keeps,
        prepare=making(bench, peer.setup),
        run=run,
        check=lambda _: bench.check(PEERS_DATABASE, peer.table, dataset),
        at_most=peer.at_most,
    )
