"""URLs, waits and words for errors, without a server."""

import ssl

import pytest
import redis
from redis import exceptions

from trunkline.cache.client import TIMEOUT_S, bounded_copy, cause, client_from_url, is_on_this_machine, place
from trunkline.errors import SettingsError

SECRET = "hunter2"


def options(client: redis.Redis) -> dict[str, object]:
    return client.connection_pool.connection_kwargs


@pytest.mark.parametrize(
    "url",
    [
        f"http://:{SECRET}@host",
        f"host:6379/{SECRET}",
        f"redis://user:{SECRET}/more@host:6379",
        f"redis://user:{SECRET}#more@host:6379",
        f"redis://user:{SECRET}?more@host:6379",
        f"redis://:{SECRET}@host:port",
        f"redis://:{SECRET}@host:6379/0?db=first",
        f"redis://:{SECRET}@host:6379?socket_timeout={SECRET}",
        f"redis://:{SECRET}@host:6379?ssl_ca_cert={SECRET}",
        f"rediss://:{SECRET}@host:6379?ssl_cert_reqs={SECRET}",
        f"rediss://:{SECRET}@host:6379?ssl_cert_reqs=none",
        f"rediss://:{SECRET}@host:6379?ssl_check_hostname=no",
        f"unix:///socket?password={SECRET}&nonsense=1",
    ],
)
def test_a_url_that_cannot_be_used_is_an_error_without_its_secret(url):
    """Wherever a password ends up in a URL that is written wrong, the message does not repeat it."""
    with pytest.raises(SettingsError) as caught:
        client_from_url(url)

    assert SECRET not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://user:pass@cache.example:6380/3", "redis://cache.example:6380"),
        ("rediss://:pass@cache.example/0", "rediss://cache.example:6379"),
        ("redis://", "redis://localhost:6379"),
        ("unix://user:pass@/run/r.sock?db=1", "unix:///run/r.sock"),
    ],
)
def test_the_place_of_a_server_is_named_without_user_and_password(url, expected):
    """It goes into warnings."""
    assert place(client_from_url(url)) == expected


def test_user_password_and_database_come_from_the_url():
    """Percent-encoded characters are the characters."""
    found = options(client_from_url("redis://app:p%40ss%2Fword@host:6380/3"))

    assert (found["username"], found["password"], found["host"], found["port"], found["db"]) == (
        "app",
        "p@ss/word",
        "host",
        6380,
        3,
    )


def test_waits_are_bounded_unless_the_url_says_otherwise():
    """Ten retries are redis-py's own default; none are made here."""
    found = options(client_from_url("redis://host?socket_timeout=0.5"))

    assert found["socket_timeout"] == 0.5
    assert found["socket_connect_timeout"] == TIMEOUT_S
    assert found["retry"].get_retries() == 0  # type: ignore[attr-defined]


def test_tls_verifies_certificate_and_host():
    """Nothing has to be said for it."""
    pool = client_from_url("rediss://host").connection_pool

    connection = pool.connection_class(**pool.connection_kwargs)

    assert isinstance(connection, redis.SSLConnection)
    assert connection.cert_reqs == ssl.CERT_REQUIRED
    assert connection.check_hostname


def test_the_name_in_the_certificate_may_differ_for_an_own_ca():
    """A tunnel to a managed Redis ends at localhost; only the CA named in the URL is trusted then."""
    client_from_url("rediss://localhost?ssl_check_hostname=no&ssl_ca_certs=/etc/ca.pem")


@pytest.mark.parametrize("url", ["redis://:pw@host:6380/2", "rediss://host", "unix:///run/r.sock"])
def test_a_bounded_copy_goes_to_the_same_server(url):
    """The user's client keeps its own waits, retries and protocol."""
    theirs = redis.Redis.from_url(url, socket_timeout=60, decode_responses=True)
    before = dict(options(theirs))

    copy = bounded_copy(theirs)

    assert copy is not theirs
    assert place(copy) == place(theirs)
    assert copy.connection_pool.connection_class is theirs.connection_pool.connection_class
    for name in ("host", "port", "path", "db", "password", "decode_responses"):
        assert options(copy).get(name) == before.get(name)
    assert options(copy)["socket_timeout"] == TIMEOUT_S
    assert options(copy)["retry"].get_retries() == 0  # type: ignore[attr-defined]
    assert options(theirs) == before


def test_a_bounded_copy_can_make_connections_of_a_client_with_defaults():
    """What redis-py adds to a pool's options on its own is no obstacle."""
    pool = bounded_copy(redis.Redis(host="host")).connection_pool

    pool.connection_class(**pool.connection_kwargs)


def test_shorter_waits_of_the_user_stay():
    """The bound is an upper one."""
    copy = bounded_copy(redis.Redis(socket_timeout=0.25, socket_connect_timeout=None))

    assert options(copy)["socket_timeout"] == 0.25
    assert options(copy)["socket_connect_timeout"] == TIMEOUT_S


class OwnPool(redis.ConnectionPool):
    """A pool of its own kind, such as that of Sentinel."""


def test_a_client_with_a_pool_of_its_own_kind_is_used_as_it_is():
    """How it finds its server cannot be copied."""
    theirs = redis.Redis(connection_pool=OwnPool())

    assert bounded_copy(theirs) is theirs


def raised(outer: Exception, inner: Exception) -> Exception:
    outer.__context__ = inner
    return outer


UNTRUSTED = ssl.SSLCertVerificationError(1, "certificate verify failed")
UNTRUSTED.verify_message = "self-signed certificate"
NO_TLS = ssl.SSLError(1, "wrong version number")
NO_TLS.reason = "WRONG_VERSION_NUMBER"


@pytest.mark.parametrize(
    ("exc", "expected"),
    [
        (exceptions.TimeoutError("Timeout reading from socket"), "no answer in time"),
        (
            raised(exceptions.ConnectionError("Error 111"), ConnectionRefusedError(111, "refused")),
            "Connection refused (ECONNREFUSED)",
        ),
        (
            raised(exceptions.ConnectionError("Error 2"), FileNotFoundError(2, "none")),
            "No such file or directory (ENOENT)",
        ),
        (
            raised(exceptions.ConnectionError("x"), UNTRUSTED),
            "its certificate cannot be trusted (self-signed certificate); name its CA with ssl_ca_certs",
        ),
        (
            raised(exceptions.ConnectionError("x"), NO_TLS),
            "the TLS handshake failed (WRONG_VERSION_NUMBER); does that port speak TLS?",
        ),
        (
            exceptions.AuthenticationError("invalid password", status_code="WRONGPASS"),
            "it refused the user name or password (WRONGPASS)",
        ),
        (exceptions.AuthenticationError("Invalid Username or Password"), "it refused the user name or password"),
        (
            exceptions.AuthenticationError("Authentication required.", status_code="NOAUTH"),
            "it asks for a password (NOAUTH)",
        ),
        (
            exceptions.OutOfMemoryError("command not allowed", status_code="OOM"),
            "its memory is full; give it more, or set maxmemory-policy allkeys-lru (OOM)",
        ),
        (
            exceptions.ReadOnlyError("You can't write", status_code="READONLY"),
            "it is a read-only replica; give the address of the primary (READONLY)",
        ),
        (
            exceptions.MovedError("3999 127.0.0.1:6381", status_code="MOVED"),
            "it is a node of a Redis Cluster; give an endpoint with cluster mode off (MOVED)",
        ),
        (
            exceptions.ResponseError("MISCONF Redis is configured"),
            "it takes no writes because it cannot save to its disk (MISCONF)",
        ),
        (exceptions.ResponseError("ODDITY strange"), "it refused a command (ODDITY)"),
        (exceptions.InvalidResponse('Protocol error, got "H"'), "what answers there does not speak the Redis protocol"),
        (exceptions.ConnectionError("Connection closed by server."), "it closed the connection"),
        (KeyError("oddity"), "unexpected KeyError"),
    ],
)
def test_causes_are_said_in_a_few_words(exc, expected):
    """They name the server's error code, by which it is looked up."""
    assert cause(exc) == expected


def test_what_a_server_says_of_our_commands_is_not_repeated():
    """A server, or a proxy, that does not know AUTH answers with its arguments."""
    exc = exceptions.ResponseError(f"unknown command 'AUTH', with args beginning with: '{SECRET}'", status_code="ERR")

    assert cause(exc) == "it refused a command (ERR)"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("unix:///tmp/valkey.sock", True),
        ("redis://localhost:6379", True),
        ("redis://127.0.0.1/1", True),
        ("redis://[::1]:6379", True),
        ("redis://cache.example.com", False),
        ("rediss://user:secret@cache.example.com:6380", False),
        ("redis://10.0.0.1", False),
    ],
)
def test_a_server_on_this_machine_is_told_from_others(url, expected):
    """What goes over a network is worth compressing."""
    assert is_on_this_machine(redis.Redis.from_url(url)) is expected
