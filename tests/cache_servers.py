"""Servers for the tests of the cache: a private Valkey, and impostors that answer badly."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import redis

from trunkline.embedded.servers import valkey_program

START_S = 20.0


@dataclass(frozen=True, kw_only=True)
class Valkey:
    """A server of the test's own, which it may hang, fill and end."""

    process: subprocess.Popen[bytes]
    path: str

    @property
    def url(self) -> str:
        """How trunkline reaches it."""
        return f"unix://{self.path}"

    def client(self, **options: object) -> redis.Redis:
        """Return a client that sends nothing on its own."""
        return redis.Redis.from_url(self.url, protocol=2, driver_info=None, **options)

    def hang(self) -> None:
        """Let it take connections and commands, and answer nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it answer again."""
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """End it; its socket is gone."""
        self.process.kill()
        self.process.wait()
        Path(self.path).unlink(missing_ok=True)


@contextlib.contextmanager
def running_valkey(*options: str) -> Iterator[Valkey]:
    """Run a server on a socket of its own, with options such as ``--maxmemory 8mb`` word by word."""
    folder = tempfile.mkdtemp(prefix="trunkline-")  # short: a socket's path has 107 bytes at most
    path = f"{folder}/r.sock"
    words = ("--port", "0", "--unixsocket", path, "--dir", folder, "--save", "", "--daemonize", "no", *options)
    process = subprocess.Popen([str(valkey_program()), *words], stdout=subprocess.DEVNULL)
    try:
        _await(lambda: _accepts(path) or process.poll() is not None)
        assert process.poll() is None, "the server ended at once"
        yield Valkey(process=process, path=path)
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _accepts(path: str) -> bool:
    """Return whether a server listens: its socket is there a moment before."""
    with socket.socket(socket.AF_UNIX) as connection, contextlib.suppress(OSError):
        connection.connect(path)
        return True
    return False


def _await(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_S
    while not condition():
        assert time.monotonic() < deadline, "the server did not start"
        time.sleep(0.01)


Talk = Callable[[socket.socket], None]


@contextlib.contextmanager
def listening(talk: Talk) -> Iterator[int]:
    """Give a port at which *talk* gets each connection, in a thread of its own."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        open_sockets: list[socket.socket] = []

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    open_sockets.append(connection)
                    threading.Thread(target=_guarded, args=(talk, connection), daemon=True).start()

        acceptor = threading.Thread(target=accept, daemon=True)
        acceptor.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            acceptor.join()
            for connection in open_sockets:
                _hang_up(connection)


def _guarded(talk: Talk, connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        talk(connection)
    _hang_up(connection)


def _hang_up(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


def answering(reply: bytes) -> Talk:
    """Answer whatever comes with *reply*."""

    def talk(connection: socket.socket) -> None:
        while connection.recv(65536):
            connection.sendall(reply)

    return talk


def trickling(connection: socket.socket) -> None:
    """Answer with a value of a megabyte, a byte at a time and never within any hour."""
    connection.recv(65536)
    connection.sendall(b"$1000000\r\n")
    while True:
        connection.sendall(b"x")
        time.sleep(0.02)


def silent(connection: socket.socket) -> None:
    """Take everything and answer nothing."""
    while connection.recv(65536):
        pass
