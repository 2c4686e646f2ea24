"""The border where psycopg2's errors become trunkline's: classes by what helps, words without values.

PostgreSQL names a problem by its SQLSTATE (its manual, appendix A).  A connection that never came to be, or
that broke, has none: then libpq's words decide, which are English whatever the server's language.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
import psycopg2.errors

from trunkline.errors import DatabaseAwayError, DatabaseBusyError, DatabaseError, SchemaError

MIGRATE_HINT = "run 'trunkline db migrate'"

# Ended by the server's keeper or a time limit on idle sessions: the statement was fine, the session is gone.
_AWAY_STATES = {
    "57P01": "admin_shutdown",
    "57P02": "crash_shutdown",
    "57P03": "cannot_connect_now",
    "57P05": "idle_session_timeout",
    "25P03": "idle_in_transaction_session_timeout",
}
_BUSY_STATES = {
    "40001": "serialization_failure",
    "40P01": "deadlock_detected",
    "53300": "too_many_connections",
    "55P03": "lock_not_available",
}
_MISSING_STATES = {"3F000": "invalid_schema_name", "42P01": "undefined_table", "42883": "undefined_function"}

_HINTS = {
    "25006": 'connect to the primary; with several hosts in the URL add "target_session_attrs=read-write"',
    "42501": "'trunkline db grants' prints what the roles need",
    "53100": "free space on the server's disk",
    "53200": "raise max_locks_per_transaction, or the server's memory",
    "57014": "raise statement_timeout for this role",
}

# Classes of SQLSTATE whose primary message names tables, roles and settings, never values of a row.
_WITHOUT_VALUES = frozenset({"08", "25", "28", "3D", "3F", "40", "42", "53", "54", "55", "57", "58", "XX"})
_SYNTAX_ERROR = "42601"  # quotes the statement, in which values may stand

_NO_CONNECTION = re.compile(
    r"""
    (connection|cursor)\ already\ closed
    | connection\ (not\ open|to\ server\ was\ lost) | no\ connection\ to\ the\ server
    | server\ closed\ the\ connection | connection\ has\ been\ closed
    | could\ not\ (receive\ data\ from|send\ data\ to)\ server
    | SSL\ SYSCALL\ error | SSL\ error:\ unexpected\ eof
    | Connection\ (refused|reset|timed\ out) | timeout\ expired | Broken\ pipe
    | No\ route\ to\ host | Network\ is\ unreachable | Host\ is\ (down|unreachable)
    | could\ not\ translate\ host\ name
    | on\ socket\ "[^"]*"\ failed:\ No\ such\ file
    | the\ database\ system\ is | (starting\ up|shutting\ down|in\ recovery\ mode)
    | pgbouncer\ cannot\ connect | server_login_(failed|retry) | lost\ synchronization
    """,
    re.VERBOSE,
)
# The next step for a session that never came to be: the first that fits.
_CONNECTION_HINTS = (
    (
        re.compile(r'authentication failed|no password supplied|role "[^"]*" does not exist'),
        "check user and password: of the database URL, PGPASSWORD or ~/.pgpass",
    ),
    (re.compile(r'database "[^"]*" does not exist'), "create it, or name another"),
    (re.compile(r"no pg_hba\.conf entry"), "let this user in from here in the server's pg_hba.conf, or use TLS"),
    (re.compile(r"SSL|certificate"), "check sslmode and sslrootcert of the database URL"),
    (
        re.compile(r"refused|No such file|translate host name|timeout expired|timed out|unreachable|No route|is down"),
        "check that PostgreSQL runs there; 'trunkline config' shows which address is used",
    ),
)
_NO_ROOM = re.compile(r"too many clients|remaining connection slots|too many connections|no more connections allowed")


@contextmanager
def translated() -> Iterator[None]:
    """
    Raise errors of psycopg2 as errors of trunkline.

    The cause stays attached, but its words are replaced: PostgreSQL's DETAIL and CONTEXT quote the values of
    rows, and a traceback or a log would show them.
    """
    try:
        yield
    except psycopg2.Error as exc:
        error = translate(exc)
        exc.args = (error.message,)
        raise error from exc


def translate(exc: psycopg2.Error) -> DatabaseError:
    """Return the error of trunkline that says what *exc* says, most specific class first, without values."""
    if exc.pgcode is None:
        return _without_reply(exc)
    state, message = exc.pgcode, _message(exc)
    constraint = exc.diag.constraint_name
    if state in _AWAY_STATES or state.startswith("08"):
        return DatabaseAwayError(message, sqlstate=state)
    if state in _BUSY_STATES:
        return DatabaseBusyError(message, sqlstate=state)
    if state in _MISSING_STATES and re.search(r"\btrunkline\b", message):
        return SchemaError(message, hint=MIGRATE_HINT, sqlstate=state)
    return DatabaseError(message, hint=_HINTS.get(state), sqlstate=state, constraint=constraint)


def _without_reply(exc: psycopg2.Error) -> DatabaseError:
    """Translate an error that came with no SQLSTATE: libpq's or the driver's own."""
    text = _one_line(str(exc))
    if _NO_ROOM.search(text):
        return DatabaseBusyError(text)
    hint = next((hint for words, hint in _CONNECTION_HINTS if words.search(text)), None)
    if isinstance(exc, psycopg2.OperationalError | psycopg2.InterfaceError) and _NO_CONNECTION.search(text):
        return DatabaseAwayError(text, hint=hint)
    if isinstance(exc, psycopg2.OperationalError):
        return DatabaseError(text, hint=hint)
    if type(exc) is psycopg2.DatabaseError:  # psycopg2's word for a reply that broke off
        return DatabaseAwayError("the connection to PostgreSQL broke")
    return DatabaseError(f"the driver refused a statement ({type(exc).__name__})")


def _message(exc: psycopg2.Error) -> str:
    """Describe a refusal: the server's primary message where that holds no values, else what it is about."""
    state = exc.pgcode or ""
    primary = exc.diag.message_primary
    if primary and state[:2] in _WITHOUT_VALUES and state != _SYNTAX_ERROR:
        return f"PostgreSQL: {_one_line(primary)}"
    diag = exc.diag
    about = (
        ("constraint", diag.constraint_name),
        ("column", diag.column_name),
        ("table", ".".join(filter(None, (diag.schema_name, diag.table_name)))),
        ("type", diag.datatype_name),
    )
    named = ", ".join(f"{kind} {name}" for kind, name in about if name)
    return f"PostgreSQL: {_condition(state)} ({state})" + (f", {named}" if named else "")


def _condition(state: str) -> str:
    """Return the name of a SQLSTATE in words, ``unique violation``."""
    try:
        name = psycopg2.errors.lookup(state).__name__
    except KeyError:
        return "error"
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()


def _one_line(text: str) -> str:
    """Join the lines of a message without libpq's tabbed advice; each address may have said the same."""
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip() and not line.startswith("\t")]
    return ", ".join(dict.fromkeys(lines))
