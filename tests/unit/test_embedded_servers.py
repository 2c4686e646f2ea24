"""Where the embedded servers are looked for, and what is said where they are not."""

import importlib.util
from pathlib import Path

import pytest

from trunkline.embedded import servers as embedded_servers
from trunkline.embedded.pair import default_home
from trunkline.errors import EmbeddedError

HINT = (
    "pip install 'trunkline[embedded]', or set TRUNKLINE_DATABASE_URL and TRUNKLINE_REDIS_URL to use your own servers"
)


@pytest.fixture
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without the wheels, without servers on PATH or in the system; returns the system's directory."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(embedded_servers, "SYSTEM_POSTGRES", tmp_path / "postgresql")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


@pytest.mark.usefixtures("bare_machine")
def test_a_missing_postgres_names_the_command_that_helps():
    """The error ends with what to type, and with the way without embedded servers."""
    with pytest.raises(EmbeddedError) as caught:
        embedded_servers.postgres_programs()

    assert str(caught.value) == f"no PostgreSQL is installed here; {HINT}"


@pytest.mark.usefixtures("bare_machine")
def test_a_missing_valkey_names_the_command_that_helps():
    """The error ends with what to type, and with the way without embedded servers."""
    with pytest.raises(EmbeddedError) as caught:
        embedded_servers.valkey_program()

    assert str(caught.value) == f"no Valkey or Redis is installed here; {HINT}"


def test_the_newest_postgres_of_the_system_stands_in(bare_machine: Path):
    """Versions are compared as numbers, and other directories beside them do not matter."""
    for version in ("9.6", "15", "9", "17", "common"):
        make_program(bare_machine / "postgresql" / version / "bin" / "postgres")

    assert embedded_servers.postgres_programs() == bare_machine / "postgresql" / "17" / "bin"


@pytest.mark.parametrize("name", ["valkey-server", "redis-server"])
def test_a_cache_on_path_stands_in(bare_machine: Path, name: str):
    """Valkey and Redis serve alike."""
    make_program(bare_machine / "bin" / name)

    assert embedded_servers.valkey_program() == bare_machine / "bin" / name


def test_an_old_postgres_is_refused(bare_machine: Path):
    """A version that trunkline does not know is named, with what it needs."""
    make_program(bare_machine / "bin" / "postgres", "echo 'postgres (PostgreSQL) 14.9 (Debian)'")
    server = embedded_servers.Postgres(home=bare_machine, sockets=bare_machine)

    with pytest.raises(EmbeddedError, match="postgres is PostgreSQL 14, 15 or newer is needed"):
        server.prepare(lambda argv, *, hand_over: None)


def test_a_program_of_another_machine_is_refused(bare_machine: Path):
    """A program that cannot run here is an error with its own words."""
    make_program(bare_machine / "bin" / "postgres", "echo 'cannot load libpq' >&2; exit 127")
    server = embedded_servers.Postgres(home=bare_machine, sockets=bare_machine)

    with pytest.raises(EmbeddedError, match="postgres does not run: cannot load libpq"):
        server.prepare(lambda argv, *, hand_over: None)


@pytest.mark.parametrize(
    ("said", "last"),
    [
        ("", "it said nothing"),
        ("one\ntwo\n\n", "two"),
        ("LOG: a\nFATAL: no room\nLOG: shut down\n", "FATAL: no room"),
        ("FATAL: no room\nFATAL:  the database system is not yet accepting connections\n", "FATAL: no room"),
    ],
)
def test_the_last_word_of_a_program_is_its_last_fatal_error(said: str, last: str):
    """A server that ends says why and then goes on about its shutdown."""
    assert embedded_servers.last_line(said) == last


@pytest.mark.parametrize(
    ("environ", "home"),
    [
        ({"TRUNKLINE_HOME": "/srv/calls", "XDG_DATA_HOME": "/data"}, "/srv/calls"),
        ({"XDG_DATA_HOME": "/data"}, "/data/trunkline"),
    ],
)
def test_the_environment_says_where_the_data_lies(environ: dict[str, str], home: str):
    """TRUNKLINE_HOME wins over the user's data directory."""
    assert default_home(environ) == Path(home)


def make_program(path: Path, script: str = "exit 0") -> None:
    """Make an executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
