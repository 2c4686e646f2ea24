"""Time a cold load, a load from a warm cache and an unchanged source against psql's bare copy, in one run.

The ways take turns, round after round, so that a machine whose speed drifts slows all of them; what counts is the
ratio of two medians of the same run.  Every way's result is checked before its time counts.

    python -m benchmarks.bench [--records 2000000] [--rounds 5] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from trunkline.embedded.pair import Embedded

SERVER_SETTINGS = {"shared_buffers": "256MB", "max_wal_size": "4GB", "synchronous_commit": "on"}
TEXT_TABLE = "create table bare_text (customer_id text, call_cost text, call_destination text, call_date text,"
TEXT_TABLE += " call_duration text)"


peaks: list[int] = []
"""Largest resident set, in bytes, of each process that ended since the clock was started."""


@dataclass(kw_only=True, slots=True)
class Way:
    """A way to bring the file into PostgreSQL: what to do before the clock starts, while it runs, and after."""

    name: str
    prepare: Callable[[], None]
    timed: Callable[[], None]
    check: Callable[[], None] = lambda: None
    seconds: list[float] = field(default_factory=list)
    peak_bytes: int = 0  # largest resident set of any process that was waited for

    @property
    def median_s(self) -> float:
        return statistics.median(self.seconds)


@dataclass(frozen=True, kw_only=True, slots=True)
class Bench:
    """The servers, the file and its known contents."""

    pair: Embedded
    file: Path
    records: int
    environ: Mapping[str, str]

    def psql(self, *commands: str) -> str:
        """Run commands of psql, each in a transaction of its own, and return what it prints, unaligned."""
        arguments = [part for command in commands for part in ("-c", command)]
        program = [str(self.pair.psql_path), "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", self.pair.database_url]
        return _output([*program, *arguments], self.environ)

    def trunkline(self) -> dict[str, object]:
        """Run `trunkline run` on the file and return the account of its one source."""
        program = [sys.executable, "-m", "trunkline", "run", str(self.file), "--json"]
        source = json.loads(_output(program, self.environ))["sources"][0]
        assert isinstance(source, dict)
        return source

    def drop_calls(self) -> None:
        """Leave no call and no books of any."""
        self.psql(
            "drop table if exists customer_call_logs cascade",
            "truncate trunkline.loads, trunkline.call_tables cascade",
            "checkpoint",
        )

    def flush_cache(self) -> None:
        import redis

        with redis.Redis.from_url(self.pair.redis_url) as client:
            client.flushall()

    def check_calls(self, status: str) -> None:
        """Load once more in the way being timed, and stop if any call is missing or doubled."""
        account = self.trunkline()
        found = (account["status"], account["read"], account["rejected"])
        if found != (status, self.records, 0):
            raise SystemExit(f"expected {(status, self.records, 0)}, found {found}: {account['reason']}")

    def ways(self) -> list[Way]:
        return [
            Way(
                name="psql \\copy as text, no key",
                prepare=self._empty_text,
                timed=self._copy_text,
                check=self._check_text,
            ),
            Way(name="trunkline, cold", prepare=self._cold, timed=lambda: self.check_calls("loaded")),
            Way(name="trunkline, warm cache", prepare=self.drop_calls, timed=lambda: self.check_calls("loaded")),
            Way(name="trunkline, unchanged", prepare=lambda: None, timed=lambda: self.check_calls("unchanged")),
        ]

    def _empty_text(self) -> None:
        self.psql("drop table if exists bare_text", TEXT_TABLE, "checkpoint")

    def _copy_text(self) -> None:
        self.psql(f"\\copy bare_text from '{self.file}' with (format csv, header)")

    def _check_text(self) -> None:
        found = int(self.psql("select count(*) from bare_text"))
        if found != self.records:
            raise SystemExit(f"psql loaded {found} records, expected {self.records}")

    def _cold(self) -> None:
        self.drop_calls()
        self.flush_cache()


def _output(program: list[str], environ: Mapping[str, str]) -> str:
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(program, env=dict(environ), stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        peaks.append(usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))  # macOS counts bytes
        out.seek(0)
        err.seek(0)
        if process.returncode:
            raise SystemExit(f"{' '.join(program[:4])} ... ended with {process.returncode}:\n{err.read()}")
        return out.read()


def main() -> None:
    """Make the data, run all ways in turn, print the table."""
    options = _options()
    folder = options.keep or Path(tempfile.mkdtemp(prefix="trunkline-bench-"))
    folder.mkdir(parents=True, exist_ok=True)
    environ = os.environ | {"TRUNKLINE_HOME": str(folder / "home")}
    for name in ("TRUNKLINE_DATABASE_URL", "TRUNKLINE_REDIS_URL", "PGHOST", "PGSERVICE", "PGDATABASE"):
        environ.pop(name, None)
    file = folder / f"calls-{options.records}.csv"
    if not file.exists():
        sample = [sys.executable, "-m", "trunkline", "sample", "--records", str(options.records), "--out", str(file)]
        _output(sample, environ)
    with Embedded(folder / "home", settings=SERVER_SETTINGS) as pair:
        bench = Bench(pair=pair, file=file, records=options.records, environ=environ)
        _output([sys.executable, "-m", "trunkline", "db", "migrate"], environ)
        ways = bench.ways()
        for number in range(options.rounds + 1):
            for way in ways:
                way.prepare()
                peaks.clear()
                began = time.perf_counter()
                way.timed()
                took = time.perf_counter() - began
                way.peak_bytes = max(way.peak_bytes, *peaks)
                way.check()
                if number:  # the first round fills the page cache and compiles Python
                    way.seconds.append(took)
        _print(ways, bench)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--records", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=5, help="counted rounds, after one that is not")
    parser.add_argument("--keep", type=Path, help="folder for data and servers, kept for the next time")
    return parser.parse_args()


def _print(ways: list[Way], bench: Bench) -> None:
    megabytes = bench.file.stat().st_size / 1e6
    version = bench.psql("show server_version")
    table = Table(title=f"{bench.records:,} records, {megabytes:.0f} MB, PostgreSQL {version}, {os.cpu_count()} cores")
    for heading in ("way", "median s", "min s", "max s", "MB/s", "÷ \\copy", "peak MB"):
        table.add_column(heading, justify="left" if heading == "way" else "right")
    for way in ways:
        table.add_row(
            way.name,
            f"{way.median_s:.2f}",
            f"{min(way.seconds):.2f}",
            f"{max(way.seconds):.2f}",
            f"{megabytes / way.median_s:.0f}",
            f"{way.median_s / ways[0].median_s:.2f}",
            f"{way.peak_bytes / 1e6:.0f}",
        )
    console = Console()
    console.print(table)
    console.print(
        "Whole commands, start of Python included.  " + ", ".join(f"{k} = {v}" for k, v in SERVER_SETTINGS.items())
    )


if __name__ == "__main__":
    main()
