"""A proxy before a real PostgreSQL or Redis that does what networks do: refuses, cuts, hangs, answers rubbish.

    with Proxy.before_postgres(database_url) as proxy:
        proxy.gate = lambda: DropCommitReply(once)
        connect(proxy.url)

Each connection passes a `Gate` of its own; what must happen only so often, over all connections, asks a `Trigger`.
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from select import select
from threading import Event, Lock, Thread
from typing import Literal, Self
from urllib.parse import parse_qs, quote, unquote, urlsplit, urlunsplit

import trustme

Sender = Literal["client", "server"]
Address = tuple[str, int] | str
"""Host and port, or the path of a unix socket."""

_CHUNK_BYTES = 1 << 16
_PATIENCE_S = 10.0
# PostgreSQL's manual, "Message Formats": requests that come before, or in place of, the startup message.
_SSL_REQUEST, _GSS_REQUEST = 80877103, 80877104


class Cut(Exception):  # noqa: N818 - not an error, but a gate's decision
    """Raised by a gate to cut the connection, after *last* was passed on."""

    def __init__(self, last: bytes = b"") -> None:
        super().__init__()
        self.last = last


@dataclass
class Trigger:
    """Says yes *times* times after *skip* questions, over all connections; `fired` counts."""

    times: int = 1
    skip: int = 0
    fired: int = 0
    _lock: Lock = field(default_factory=Lock)

    def pull(self) -> bool:
        with self._lock:
            if self.skip:
                self.skip -= 1
                return False
            if self.fired >= self.times:
                return False
            self.fired += 1
            return True


class Gate:
    """Passes everything on.  A gate sees what one connection carries: whole messages of PostgreSQL, chunks of Redis."""

    def from_client(self, data: bytes) -> bytes:
        return data

    def from_server(self, data: bytes) -> bytes:
        return data

    def release(self) -> None:
        """End whatever waits in this gate: the proxy is closed."""


class CutAfter(Gate):
    """Cuts when *sender* has sent *limit* bytes, exactly there."""

    def __init__(self, limit: int, sender: Sender, trigger: Trigger | None = None) -> None:
        self._sender, self._left = sender, limit
        self._armed = trigger is None or trigger.pull()

    def from_client(self, data: bytes) -> bytes:
        return self._count(data, "client")

    def from_server(self, data: bytes) -> bytes:
        return self._count(data, "server")

    def _count(self, data: bytes, sender: Sender) -> bytes:
        if not self._armed or sender != self._sender:
            return data
        if len(data) >= self._left:
            raise Cut(data[: self._left])
        self._left -= len(data)
        return data


class CutAt(Gate):
    """Cuts instead of passing on what the client says with *words* in it."""

    def __init__(self, words: bytes, trigger: Trigger) -> None:
        self._words, self._trigger = words, trigger

    def from_client(self, data: bytes) -> bytes:
        if self._words in data and self._trigger.pull():
            raise Cut
        return data


class DropCommitReply(Gate):
    """
    Lets a COMMIT of PostgreSQL happen, and cuts in place of the reply.

    With *after*, only a COMMIT of a connection that said these words before.
    """

    def __init__(self, trigger: Trigger, after: bytes = b"") -> None:
        self._trigger, self._after = trigger, after
        self._ready, self._dropping = not after, False

    def from_client(self, data: bytes) -> bytes:
        if _is_query(data, b"commit") and self._ready:
            self._dropping = self._trigger.pull()
        self._ready = self._ready or self._after in data
        return data

    def from_server(self, data: bytes) -> bytes:
        if not self._dropping:
            return data
        if data[:1] == b"Z":  # ReadyForQuery: the server is done with the COMMIT
            raise Cut
        return b""


class HoldReplies(Gate):
    """Passes no reply on from when the client said *words* until *go_on* is set; b"": from the beginning."""

    def __init__(self, go_on: Event, words: bytes = b"") -> None:
        self._go_on, self._words, self._holding = go_on, words, not words

    def from_client(self, data: bytes) -> bytes:
        self._holding = self._holding or self._words in data
        return data

    def from_server(self, data: bytes) -> bytes:
        if self._holding:
            self._go_on.wait()
        return data

    def release(self) -> None:
        self._go_on.set()


class HoldAt(Gate):
    """Holds back what a client says with *words* in it, once, from when *reached* is set until *go_on* is."""

    def __init__(self, words: bytes, trigger: Trigger, reached: Event, go_on: Event) -> None:
        self._words, self._trigger = words, trigger
        self._reached, self._go_on = reached, go_on

    def from_client(self, data: bytes) -> bytes:
        if self._words in data and self._trigger.pull():
            self._reached.set()
            self._go_on.wait()
        return data

    def release(self) -> None:
        self._go_on.set()


class Answer(Gate):
    """Gives *answer* in place of the next reply to what the client says with *words* in it."""

    def __init__(self, answer: bytes, words: bytes = b"", trigger: Trigger | None = None) -> None:
        self._answer, self._words, self._trigger = answer, words, trigger
        self._due = False

    def from_client(self, data: bytes) -> bytes:
        if self._words in data and (self._trigger is None or self._trigger.pull()):
            self._due = True
        return data

    def from_server(self, data: bytes) -> bytes:
        if not self._due:
            return data
        self._due = False
        return self._answer


class Proxy:
    """
    Listens on a port of 127.0.0.1 and carries each connection to *target*, through a gate.

    Attributes:
        url: Where clients connect to: the URL of the real server with this proxy's address in it.
        gate: Makes the gate of each connection to come.
        connections: How many were accepted so far.
    """

    def __init__(self, target: Address, url: str, *, tls: ssl.SSLContext | None, speaks: str) -> None:
        """Use `before_postgres` or `before_redis`."""
        self.gate: Callable[[], Gate] = Gate
        self.connections = 0
        self._target, self._tls, self._speaks = target, tls, speaks
        self._listener = _listen(0)
        self.port: int = self._listener.getsockname()[1]
        self.url = url.replace("{port}", str(self.port))
        self._open: set[socket.socket] = set()
        self._gates: list[Gate] = []
        self._threads: list[Thread] = []
        self._lock = Lock()

    @classmethod
    def before_postgres(cls, url: str, *, tls: ssl.SSLContext | None = None) -> Self:
        """Stand before the PostgreSQL at *url*; with *tls*, answer SSLRequest and speak TLS to clients."""
        parts = urlsplit(url)
        options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        host = options.pop("host", None) or unquote(parts.hostname or "localhost")
        port = int(options.pop("port", parts.port or 5432))
        target: Address = f"{host}/.s.PGSQL.{port}" if host.startswith("/") else (host, port)
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in options.items())
        return cls(target, _through_proxy(url, parts.scheme, query), tls=tls, speaks="postgres")

    @classmethod
    def before_redis(cls, url: str, *, tls: ssl.SSLContext | None = None) -> Self:
        """Stand before the Redis at *url*; with *tls*, clients come with ``rediss://``."""
        parts = urlsplit(url)
        scheme = "rediss" if tls else "redis"
        if parts.scheme == "unix":
            number = parse_qs(parts.query).get("db", ["0"])[-1]
            through = f"{scheme}://{parts.netloc}{'@' if parts.netloc else ''}127.0.0.1:{{port}}/{number}"
            return cls(parts.path, through, tls=tls, speaks="redis")
        target = (parts.hostname or "localhost", parts.port or 6379)
        return cls(target, _through_proxy(url, scheme, parts.query), tls=tls, speaks="redis")

    def __enter__(self) -> Self:
        self._start(self._accept, self._listener)
        return self

    def __exit__(self, *_: object) -> None:
        _close(self._listener)
        for gate in self._gates:
            gate.release()
        self.cut_all()
        for thread in self._threads:
            thread.join(_PATIENCE_S)

    def cut_all(self) -> None:
        """Cut every connection that is open now."""
        with self._lock:
            for each in self._open:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Refuse new connections, as a port does on which nobody listens."""
        _close(self._listener)
        try:
            yield
        finally:
            self._listener = _listen(self.port)
            self._start(self._accept, self._listener)

    def _start(self, work: Callable[..., None], *arguments: object) -> Thread:
        thread = Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:  # closed: the end, or refusing
                return
            # A reply in several messages would wait 40 ms for the client's delayed acknowledgement.
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            self._gates.append(self.gate())
            self._start(self._serve, client, self._gates[-1])

    def _serve(self, client: socket.socket, gate: Gate) -> None:
        """Carry one connection until either side ends it, or the gate cuts it."""
        with suppress(OSError, EOFError):
            client, first = self._greet(client)
            with client, _reach(self._target) as server:
                with self._lock:
                    self._open |= {client, server}
                server.sendall(first)
                split = Messages if self._speaks == "postgres" else Chunks
                back = self._start(_carry, server, client, gate.from_server, split())
                _carry(client, server, gate.from_client, split())
                back.join()
                with self._lock:
                    self._open -= {client, server}

    def _greet(self, client: socket.socket) -> tuple[socket.socket, bytes]:
        """Do what comes before the first message: TLS, and PostgreSQL's startup, whose packet is returned."""
        try:
            if self._speaks == "redis":
                return (self._terminate(client) if self._tls else client), b""
            while True:
                packet = _exactly(client, 4)
                packet += _exactly(client, struct.unpack("!I", packet)[0] - 4)
                code = struct.unpack("!I", packet[4:8])[0]
                if code == _SSL_REQUEST and self._tls:
                    client.sendall(b"S")
                    client = self._terminate(client)
                elif code in (_SSL_REQUEST, _GSS_REQUEST):
                    client.sendall(b"N")
                else:
                    return client, packet
        except BaseException:
            client.close()
            raise

    def _terminate(self, client: socket.socket) -> socket.socket:
        """Shake hands and return the plain end.  One thread does all TLS of a connection: OpenSSL asks for that."""
        if self._tls is None:
            raise ValueError("a proxy without TLS")
        secure = self._tls.wrap_socket(client, server_side=True)
        inner, plain = socket.socketpair()
        self._start(_decrypt, secure, inner)
        return plain


class Chunks:
    """Bytes as they come."""

    def feed(self, data: bytes) -> list[bytes]:
        return [data]


class Messages:
    """Splits a stream of PostgreSQL into messages: a byte for the type, four for the length, and the rest."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the messages that are complete now."""
        self._rest += data
        complete = []
        while len(self._rest) >= 5 and len(self._rest) > (length := struct.unpack("!I", self._rest[1:5])[0]):
            complete.append(self._rest[: length + 1])
            self._rest = self._rest[length + 1 :]
        return complete


def _carry(
    source: socket.socket, sink: socket.socket, gate: Callable[[bytes], bytes], split: Chunks | Messages
) -> None:
    """Carry one direction; end both directions at its end."""
    try:
        while data := source.recv(_CHUNK_BYTES):
            for part in split.feed(data):
                sink.sendall(gate(part))
    except Cut as cut:
        with suppress(OSError):
            sink.sendall(cut.last)
    except OSError:
        pass  # the other direction ended it
    for each in (source, sink):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


def _decrypt(secure: ssl.SSLSocket, plain: socket.socket) -> None:
    """Carry between the encrypted and the plain end until either is closed."""
    with secure, plain, suppress(OSError):
        while True:
            readable = [secure] if secure.pending() else select([secure, plain], [], [])[0]
            if plain in readable:
                data = plain.recv(_CHUNK_BYTES)
                if not data:
                    return
                secure.setblocking(True)
                secure.sendall(data)
            if secure in readable:
                secure.setblocking(False)  # what is readable may be TLS's own, with no data for us
                with suppress(ssl.SSLWantReadError):
                    data = secure.recv(_CHUNK_BYTES)
                    if not data:
                        return
                    plain.sendall(data)


def _exactly(stream: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = stream.recv(count - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def _is_query(message: bytes, statement: bytes) -> bool:
    """Whether a message of the client is this statement and nothing else."""
    return message[:1] == b"Q" and message[5:].rstrip(b"\0; \n").lower() == statement


def authority(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """Return what a proxy needs for TLS as localhost and 127.0.0.1, and the file of the authority to verify it by."""
    folder.mkdir(exist_ok=True)
    issuer = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issuer.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    ca_file = folder / "authority.pem"
    issuer.cert_pem.write_to_path(str(ca_file))
    return context, ca_file


def _reach(target: Address) -> socket.socket:
    family = socket.AF_UNIX if isinstance(target, str) else socket.AF_INET
    stream = socket.socket(family, socket.SOCK_STREAM)
    try:
        stream.connect(target)
    except OSError:
        stream.close()
        raise
    return stream


def _listen(port: int) -> socket.socket:
    return socket.create_server(("127.0.0.1", port))


def _close(listener: socket.socket) -> None:
    with suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
    listener.close()


def _through_proxy(url: str, scheme: str, query: str) -> str:
    """Return *url* with the proxy's address, its port still to be filled in."""
    parts = urlsplit(url)
    userinfo = parts.netloc.rpartition("@")[0]
    netloc = f"{userinfo}@127.0.0.1:{{port}}" if userinfo else "127.0.0.1:{port}"
    return urlunsplit((scheme, netloc, parts.path, query, ""))
