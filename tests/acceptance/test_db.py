"""`trunkline db` as a process: schema, access without showing passwords, and roles."""

import os
import re
import signal
from contextlib import closing

import psycopg2
import pytest

SECRET = "canary-s3cret"


@pytest.fixture
def spy(tmp_path):
    """A folder with a psql that only shows its arguments and the password it was given."""
    program = tmp_path / "spy" / "psql"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "arguments: $*"\necho "password: $PGPASSWORD"\nexit 3\n')
    program.chmod(0o755)
    return program.parent


def with_password(url):
    """Return the URL of an embedded database with a password, which its socket does not ask for."""
    return url.replace("postgres@", f"postgres:{SECRET}@") + "&application_name=spied"


def test_migrate_makes_the_schema_once(on_empty_database):
    """The first time it names what it applied, the second time there is nothing to do."""
    first = on_empty_database("db", "migrate", "--json")
    second = on_empty_database("db", "migrate", "--json")

    assert (first.code, second.code) == (0, 0)
    assert first.json["applied"][0] == "0001 books"
    assert second.json["applied"] == []


def test_migrate_prints_sql_without_a_database(clean_environ, trunkline):
    """`--sql` needs no server, and what it prints makes the schema."""
    ended = trunkline("db", "migrate", "--sql", TRUNKLINE_DATABASE_URL="postgresql://127.0.0.1:1/none")

    assert ended.code == 0
    assert "create schema trunkline;" in ended.out


def test_the_url_has_no_password(trunkline):
    """It can be shown and recorded; options that matter for a connection stay."""
    url = trunkline.environ["TRUNKLINE_DATABASE_URL"]
    ended = trunkline("db", "url", TRUNKLINE_DATABASE_URL=with_password(url))

    assert ended.out == f"{url}&application_name=spied\n"
    assert SECRET not in ended.err


def test_psql_gets_the_password_unseen(trunkline, spy):
    """Arguments of a process can be read by everybody on the machine, so it goes by the environment."""
    url = trunkline.environ["TRUNKLINE_DATABASE_URL"]
    path = f"{spy}{os.pathsep}{trunkline.environ['PATH']}"
    ended = trunkline("db", "psql", "--", "-c", "select 1", TRUNKLINE_DATABASE_URL=with_password(url), PATH=path)

    assert ended.out == f"arguments: {url}&application_name=spied -c select 1\npassword: {SECRET}\n"
    assert ended.code == 3


def test_psql_reaches_the_database(trunkline):
    """What psql answers is on stdout, and its exit code is ours."""
    assert trunkline("db", "psql", "--", "-Atc", "select 40 + 2").out == "42\n"
    assert trunkline("db", "psql", "--", "-c", "select nonsense").code == 1


def test_psql_that_is_not_there_is_named(trunkline, tmp_path):
    """The line says what to install."""
    ended = trunkline("db", "psql", PATH=str(tmp_path))

    assert (ended.code, ended.err) == (
        1,
        "trunkline: psql is not on PATH; install the client programs of PostgreSQL\n",
    )


def test_the_embedded_database_runs_while_somebody_waits(fresh_machine):
    """`db url --wait` keeps it up for other programs until Ctrl-C."""
    process = fresh_machine.start("db", "url", "--wait")
    with process, closing(psycopg2.connect(process.stdout.readline().strip())) as connection:
        with connection.cursor() as cursor:
            cursor.execute("select 42")
            assert cursor.fetchone() == (42,)
        assert process.stderr.readline().endswith("runs until Ctrl-C\n")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


def test_grants_are_printed_for_an_administrator(trunkline):
    """The script names both roles, quoted, and executes nothing here."""
    ended = trunkline("db", "grants", "--loader", "Loader", "--reader", "analyst", "--schema", "calls")

    assert ended.code == 0
    assert {'"Loader"', '"analyst"', '"calls"'} <= set(re.findall(r'"\w+"', ended.out))
