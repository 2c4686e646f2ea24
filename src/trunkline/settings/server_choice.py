"""Which PostgreSQL and which Redis the settings and the environment mean.  Nothing is connected here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from trunkline.settings.masking import mask_url

if TYPE_CHECKING:
    from trunkline.settings.model import Settings

LIBPQ_NAMES: Final = ("PGSERVICE", "PGHOST", "PGDATABASE")
"""Variables of libpq's own environment that name a database; the others only say more about it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DatabaseChoice:
    """
    A PostgreSQL to use.

    Attributes:
        kind: ``url`` (also libpq's keywords), ``libpq``: all from its environment, or ``embedded``.
        url: Where kind is ``url``; may hold a password.
        described: For people, without secrets.
    """

    kind: Literal["url", "libpq", "embedded"]
    url: str | None = None
    described: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RedisChoice:
    """
    A cache to use.

    Attributes:
        kind: ``url``, ``embedded``, ``none`` as the user wants none, or ``unnamed`` as nobody named one.
        url: Where kind is ``url``; may hold a password.
        described: For people, without secrets.
    """

    kind: Literal["url", "embedded", "none", "unnamed"]
    url: str | None = None
    described: str


def choose_database(settings: Settings, environ: Mapping[str, str]) -> DatabaseChoice:
    """Return the database of the settings, else of libpq's environment, else the embedded one."""
    url = settings.database_url
    if url is not None and url != "embedded":
        return DatabaseChoice(kind="url", url=url, described=mask_url(url))
    named = [f"{name}={_shown(environ[name])}" for name in LIBPQ_NAMES if environ.get(name)]
    if url is None and named:
        return DatabaseChoice(kind="libpq", described=f"PostgreSQL of {', '.join(named)}")
    return DatabaseChoice(kind="embedded", described="embedded PostgreSQL")


def _shown(value: str) -> str:
    """Return a value of libpq's environment; PGDATABASE may also be a URL or keywords, with a password in it."""
    return mask_url(value) if "://" in value or "=" in value else value


def choose_redis(settings: Settings, database: DatabaseChoice) -> RedisChoice:
    """Return the Redis of the settings, else the one of the embedded pair; beside the user's own database, none."""
    url = settings.redis_url
    if url == "none":
        return RedisChoice(kind="none", described="no cache")
    if url is not None:
        return RedisChoice(kind="url", url=url, described=mask_url(url))
    if database.kind == "embedded":
        return RedisChoice(kind="embedded", described="embedded Valkey")
    return RedisChoice(kind="unnamed", described="no cache, as no Redis is named")
