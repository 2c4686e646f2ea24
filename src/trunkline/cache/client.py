"""redis-py with bounded waits: a client from a URL or from the user's own client, and what its errors mean.

Only commands of Redis 7.0 are sent.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import redis
from redis import exceptions
from redis.backoff import NoBackoff
from redis.connection import PythonRespSerializer
from redis.retry import Retry

from trunkline.cache.watchdog import Watchdog
from trunkline.errors import SettingsError

# A cache that needs longer than this for a value of a few MiB is no faster than working the value out again.
TIMEOUT_S = 2.0

_READ_BYTES = 64 * 1024  # at most, by one recv; more is not faster

# Hands large values to the socket as they are.  hiredis copies them several times: 4.7 instead of 0.5 ms of CPU
# for a SET of 3 MiB.
_PACKER: Any = PythonRespSerializer(
    6000, lambda word: word if isinstance(word, bytes | memoryview) else str(word).encode()
)

_WATCHDOG = Watchdog()

_URL_HINT = (
    "give redis://[USER:PASSWORD@]HOST:PORT/DB, rediss:// for TLS or unix:///PATH, with special characters "
    "of the password percent-encoded and options as in redis-py (?ssl_ca_certs=FILE)"
)

# What redis-py and its server notify each other of, in keyword arguments of a pool: not for a copy of it.
_INTERNAL = ("maint", "oss_", "orig_", "himport_", "event_dispatcher", "lib_", "retry")


def _begin(connection: Any) -> None:
    """
    Log in and choose the database, then have a reply read.

    Behind its handshake, a TLS 1.3 server sends session tickets.  As long as nothing was read, redis-py's pool takes
    them for a reply that somebody left, and gives the new connection up ("Connection not ready", redis-py 8.1).
    HELLO needs no right and changes nothing; whoever does not know it has answered all the same.
    """
    with _in_time(connection):
        connection.on_connect()
        connection.send_command("HELLO", 2, check_health=False)
        with contextlib.suppress(exceptions.ResponseError):
            connection.read_response()


_BOUNDS: dict[str, Any] = {
    "socket_timeout": TIMEOUT_S,
    "socket_connect_timeout": TIMEOUT_S,
    "socket_read_size": _READ_BYTES,
    "retry": Retry(NoBackoff(), 0),  # redis-py would retry ten times to connect, within ten for the command
    "protocol": 2,  # what a server may push under protocol 3 buys nothing here
    "redis_connect_func": _begin,
    "driver_info": None,  # it would go out as CLIENT SETINFO, which is of Redis 7.2
}


def client_from_url(url: str) -> redis.Redis:
    """
    Return a client for ``redis://``, ``rediss://`` or ``unix://``; nothing is connected yet.

    TLS always verifies the certificate; options of redis-py in the URL's query name the CA.

    Raises:
        SettingsError: If the URL cannot be used.  The message quotes no part of it: a password that is not
            percent-encoded may turn up anywhere.
    """
    try:
        parts = urlsplit(url)
        misplaced = parts.scheme != "unix" and "@" in parts.path + parts.query + parts.fragment
        client = redis.Redis.from_url(url, **_BOUNDS)
        pool = client.connection_pool
        connection = pool.connection_class(**pool.connection_kwargs)  # refuses unknown options
    except (ValueError, TypeError, exceptions.RedisError):
        raise SettingsError("the Redis URL cannot be understood", hint=_URL_HINT) from None
    if misplaced:
        raise SettingsError("the Redis URL has an @ behind its host", hint=_URL_HINT)
    if isinstance(connection, redis.SSLConnection):
        _require_verification(connection)
    return client


def _require_verification(connection: redis.SSLConnection) -> None:
    if connection.cert_reqs != ssl.CERT_REQUIRED:
        raise SettingsError(
            "the Redis URL turns the check of the certificate off",
            hint="remove ssl_cert_reqs and name the server's CA with ssl_ca_certs=FILE",
        )
    own_ca = connection.ca_certs or connection.ca_path or connection.ca_data
    if not connection.check_hostname and not own_ca:
        raise SettingsError(
            "the Redis URL would accept every host with a certificate of a public CA",
            hint="remove ssl_check_hostname, or name the server's own CA with ssl_ca_certs=FILE",
        )


def bounded_copy(client: redis.Redis) -> redis.Redis:
    """
    Return a client for the same server with our bounds on waiting.

    redis-py retries ten times by default, within connecting and around it: with a server that hangs, one
    command of the user's own client can take minutes.  A client with a pool of its own kind (Sentinel) is
    returned as it is.
    """
    pool = client.connection_pool
    if type(pool) not in (redis.ConnectionPool, redis.BlockingConnectionPool):
        return client
    options = {name: value for name, value in pool.connection_kwargs.items() if not name.startswith(_INTERNAL)}
    theirs = {
        name: min(options.get(name) or TIMEOUT_S, TIMEOUT_S) for name in ("socket_timeout", "socket_connect_timeout")
    }
    if options.get("redis_connect_func"):
        theirs["redis_connect_func"] = options["redis_connect_func"]
    copy = redis.ConnectionPool(connection_class=pool.connection_class, **{**options, **_BOUNDS, **theirs})
    return redis.Redis.from_pool(copy)


def execute(client: redis.Redis, *command: str | bytes | memoryview | int) -> Any:
    """Send one command, once, and return its reply undecoded, whatever the client decodes otherwise."""
    pool = client.connection_pool
    connection: Any = pool.get_connection()  # redis-py types neither sending nor closing
    try:
        with _in_time(connection):
            connection.send_packed_command(_PACKER.pack(*command))
            return connection.read_response(disable_decoding=True)
    finally:
        pool.release(connection)


@contextlib.contextmanager
def _in_time(connection: Any) -> Iterator[None]:
    """
    Bound what is done with the connection by its timeout, as a whole.

    redis-py's timeout bounds every single read, and a server that trickles never exceeds that.
    """
    late = threading.Event()

    def give_up() -> None:
        late.set()
        # This wakes the reader, which then closes the socket itself: closed from here, its number could belong to
        # another file, say a connection to PostgreSQL, before the reader notices.  Not SSLSocket's own shutdown:
        # after it, what is left to read would pass for plain text.
        with contextlib.suppress(OSError, TypeError):
            socket.socket.shutdown(connection._sock, socket.SHUT_RDWR)

    with _WATCHDOG.watch(connection.socket_timeout or TIMEOUT_S, give_up):
        try:
            yield
        except Exception as exc:
            if late.is_set():
                raise exceptions.TimeoutError("it took too long") from exc
            raise


def place(client: redis.Redis) -> str:
    """Return where the server of *client* is, without user and password."""
    pool = client.connection_pool
    options = pool.connection_kwargs
    if "path" in options:
        return f"unix://{options['path']}"
    scheme = "rediss" if issubclass(pool.connection_class, redis.SSLConnection) else "redis"
    return f"{scheme}://{options.get('host', 'localhost')}:{options.get('port', 6379)}"


def is_on_this_machine(client: redis.Redis) -> bool:
    """Tell whether values reach the server without a network."""
    options = client.connection_pool.connection_kwargs
    return "path" in options or options.get("host", "localhost") in ("localhost", "127.0.0.1", "::1")


def is_refusal(exc: BaseException) -> bool:
    """Return whether the server refused this one command, so that others may still work."""
    return isinstance(exc, exceptions.ResponseError)


def is_foreign_type(exc: BaseException) -> bool:
    """Return whether the key holds a list or the like, which cannot be ours."""
    return isinstance(exc, exceptions.ResponseError) and _code(exc) == "WRONGTYPE"


def cause(exc: BaseException) -> str:
    """
    Return in a few words why a command failed.

    Nothing of the server's own text is passed on but its error code: a server that does not know AUTH answers
    with the password in its message.
    """
    for error in _chain(exc):
        words = _socket_cause(error)
        if words:
            return words
    code = _code(exc)
    if code in _CODES:
        return f"{_CODES[code]} ({code})"
    for kind, words in _KINDS:
        if isinstance(exc, kind):
            return words
    return f"it refused a command ({code})" if code else f"unexpected {type(exc).__name__}"


def _chain(exc: BaseException | None) -> Iterator[BaseException]:
    # redis-py replaces the error of the socket with its own and leaves it in __context__.
    while exc is not None:
        yield exc
        exc = exc.__cause__ or exc.__context__


def _socket_cause(error: BaseException) -> str | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate cannot be trusted ({error.verify_message}); name its CA with ssl_ca_certs"
    if isinstance(error, ssl.SSLError):
        return f"the TLS handshake failed ({error.reason or 'SSL'}); does that port speak TLS?"
    if isinstance(error, socket.gaierror):
        return "its host name is not known"
    if isinstance(error, TimeoutError | exceptions.TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.errno:
        return f"{os.strerror(error.errno)} ({errno.errorcode.get(error.errno, error.errno)})"
    return None


def _code(exc: BaseException) -> str:
    """Return the first word of the server's error, which redis-py takes out of the messages that it knows."""
    found = re.match(r"[A-Z]{3,20}\b", getattr(exc, "status_code", None) or str(exc))
    return found.group() if found else ""


_CODES = {
    "CLUSTERDOWN": "its cluster is down",
    "LOADING": "it is still loading its data",
    "MASTERDOWN": "it is a replica without its primary",
    "MISCONF": "it takes no writes because it cannot save to its disk",
    "MOVED": "it is a node of a Redis Cluster; give an endpoint with cluster mode off",
    "NOAUTH": "it asks for a password",
    "NOPERM": "its user may not run the command or use the keys trunkline:*",
    "NOREPLICAS": "it takes no writes because replicas are missing",
    "OOM": "its memory is full; give it more, or set maxmemory-policy allkeys-lru",
    "READONLY": "it is a read-only replica; give the address of the primary",
    "WRONGPASS": "it refused the user name or password",
}
# Of redis-py's classes, the most specific first, where there is no code to go by.
_KINDS: tuple[tuple[type[Exception], str], ...] = (
    (exceptions.AuthenticationError, "it refused the user name or password"),
    (exceptions.MaxConnectionsError, "all connections of the client are in use"),
    (exceptions.InvalidResponse, "what answers there does not speak the Redis protocol"),
    (exceptions.ConnectionError, "it closed the connection"),
)
