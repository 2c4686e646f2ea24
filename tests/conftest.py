"""Real servers for the tests: one embedded pair for the whole session, a fresh database and cache for each test."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import LiteralString

import psycopg2
import pytest
import redis
from hypothesis import settings as hypothesis_settings
from psycopg2 import sql

from trunkline.database.schema import migrate
from trunkline.embedded import servers as embedded_servers
from trunkline.embedded.pair import Embedded

TEMPLATE = "trunkline_template"
# What a killed server loses without fsync is lost to a killed machine only, and no test kills that.
QUICK = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "64MB", "max_wal_size": "256MB"}

# A database has 300 files, and to make them for each test takes some disks 0.4 s and memory 0.02.
IN_MEMORY = Path("/dev/shm")
ROOM_BYTES = 2 << 30
FOLDER = "PYTEST_SERVERS_FOLDER"  # how workers of pytest-xdist hear of it

# Properties that take long look for more: pytest --hypothesis-profile=thorough
hypothesis_settings.register_profile("thorough", max_examples=3_000, deadline=None)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the tests run on another PostgreSQL than that of the wheel."""
    parser.addoption(
        "--postgres", metavar="DIR", type=Path, help="Directory of postgres, initdb and psql; default: the wheel's."
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the folder of the servers: in memory where there is room."""
    if hasattr(config, "workerinput"):
        return
    roomy = IN_MEMORY.is_dir() and shutil.disk_usage(IN_MEMORY).free >= ROOM_BYTES
    os.environ[FOLDER] = tempfile.mkdtemp(prefix="trunkline-tests-", dir=IN_MEMORY if roomy else None)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Delete it: the workers have ended, and their servers with them."""
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ.pop(FOLDER), ignore_errors=True)


@pytest.fixture(scope="session")
def servers_folder() -> Path:
    """Where the servers of the tests have their homes; workers of pytest-xdist share it."""
    return Path(os.environ[FOLDER])


@pytest.fixture(scope="session")
def servers(servers_folder: Path, pytestconfig: pytest.Config) -> Iterator[Embedded]:
    """The embedded pair; workers of pytest-xdist share it, since the lock in its home does not know them apart."""
    programs = pytestconfig.getoption("--postgres")
    if programs:
        embedded_servers.postgres_programs = lambda: programs
    with Embedded(servers_folder / "servers", settings=QUICK) as pair:
        yield pair
    pair.wait_for_end(timeout_s=5)  # another worker may go on with it


@pytest.fixture
def database_url(servers: Embedded, database_template: str) -> Iterator[str]:
    """A database of the test's own, migrated, as a URL."""
    name = f"test_{uuid.uuid4().hex}"
    _administer(servers, "create database {} template {}", name, database_template)
    yield _url_of(servers, name)
    _administer(servers, "drop database {} with (force)", name)


@pytest.fixture
def empty_database_url(servers: Embedded) -> Iterator[str]:
    """A database of the test's own that nothing was migrated in."""
    name = f"test_{uuid.uuid4().hex}"
    _administer(servers, "create database {}", name)
    yield _url_of(servers, name)
    _administer(servers, "drop database {} with (force)", name)


@pytest.fixture(scope="session")
def database_template(servers: Embedded) -> str:
    """Name of a database that is copied for each test; the first worker makes it."""
    with closing(psycopg2.connect(servers.database_url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("select pg_advisory_lock(1)")  # let go when the connection closes
        cursor.execute("select from pg_database where datname = %s", [TEMPLATE])
        if cursor.rowcount == 0:
            _make_template(servers)
    return TEMPLATE


@pytest.fixture
def redis_url(servers: Embedded) -> str:
    """An empty logical database of the cache, one per worker of pytest-xdist, as a URL."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    url = f"{servers.redis_url}?db={int(worker.removeprefix('gw')) % 16}"
    with closing(redis.Redis.from_url(url)) as client:
        client.flushdb()
    return url


def _make_template(servers: Embedded) -> None:
    """Make the template under another name first, so that it exists only when its migration succeeded."""
    unfinished = f"{TEMPLATE}_{uuid.uuid4().hex}"
    _administer(servers, "create database {}", unfinished)
    with closing(psycopg2.connect(_url_of(servers, unfinished))) as connection:
        migrate(connection)
    _administer(servers, "alter database {} rename to {}", unfinished, TEMPLATE)


def _administer(servers: Embedded, statement: LiteralString, *names: str) -> None:
    """Run a statement that cannot be in a transaction; *names* are its identifiers."""
    with closing(psycopg2.connect(servers.database_url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def _url_of(servers: Embedded, database: str) -> str:
    return servers.database_url.replace("/postgres?", f"/{database}?")
