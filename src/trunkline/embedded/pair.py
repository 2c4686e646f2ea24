"""A real PostgreSQL and Valkey without installation: from wheels, private, gone with their last user.

Every process that uses the pair holds a shared lock on one file.  A small guard process (`guard`) is
the parent of each server and tries for the same lock alone: getting it means that no user is left.  The kernel
drops the locks of a process that is killed, so no server outlives its users and none is stopped under them.  A
second lock per server is held by whoever starts it, then by its guard and by the server itself: who gets it
knows that nobody starts or runs that server.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from trunkline.embedded.servers import OWN_SERVERS, Postgres, Server, Valkey, last_line, postgres_programs
from trunkline.errors import EmbeddedError

GUARD = Path(__file__).with_name("guard.py")
TIMEOUT_S = 120.0  # recovery after a crash, or the clean end of the pair before, may take its time
FIRST_PAUSE_S = 0.005
LONGEST_PAUSE_S = 0.1
LONGEST_DIRECTORY = 80  # bytes: sun_path of macOS is 103 long, and the socket's own name takes its part


def default_home(environ: Mapping[str, str]) -> Path:
    """
    Return where the embedded servers keep their data: TRUNKLINE_HOME, else the user's data directory.

    Source: XDG Base Directory Specification, "Environment variables", and the customs of macOS and Windows.

    Raises:
        EmbeddedError: If the user has no home directory and nothing else says where.
    """
    if stated := environ.get("TRUNKLINE_HOME"):
        return Path(stated).expanduser()
    if stated := environ.get("XDG_DATA_HOME") or environ.get("LOCALAPPDATA"):
        return Path(stated) / "trunkline"
    try:
        user = Path.home()
    except RuntimeError as exc:
        raise EmbeddedError("this user has no home directory", hint="set TRUNKLINE_HOME") from exc
    if sys.platform == "darwin":
        return user / "Library" / "Application Support" / "trunkline"
    return user / ".local" / "share" / "trunkline"


class Embedded:
    """
    The embedded pair, running from `start` to `close`; a context manager.

    Any number of processes may use one home at once: the first starts the servers (about a second with an
    empty home), the others join (some milliseconds), and after the last one they stop.

    Attributes:
        home: Directory of the data, locks and logs; made if absent, mode 0700.
        database_url: The libpq URL of PostgreSQL.  Only this user may enter the directory of its socket.
        redis_url: The redis-py URL of Valkey.

    Example:
        with Embedded(default_home(os.environ)) as pair:
            connection = psycopg2.connect(pair.database_url)
    """

    def __init__(self, home: Path, *, settings: Mapping[str, str] | None = None, timeout_s: float = TIMEOUT_S) -> None:
        """
        Describe the pair; nothing is started yet.

        Args:
            home: Where its data is kept.
            settings: PostgreSQL settings over ours, for the case that this process is the one that starts it.
            timeout_s: Seconds to wait for the servers to answer.

        Raises:
            EmbeddedError: If the servers cannot run on this system.
        """
        if os.name != "posix":
            raise EmbeddedError("the embedded servers run on Linux and macOS only", hint=OWN_SERVERS)
        self.home = home.expanduser().resolve()
        self._sockets = _socket_directory(self.home)
        postgres = Postgres(home=self.home, sockets=self._sockets, settings=settings or {})
        valkey = Valkey(home=self.home, sockets=self._sockets)
        self._servers: tuple[Server, ...] = (postgres, valkey)
        self._timeout_s = timeout_s
        self._users: int | None = None
        self.database_url = f"postgresql://postgres@/postgres?host={quote(str(self._sockets), safe='/')}"
        self.redis_url = f"unix://{quote(str(valkey.socket))}"

    @property
    def psql_path(self) -> Path:
        """The psql that belongs to the server."""
        return postgres_programs() / "psql"

    def start(self) -> Self:
        """
        Join the running pair, or start it.

        Raises:
            EmbeddedError: If the servers are not installed or do not start; says what to do.
        """
        deadline = time.monotonic() + self._timeout_s
        try:
            self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._users = self._join(deadline)
            _make_private(self._sockets)
            self._await_answers(deadline)
        except OSError as exc:
            self.close()
            raise EmbeddedError(
                f"cannot use {exc.filename or self.home}: {exc.strerror}",
                hint="set TRUNKLINE_HOME to a directory of your own",
            ) from exc
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Leave the pair; its servers stop within a second, cleanly, if nobody else uses them."""
        if self._users is not None:
            os.close(self._users)
            self._users = None

    def wait_for_end(self, timeout_s: float) -> bool:
        """
        Wait until both servers have ended, after `close`.

        Returns:
            False if one still runs after *timeout_s* seconds: others use it, or it has much to write.
        """
        return any(self._has_ended() for _ in _until(time.monotonic() + timeout_s))

    def _has_ended(self) -> bool:
        for server in self._servers:
            with _locked(self._lock(server)) as lock:
                if lock is None:
                    return False
        return True

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _join(self, deadline: float) -> int:
        """Become a user.  Waits only while the guards of the last users end their servers."""
        users = os.open(self._users_lock, os.O_RDWR | os.O_CREAT, 0o600)
        for _ in _until(deadline):
            if _try_lock(users, exclusive=False):
                return users
        os.close(users)
        raise EmbeddedError(
            f"the servers in {self.home} are still stopping after {self._timeout_s:.0f} s",
            hint=f"see {self._log('postgres')}",
        )

    def _await_answers(self, deadline: float) -> None:
        """Return when both servers answer; start what nobody starts or runs."""
        started: set[str] = set()
        for _ in _until(deadline):
            silent = [server for server in self._servers if not server.answers()]
            if not silent:
                return
            for server in silent:
                self._start_if_idle(server, started)
        raise EmbeddedError(
            f"{silent[0].name} does not answer on {silent[0].socket} after {self._timeout_s:.0f} s",
            hint=f"see {self._log(silent[0].name)}; another container or host must not share {self.home}",
        )

    def _start_if_idle(self, server: Server, started: set[str]) -> None:
        """Start *server* unless another process does or it runs; at most once, as *started* tells."""
        with _locked(self._lock(server)) as lock:
            if lock is None or server.answers():
                return
            if server.name in started:
                self._explain_end(server)
            self._launch(server, server.prepare(_run_to_end), lock)
            started.add(server.name)

    def _launch(self, server: Server, argv: list[str], lock: int) -> None:
        """Hand the lock to a guard, which runs *argv* for as long as the pair has users."""
        log = self._log(server.name)
        if log.exists():
            log.replace(log.with_suffix(".log.1"))
        users = os.open(self._users_lock, os.O_RDWR)  # the guard's own: a lock belongs to one opening of a file
        order = {
            "argv": argv,
            "unprivileged": server.unprivileged,
            "users": users,
            "stop": server.stop_signal,
            "sockets": str(self._sockets),
        }
        try:
            with log.open("ab") as output:
                guard = _guard(order, pass_fds=(users, lock), stdout=output, stderr=output)
        finally:
            os.close(users)
        if guard.returncode != 0:
            self._explain_end(server)

    def _explain_end(self, server: Server) -> None:
        """Raise the error of a server that ended instead of answering."""
        log = self._log(server.name)
        raise EmbeddedError(
            f"{server.name} ended while it was starting: {last_line(log.read_text(errors='replace'))}",
            hint=f"see {log}",
        )

    @property
    def _users_lock(self) -> Path:
        return self.home / "users.lock"

    def _lock(self, server: Server) -> Path:
        return self.home / f"{server.name}.lock"

    def _log(self, name: str) -> Path:
        return self.home / f"{name}.log"


def _run_to_end(argv: list[str], *, hand_over: Path) -> None:
    """Run *argv* under the identity that PostgreSQL will have; a `Runner`."""
    order = {"argv": argv, "unprivileged": True, "hand_over": [str(hand_over)]}
    done = _guard(order, capture_output=True)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode(errors="replace")
        raise EmbeddedError(f"{Path(argv[0]).name} failed: {last_line(said)}", hint=OWN_SERVERS)


def _guard(order: Mapping[str, Any], **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run the guard program; with users it returns as soon as the guard stands on its own."""
    command = [sys.executable, "-I", "-S", str(GUARD), json.dumps(order)]
    return subprocess.run(command, stdin=subprocess.DEVNULL, cwd="/", check=False, **options)  # noqa: S603


def _socket_directory(home: Path) -> Path:
    """
    Return the directory of the sockets of *home*.

    Not below *home*, whose path may be too long for a socket or lie on a file system without them; and the
    same for a login shell and cron, whose TMPDIR and XDG_RUNTIME_DIR differ.
    """
    place = "/tmp" if os.access("/tmp", os.W_OK) else tempfile.gettempdir()  # noqa: S108  # see _make_private
    uid = os.geteuid()
    directory = Path(place, f"trunkline-{uid}-{hashlib.sha256(os.fsencode(home)).hexdigest()[:12]}")
    if len(os.fsencode(directory)) > LONGEST_DIRECTORY:
        raise EmbeddedError(f"{directory} is too long for a socket", hint="set TMPDIR to a shorter path")
    return directory


def _make_private(directory: Path) -> None:
    """Make *directory*, or check that it is ours alone: others may write where it lies."""
    directory.mkdir(mode=0o700, exist_ok=True)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise EmbeddedError(
            f"{directory} is not a directory of this user alone",
            hint="remove it; the servers' sockets go there",
        )


def _until(deadline: float) -> Iterator[None]:
    """Yield at once and then at growing intervals, up to *deadline* (of time.monotonic) and at least once."""
    pause_s = FIRST_PAUSE_S
    yield
    while time.monotonic() < deadline:
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.3, LONGEST_PAUSE_S)
        yield


@contextmanager
def _locked(path: Path) -> Iterator[int | None]:
    """Hold the lock file *path* alone; yield its descriptor, or None if somebody else has it."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield file if _try_lock(file, exclusive=True) else None
    finally:
        os.close(file)  # no unlocking: a guard that was handed the descriptor goes on holding it


def _try_lock(file: int, *, exclusive: bool) -> bool:
    """Lock an open file without waiting, and tell whether it was free."""
    import fcntl  # the package imports on Windows too

    try:
        fcntl.flock(file, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
