"""The installed command, run as a process with a home of its own and none of the caller's settings."""

import json
import os
import signal
import subprocess
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest

PROGRAM = Path(sysconfig.get_path("scripts"), "trunkline")
REFERENCE = Path(__file__).parents[2] / "examples" / "customer_call_logs.csv"


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        """The one object on stdout; fails if anything else is there."""
        return json.loads(self.out)


def hear_interrupts():
    """Undo what a shell does to commands in the background: they and their children ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@dataclass(frozen=True)
class Command:
    """`trunkline` in an environment."""

    environ: dict[str, str]
    folder: Path

    def start(self, *arguments, **environ):
        """Start it, with stdin, stdout and stderr as pipes."""
        return subprocess.Popen(
            [PROGRAM, *map(str, arguments)],
            env=self.environ | environ,
            cwd=self.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=hear_interrupts,
        )

    def __call__(self, *arguments, stdin="", **environ):
        """Run it to its end."""
        with self.start(*arguments, **environ) as process:
            out, err = process.communicate(stdin, timeout=120)
        return Ended(process.returncode, out, err)


@pytest.fixture
def clean_environ():
    """The environment without anything that chooses servers or settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("TRUNKLINE_", "PG", "XDG_"))}


@pytest.fixture
def trunkline(clean_environ, servers, database_url, redis_url, tmp_path):
    """The command on a database of its own, whose schema is current, with psql on PATH."""
    chosen = {
        "TRUNKLINE_DATABASE_URL": database_url,
        "TRUNKLINE_REDIS_URL": redis_url,
        "PATH": f"{servers.psql_path.parent}{os.pathsep}{clean_environ['PATH']}",
    }
    return Command(clean_environ | chosen, tmp_path)


@pytest.fixture
def on_empty_database(clean_environ, empty_database_url, tmp_path):
    """The command on a database in which nothing was migrated."""
    return Command(clean_environ | {"TRUNKLINE_DATABASE_URL": empty_database_url}, tmp_path)


@pytest.fixture
def fresh_machine(clean_environ, tmp_path):
    """The command where nobody named any server."""
    return Command(clean_environ | {"TRUNKLINE_HOME": str(tmp_path / "a home")}, tmp_path)
