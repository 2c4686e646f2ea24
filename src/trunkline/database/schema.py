"""The schema of the books: numbered migrations, which of them a database has, and keeping them apart from loads.

A migration is a file `migrations/NNNN_name.sql`, applied once, in order, in a transaction of its own.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files

import psycopg2.errors
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from trunkline.database.connection import Connection, LockSpace, transaction
from trunkline.database.errors import MIGRATE_HINT, translated
from trunkline.database.queries import Queries
from trunkline.errors import DatabaseBusyError, SchemaError, UsageError

query = Queries("schema_versions")

_LONGEST_WAIT_S = 10.0
_FILE_NAME = re.compile(r"(\d{4})_(\w+)\.sql")


@dataclass(frozen=True, kw_only=True, slots=True)
class Migration:
    """A step of the schema: its number, from 1 without gaps, its name and its SQL."""

    version: int
    name: str
    text: str


def migrations() -> tuple[Migration, ...]:
    """Return all migrations of this program, in order."""
    found = []
    for file in files("trunkline").joinpath("migrations").iterdir():
        match = _FILE_NAME.fullmatch(file.name)
        if match:
            found.append(Migration(version=int(match[1]), name=match[2], text=file.read_text(encoding="utf-8")))
    return tuple(sorted(found, key=lambda migration: migration.version))


def pending(connection: Connection) -> list[Migration]:
    """
    Return the migrations that the database lacks, in order.

    Raises:
        SchemaError: If it has migrations that this program does not know.
    """
    applied = _applied(connection)
    known = migrations()
    newer = applied - {migration.version for migration in known}
    if newer:
        raise SchemaError(
            f"the schema of the database is newer than this program: it has migration {max(newer)},"
            f" this program knows {len(known)}",
            hint="upgrade trunkline",
        )
    return [migration for migration in known if migration.version not in applied]


def migrate(connection: Connection, *, wait_s: float = _LONGEST_WAIT_S) -> list[Migration]:
    """
    Apply the migrations that the database lacks, each in a transaction that is committed here.

    Args:
        connection: Outside of a transaction, and without autocommit.
        wait_s: How long to wait for running loads to end; new loads wait behind a waiting migration.

    Returns:
        What was applied, in order; empty if the schema was current.

    Raises:
        DatabaseBusyError: If a load is still running after *wait_s*.
        SchemaError: If the database has migrations that this program does not know.
        UsageError: If *connection* has autocommit, or is inside a transaction, which would be committed here.
    """
    if connection.autocommit or connection.info.transaction_status != TRANSACTION_STATUS_IDLE:
        raise UsageError(
            "migrate() got a connection with autocommit, or inside a transaction",
            hint="pass what trunkline.database.connect() returned",
        )
    return [migration for migration in pending(connection) if _apply(connection, migration, wait_s)]


def migrations_sql(wanted: Iterable[Migration] | None = None) -> str:
    """Return *wanted*, by default all migrations, as a script that does what `migrate` does."""
    return "\n\n".join(_script(migration) for migration in (migrations() if wanted is None else wanted))


def check_schema(connection: Connection) -> None:
    """
    Make sure that the schema is the one that this program works with.

    Raises:
        SchemaError: If it is missing, older or newer, with the next step.
    """
    missing = pending(connection)
    if not missing:
        return
    if missing[0].version == 1:
        raise SchemaError("the database has no schema trunkline", hint=MIGRATE_HINT)
    raise SchemaError(
        f"the schema of the database is older than this program: it lacks migration {missing[0].version}"
        f" ({missing[0].name})",
        hint=MIGRATE_HINT,
    )


def share_schema(connection: Connection, *, session: bool) -> None:
    """
    Make sure that the schema is current, and keep migrations away while a load is in work.

    Args:
        session: Until the session ends, for a load of many transactions; else until this transaction ends.

    Raises:
        DatabaseBusyError: If a migration is in work, or waits for its turn.
        SchemaError: If the schema is missing, older or newer.
    """
    name = "share_for_session" if session else "share_for_transaction"
    with translated(), connection.cursor() as cursor:
        cursor.execute(query(name), {"space": LockSpace.SCHEMA})
        if cursor.fetchone() != (True,):
            raise DatabaseBusyError("the schema is being migrated", hint="try again when that has ended")
    check_schema(connection)


def _applied(connection: Connection) -> set[int]:
    """Return the versions that were applied, and leave no transaction open that was not open before."""
    was_idle = connection.info.transaction_status == TRANSACTION_STATUS_IDLE
    with translated(), connection.cursor() as cursor:
        cursor.execute(query("has_migrations"))
        versions = []
        if cursor.fetchone() == (True,):
            cursor.execute(query("applied_versions"))
            versions = cursor.fetchall()
        if was_idle:
            connection.rollback()
    return {version for (version,) in versions}


def _apply(connection: Connection, migration: Migration, wait_s: float) -> bool:
    """Apply *migration* and commit; False if another session applied it while this one waited."""
    with transaction(connection) as cursor:
        try:
            cursor.execute(query("begin_migration"), {"wait_ms": round(wait_s * 1000), "space": LockSpace.SCHEMA})
        except psycopg2.errors.LockNotAvailable:
            raise DatabaseBusyError(
                f"a load is still running after {wait_s:g} seconds", hint="migrate when it has ended"
            ) from None
        if migration.version in _applied(connection):
            return False
        cursor.execute(migration.text)
        cursor.execute(query("record_migration"), {"version": migration.version, "name": migration.name})
    return True


def _script(migration: Migration) -> str:
    """Return *migration* as a transaction of a script; all that is filled in is this program's own."""
    return query["migration_script"].format(
        space=int(LockSpace.SCHEMA), text=migration.text.strip(), version=migration.version, name=migration.name
    )
