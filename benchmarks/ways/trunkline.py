"""The ways of trunkline: whole commands, as users run them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.measurements import Run
from benchmarks.process import BenchError, run_program
from benchmarks.rounds import Way, nothing, run_of
from benchmarks.workbench import CALLS_DATABASE, Dataset, Workbench

FULL = "typed, key, books, rejects"
CALL_TABLE = "customer_call_logs"

Account = Mapping[str, Any]


def run_trunkline(
    bench: Workbench, file: Path, database: str, cache: int | None, options: Sequence[str] = ()
) -> tuple[Run, list[Account]]:
    """Run `trunkline run` and return what it took, and the accounts of its sources."""
    program = [sys.executable, "-m", "trunkline", "run", str(file), "--json", *options]
    finished = run_program(program, bench.servers.environ_of(database, cache))
    return run_of(finished), json.loads(finished.output)["sources"]


def expect(accounts: Sequence[Account], **totals: int) -> None:
    """
    Compare the accounts of a run with what must be in them.

    Args:
        totals: Sums over all sources, such as ``read=9``; no source may have failed or been refused.

    Raises:
        BenchError: If one differs.
    """
    bad = [account for account in accounts if account["status"] not in ("loaded", "unchanged")]
    if bad:
        raise BenchError(f"{bad[0]['source']}: {bad[0]['status']}: {bad[0]['reason']}")
    found = {name: sum(account[name] for account in accounts) for name in totals}
    if found != totals:
        raise BenchError(f"{accounts[0]['source']}: found {found}, expected {totals}")


def loading(
    bench: Workbench,
    dataset: Dataset,
    *,
    name: str,
    label: str,
    prepare: Callable[[int], None],
    database: str = CALLS_DATABASE,
    cache: int | None = 0,
    options: Sequence[str] = (),
    table: str = CALL_TABLE,
    loaded: int | None = None,
) -> Way:
    """
    Return the way that loads *dataset* into a database.

    Args:
        options: More options of the command.
        loaded: How many records are new; by default all that are not rejected.
    """
    good = dataset.records - dataset.rejected
    new = good if loaded is None else loaded

    def run(_: int) -> Run:
        took, accounts = run_trunkline(bench, dataset.file, database, cache, options)
        expect(accounts, read=dataset.records, loaded=new, duplicates=good - new, rejected=dataset.rejected)
        return took

    def check(_: int) -> None:
        if dataset.expected:
            bench.check(database, table, dataset)

    return Way(name=name, label=label, keeps=FULL, prepare=prepare, run=run, check=check)


def from_nothing(bench: Workbench, *, cache: int | None = 0) -> Callable[[int], None]:
    """Return what makes an empty, migrated database and an empty cache."""

    def prepare(_: int) -> None:
        bench.servers.make_database(CALLS_DATABASE)
        if cache is not None:
            bench.servers.forget_blocks(cache)

    return prepare


def cold(bench: Workbench, dataset: Dataset, *, name: str = "cold", label: str = "trunkline, cold") -> Way:
    """Return the cold load: an empty database, an empty cache that is written."""
    return loading(bench, dataset, name=name, label=label, prepare=from_nothing(bench))


def uncached(bench: Workbench, dataset: Dataset) -> Way:
    """Return the cold load without a cache."""
    prepare = from_nothing(bench, cache=None)
    return loading(bench, dataset, name="uncached", label="trunkline, no cache", prepare=prepare, cache=None)


def warm(bench: Workbench, dataset: Dataset) -> Way:
    """Return the load into an empty database with all blocks in the cache, as into a second target."""
    way = loading(bench, dataset, name="warm", label="trunkline, warm cache", prepare=nothing)

    def prepare(number: int) -> None:
        if number <= 1:  # later rounds find the blocks of the cold load of this round
            from_nothing(bench)(number)
            way.run(number)
        bench.servers.make_database(CALLS_DATABASE)

    return replace(way, prepare=prepare)


def unchanged(bench: Workbench, dataset: Dataset, *, name: str, label: str, database: str) -> Way:
    """Return the run on a file that is loaded already, in a database of its own."""

    def once() -> tuple[Run, list[Account]]:
        return run_trunkline(bench, dataset.file, database, 0)

    def prepare(number: int) -> None:
        if number <= 1:
            bench.servers.make_database(database)
            once()

    def run(_: int) -> Run:
        took, accounts = once()
        expect(accounts, read=dataset.records, loaded=dataset.records)
        if {account["status"] for account in accounts} != {"unchanged"}:
            raise BenchError(f"{dataset.file.name}: expected unchanged, found {accounts[0]['status']}")
        return took

    return Way(name=name, label=label, prepare=prepare, run=run)


def stages(bench: Workbench, dataset: Dataset, *, name: str, label: str, is_warm: bool) -> Way:
    """Return extraction and transformation alone, block by block in one thread, as `stages` does them."""
    environ = bench.servers.environ_of(CALLS_DATABASE, 1)

    def prepare(number: int) -> None:
        if not is_warm:
            bench.servers.forget_blocks(1)
        elif number <= 1:
            run(number)

    def run(_: int) -> Run:
        program = [sys.executable, "-m", "benchmarks.stages", str(dataset.file)]
        finished = run_program(program, environ)
        figures = json.loads(finished.output)
        if figures.pop("records") != dataset.records:
            raise BenchError(f"{name}: some records are missing")
        return replace(run_of(finished), figures=figures)

    return Way(name=name, label=label, prepare=prepare, run=run)


def importing_pandas(bench: Workbench) -> Way:
    """Return `python -c "import pandas"`, the yardstick for small commands."""
    program = [sys.executable, "-c", "import pandas"]
    return Way(
        name="import_pandas",
        label='`python -c "import pandas"`',
        run=lambda _: run_of(run_program(program, bench.servers.environ)),
    )
