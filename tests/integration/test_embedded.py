"""The embedded servers live as long as their users, whatever happens to either."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import psycopg2
import pytest
import redis

from trunkline.embedded.pair import GUARD, Embedded
from trunkline.embedded.servers import postgres_programs
from trunkline.errors import EmbeddedError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the embedded servers run on Linux and macOS")

QUICK = {"fsync": "off", "shared_buffers": "16MB"}
PATIENCE_S = 60
NOBODY = 65534
NAMELESS = 54321
# A user of the pair, as a process: says the process number of PostgreSQL, then waits for its input to end.
USER = """
import sys
from pathlib import Path
from trunkline.embedded.pair import Embedded

home = Path(sys.argv[1])
with Embedded(home, settings={"fsync": "off", "shared_buffers": "16MB"}):
    print((home / "postgresql" / "postmaster.pid").read_text().split()[0], flush=True)
    sys.stdin.read()
"""


# The default of container engines, as far as it matters here: these capabilities, and no unshare.
CONTAINER_CAPABILITIES = "+chown,+dac_override,+fowner,+kill,+setgid,+setuid,+setpcap,+sys_chroot"
UNSHARE_NUMBER = {"x86_64": 272, "aarch64": 97}
# Runs the rest of its arguments with a seccomp filter: load the number of the call; if it is ours, EPERM; allow.
FORBID_NAMESPACES = """
import ctypes, os, struct, sys

steps = [(0x20, 0, 0, 0), (0x15, 0, 1, int(sys.argv[1])), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)]
program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
fprog = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(program))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, fprog, 0, 0):
    sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
os.execvp(sys.argv[2], sys.argv[2:])
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home of the test's own, below a path with a space and a letter beyond ASCII, left without servers."""
    place = tmp_path / "a home für calls"
    yield place
    wait_until(lambda: not any(processes_of(place)))


@pytest.fixture
def start_user(home: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a process that uses the pair; what is left of it ends with the test."""
    users: list[subprocess.Popen[str]] = []

    def start(*prefix: str, home: Path = home) -> subprocess.Popen[str]:
        command = [*prefix, sys.executable, "-c", USER, str(home)]
        users.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return users[-1]

    yield start
    for user in users:
        user.kill()
        user.communicate()


def test_both_servers_work(home: Path):
    """The URLs lead to a PostgreSQL and a Valkey that store what they are given."""
    with Embedded(home, settings=QUICK) as pair:
        with closing(psycopg2.connect(pair.database_url)) as connection, connection.cursor() as cursor:
            cursor.execute("create table calls as select 7 as id")
            cursor.execute("select id, current_setting('synchronous_commit') from calls")
            stored = cursor.fetchone()
        with closing(redis.Redis.from_url(pair.redis_url)) as cache:
            cache.set("block", b"\0\1")
            cached = cache.get("block")

    assert stored == (7, "on")
    assert cached == b"\0\1"


def test_rows_and_cache_outlive_the_servers(home: Path):
    """The next pair in the same home has the committed rows, and the cache of the pair that ended cleanly."""
    with Embedded(home, settings=QUICK) as pair:
        execute(pair, "create table calls as select 7 as id")
        with closing(redis.Redis.from_url(pair.redis_url)) as cache:
            cache.set("block", b"\0\1")
    wait_until(lambda: not any(processes_of(home)))

    with Embedded(home, settings=QUICK) as pair:
        assert fetch(pair, "select id from calls") == (7,)
        with closing(redis.Redis.from_url(pair.redis_url)) as cache:
            assert cache.get("block") == b"\0\1"


def test_the_servers_stop_after_their_last_user(home: Path, start_user):
    """A user that ends while another is there takes nothing away."""
    first, second = start_user(), start_user()
    numbers = [said(first), said(second)]
    first.communicate()
    with Embedded(home) as pair:
        alive = fetch(pair, "select 1")
    second.communicate()

    assert numbers[0] == numbers[1]
    assert alive == (1,)
    wait_until(lambda: not any(processes_of(home)))


def test_one_can_wait_for_the_end(home: Path, start_user):
    """The servers' end can be waited for, and does not come while somebody else uses them."""
    user = start_user()
    said(user)
    with Embedded(home) as pair:
        pass
    used = pair.wait_for_end(timeout_s=0.5)
    user.communicate()
    unused = pair.wait_for_end(timeout_s=PATIENCE_S)

    assert (used, unused) == (False, True)
    assert not any(processes_of(home))


def test_simultaneous_first_starts_make_one_pair(start_user):
    """Eight processes that find an empty home at the same moment all get the same server."""
    users = [start_user() for _ in range(8)]

    assert len({said(user) for user in users}) == 1


def test_a_killed_user_leaves_no_server(home: Path, start_user):
    """The kernel drops the lock of a process that had no chance to clean up."""
    user = start_user()
    said(user)
    user.kill()
    user.communicate()

    wait_until(lambda: not any(processes_of(home)))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent has died")
def test_a_killed_guard_leaves_no_server(home: Path):
    """The servers of a killed guard end, although they still have a user; the next user starts new ones."""
    with Embedded(home, settings=QUICK) as pair:
        for number, command in processes_of(home):
            if "embedded/guard.py" in command:
                os.kill(number, signal.SIGKILL)
        wait_until(lambda: not any(processes_of(home)))
        with Embedded(home, settings=QUICK):
            assert fetch(pair, "select 1") == (1,)


def test_killed_servers_come_back(home: Path):
    """After everything was killed at once, the next start recovers what was committed."""
    with Embedded(home, settings=QUICK) as pair:
        execute(pair, "create table calls as select 7 as id")
        kill_all(home)
    wait_until(lambda: not any(processes_of(home)))

    with Embedded(home, settings=QUICK) as pair:
        assert fetch(pair, "select id from calls") == (7,)


@pytest.mark.parametrize("text", ["{alive}\n/elsewhere\n", "", "rubbish\n"])
def test_a_stale_pid_file_does_not_stop_the_start(home: Path, text: str):
    """A process number in the file of a crashed server may belong to anyone by now: here to this test."""
    with Embedded(home, settings=QUICK):
        kill_all(home)
    wait_until(lambda: not any(processes_of(home)))
    (home / "postgresql" / "postmaster.pid").write_text(text.format(alive=os.getpid()))

    with Embedded(home, settings=QUICK) as pair:
        assert fetch(pair, "select 1") == (1,)


def test_a_cluster_of_another_version_is_refused(home: Path):
    """The message says both versions and what to do."""
    cluster = home / "postgresql"
    cluster.mkdir(parents=True)
    (cluster / "PG_VERSION").write_text("14\n")

    with pytest.raises(
        EmbeddedError, match=r"is of PostgreSQL 14, the installed PostgreSQL is \d+; install version 14"
    ):
        Embedded(home).start()


def test_a_server_that_cannot_start_says_why(home: Path):
    """The error repeats the server's own last words and names its log."""
    with pytest.raises(EmbeddedError, match=r'postgres ended while .*"no_such_setting".*; see .*postgres\.log'):
        Embedded(home, settings={"no_such_setting": "1"}).start()


def test_an_open_socket_directory_is_refused(home: Path):
    """Others could plant a socket in a directory that is not ours alone."""
    directory = Path(Embedded(home).redis_url.removeprefix("unix://")).parent
    directory.mkdir(mode=0o755)
    try:
        with pytest.raises(EmbeddedError, match="is not a directory of this user alone"):
            Embedded(home).start()
    finally:
        directory.rmdir()


def test_a_home_that_cannot_be_made_is_an_error(tmp_path: Path):
    """The message names the place and the setting that moves it."""
    (tmp_path / "file").touch()

    with pytest.raises(EmbeddedError, match=r"cannot use .*file.*: Not a directory; set TRUNKLINE_HOME"):
        Embedded(tmp_path / "file" / "home").start()


def test_joining_needs_no_driver(start_user):
    """Who only wants the URLs pays neither for psycopg2 nor for redis."""
    user = start_user()
    said(user)
    heavy = "import trunkline.embedded.pair, sys; print({'psycopg2', 'redis', 'pandas', 'numpy'} & set(sys.modules))"
    imported = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)

    assert imported.stdout.strip() == "set()"


def is_open(path: Path) -> bool:
    """Tell whether every user may reach *path*."""
    return all(place.stat().st_mode & stat.S_IXOTH for place in (path, *path.parents))


as_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0 or not shutil.which("setpriv"),
    reason="only root can become somebody else, and needs setpriv",
)


@as_root
def test_an_ordinary_user_gets_servers(home: Path, start_user):
    """A user who is not root starts the pair too, as themselves."""
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    reach = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]  # this Python may lie in root's home
    said(start_user("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *reach))

    assert {owner(number) for number, _ in processes_of(home)} == {NOBODY}


@as_root
@pytest.mark.skipif(not is_open(Path(sys.executable).resolve()), reason="this Python is closed to other users")
@pytest.mark.skipif(not is_open(GUARD), reason="this checkout is closed to other users")
@pytest.mark.skipif(not is_open(postgres_programs()), reason="this environment is closed to other users")
def test_a_user_without_a_name_gets_servers(start_user):
    """A user without a passwd entry, as container platforms run programs, starts the pair too."""
    with tempfile.TemporaryDirectory() as open_home:
        os.chown(open_home, NAMELESS, NAMELESS)
        user = start_user(
            *("setpriv", f"--reuid={NAMELESS}", f"--regid={NAMELESS}", "--clear-groups"), home=Path(open_home)
        )

        assert owner(int(said(user))) == NAMELESS

        user.communicate()
        wait_until(lambda: not any(processes_of(Path(open_home))))


@as_root
@pytest.mark.skipif(platform.machine() not in UNSHARE_NUMBER, reason="the number of a system call is not known here")
def test_root_without_user_namespaces_gets_servers(start_user):
    """As root in a container with the usual limits, PostgreSQL runs under another account."""
    forbid = [sys.executable, "-c", FORBID_NAMESPACES, str(UNSHARE_NUMBER[platform.machine()])]
    number = said(start_user("setpriv", f"--bounding-set=-all,{CONTAINER_CAPABILITIES}", *forbid))

    assert owner(int(number)) != 0


def said(user: subprocess.Popen[str]) -> str:
    """Return the first line that a user says; fails if it ended without a word."""
    assert user.stdout is not None
    line = user.stdout.readline().strip()
    assert line, "the user ended without a word"
    return line


def fetch(pair: Embedded, query: str) -> tuple[object, ...] | None:
    """Return the first row of *query*."""
    with closing(psycopg2.connect(pair.database_url)) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchone()


def execute(pair: Embedded, statement: str) -> None:
    """Run and commit *statement*."""
    with closing(psycopg2.connect(pair.database_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)


def processes_of(home: Path) -> Iterator[tuple[int, str]]:
    """Yield number and command line of the servers of *home* and of their guards."""
    directory = Path(Embedded(home).redis_url.removeprefix("unix://")).parent
    sockets = directory.name.rpartition("-")[2]  # of any user
    for number, command in commands():
        if sockets in command:
            yield number, command


def commands() -> Iterator[tuple[int, str]]:
    """Yield number and command line of every process that runs; a zombie does not."""
    if not Path("/proc/self").exists():
        listed = subprocess.run(["ps", "-Aww", "-o", "pid=,command="], capture_output=True, text=True, check=True)
        for line in listed.stdout.splitlines():
            number, command = line.split(maxsplit=1)
            yield int(number), command
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended by now
            yield int(place.name), (place / "cmdline").read_text(errors="replace")


def kill_all(home: Path) -> None:
    """Kill servers and guards at once, as a machine does that loses its power."""
    for number, _ in sorted(processes_of(home), key=lambda found: "embedded/guard.py" not in found[1]):
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)


def owner(number: int) -> int:
    """Return the uid that a process runs as, as this process sees it."""
    return Path(f"/proc/{number}").stat().st_uid


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for *condition*; fails after a time that no sound machine needs."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
