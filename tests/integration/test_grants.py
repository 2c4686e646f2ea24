"""What a loading and a reading role can do with the privileges that are printed for them, and what not."""

import uuid
from contextlib import closing

import psycopg2
import pytest
from psycopg2.sql import SQL, Identifier

from trunkline.books import reading as ledger
from trunkline.database.connection import connect, transaction
from trunkline.database.grants import grants_sql
from trunkline.database.schema import check_schema, migrate
from trunkline.errors import DatabaseError, UsageError
from trunkline.layout.files import load_layout
from trunkline.loading.tables import ensure_call_table, rebuild_calls_view

NAME = "role \"%'"  # with all that needs quoting


@pytest.fixture
def admin(each_database_url):
    with closing(connect(each_database_url)) as opened:
        migrate(opened)
        yield opened


@pytest.fixture
def roles(admin):
    """Names of a loader and a reader, who have no privileges yet."""
    names = [f"{kind} {NAME} {uuid.uuid4().hex}" for kind in ("loader", "reader")]
    for name in names:
        run(admin, SQL("create role {} login").format(Identifier(name)))
    yield names
    for name in names:
        run(admin, SQL("drop owned by {0} cascade; drop role {0}").format(Identifier(name)))


def run(connection, statement):
    with transaction(connection) as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def grant(admin, roles, **options):
    loader, reader = roles
    admin.autocommit = True
    run(admin, grants_sql(admin, loader=loader, reader=reader, **options))
    admin.autocommit = False


def session(url, role):
    return closing(psycopg2.connect(url, user=role))


def make_table(connection):
    with transaction(connection) as cursor:
        ensure_call_table(cursor, load_layout("customer_call_logs"))
        assert rebuild_calls_view(cursor)


@pytest.fixture(params=["grants first", "table first"])
def granted(request, admin, roles, each_database_url):
    """Both roles with their privileges and one call table, in either order."""
    if request.param == "table first":
        make_table(admin)
    grant(admin, roles)
    with session(each_database_url, roles[0]) as loading:
        make_table(loading)
    return roles


def test_the_loader_can_load(granted, each_database_url):
    """It finds the schema current, writes books, stages a table and attaches it."""
    with session(each_database_url, granted[0]) as loading:
        check_schema(loading)
        run(
            loading,
            "create table trunkline_staging.p (like customer_call_logs including defaults including constraints);"
            "create unique index on trunkline_staging.p (started_at, record_key);"
            "alter table trunkline_staging.p set schema public;"
            "alter table customer_call_logs attach partition p for values from ('2024-01-01') to ('2024-01-02');"
            "insert into trunkline.call_tables values ('x', 'x', '{}', 'x', null, 'none');"
            "select nextval('trunkline.published_seq')",
        )


def test_the_loader_cannot_change_the_schema(granted, each_database_url):
    """Migrations are somebody else's."""
    with session(each_database_url, granted[0]) as loading:
        for statement in (
            "insert into trunkline.migrations values (99, 'x')",
            "alter table trunkline.loads add column x int",
            "drop schema trunkline cascade",
        ):
            with pytest.raises(DatabaseError, match=r"permission denied|must be owner"):
                run(loading, statement)


def test_the_reader_sees_calls_and_books(granted, each_database_url):
    """Those of the table, those of the view, loads and rejects."""
    with session(each_database_url, granted[1]) as reading:
        for relation in ("customer_call_logs", "trunkline.calls", "trunkline.totals", "trunkline.blocks"):
            assert run(reading, f"select count(*) from {relation}") == [(0,)]
        assert ledger.list_loads(reading) == []
        assert ledger.list_rejects(reading, ledger.Which()) == []
        assert ledger.count_rejects(reading, ledger.Which(state="open")) == 0


def test_the_reader_sees_no_more(granted, each_database_url):
    """Neither bytes of rejects, nor calls on their way; and changes nothing."""
    with session(each_database_url, granted[0]) as loading:
        run(loading, "create table trunkline_staging.p (a int)")
    with session(each_database_url, granted[1]) as reading:
        for statement in (
            "select raw from trunkline.rejects",
            "select raw_hash from trunkline.rejects",
            "select * from trunkline.rejects",
            "select count(*) from trunkline_staging.p",
            "select count(*) from trunkline.staged_sums",
            "insert into trunkline.call_tables values ('x', 'x', '{}', 'x', null, 'none')",
            "delete from customer_call_logs",
            "update trunkline.rejects set state = 'open'",
        ):
            with pytest.raises(DatabaseError, match="permission denied"):
                run(reading, statement)


def test_of_rejects_all_but_the_bytes_is_granted(granted, admin):
    """A new column is granted on purpose or not at all."""
    missing = SQL(
        "select attname from pg_attribute where attrelid = 'trunkline.rejects'::regclass and attnum > 0"
        " and not has_column_privilege({}, attrelid, attnum, 'select') order by 1"
    ).format(psycopg2.sql.Literal(granted[1]))

    assert run(admin, missing) == [("raw",), ("raw_hash",)]


def test_a_privilege_too_many_is_taken_back(granted, admin, each_database_url):
    """Running the script again leaves what it says, not what was granted by hand."""
    run(admin, SQL("grant select on trunkline.rejects to {}").format(Identifier(granted[1])))
    grant(admin, granted)

    with session(each_database_url, granted[1]) as reading, pytest.raises(DatabaseError, match="permission denied"):
        run(reading, "select raw from trunkline.rejects")


def test_call_tables_of_other_schemas(admin, roles, each_database_url):
    """Named ones are readable, too; others are not."""
    run(admin, "create schema telephony; create schema hidden")
    grant(admin, roles, schemas=["telephony"])
    with session(each_database_url, roles[0]) as loading, session(each_database_url, roles[1]) as reading:
        run(loading, "create table telephony.t (a int)")
        assert run(reading, "select count(*) from telephony.t") == [(0,)]
        with pytest.raises(DatabaseError, match="permission denied"):
            run(loading, "create table hidden.t (a int)")


def test_one_role_for_both_is_refused(admin):
    """It would see the bytes."""
    with pytest.raises(UsageError, match="loader and reader are both 'x'"):
        grants_sql(admin, loader="x", reader="x")
