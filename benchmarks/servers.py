"""The servers of the benchmarks: a PostgreSQL with stated settings and a Valkey, of their own; or a given PostgreSQL.

Everything is asked through the embedded psql, one process for each question, so that the benchmarks themselves stay
small and hold no connection while something is timed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from benchmarks.process import Finished, run_program
from trunkline.embedded.pair import Embedded

SQL = Path(__file__).with_name("sql")
TEMPLATE = "bench_template"

# As a server with replicas or archives has them; the embedded one's own wal_level=minimal would favour staged tables.
SETTINGS: Mapping[str, str] = {"wal_level": "replica", "max_wal_size": "16GB", "checkpoint_timeout": "30min"}
SHOWN = (
    *("shared_buffers", "maintenance_work_mem", "work_mem", "wal_level", "max_wal_size", "checkpoint_timeout"),
    *("synchronous_commit", "fsync", "full_page_writes", "autovacuum", "max_parallel_workers"),
)
CACHE_BYTES = 6 << 30  # room for the blocks of the longest experiment; Valkey takes what it needs of it


@dataclass(frozen=True, kw_only=True, slots=True)
class Servers:
    """
    Servers that run.

    Attributes:
        database_url: Of a database from which others can be made, by somebody who may.
        redis_url: Of the cache; its numbered databases keep experiments apart.
        psql_path: The psql of the embedded PostgreSQL.
        environ: What programs inherit, without anything that would choose servers.
        postmaster: The process number of PostgreSQL, if it is the embedded one.
    """

    database_url: str
    redis_url: str
    psql_path: Path
    environ: Mapping[str, str]
    postmaster: int | None = None

    def url(self, database: str) -> str:
        """Return the URL of another database of the same server."""
        return urlunsplit(urlsplit(self.database_url)._replace(path=f"/{database}"))

    def environ_of(self, database: str, cache: int | None) -> dict[str, str]:
        """Return the environment in which trunkline uses *database* and the numbered cache, or none."""
        redis_url = "none" if cache is None else f"{self.redis_url}?db={cache}"
        return {
            **self.environ,
            "TRUNKLINE_DATABASE_URL": self.url(database),
            "TRUNKLINE_REDIS_URL": redis_url,
        }

    def psql(
        self,
        database: str,
        *commands: str,
        script: str | None = None,
        variables: Mapping[str, str] | None = None,
        stdin: Path | None = None,
        stdout: Path | None = None,
    ) -> Finished:
        r"""
        Run psql.

        Args:
            database: The one to connect to; empty for that of the URL.
            commands: Run in order, each in a transaction of its own.
            script: Name of a file in `sql/` to run after them.
            variables: For the script, as ``:name``.
            stdin: What ``\copy ... from pstdin`` reads.
            stdout: Where the output goes; by default it is returned, unaligned.
        """
        program: list[str | Path] = [self.psql_path, "-XqAt", "-v", "ON_ERROR_STOP=1"]
        program += ["-d", self.url(database) if database else self.database_url]
        for name, value in (variables or {}).items():
            program += ["-v", f"{name}={value}"]
        for command in commands:
            program += ["-c", command]
        if script:
            program += ["-f", SQL / script]
        return run_program(program, self.environ, stdin=stdin, stdout=stdout)

    def make_template(self) -> None:
        """Make the database that `make_database` copies: migrated, without a call."""
        self.drop_database(TEMPLATE)
        self.psql("", f"create database {TEMPLATE}")
        run_program([sys.executable, "-m", "trunkline", "db", "migrate"], self.environ_of(TEMPLATE, None))

    def make_database(self, name: str, *, template: str = TEMPLATE) -> None:
        """Make a database anew as a copy of another, and write what waits to be written."""
        self.drop_database(name)
        self.psql("", f"create database {name} template {template}", "checkpoint")

    def drop_database(self, name: str) -> None:
        """Drop a database, if there is one of that name."""
        self.psql("", f"drop database if exists {name} with (force)")

    def settle(self, database: str) -> None:
        """Do what autovacuum would do soon after a long load, and write what waits to be written."""
        self.psql(database, "vacuum (analyze)", "checkpoint")

    def server_cpu_s(self) -> float | None:
        """Return the CPU that PostgreSQL with all its sessions has taken; None if it is not ours, or not Linux."""
        if self.postmaster is None or not sys.platform.startswith("linux"):
            return None
        return cpu_of_children_s(self.postmaster)

    def forget_blocks(self, cache: int) -> None:
        """Empty a numbered cache."""
        with self._redis(cache) as client:
            client.flushdb()

    def facts(self) -> dict[str, str]:
        """Return versions and settings by name."""
        asked = ", ".join(f"current_setting('{name}')" for name in ("server_version", *SHOWN))
        version, *values = self.psql("", f"select concat_ws('|', {asked})").output.strip().split("|")
        with self._redis(0) as client:
            valkey = str(client.info("server").get("valkey_version", client.info("server")["redis_version"]))
        settings = ", ".join(f"{name} = {value}" for name, value in zip(SHOWN, values, strict=True))
        return {"PostgreSQL": version, "PostgreSQL's settings": settings, "Valkey": valkey}

    def set_cache_size(self) -> None:
        """Let the cache hold all blocks of an experiment."""
        with self._redis(0) as client:
            client.config_set("maxmemory", CACHE_BYTES)

    @contextmanager
    def _redis(self, cache: int) -> Iterator[Any]:
        import redis

        with closing(redis.Redis.from_url(f"{self.redis_url}?db={cache}")) as client:
            yield client


def cpu_of_children_s(process: int) -> float:
    """
    Return the CPU seconds of the children of a process that have ended and of those that still run.

    Source: proc_pid_stat(5): utime and stime are fields 14 and 15, cutime and cstime 16 and 17, in clock ticks.
    """

    def ticks(stat: Path, first: int) -> int:
        fields = stat.read_text(encoding="utf-8").rpartition(")")[2].split()  # a name may hold spaces; state is field 3
        return sum(map(int, fields[first - 3 : first - 1]))

    folder = Path("/proc", str(process))
    total = ticks(folder / "stat", 16)
    for child in (folder / "task" / str(process) / "children").read_text(encoding="utf-8").split():
        with suppress(FileNotFoundError, ProcessLookupError):  # it ended, and counts from now on as ended
            total += ticks(Path("/proc", child, "stat"), 14)
    return total / os.sysconf("SC_CLK_TCK")


@contextmanager
def open_servers(home: Path, environ: Mapping[str, str], database_url: str | None) -> Iterator[Servers]:
    """
    Start the servers, or join those that run in *home*.

    Args:
        home: Where the embedded servers keep their data.
        environ: What programs inherit.
        database_url: Another PostgreSQL to measure on, as a user who may make databases and call for checkpoints.
    """
    with Embedded(home, settings=SETTINGS) as pair:
        servers = Servers(
            database_url=database_url or pair.database_url,
            redis_url=pair.redis_url,
            psql_path=pair.psql_path,
            environ=environ,
            postmaster=None if database_url else _postmaster(home),
        )
        servers.set_cache_size()
        servers.make_template()
        yield servers


def _postmaster(home: Path) -> int:
    """Return the process number of the embedded PostgreSQL, which its own file tells in the first line."""
    return int((home / "postgresql" / "postmaster.pid").read_text(encoding="utf-8").split()[0])
