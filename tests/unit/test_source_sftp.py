"""SFTP: a real server on loopback, with a password, a key of its own, and files that change."""

from __future__ import annotations

import io
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trunkline.errors import SourceChangedError, SourceError
from trunkline.sources.expansion import expand
from trunkline.sources.remote import fetch
from trunkline.sources.source import open_source

paramiko: Any = pytest.importorskip("paramiko")

DATA = b"a,b\n" + b"1001,$1.20\n" * 500_000  # more than one read of it
USER, PASSWORD = "me", "can@ry/s3cret"
KEY = paramiko.RSAKey.generate(2048)


class _Session(paramiko.ServerInterface):  # type: ignore[misc]
    def check_auth_password(self, username: str, password: str) -> int:
        known = (username, password) == (USER, PASSWORD)
        return int(paramiko.AUTH_SUCCESSFUL if known else paramiko.AUTH_FAILED)

    def get_allowed_auths(self, username: str) -> str:
        return "password"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return int(paramiko.OPEN_SUCCEEDED)


class _Files(paramiko.SFTPServerInterface):  # type: ignore[misc]
    root = Path()

    def _path(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def list_folder(self, path: str) -> Any:
        return [_attributes(one.lstat(), one.name) for one in self._path(path).iterdir()]

    def stat(self, path: str) -> Any:
        return self._of(self._path(path).stat)

    def lstat(self, path: str) -> Any:
        return self._of(self._path(path).lstat)

    def open(self, path: str, flags: int, attr: Any) -> Any:
        handle = paramiko.SFTPHandle(flags)
        try:
            handle.readfile = self._path(path).open("rb")
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno)
        handle.stat = lambda: _attributes(os.fstat(handle.readfile.fileno()))
        return handle

    def _of(self, look: Any) -> Any:
        try:
            return _attributes(look())
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno)


def _attributes(found: os.stat_result, name: str | None = None) -> Any:
    return paramiko.SFTPAttributes.from_stat(found, name)


def _serve(listener: socket.socket, transports: list[Any]) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        transport = paramiko.Transport(connection)
        transports.append(transport)
        transport.add_server_key(KEY)
        transport.set_subsystem_handler("sftp", paramiko.SFTPServer, _Files)
        try:
            transport.start_server(server=_Session())
        except (paramiko.SSHException, EOFError):
            transport.close()  # the client did not like the key


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of the server, without user; its files are in the test's folder, and so is ~."""
    monkeypatch.setattr(_Files, "root", tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    transports: list[Any] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_serve, args=(listener, transports))
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()
    for transport in transports:
        transport.close()


@pytest.fixture
def url(host: str, tmp_path: Path) -> str:
    """The same with user and password, and some files."""
    (tmp_path / "cdr" / "deep").mkdir(parents=True)
    for name in ("a 1.csv", "b.csv", ".hidden.csv", "deep/c.csv"):
        (tmp_path / "cdr" / name).write_bytes(DATA)
    (tmp_path / "cdr" / "link.csv").symlink_to("b.csv")
    (tmp_path / "cdr" / "folder.csv").symlink_to("deep")
    return f"sftp://{USER}:can%40ry%2Fs3cret@{host}"


def test_a_file_is_read_by_password(url, host):
    """Percent-encoded in the URL, and in no name."""
    with open_source(f"{url}/cdr/a 1.csv") as source:
        assert b"".join(source.chunks()) == DATA
        assert source.name == f"sftp://{host}/cdr/a 1.csv"


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("cdr", ["a 1.csv", "b.csv", "link.csv"]),
        ("cdr/?.csv", ["b.csv"]),
        ("cdr/**/[bc].csv", ["b.csv", "deep/c.csv"]),
    ],
)
def test_folders_and_globs_are_expanded(url, pattern, expected):
    """As on the disk: links to files count, hidden files do not; the URLs can be opened as they are."""
    assert expand([f"{url}/{pattern}"]) == [f"{url}/cdr/{name}" for name in expected]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("a 1", "none", "not found"),
        ("s3cret", "s3cretX", "cannot be read (AuthenticationException); check the address and the credentials"),
        ("/a 1.csv", "", "found a folder, expected a file"),
    ],
)
def test_what_is_not_given_is_an_error_without_secrets(url, host, old, new, message):
    """Missing, refused or a folder: the message names host and path only."""
    wanted = f"{url}/cdr/a 1.csv".replace(old, new)
    with pytest.raises(SourceError) as caught:
        open_source(wanted)

    assert str(caught.value) == f"sftp://{host}{wanted.partition(host)[2]}: {message}"


def test_a_host_with_another_key_than_known_is_refused(url, host, tmp_path):
    """Before it gets the password; with the key that is known, it is read."""
    name, _, port = host.partition(":")
    (tmp_path / ".ssh").mkdir()
    for key, good in ((paramiko.RSAKey.generate(2048), False), (KEY, True)):
        (tmp_path / ".ssh" / "known_hosts").write_text(f"[{name}]:{port} {key.get_name()} {key.get_base64()}\n")
        if good:
            open_source(f"{url}/cdr/b.csv").close()
            continue
        with pytest.raises(SourceError, match=r"the host has another key than in ~/\.ssh/known_hosts"):
            open_source(f"{url}/cdr/b.csv")


@pytest.mark.parametrize("change", ["rewritten", "grown", "shrunk"])
def test_a_file_that_changes_while_it_is_copied_is_refused(url, tmp_path, change):
    """Told by its size and time before and after."""
    path = tmp_path / "cdr" / "b.csv"

    class Sink(io.BytesIO):
        @property
        def written(self) -> int:
            return self.tell()

        def write(self, chunk) -> int:
            # At its end: a server that meets the end of the file too early leaves requests of paramiko unanswered, and
            # that ends in two minutes of silence.
            if self.tell() + len(chunk) == len(DATA):
                content = {"rewritten": DATA[::-1], "grown": DATA + b"x", "shrunk": DATA[:-9]}[change]
                path.write_bytes(content)
                os.utime(path, (0, 0))
            return super().write(chunk)

    with pytest.raises(SourceChangedError, match=r"/cdr/b\.csv: changed while it was copied"):
        fetch(f"{url}/cdr/b.csv", Sink())
