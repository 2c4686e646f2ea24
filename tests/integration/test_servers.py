"""Which servers are opened: the embedded pair is made ready, anybody else's database is only checked."""

import os
from contextlib import closing
from urllib.parse import parse_qs, urlsplit

import pytest

from trunkline.books.reading import list_loads
from trunkline.cache.port import NullCache
from trunkline.database.schema import migrate, pending
from trunkline.errors import DatabaseAwayError, SchemaError
from trunkline.servers import open_servers
from trunkline.settings.resolution import Settings


@pytest.fixture
def warnings():
    """What was warned of."""
    return []


@pytest.fixture
def migrated_url(empty_database_url):
    """A database whose schema is current."""
    with (
        open_servers(Settings(database_url=empty_database_url), {}, check=False) as servers,
        closing(servers.connect()) as connection,
    ):
        migrate(connection)
    return empty_database_url


def test_the_embedded_pair_is_ready(tmp_path, warnings):
    """Without any setting there are a database with a current schema and a cache, and nothing to warn of."""
    with open_servers(Settings(home=tmp_path / "home"), {}, warn=warnings.append) as servers:
        with closing(servers.connect()) as connection:
            assert list_loads(connection) == []
        assert servers.described == f"embedded PostgreSQL in {tmp_path / 'home'}"
        assert servers.psql is not None
        assert servers.cache.get_text("00") is None
        assert servers.cache.counts.errors == 0

    assert warnings == []


def test_a_database_without_schema_is_left_as_it_is(empty_database_url):
    """It belongs to the user, who is told what to run."""
    settings = Settings(database_url=empty_database_url)
    with pytest.raises(SchemaError) as caught, open_servers(settings, {}):
        pass

    assert str(caught.value) == "the database has no schema trunkline; run 'trunkline db migrate'"
    with open_servers(settings, {}, check=False) as servers, closing(servers.connect()) as connection:
        assert pending(connection)[0].version == 1


def test_the_session_that_was_opened_first_is_used(migrated_url):
    """Opening the servers takes one session, which is the first that is asked for; what nobody took is closed."""
    settings = Settings(database_url=migrated_url)
    with open_servers(settings, {}) as servers:
        (greeted,) = servers.greeted
        with closing(servers.connect()) as first, closing(servers.connect()) as second:
            assert first is greeted
            assert second is not greeted
    with open_servers(settings, {}) as servers:
        (greeted,) = servers.greeted

    assert greeted.closed


def test_libpq_names_the_database(migrated_url, monkeypatch):
    """PGHOST and its friends are used where no URL is."""
    parts = urlsplit(migrated_url)
    environ = {"PGHOST": parse_qs(parts.query)["host"][0], "PGUSER": "postgres", "PGDATABASE": parts.path[1:]}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    with open_servers(Settings()) as servers:
        assert servers.database_url is None
        assert servers.described == migrated_url
        assert servers.psql is None


def test_no_cache_is_said_where_it_is_asked_for(migrated_url, warnings):
    """Beside the user's own database nobody named a Redis: said once, when work needs one."""
    with open_servers(Settings(database_url=migrated_url), {}, warn=warnings.append) as servers:
        assert warnings == []
        assert isinstance(servers.cache, NullCache)
        assert servers.cache is servers.cache

    assert warnings == ["no cache, as no Redis is named; set TRUNKLINE_REDIS_URL, or to 'none' if that is meant"]


def test_no_cache_on_purpose_is_not_said(migrated_url, warnings):
    """Whoever says none has said it."""
    settings = Settings(database_url=migrated_url, redis_url="none")
    with open_servers(settings, {}, warn=warnings.append) as servers:
        assert isinstance(servers.cache, NullCache)

    assert warnings == []


def test_an_impatient_command_tries_once(warnings):
    """A database that is away is said at once where nobody wants to wait."""
    settings = Settings(database_url="postgresql://u@127.0.0.1:1/none")
    with pytest.raises(DatabaseAwayError), open_servers(settings, {}, warn=warnings.append, patient=False):
        pass

    assert warnings == []


def test_a_patient_command_says_that_it_waits(monkeypatch, warnings):
    """Every further attempt is announced with its reason."""
    monkeypatch.setattr("trunkline.servers.ATTEMPTS", 2)
    settings = Settings(database_url="postgresql://u@127.0.0.1:1/none")
    with pytest.raises(DatabaseAwayError), open_servers(settings, dict(os.environ), warn=warnings.append):
        pass

    assert len(warnings) == 1
    assert "Connection refused; trying again in 0." in warnings[0]
