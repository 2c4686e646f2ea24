"""Connections to PostgreSQL: how a session is opened, kept in UTC and described, and the locks it shares.

libpq's own conventions hold: a URL or keywords, and what they leave open comes from PGHOST, PGSERVICE,
.pgpass, sslmode and the rest of its environment.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import IntEnum
from typing import Any
from urllib.parse import quote

import psycopg2
import psycopg2.extensions

from trunkline.database.errors import translated
from trunkline.errors import SettingsError

Connection = psycopg2.extensions.connection
Cursor = psycopg2.extensions.cursor

_DEFAULT_PORT = 5432

# In force where neither the URL nor libpq's environment says otherwise.
_CONNECT_TIMEOUT_S = 10
_DEFAULTS: dict[str, Any] = {
    "fallback_application_name": "trunkline",
    "client_encoding": "UTF8",
    # A peer that vanished without a word is noticed after 30 + 3 * 10 seconds of silence, or when what was
    # sent is not acknowledged for 60 seconds, instead of after the two hours of the kernel's defaults.
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,  # milliseconds
}
_EXPECTED = (
    'expected postgresql://user@host:5432/database or keywords such as "host=... dbname=...";'
    ' a password in a URL is percent-encoded, "@" is %40 and "/" is %2F'
)


class LockSpace(IntEnum):
    """First number of this package's advisory locks; the second says which one of that kind."""

    SCHEMA = 1_953_656_427  # "trnk": exclusive while migrating, shared while loading
    LOAD = 1_953_656_428  # the load with this id is being worked on
    BOOKS = 1_953_656_429  # 0: the order of publishing; 1: making call tables


def connect(url: str | None) -> Connection:
    """
    Open a session in UTC and UTF-8.

    Args:
        url: A URL or keywords as libpq knows them; None: all from libpq's environment.

    Raises:
        SettingsError: If *url* cannot be read.
        DatabaseAwayError, DatabaseBusyError: If there is no server, or no room on it: trying again may help.
        DatabaseError: If the server says no, for example to the password.
    """
    parameters = connection_parameters(url, os.environ)
    with translated():
        connection: Connection = psycopg2.connect(**parameters)
        try:
            _set_utc(connection)
        except BaseException:
            connection.close()
            raise
    return connection


def connection_parameters(url: str | None, environ: Mapping[str, str]) -> dict[str, Any]:
    """
    Return what libpq is given for *url*: its own parts, and our defaults for what it leaves open.

    Raises:
        SettingsError: If *url* cannot be read.  The message does not repeat it: a password may be
            anywhere in it.
    """
    defaults = dict(_DEFAULTS)
    if not environ.get("PGCONNECT_TIMEOUT"):
        defaults["connect_timeout"] = _CONNECT_TIMEOUT_S
    return defaults | _parse_url(url or "")


@contextmanager
def transaction(connection: Connection) -> Iterator[Cursor]:
    """
    Commit what is done with the cursor that this gives, or roll it back.

    Unlike ``with connection`` it raises the first error where the connection is gone, not that of the rollback.

    Raises:
        DatabaseError: For whatever psycopg2 raises.
    """
    with translated():
        try:
            with connection.cursor() as cursor:
                yield cursor
            connection.commit()
        except BaseException:
            with suppress(psycopg2.Error):
                connection.rollback()
            raise


def describe(connection: Connection) -> str:
    """Return which database this is, as a URL without password or options."""
    info = connection.info
    user = quote(info.user or "", safe="")
    database = quote(info.dbname or "", safe="")
    host = info.host or ""
    if host.startswith(("/", "@")):  # the folder of a unix socket, or an abstract one
        port = "" if info.port == _DEFAULT_PORT else f"&port={info.port}"
        return f"postgresql://{user}@/{database}?host={quote(host, safe='/@')}{port}"
    host = f"[{host}]" if ":" in host else host
    return f"postgresql://{user}@{host}:{info.port}/{database}"


def _set_utc(connection: Connection) -> None:
    """Set the zone by a statement: poolers follow it, and refuse it among the options of a connection."""
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("set time zone 'UTC'")
    connection.autocommit = False


def _parse_url(url: str) -> dict[str, str]:
    """Take a URL or keywords apart, and refuse what an unquoted password would make of it."""
    scheme = re.match(r"([A-Za-z][\w+.-]*)://", url)
    if scheme and scheme[1] not in ("postgresql", "postgres"):
        raise SettingsError(f'the database URL starts with "{scheme[1]}://"', hint=_EXPECTED)
    try:
        parts = psycopg2.extensions.parse_dsn(url)
    except (psycopg2.ProgrammingError, UnicodeDecodeError):
        raise SettingsError("the database URL cannot be read", hint=_EXPECTED) from None  # libpq quotes it
    if scheme and not _is_unambiguous(url[scheme.end() :], parts):
        raise SettingsError("the database URL cannot be read", hint=_EXPECTED)
    return parts


def _is_unambiguous(rest: str, parts: Mapping[str, str]) -> bool:
    """Whether no piece of a password can have become a host, a port or the name of a database."""
    authority, _, path = rest.partition("/")
    database = path.partition("?")[0]
    ports = parts.get("port", "")
    return authority.count("@") <= 1 and "@" not in database and re.fullmatch(r"[0-9,]*", ports) is not None
