"""More servers: PostgreSQL as old as we support, and a role that needs a password."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from psycopg2.sql import SQL, Identifier, Literal

from tests.conftest import QUICK
from trunkline.database.connection import connect
from trunkline.database.schema import migrate
from trunkline.embedded import servers as embedded_servers
from trunkline.embedded.pair import Embedded

OLDEST = embedded_servers.SYSTEM_POSTGRES / str(embedded_servers.OLDEST_POSTGRES) / "bin"
PASSWORD = "canary@/:?#%"  # all that has a meaning in a URL


@pytest.fixture(scope="session")
def oldest_servers(servers_folder: Path) -> Iterator[Embedded]:
    """A cluster of the oldest PostgreSQL that we support, where the system has it."""
    if not (OLDEST / "postgres").exists():
        pytest.skip(f"no PostgreSQL {embedded_servers.OLDEST_POSTGRES} in {OLDEST}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedded_servers, "postgres_programs", lambda: OLDEST)
        pair = Embedded(servers_folder / "oldest", settings=QUICK).start()
    with pair:
        yield pair
    pair.wait_for_end(timeout_s=5)  # another worker may go on with it


@pytest.fixture(params=["embedded", "oldest"])
def each_database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database of the test's own, on the embedded PostgreSQL and on the oldest supported one."""
    pair: Embedded = request.getfixturevalue("servers" if request.param == "embedded" else "oldest_servers")
    name = Identifier(f"test_{uuid.uuid4().hex}")
    with closing(psycopg2.connect(pair.database_url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(SQL("create database {}").format(name))
        yield pair.database_url.replace("/postgres?", f"/{name.string}?")
        cursor.execute(SQL("drop database {} with (force)").format(name))


@pytest.fixture
def each_loadable_url(each_database_url: str) -> str:
    """The same with the schema of the books."""
    with closing(connect(each_database_url)) as connection:
        migrate(connection)
    return each_database_url


@pytest.fixture
def role_with_password(empty_database_url: str) -> Iterator[str]:
    """Name of a role that nobody gets in as without PASSWORD; it may do nothing but connect."""
    name = f"role_{uuid.uuid4().hex}"
    with closing(psycopg2.connect(empty_database_url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("select pg_advisory_lock(2)")  # other workers of pytest-xdist change the file as well
        cursor.execute(SQL("create role {} login password {}").format(Identifier(name), Literal(PASSWORD)))
        cursor.execute("show hba_file")
        path = Path(cursor.fetchone()[0])  # type: ignore[index]
        path.write_text(f"local all {name} scram-sha-256\n{path.read_text()}")
        cursor.execute("select pg_reload_conf(), pg_advisory_unlock(2)")
        while _gets_in(empty_database_url, name):
            pass
        yield name
        cursor.execute(SQL("drop role {}").format(Identifier(name)))


def _gets_in(url: str, role: str) -> bool:
    try:
        psycopg2.connect(url, user=role).close()
    except psycopg2.OperationalError:
        return False
    return True
