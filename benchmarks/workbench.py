"""What every experiment works with: the servers, a folder of data, and data sets made by `trunkline sample`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks.files import size
from benchmarks.process import BenchError, run_program
from benchmarks.servers import Servers
from trunkline import __version__

PEERS_DATABASE = "bench_peers"
TEXT_DATABASE = "bench_text"
CALLS_DATABASE = "bench_calls"
ALL_HASHED = 1_000_000  # of larger tables the records of every tenth customer are hashed; the sums are over all


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """
    How much is loaded, and how often.

    Attributes:
        records: Of the usual file.
        long_records: Of the long file.
        rounds: Counted rounds.
    """

    records: int
    long_records: int
    rounds: int

    @property
    def days(self) -> int:
        """Days of the usual file: 90, or fewer where it is smaller, so that a day has as many calls."""
        return max(1, min(90, round(self.records * 90 / 2_000_000)))

    @property
    def long_days(self) -> int:
        """Days of the long file: as many calls a day as in 20,000,000 over 90 days."""
        return max(9, round(self.long_records * 90 / 20_000_000))


@dataclass(frozen=True, kw_only=True, slots=True)
class Dataset:
    """
    A call log with known contents.

    Attributes:
        file: A file, or a folder of them.
        records: Lines after the header, rejected ones included.
        rejected: Records that were damaged on purpose.
        expected: What `sql/found.sql` must find; empty where only counts are compared.
    """

    file: Path
    records: int
    rejected: int = 0
    expected: str = ""

    @property
    def bytes(self) -> int:
        return size(self.file)


@dataclass(frozen=True, kw_only=True)
class Workbench:
    """
    Everything that stays the same while the benchmarks run.

    Attributes:
        folder: Where data is made; found there again if it is kept.
        peers_python: The interpreter of the peers' own environment.
        say: Told what is being done.
    """

    servers: Servers
    folder: Path
    sizes: Sizes
    peers_python: Path
    say: Callable[[str], None]

    @cached_property
    def calls(self) -> Dataset:
        """The usual file, of customer_call_logs."""
        return self.known(self.sample("calls", self.sizes.records, days=self.sizes.days))

    @cached_property
    def nine(self) -> Dataset:
        """A file of nine records: what loading it takes is start-up."""
        return self.known(self.sample("nine", 9, days=1))

    def sample(
        self,
        name: str,
        records: int,
        *,
        days: int,
        dirty: float = 0.0,
        layout: str = "customer_call_logs",
    ) -> Dataset:
        """Return a call log as `trunkline sample` writes it, made if it is not there."""
        file = self.folder / f"{name}-{records}-{days}-{dirty:g}-{__version__}.csv"
        notes = file.with_suffix(".json")
        if not notes.exists():
            self.say(f"making {records:,} records of {layout}")
            options = ["--records", str(records), "--days", str(days), "--dirty", str(dirty), "--layout", layout]
            program = [sys.executable, "-m", "trunkline", "sample", *options, "--out", str(file), "--json"]
            notes.write_text(run_program(program, self.servers.environ).output, encoding="utf-8")
        written = json.loads(notes.read_text(encoding="utf-8"))
        return Dataset(file=file, records=records, rejected=written["rejected"])

    def known(self, dataset: Dataset) -> Dataset:
        """
        Return a data set with its expected contents, which psql and SQL alone find.

        Its text stays in the table `bare_text` of the database for texts.
        """
        self.copy_text(dataset)
        self.servers.psql(TEXT_DATABASE, script="typed_view.sql")
        return Dataset(file=dataset.file, records=dataset.records, expected=self.found(TEXT_DATABASE, "typed", dataset))

    def copy_text(self, dataset: Dataset) -> None:
        """Copy a call log as text, into a database made for it."""
        self.servers.make_database(TEXT_DATABASE, template="template0")
        self.servers.psql(TEXT_DATABASE, script="text_table.sql")
        copy = r"\copy bare_text from pstdin with (format csv, header)"
        self.servers.psql(TEXT_DATABASE, copy, stdin=dataset.file)

    def cleaned(self, dataset: Dataset, script: str) -> Path:
        """Return the call log as typed CSV, made by SQL from its text if it is not there."""
        file = dataset.file.with_suffix(f".{Path(script).stem}.csv")
        if not file.exists():
            self.known(dataset)
            unfinished = file.with_suffix(".part")
            self.servers.psql(TEXT_DATABASE, script=script, stdout=unfinished)
            unfinished.replace(file)
        return file

    def found(self, database: str, table: str, dataset: Dataset) -> str:
        """Return what `sql/found.sql` finds in a table that should hold *dataset*."""
        every = 1 if dataset.records <= ALL_HASHED else 10
        variables = {"found": table, "every": str(every)}
        return self.servers.psql(database, script="found.sql", variables=variables).output.strip()

    def check(self, database: str, table: str, dataset: Dataset) -> None:
        """
        Compare a table with what it must hold.

        Raises:
            BenchError: If a count, a sum or a hash differs.
        """
        found = self.found(database, table, dataset)
        if found != dataset.expected:
            raise BenchError(f"{database}, {table}: found {found}, expected {dataset.expected}")
