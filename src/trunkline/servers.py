"""Which servers a command uses: the user's own, by URL or libpq's environment, or the embedded pair.

Nothing heavy is imported before it is needed: a command that only asks for the books pays for no cache.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from trunkline.database.connection import Connection, connect, describe
from trunkline.database.retrying import ATTEMPTS, retrying
from trunkline.database.schema import check_schema, migrate
from trunkline.settings.server_choice import RedisChoice, choose_database, choose_redis

if TYPE_CHECKING:
    from trunkline.cache.port import BlockCache
    from trunkline.settings.resolution import Settings

Warn = Callable[[str], None]
"""Told, in one line, what went wrong without ending the work."""


def _warn_user(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=2)


@dataclass(frozen=True, kw_only=True)
class Servers:
    """
    Servers to work with.

    Attributes:
        database_url: None: all from libpq's environment.
        redis: Which cache; where it is embedded, with its URL.
        settings: Where the cache's time to live and secret come from.
        warn: Told once if the cache fails, and before every new attempt to reach PostgreSQL.
        described: Which database it is, without secrets: the first line that every run prints.
        address: Its URL, without password and options.
        psql: The psql of the embedded PostgreSQL; None for another, whose user has one on PATH.
        greeted: The session that was opened first, for who asks for one next: opening it takes some milliseconds.
    """

    database_url: str | None
    redis: RedisChoice
    settings: Settings
    warn: Warn
    described: str = ""
    address: str = ""
    psql: Path | None = None
    greeted: list[Connection] = field(default_factory=list, repr=False)

    def connect(self) -> Connection:
        """Open a session, which the caller closes."""
        with suppress(IndexError):
            return self.greeted.pop()
        return connect(self.database_url)

    @cached_property
    def cache(self) -> BlockCache:
        """The cache; it connects when it is first asked for something."""
        from trunkline.cache.store import connect_cache

        if self.redis.kind == "unnamed":
            self.warn(f"{self.redis.described}; set TRUNKLINE_REDIS_URL, or to 'none' if that is meant")
        secret = self.settings.cache_secret
        return connect_cache(
            self.redis.url,
            secret=secret.get_secret_value() if secret else None,
            ttl_s=self.settings.cache_ttl_s,
            warn=self.warn,
        )

    def on_retry(self, reason: str, wait_s: float) -> None:
        """Say that work on PostgreSQL is tried again; for `retrying`."""
        self.warn(f"{reason}; trying again in {wait_s:.1f} s")


@contextmanager
def open_servers(
    settings: Settings,
    environ: Mapping[str, str] | None = None,
    *,
    warn: Warn = _warn_user,
    patient: bool = True,
    check: bool = True,
) -> Iterator[Servers]:
    """
    Open the servers that *settings* and *environ* (by default the process's own) choose.

    Args:
        patient: Wait for a PostgreSQL that is away, with a bounded number of attempts.
        check: Make sure that the schema is current.  The embedded database, which nobody else looks after, is
            migrated; any other is only checked.

    Raises:
        DatabaseError: If the database cannot be reached or refuses.
        SchemaError: If its schema is missing, older or newer than this program.
        EmbeddedError: If the embedded servers cannot run here.
    """
    environ = os.environ if environ is None else environ
    database = choose_database(settings, environ)
    redis = choose_redis(settings, database)
    prepare: Callable[[Connection], object]
    with ExitStack() as stack:
        if database.kind == "embedded":
            servers, prepare = stack.enter_context(_embedded(settings, environ, redis, warn)), migrate
        else:
            servers = Servers(database_url=database.url, redis=redis, settings=settings, warn=warn)
            prepare = check_schema
        reach = retrying(attempts=ATTEMPTS if patient else 1, on_retry=servers.on_retry)
        greeted = reach(_greet, servers, prepare if check else None)
        stack.callback(_close, greeted)
        yield greeted


@contextmanager
def _embedded(settings: Settings, environ: Mapping[str, str], redis: RedisChoice, warn: Warn) -> Iterator[Servers]:
    from trunkline.embedded.pair import Embedded, default_home

    with Embedded(settings.home or default_home(environ)) as pair:
        yield Servers(
            database_url=pair.database_url,
            redis=replace(redis, url=pair.redis_url) if redis.kind == "embedded" else redis,
            settings=settings,
            warn=warn,
            described=f"embedded PostgreSQL in {pair.home}",
            psql=pair.psql_path,
        )


def _greet(servers: Servers, prepare: Callable[[Connection], object] | None) -> Servers:
    """Connect, so that what is wrong shows before any work, and learn which database it is."""
    connection = servers.connect()
    try:
        if prepare:
            prepare(connection)
        address = describe(connection)
    except BaseException:
        connection.close()
        raise
    return replace(servers, address=address, described=servers.described or address, greeted=[connection])


def _close(servers: Servers) -> None:
    for connection in servers.greeted:
        connection.close()
