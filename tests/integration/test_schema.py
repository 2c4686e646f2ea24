"""Migrations against real servers, the oldest supported one included."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg2
import pytest

from trunkline.database import schema
from trunkline.database.connection import LockSpace, connect, transaction
from trunkline.database.queries import read_sql
from trunkline.database.schema import (
    Migration,
    check_schema,
    migrate,
    migrations,
    migrations_sql,
    pending,
    share_schema,
)
from trunkline.errors import DatabaseBusyError, DatabaseError, SchemaError, UsageError
from trunkline.layout.files import load_layout
from trunkline.loading.tables import ensure_call_table

# Whatever tells two schemas apart, as text; names of constraints and privileges included.
CATALOG = """
with ours as (select oid, nspname, nspacl from pg_namespace where nspname in ('trunkline', 'trunkline_staging'))
select 'schema', nspname, nspacl::text, obj_description(oid, 'pg_namespace') from ours
union all
select 'relation ' || c.relkind::text, c.oid::regclass::text, c.relacl::text, obj_description(c.oid, 'pg_class')
from pg_class c join ours on ours.oid = c.relnamespace
union all
select 'column ' || row_number() over (partition by a.attrelid order by a.attnum),
    a.attrelid::regclass || '.' || a.attname,
    concat_ws(' ', format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated,
        pg_get_expr(d.adbin, d.adrelid)),
    col_description(a.attrelid, a.attnum)
from pg_attribute a join pg_class c on c.oid = a.attrelid join ours on ours.oid = c.relnamespace
    left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
where a.attnum > 0 and not a.attisdropped and c.relkind <> 'i'
union all
select 'constraint', c.conrelid::regclass || '.' || c.conname, pg_get_constraintdef(c.oid), null
from pg_constraint c join ours on ours.oid = c.connamespace
union all
select 'index', indexname, indexdef, null from pg_indexes join ours on ours.nspname = schemaname
union all
select 'function', p.oid::regprocedure::text, pg_get_functiondef(p.oid), p.proacl::text
from pg_proc p join ours on ours.oid = p.pronamespace
order by 1, 2, 3
"""
OTHER = "create table trunkline.other (a int)"


@pytest.fixture
def connection(each_database_url):
    with closing(connect(each_database_url)) as opened:
        yield opened


def execute(connection, statement):
    with transaction(connection) as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


@pytest.fixture
def with_second(monkeypatch):
    """Let the program have the first migration alone; return a function that gives it a second with this text."""
    first = migrations()[0]
    monkeypatch.setattr(schema, "migrations", lambda: (first,))

    def add(text):
        both = (first, Migration(version=2, name="more", text=text))
        monkeypatch.setattr(schema, "migrations", lambda: both)

    return add


def test_migrations_are_numbered_without_gaps():
    """1, 2, 3 and so on; the order is that of the files."""
    versions = [migration.version for migration in migrations()]

    assert versions == list(range(1, len(versions) + 1))


def test_all_migrations_together_make_the_schema(connection):
    """schema.sql, which people read, is what the migrations make; change both in one commit."""
    migrate(connection)
    migrated = execute(connection, CATALOG)
    execute(connection, "drop schema trunkline, trunkline_staging cascade")
    execute(connection, read_sql("schema"))

    assert execute(connection, CATALOG) == migrated
    assert len(migrated) > 100


def test_the_printed_script_does_the_same(connection):
    """For those who apply migrations with a tool of their own."""
    migrate(connection)
    migrated = execute(connection, CATALOG)
    execute(connection, "drop schema trunkline, trunkline_staging cascade")
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(migrations_sql())

    assert execute(connection, CATALOG) == migrated
    assert pending(connection) == []


def test_partitions_of_an_older_schema_notice_changes(connection):
    """Those that were there when changes of a partition by its own name went unnoticed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schema, "migrations", lambda: migrations()[:1])
        migrate(connection)
    with transaction(connection) as cursor:
        ensure_call_table(cursor, load_layout("customer_call_logs"))
    execute(
        connection,
        "create table p partition of customer_call_logs for values from ('2022-01-01') to ('2022-01-02');"
        "insert into trunkline.loads (source, layout, layout_fingerprint, key_fingerprint, call_table, status,"
        " program_version) values ('a', 'a', 'a', 'a', 'public.customer_call_logs', 'running', '0');"
        "insert into trunkline.load_partitions select id, call_table, 'p'::regclass, 1 from trunkline.loads",
    )
    migrate(connection)
    execute(connection, "delete from p")

    assert execute(connection, "select count(*) from trunkline.load_partitions") == [(0,)]


def test_a_current_schema_is_left_alone(connection):
    """Migrating again does nothing."""
    assert [migration.version for migration in migrate(connection)] == [m.version for m in migrations()]
    assert migrate(connection) == []
    check_schema(connection)


def test_no_transaction_is_left_open(connection):
    """Where none was open before; one that is open stays open."""
    idle = psycopg2.extensions.TRANSACTION_STATUS_IDLE
    assert (pending(connection) != [], connection.info.transaction_status) == (True, idle)
    migrate(connection)
    assert connection.info.transaction_status == idle
    with connection.cursor() as cursor:
        cursor.execute("create table t ()")
        check_schema(connection)
        connection.commit()

    assert execute(connection, "select to_regclass('t') is not null") == [(True,)]


def test_a_missing_schema_names_the_next_step(connection):
    """An empty database."""
    with pytest.raises(SchemaError, match=r"^the database has no schema trunkline; run 'trunkline db migrate'$"):
        check_schema(connection)


def test_an_older_schema_names_what_it_lacks(connection, with_second):
    """The program was upgraded, the database was not."""
    migrate(connection)
    with_second(OTHER)

    with pytest.raises(SchemaError, match=r"it lacks migration 2 \(more\); run 'trunkline db migrate'$"):
        check_schema(connection)


def test_a_newer_schema_asks_for_an_upgrade(connection, with_second):
    """The database was migrated by a newer program."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            schema, "migrations", lambda: (*migrations(), Migration(version=99, name="future", text="select 1"))
        )
        migrate(connection)

    with pytest.raises(SchemaError, match=r"it has migration 99, this program knows \d+; upgrade trunkline$"):
        check_schema(connection)
    with pytest.raises(SchemaError, match="newer than this program"):
        migrate(connection)


def test_a_migration_that_fails_leaves_nothing_behind(connection, with_second):
    """Those before it stay."""
    with_second(f"{OTHER}; select 1 / 0")
    with pytest.raises(DatabaseError, match="division by zero"):
        migrate(connection)

    assert execute(connection, "select version, to_regclass('trunkline.other') from trunkline.migrations") == [
        (1, None)
    ]
    assert [migration.version for migration in pending(connection)] == [2]


def test_a_migration_waits_for_loads_to_end(each_database_url, connection, with_second):
    """For so long; and then says so."""
    migrate(connection)
    with closing(connect(each_database_url)) as loading:
        share_schema(loading, session=True)
        loading.commit()
        with_second(OTHER)
        with pytest.raises(DatabaseBusyError, match=r"a load is still running after 0\.01 seconds; migrate when"):
            migrate(connection, wait_s=0.01)

    assert [migration.version for migration in migrate(connection)] == [2]


def test_loads_share_the_schema(each_database_url, connection):
    """Many at once, in sessions and in transactions."""
    migrate(connection)
    with closing(connect(each_database_url)) as other:
        share_schema(connection, session=True)
        share_schema(other, session=False)


def test_a_load_does_not_begin_while_a_migration_is_in_work(each_database_url, connection):
    """It can be tried again."""
    migrate(connection)
    lock = f"select pg_advisory_xact_lock({LockSpace.SCHEMA:d}, 0)"
    with closing(connect(each_database_url)) as migrating, migrating.cursor() as cursor:
        cursor.execute(lock)
        with pytest.raises(DatabaseBusyError, match="the schema is being migrated; try again"):
            share_schema(connection, session=False)


def test_a_load_of_one_transaction_shares_no_longer_than_that(each_database_url, connection, with_second):
    """Its end is the end of the transaction; nobody has to let go."""
    migrate(connection)
    with closing(connect(each_database_url)) as loading:
        share_schema(loading, session=False)
        loading.commit()
        with_second(OTHER)

        assert [migration.version for migration in migrate(connection, wait_s=0.01)] == [2]


def test_two_programs_may_migrate_at_once(each_database_url):
    """Each migration is applied once."""

    def work(_):
        with closing(connect(each_database_url)) as own:
            return [migration.version for migration in migrate(own)]

    with ThreadPoolExecutor(4) as pool:
        applied = sorted(version for versions in pool.map(work, range(4)) for version in versions)
    assert applied == [migration.version for migration in migrations()]


def test_migrating_in_a_transaction_is_refused(connection):
    """What the caller has begun would be committed with it."""
    execute(connection, "select 1")
    with connection.cursor() as cursor:
        cursor.execute("create table t ()")
    with pytest.raises(UsageError, match="inside a transaction"):
        migrate(connection)
    connection.rollback()
    connection.autocommit = True
    with pytest.raises(UsageError, match="autocommit"):
        migrate(connection)
