"""Which error of psycopg2 becomes which of trunkline."""

import psycopg2
import pytest
from psycopg2 import errorcodes, errors

from trunkline.database.errors import translate
from trunkline.errors import DatabaseAwayError, DatabaseBusyError, DatabaseError


def coded(state):
    """Return psycopg2's error for a SQLSTATE; None where it has none, as for warnings."""
    try:
        error = errors.lookup(state)()
    except KeyError:
        return None
    error.__setstate__({"pgcode": state})
    return error


KNOWN = [code for code in vars(errorcodes).values() if isinstance(code, str) and len(code) == 5 and coded(code)]


@pytest.mark.parametrize("state", sorted(set(KNOWN)))
def test_every_refusal_has_a_class_and_words(state):
    """No SQLSTATE that psycopg2 knows falls through."""
    error = translate(coded(state))

    assert isinstance(error, DatabaseError)
    assert error.sqlstate == state
    assert error.message.endswith(f" ({state})")


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("08006", DatabaseAwayError),  # connection_failure
        ("57P01", DatabaseAwayError),  # admin_shutdown
        ("57P03", DatabaseAwayError),  # cannot_connect_now
        ("25P03", DatabaseAwayError),  # idle_in_transaction_session_timeout
        ("40P01", DatabaseBusyError),  # deadlock_detected
        ("40001", DatabaseBusyError),  # serialization_failure
        ("55P03", DatabaseBusyError),  # lock_not_available
        ("53300", DatabaseBusyError),  # too_many_connections
        ("57014", DatabaseError),  # query_canceled: the same statement would take as long again
        ("57P04", DatabaseError),  # database_dropped
        ("53100", DatabaseError),  # disk_full
        ("53200", DatabaseError),  # out_of_memory, out of locks
        ("28P01", DatabaseError),  # invalid_password
        ("3D000", DatabaseError),  # invalid_catalog_name
        ("23505", DatabaseError),  # unique_violation
    ],
)
def test_the_class_says_whether_waiting_helps(state, expected):
    """Away and busy pass; the rest stays."""
    assert type(translate(coded(state))) is expected


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ('connection to "h" failed: FATAL:  password authentication failed for user "u"', "PGPASSWORD or ~/.pgpass"),
        ('connection to "h" failed: fe_sendauth: no password supplied', "PGPASSWORD or ~/.pgpass"),
        ('connection to "h" failed: FATAL:  database "x" does not exist', "create it, or name another"),
        ('connection to "h" failed: FATAL:  no pg_hba.conf entry for host "x", no encryption', "pg_hba.conf"),
        ('connection to "h" failed: server does not support SSL, but SSL was required', "check sslmode"),
        ('connection to "h", port 5432 failed: Connection refused', "check that PostgreSQL runs there"),
        ('could not translate host name "h" to address: Name or service not known', "check that PostgreSQL runs there"),
    ],
)
def test_a_session_that_never_came_to_be_has_a_next_step(words, hint):
    """Whoever cannot connect is told what to look at."""
    assert hint in str(translate(psycopg2.OperationalError(words)).hint)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ('connection to server at "h" (10.0.0.1), port 5432 failed: Connection refused', DatabaseAwayError),
        ('connection to server at "h" (10.0.0.1), port 5432 failed: timeout expired', DatabaseAwayError),
        ('connection to server on socket "/x/.s.PGSQL.5432" failed: No such file or directory', DatabaseAwayError),
        ('could not translate host name "h" to address: Temporary failure in name resolution', DatabaseAwayError),
        ("server closed the connection unexpectedly", DatabaseAwayError),
        ("SSL SYSCALL error: EOF detected", DatabaseAwayError),
        ("SSL connection has been closed unexpectedly", DatabaseAwayError),
        ("could not receive data from server: Connection timed out", DatabaseAwayError),
        (
            'connection to "h" failed: FATAL:  the database system is starting up',
            DatabaseAwayError,
        ),
        (
            'connection to "h" failed: FATAL:  the database system is shutting down',
            DatabaseAwayError,
        ),
        ('connection to "h" failed: FATAL:  sorry, too many clients already', DatabaseBusyError),
        (
            'connection to "h" failed: FATAL:  remaining connection slots are reserved for roles',
            DatabaseBusyError,
        ),
        ('connection to "h" failed: FATAL:  password authentication failed for', DatabaseError),
        ('connection to "h" failed: FATAL:  database "x" does not exist', DatabaseError),
        (
            'connection to "h" failed: FATAL:  Passwort-Authentifizierung schlug fehl',
            DatabaseError,
        ),
        ('connection to "h" failed: FATAL:  no pg_hba.conf entry for host', DatabaseError),
        ('connection to "h" failed: SSL error: certificate verify failed', DatabaseError),
        ('root certificate file "/x/root.crt" does not exist', DatabaseError),
        ('definition of service "x" not found', DatabaseError),
    ],
)
def test_words_decide_where_there_was_no_reply(words, expected):
    """libpq's own, and those of a server that turns a connection away; unknown ones are not tried again."""
    assert type(translate(psycopg2.OperationalError(f"{words}\n"))) is expected


def test_each_address_is_told_once_and_advice_not_at_all():
    """libpq tries each address, with and without TLS, and hangs its advice below."""
    refused = 'connection to server at "{}", port 5432 failed: Connection refused\n\tIs the server running?\n'
    error = translate(psycopg2.OperationalError(refused.format("a") + refused.format("a") + refused.format("b")))

    assert error.message == (
        'connection to server at "a", port 5432 failed: Connection refused,'
        ' connection to server at "b", port 5432 failed: Connection refused'
    )


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (psycopg2.InterfaceError("connection already closed"), DatabaseAwayError),
        (psycopg2.InterfaceError("cursor already closed"), DatabaseAwayError),
        (psycopg2.DatabaseError("error with status PGRES_TUPLES_OK and no message from the libpq"), DatabaseAwayError),
        (psycopg2.ProgrammingError("no results to fetch"), DatabaseError),
        (psycopg2.DataError("unable to parse 254700987654"), DatabaseError),
    ],
)
def test_the_driver_s_own_errors(error, expected):
    """A connection that is gone is away; a mistake of ours is not, and its words may hold values."""
    translated = translate(error)

    assert type(translated) is expected
    assert "254700987654" not in translated.message
