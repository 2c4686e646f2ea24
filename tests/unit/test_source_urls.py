"""URLs: what a server answers is read as one whole state of the file, or not at all; lists, globs and folders."""

from __future__ import annotations

import email.utils
import gzip
import io
import socket
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import fsspec
import pytest

from trunkline.errors import NothingFoundError, SourceChangedError, SourceError
from trunkline.sources.expansion import expand
from trunkline.sources.remote import fetch
from trunkline.sources.source import open_container, open_source

DATA = b"a,b\n" + b"1001,$1.20\n" * 10_000


class _Files(BaseHTTPRequestHandler):
    """Answers by the method that is called as the path is; notes what it was asked."""

    protocol_version = "HTTP/1.1"
    asked: list[tuple[str, dict[str, str]]]

    def do_GET(self) -> None:
        self.asked.append((self.command, dict(self.headers)))
        answer: Callable[[], None] = getattr(self, self.path[1:].partition("?")[0].partition(".")[0])
        answer()

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Be quiet."""

    def _send(self, body: bytes, status: int = 200, length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Transfer_Encoding" not in headers and length != -1:
            self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def plain(self) -> None:
        known = self.path.endswith("?signature=s3cret")
        self._send(DATA if known else b"<h1>no", 200 if known else 403, ETag='"1"')

    def packed(self) -> None:
        self._send(gzip.compress(DATA), Content_Encoding="gzip")

    def brotli(self) -> None:
        self._send(DATA, Content_Encoding="br")

    def gone(self) -> None:
        self._send(b"", 404)

    def soon(self) -> None:
        self._send(b"", 202)

    def busy(self) -> None:
        self._send(b"", 503)

    def short(self) -> None:
        self.close_connection = True
        self._send(DATA, length=len(DATA) + 99)

    def endless(self) -> None:
        self.close_connection = True
        self._send(DATA, length=-1)

    def chunked(self) -> None:
        self._send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(DATA), DATA), Transfer_Encoding="chunked")

    def cut(self) -> None:
        self.close_connection = True
        self._send(b"%x\r\n%b" % (len(DATA) + 9, DATA), Transfer_Encoding="chunked")

    def changing(self) -> None:
        self._send(DATA, ETag=f'"{len(self.asked)}"')

    def touched(self) -> None:
        self._send(DATA, Last_Modified=email.utils.formatdate(10**9 + len(self.asked), usegmt=True))

    def made_anew(self) -> None:
        self._send(DATA, Last_Modified=self.date_time_string())

    def get_only(self) -> None:
        self._send(DATA, 200 if self.command == "GET" else 403, ETag=f'"{len(self.asked)}"')

    def moved(self) -> None:
        self._send(b"", 302, Location="/packed.csv")

    def secret(self) -> None:
        known = self.headers["Authorization"] == "Basic bWU6czNjcmV0"  # me:s3cret
        self._send(DATA if known else b"", 200 if known else 401)

    def archive(self) -> None:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as whole:
            whole.writestr("jan.csv", b"jan")
            whole.writestr("feb.csv", b"feb")
        self._send(packed.getvalue())


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Be quiet about clients that have read enough."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with _Server(("127.0.0.1", 0), _Files) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def asked() -> list[tuple[str, dict[str, str]]]:
    """What the server is asked in this test: methods and headers."""
    _Files.asked = []
    return _Files.asked


def test_http_is_read_and_its_signature_not_shown(server):
    """A signed URL is fetched; what it is called afterwards has no signature."""
    with open_source(f"http://{server}/plain.csv?signature=s3cret") as source:
        assert b"".join(source.chunks()) == DATA
        assert source.name == f"http://{server}/plain.csv"


@pytest.mark.parametrize("path", ["packed.csv", "chunked.csv", "made_anew.csv", "get_only.csv", "moved.csv"])
def test_http_answers_of_every_kind_are_read(server, path):
    """Compressed on the way, in chunks, made for each request, where HEAD is refused, and elsewhere."""
    with open_source(f"http://{server}/{path}") as source:
        assert b"".join(source.chunks()) == DATA


def test_http_is_asked_once(server, asked):
    """One request for the whole: ranges of two states of a file would be joined without a word."""
    open_source(f"http://{server}/plain.csv?signature=s3cret").close()

    assert [method for method, _ in asked] == ["GET", "HEAD"]
    assert all("Range" not in headers and headers["Accept-Encoding"] == "identity" for _, headers in asked)


def test_user_and_password_are_sent_and_not_shown(server):
    """They stand in the URL, and neither in the name nor in an error."""
    with open_source(f"http://me:s3cret@{server}/secret.csv") as source:
        assert source.name == f"http://{server}/secret.csv"
    with pytest.raises(SourceError) as caught:
        open_source(f"http://me:s3cretX@{server}/secret.csv")

    assert str(caught.value).startswith(f"http://{server}/secret.csv: the server answered with status 401; check")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("plain.csv?signature=s3cretX", "the server answered with status 403; check the address and the credentials"),
        ("gone.csv?signature=s3cret", "not found"),
        ("busy.csv?signature=s3cret", "the server answered with status 503; check the address and the credentials"),
        ("soon.csv?signature=s3cret", "the server answered with status 202, expected 200; is it ready yet?"),
        ("short.csv?signature=s3cret", "the copy broke off (ClientPayloadError); try again"),
        ("cut.csv?signature=s3cret", "the copy broke off (ClientPayloadError); try again"),
        (
            "endless.csv?signature=s3cret",
            "the server states no length, so that nobody can tell whether it is whole, expected one;"
            " copy it with another program",
        ),
        (
            "brotli.csv?signature=s3cret",
            "found the content encoding br, expected none or gzip; copy it with another program",
        ),
        ("changing.csv?signature=s3cret", "changed while it was copied; load it again when nobody writes to it"),
        ("touched.csv?signature=s3cret", "changed while it was copied; load it again when nobody writes to it"),
    ],
)
def test_http_that_fails_or_breaks_off_is_an_error(server, path, message):
    """Refused, not there, cut short, or another after than before, it is no source; the message holds no secret."""
    with pytest.raises((SourceError, SourceChangedError)) as caught:
        open_source(f"http://{server}/{path}")

    assert str(caught.value) == f"http://{server}/{path.split('?')[0]}: {message}"
    assert caught.value.__cause__ is None


def test_an_archive_behind_a_signed_url_is_copied_once(server, asked):
    """Each member is a source, and none is named with the signature."""
    with open_container(f"http://{server}/archive.zip?signature=s3cret") as container:
        found = {name: b"".join(container.open(name).chunks()) for name in container.names}
    with open_source(f"http://{server}/archive.zip?signature=s3cret::jan.csv") as source:
        assert source.name == f"http://{server}/archive.zip::jan.csv"

    assert found == {f"http://{server}/archive.zip::{month}.csv": month.encode() for month in ("feb", "jan")}
    assert [method for method, _ in asked].count("GET") == 2


@pytest.mark.parametrize("path", ["cdr/*.csv", "cdr/[ab].csv", "cdr/"])
def test_http_has_no_lists(path):
    """A glob or folder is refused before anybody is asked."""
    with pytest.raises(SourceError, match="found a glob or a folder, expected the address of one file; HTTP has no"):
        expand([f"https://me:s3cret@calls.example.org/{path}"])


def test_a_server_that_is_away_is_not_a_missing_file():
    """Nobody listens at the address: that is said, and not that the file is not there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(SourceError, match=r"cannot be read .*; check the address"):
        open_source(f"http://127.0.0.1:{port}/calls.csv?signature=s3cret")


@pytest.fixture
def bucket() -> Iterator[str]:
    """A folder in a file system that lists what it has, as object stores and SFTP do."""
    memory = fsspec.filesystem("memory")
    for name in ("b.csv", "a 1.csv.gz", "C.CSV", "notes.txt", ".hidden.csv", "deep/er/d.csv", "odd[1].csv"):
        memory.pipe_file(f"/bucket/{name}", DATA)
    yield "memory://bucket"
    memory.rm("/bucket", recursive=True)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("", ["C.CSV", "a 1.csv.gz", "b.csv", "odd[1].csv"]),
        ("/", ["C.CSV", "a 1.csv.gz", "b.csv", "odd[1].csv"]),
        ("/*.csv", ["b.csv", "odd[1].csv"]),
        ("/?.csv", ["b.csv"]),
        ("/[ab]*", ["a 1.csv.gz", "b.csv"]),
        ("/**/*.csv", ["b.csv", "deep/er/d.csv", "odd[1].csv"]),
        ("/odd[1].csv", ["odd[1].csv"]),
        ("/b.csv", ["b.csv"]),
        ("/missing.csv", ["missing.csv"]),
    ],
)
def test_globs_and_folders_of_urls_are_expanded(bucket, pattern, expected):
    """As those of the disk: sorted, without hidden files and folders; what is there by that name is meant."""
    assert expand([bucket + pattern]) == [f"{bucket}/{name}" for name in expected]


def test_lists_are_always_new(bucket):
    """A file that came after the first look is seen by the second."""
    expand([f"{bucket}/*.csv"])
    fsspec.filesystem("memory").pipe_file("/bucket/new.csv", DATA)

    assert f"{bucket}/new.csv" in expand([f"{bucket}/*.csv"])


@pytest.mark.parametrize("pattern", ["/*.json", "/deep/"])
def test_a_url_that_stands_for_nothing_is_an_error(bucket, pattern):
    """Nothing to load is no success, unless it is allowed."""
    with pytest.raises(NothingFoundError, match=", expected "):
        expand([bucket + pattern])


@pytest.mark.parametrize("after", [DATA.replace(b"$1", b"$2"), DATA + b"1002,$2.50\n", DATA[:-11]])
def test_a_remote_file_that_changes_while_it_is_copied_is_refused(bucket, after):
    """Rewritten with the same size, grown or shrunk: what was copied may be of two states."""

    class Sink(io.BytesIO):
        @property
        def written(self) -> int:
            return self.tell()

        def write(self, chunk) -> int:
            fsspec.filesystem("memory").pipe_file("/bucket/b.csv", after)
            return super().write(chunk)

    with pytest.raises(
        SourceChangedError, match=r"^memory://bucket/b\.csv: changed while it was copied; load it again"
    ):
        fetch(f"{bucket}/b.csv", Sink())
