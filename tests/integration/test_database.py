"""Connections and errors against a real PostgreSQL."""

import traceback
from contextlib import closing
from threading import Event
from urllib.parse import quote

import psycopg2
import pytest
from psycopg2.sql import SQL, Identifier

from tests.faults import CutAt, DropCommitReply, HoldReplies, Proxy, Trigger, authority
from tests.integration.conftest import PASSWORD
from trunkline.database.connection import connect, describe, transaction
from trunkline.database.errors import translated
from trunkline.database.retrying import retrying
from trunkline.errors import DatabaseAwayError, DatabaseBusyError, DatabaseError, SchemaError


@pytest.fixture
def connection(empty_database_url):
    with closing(connect(empty_database_url)) as opened:
        yield opened


def ask(connection, statement, parameters=None):
    with transaction(connection) as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchone() if cursor.description else None


def parts_of(url):
    return psycopg2.extensions.parse_dsn(url)


def test_sessions_are_in_utc_and_utf8(empty_database_url, connection):
    """Whatever the database's own settings are."""
    ask(connection, SQL("alter database {} set timezone = 'Africa/Nairobi'").format(Identifier(connection.info.dbname)))

    with closing(connect(empty_database_url)) as later:
        shown = [ask(later, f"show {name}") for name in ("timezone", "client_encoding", "application_name")]
        assert shown == [("UTC",), ("UTF8",), ("trunkline",)]
        assert later.autocommit is False
        assert later.info.transaction_status == psycopg2.extensions.TRANSACTION_STATUS_IDLE


def test_the_url_may_name_the_application(empty_database_url):
    """What the user says is kept."""
    with closing(connect(f"{empty_database_url}&application_name=nightly")) as connection:
        assert ask(connection, "show application_name") == ("nightly",)


def test_without_a_url_libpq_decides(empty_database_url, monkeypatch):
    """PGHOST, PGDATABASE and PGUSER are enough."""
    parts = parts_of(empty_database_url)
    monkeypatch.setenv("PGHOST", parts["host"])
    monkeypatch.setenv("PGDATABASE", parts["dbname"])
    monkeypatch.setenv("PGUSER", "postgres")

    with closing(connect(None)) as connection:
        assert connection.info.dbname == parts["dbname"]


def test_a_service_is_enough(empty_database_url, monkeypatch, tmp_path):
    """PGSERVICE and its file."""
    parts = parts_of(empty_database_url)
    services = tmp_path / "services"
    services.write_text(f"[calls]\nhost={parts['host']}\nuser=postgres\ndbname={parts['dbname']}\n")
    monkeypatch.setenv("PGSERVICEFILE", str(services))
    monkeypatch.setenv("PGSERVICE", "calls")

    with closing(connect(None)) as connection:
        assert connection.info.dbname == parts["dbname"]


def test_the_password_may_be_in_its_file(empty_database_url, role_with_password, monkeypatch, tmp_path):
    """.pgpass, here under the name that PGPASSFILE gives."""
    passwords = tmp_path / "pgpass"
    passwords.touch(mode=0o600)
    passwords.write_text(f"*:*:*:{role_with_password}:{PASSWORD.replace(':', chr(92) + ':')}\n")
    monkeypatch.setenv("PGPASSFILE", str(passwords))

    with closing(connect(empty_database_url.replace("postgres@", f"{role_with_password}@"))) as connection:
        assert connection.info.user == role_with_password


def test_the_password_may_be_in_the_url(empty_database_url, role_with_password):
    """Percent-encoded, and no part of it is in the description."""
    url = empty_database_url.replace("postgres@", f"{role_with_password}:{quote(PASSWORD, safe='')}@")

    with closing(connect(url)) as connection:
        assert "canary" not in describe(connection)


@pytest.mark.parametrize("password", ["canary-wrong", ""])
def test_a_wrong_password_stays_wrong(empty_database_url, role_with_password, password):
    """It is not tried again, and not repeated."""
    url = empty_database_url.replace("postgres@", f"{role_with_password}:{password}@")
    attempts = []
    with pytest.raises(DatabaseError, match="password") as raised:
        retrying(on_retry=lambda reason, seconds: attempts.append(reason), sleep=lambda _: None)(connect, url)

    assert (type(raised.value), attempts) == (DatabaseError, [])
    assert "canary" not in "".join(traceback.format_exception(raised.value))


def test_the_database_is_described_without_secrets(empty_database_url):
    """User, place and name; no password, no options."""
    parts = parts_of(empty_database_url)
    with Proxy.before_postgres(empty_database_url) as proxy:
        url = proxy.url.replace("postgres@", "postgres:canary@") + "?application_name=hidden"
        with closing(connect(url)) as connection:
            assert describe(connection) == f"postgresql://postgres@127.0.0.1:{proxy.port}/{parts['dbname']}"
    with closing(connect(empty_database_url)) as connection:
        assert describe(connection) == f"postgresql://postgres@/{parts['dbname']}?host={parts['host']}"


def test_certificates_are_verified(empty_database_url, tmp_path):
    """sslmode=verify-full accepts the authority's certificate; another authority's is an error that stays."""
    context, ca_file = authority(tmp_path)
    with Proxy.before_postgres(empty_database_url, tls=context) as proxy:
        with closing(connect(f"{proxy.url}?sslmode=verify-full&sslrootcert={ca_file}")) as connection:
            assert ask(connection, "select 1") == (1,)
        other = authority(tmp_path / "other")[1]
        with pytest.raises(DatabaseError, match="certificate verify failed") as raised:
            connect(f"{proxy.url}?sslmode=verify-full&sslrootcert={other}")
        assert type(raised.value) is DatabaseError


def test_a_refused_connection_can_be_tried_again(empty_database_url):
    """Nobody listens."""
    with (
        Proxy.before_postgres(empty_database_url) as proxy,
        proxy.refusing(),
        pytest.raises(DatabaseAwayError, match=f'"127.0.0.1", port {proxy.port} failed: Connection refused; check'),
    ):
        connect(proxy.url)


def test_a_server_that_says_nothing_is_away(empty_database_url):
    """The bound on connecting is the user's or ours; here the least that libpq knows."""
    with Proxy.before_postgres(empty_database_url) as proxy:
        proxy.gate = lambda: HoldReplies(Event())
        with pytest.raises(DatabaseAwayError, match="timeout expired"):
            connect(f"{proxy.url}?connect_timeout=2")


def test_connecting_is_tried_again_until_it_works(empty_database_url):
    """Two attempts find a cut connection, the third one works."""
    twice, reasons = Trigger(times=2), []
    with Proxy.before_postgres(empty_database_url) as proxy:
        proxy.gate = lambda: CutAt(b"set time zone", twice)
        policy = retrying(on_retry=lambda reason, seconds: reasons.append(reason), sleep=lambda _: None)
        policy(connect, proxy.url).close()

    assert reasons == ["server closed the connection unexpectedly"] * 2


def test_a_missing_database_stays_missing(empty_database_url):
    """Trying again would not help."""
    url = empty_database_url.replace(parts_of(empty_database_url)["dbname"], "nowhere")
    with pytest.raises(DatabaseError, match='database "nowhere" does not exist') as raised:
        connect(url)

    assert type(raised.value) is DatabaseError


def test_a_full_server_may_have_room_later(empty_database_url, role_with_password, connection):
    """The role's own limit stands for the server's."""
    ask(connection, SQL("alter role {} connection limit 0").format(Identifier(role_with_password)))
    url = empty_database_url.replace("postgres@", f"{role_with_password}:{quote(PASSWORD, safe='')}@")

    with pytest.raises(DatabaseBusyError, match="too many connections for role"):
        connect(url)


def test_a_session_that_was_ended_is_away(empty_database_url, connection):
    """As by a restart or a failover."""
    with closing(connect(empty_database_url)) as other:
        ask(other, "select pg_terminate_backend(%s)", [connection.info.backend_pid])

    with pytest.raises(DatabaseAwayError):
        ask(connection, "select 1")
    with pytest.raises(DatabaseAwayError, match="closed"):
        ask(connection, "select 1")


def test_a_lost_reply_to_commit_is_away(empty_database_url, connection):
    """Whether it happened is not known from the error; here it did."""
    ask(connection, "create table t (a int)")
    with Proxy.before_postgres(empty_database_url) as proxy:
        once = Trigger()
        proxy.gate = lambda: DropCommitReply(once, after=b"insert")
        with closing(connect(proxy.url)) as cut, pytest.raises(DatabaseAwayError, match="closed the connection"):
            ask(cut, "insert into t values (1)")

    assert ask(connection, "select a from t") == (1,)


def test_a_lock_that_is_not_given_in_time_is_busy(empty_database_url, connection):
    """Another session holds the table."""
    ask(connection, "create table t (a int)")
    with closing(connect(empty_database_url)) as other, other.cursor() as cursor:
        cursor.execute("lock table t")
        with pytest.raises(DatabaseBusyError, match="lock timeout"):
            ask(connection, "set local lock_timeout = '10ms'; select * from t")


def test_a_serialization_failure_is_busy(empty_database_url, connection):
    """Two transactions update what both have read."""
    ask(connection, "create table t as select 1 as a")
    with closing(connect(empty_database_url)) as other, other.cursor() as cursor:
        cursor.execute("set transaction isolation level repeatable read; select a from t")
        ask(connection, "update t set a = 2")
        with pytest.raises(DatabaseBusyError, match="could not serialize") as raised:
            ask(other, "update t set a = 3")

    assert raised.value.sqlstate == "40001"


@pytest.mark.parametrize(
    "statement", ["select * from trunkline.loads", "select trunkline.nothing()", "select nothing from trunkline.x"]
)
def test_a_missing_schema_names_the_next_step(connection, statement):
    """Nothing was migrated here."""
    with pytest.raises(SchemaError, match=r"run 'trunkline db migrate'$"):
        ask(connection, statement)


def test_a_missing_privilege_names_the_next_step(empty_database_url, role_with_password, connection):
    """The role may not read a table that is there."""
    ask(connection, "create table t (a int)")
    with pytest.raises(DatabaseError, match="permission denied for table t; 'trunkline db grants' prints"):
        ask(connection, SQL("set local role {}; select * from t").format(Identifier(role_with_password)))


def test_a_violated_constraint_is_named(connection):
    """As an attribute, too: who catches it need not read words."""
    ask(connection, "create table t (a int constraint positive check (a > 0))")
    with pytest.raises(DatabaseError) as raised:
        ask(connection, "insert into t values (-41)")

    assert str(raised.value) == "PostgreSQL: check violation (23514), constraint positive, table public.t"
    assert (raised.value.sqlstate, raised.value.constraint) == ("23514", "positive")


CANARY = "254700987654"


@pytest.mark.parametrize(
    "statement",
    [
        "select '+254700987654x'::bigint",
        "select '254700987654'::int",
        "select '254700987654-13-99'::date",
        "select 254700987654::numeric(3)",
        "select '254700987654'::varchar::uuid",
        "insert into t values (254700987654), (254700987654)",
        "insert into t values (-254700987654)",
        "insert into t values (null, '254700987654')",
        "insert into u values (254700987654)",
        "select 1 frm '254700987654'",
        "select e'\\xff254700987654'",
        "select json '{254700987654'",
        "select '254700987654'::inet",
        "do $$ begin raise exception 'caller 254700987654'; end $$",
        "do $$ begin raise check_violation using message = 'caller 254700987654'; end $$",
    ],
)
def test_errors_hold_no_values(connection, statement):
    """Neither the error nor a traceback with its causes; PostgreSQL's own words would."""
    ask(
        connection,
        "create table t (a bigint primary key check (a > 0), b text); create table u (a bigint references t)",
    )
    with pytest.raises(DatabaseError) as raised:
        ask(connection, statement)

    assert CANARY not in "".join(traceback.format_exception(raised.value))


def test_errors_of_copy_hold_no_values(connection, tmp_path):
    """PostgreSQL tells line, column and value."""
    ask(connection, "create table t (a bigint)")
    rows = tmp_path / "rows"
    rows.write_text("1\n+254700987654x\n")
    with pytest.raises(DatabaseError) as raised, transaction(connection) as cursor, rows.open() as file:
        cursor.copy_expert("copy t from stdin", file)

    assert CANARY not in "".join(traceback.format_exception(raised.value))


def fail_after(connection, statement):
    with transaction(connection) as cursor:
        cursor.execute(statement)
        raise RuntimeError("ours")


def test_a_transaction_is_rolled_back_as_one(connection):
    """What was done before the error is undone, and the error is raised."""
    ask(connection, "create table t (a int)")
    with pytest.raises(RuntimeError, match="ours"):
        fail_after(connection, "insert into t values (1)")

    assert ask(connection, "select count(*) from t") == (0,)


def test_a_rollback_that_fails_hides_nothing(connection):
    """The first error is raised, not that of a rollback on a connection that is gone."""
    with pytest.raises(DatabaseAwayError, match=r"closed the connection|terminating"):
        ask(connection, "select pg_terminate_backend(pg_backend_pid())")


def test_the_driver_s_own_errors_are_translated(connection):
    """Those that never reached the server."""
    with pytest.raises(DatabaseError, match="the driver refused a statement"), translated():
        connection.cursor().fetchone()
