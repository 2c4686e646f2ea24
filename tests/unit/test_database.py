"""What becomes of a database URL before libpq sees it."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trunkline.database.connection import connection_parameters
from trunkline.errors import SettingsError


def test_what_the_url_leaves_open_is_ours():
    """Bounds on waiting, a name for the session, UTF-8."""
    parameters = connection_parameters("postgresql://u@h/d", {})

    assert parameters["connect_timeout"] == 10
    assert parameters["fallback_application_name"] == "trunkline"
    assert parameters["client_encoding"] == "UTF8"
    assert (parameters["user"], parameters["host"], parameters["dbname"]) == ("u", "h", "d")


def test_what_the_url_says_is_kept():
    """Also where we have a default."""
    parameters = connection_parameters("postgresql://u@h/d?connect_timeout=3&keepalives_idle=5", {})

    assert (parameters["connect_timeout"], parameters["keepalives_idle"]) == ("3", "5")


def test_the_timeout_of_the_environment_is_kept():
    """libpq reads it where the connection has none."""
    assert "connect_timeout" not in connection_parameters(None, {"PGCONNECT_TIMEOUT": "3"})


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:p%40%2F@h:5433/d", {"password": "p@/", "port": "5433"}),
        ("postgres://h1:1,h2:2/d?target_session_attrs=read-write", {"host": "h1,h2", "port": "1,2"}),
        ("postgresql:///d?host=/run/sockets", {"host": "/run/sockets", "dbname": "d"}),
        ("postgresql://[::1]:5432/d", {"host": "::1"}),
        ("postgresql://u:p?w@h/d", {"password": "p?w", "host": "h"}),
        ("postgresql://h/d?user=me@server", {"user": "me@server"}),
        ("host=h dbname=d password='p@ss word'", {"password": "p@ss word"}),
        ("service=calls", {"service": "calls"}),
    ],
)
def test_urls_and_keywords_of_libpq(url, expected):
    """All its forms."""
    assert expected.items() <= connection_parameters(url, {}).items()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg2://u:canary@h/d",
        "mysql://u:canary@h/d",
        "postgresql://u:canary%zz@h/d",
        "postgresql://u:can@ary@h/d",
        "postgresql://u:12/canary@h/d",
        "postgresql://u:canary/12@h/d",
        "postgresql://u:can?a@ry@h/d",
        "canary",
        "host='canary",
        "canary=1",
    ],
)
def test_a_url_that_cannot_be_read_is_not_repeated(url):
    """A password may be anywhere in it; the message says what was expected."""
    with pytest.raises(SettingsError, match="expected postgresql://user@host:5432/database") as raised:
        connection_parameters(url, {})

    assert "ary" not in str(raised.value)
    assert raised.value.__cause__ is None


PRINTABLE = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1)


@given(PRINTABLE)
@example("p@ss/w?rd")
@example("1/2")
@example("a?b@c")
def test_a_password_never_becomes_a_host(password):
    """Written as it is, it is either taken for the password or refused: no part of it is sent anywhere or shown."""
    try:
        parameters = connection_parameters(f"postgresql://user:{password}@host.example/calls", {})
    except SettingsError:
        return
    assert (parameters["host"], parameters["dbname"]) == ("host.example", "calls")
