"""A quoted file of 21 columns from Asterisk, with its phone numbers normalised."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from benchmarks.experiments.load import leaving_nothing, start_up
from benchmarks.process import BenchError
from benchmarks.rounds import Experiment, Way
from benchmarks.ways import psql, trunkline
from benchmarks.workbench import CALLS_DATABASE, PEERS_DATABASE, Dataset, Workbench

LAYOUT = Path(__file__).parents[1] / "asterisk.toml"
TABLE = "asterisk_cdr_csv"
OPTIONS = ("--layout", str(LAYOUT), "--system", "pbx-1")
TEXT_COLUMNS = {"duration": "c13", "billable": "c14", "callee": "c3", "call_id": "c17"}
COLUMNS = {"duration": "duration_s", "billable": "billable_s", "callee": "callee", "call_id": "call_id"}


def experiment(bench: Workbench) -> Experiment:
    """Return the experiment."""
    file = bench.sample("asterisk", bench.sizes.records, days=bench.sizes.days, layout=TABLE)
    nine = bench.sample("asterisk-nine", 9, days=1, layout=TABLE)
    return Experiment(
        name="asterisk",
        title="A quoted Asterisk file of 21 columns, phone numbers normalised",
        records=file.records,
        bytes=file.bytes,
        notes=("Asterisk quotes every value but its three numbers.",),
        ways=(
            start_up(psql.copy_asterisk(bench, nine)),
            start_up(_loading(bench, nine)),
            psql.copy_asterisk(bench, file),
            leaving_nothing(bench, _checked(bench, _loading(bench, file)), PEERS_DATABASE, CALLS_DATABASE),
        ),
    )


def _loading(bench: Workbench, dataset: Dataset) -> Way:
    return trunkline.loading(
        bench,
        dataset,
        name="trunkline",
        label="trunkline, cold",
        prepare=trunkline.from_nothing(bench),
        options=OPTIONS,
        table=TABLE,
    )


def _checked(bench: Workbench, way: Way) -> Way:
    r"""Return *way*, with what it loads compared with what `\copy` loaded just before."""

    def check(_: int) -> None:
        found, expected = (
            bench.servers.psql(database, script="asterisk_found.sql", variables={"found": table, **columns}).output
            for database, table, columns in (
                (CALLS_DATABASE, TABLE, COLUMNS),
                (PEERS_DATABASE, "asterisk_text", TEXT_COLUMNS),
            )
        )
        if found != expected:
            raise BenchError(f"{TABLE}: found {found.strip()}, expected {expected.strip()}")

    return replace(way, check=check)
