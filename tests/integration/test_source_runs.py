"""Runs over sources of every kind: what the books call them, and what becomes of those that change or are not there."""

from __future__ import annotations

import io
import itertools
import os
import sys
import threading
import zipfile
from pathlib import Path

import fsspec
import pytest

from tests.call_logs import HEADER, check_books, execute, record, run_on, write_log
from trunkline.sources.stored import Stored

SECRET = "s3cret"


def as_log(*numbers: int) -> bytes:
    return "\n".join((HEADER, *(record(number) for number in numbers), "")).encode()


def books_of(url: str) -> list[tuple[str, str, int]]:
    return [tuple(row) for row in execute(url, "select source, status, loaded from trunkline.loads order by id")]


@pytest.fixture
def bucket():
    """A file system with lists, as behind s3:// and sftp://."""
    memory = fsspec.filesystem("memory")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("jan.csv", as_log(1, 2))
        archive.writestr("feb.csv.gz", b"\0 damaged")
        archive.writestr("mar.csv", as_log(3))
    memory.pipe_file("/bucket/all.zip", packed.getvalue())
    memory.pipe_file("/bucket/cdr/a.csv", as_log(4))
    memory.pipe_file("/bucket/cdr/b.csv", as_log(5))
    yield "memory://bucket"
    memory.rm("/bucket", recursive=True)


def test_a_glob_and_an_archive_behind_urls_are_loaded(bucket, database_url):
    """Each file and each member has books of its own; a damaged member costs no other."""
    done = run_on(database_url, f"{bucket}/cdr/*.csv", f"{bucket}/all.zip")

    assert [(books.source, books.status) for books in done] == [
        (f"{bucket}/cdr/a.csv", "loaded"),
        (f"{bucket}/cdr/b.csv", "loaded"),
        (f"{bucket}/all.zip::feb.csv.gz", "failed"),
        (f"{bucket}/all.zip::jan.csv", "loaded"),
        (f"{bucket}/all.zip::mar.csv", "loaded"),
    ]
    assert sum(books.loaded for books in done) == 5
    check_books(database_url)


def test_only_what_matches_nothing_may_be_allowed(bucket, database_url, tmp_path):
    """A glob that matches nothing is excused on demand; a file that is not there, or a list that fails, never is."""
    wanted = [f"{bucket}/none*.csv", str(tmp_path / "*.csv"), f"{bucket}/none.csv", "http://127.0.0.1:9/*.csv", ""]

    strict = run_on(database_url, *wanted)
    assert [books.status for books in strict] == ["failed"] * 5
    excused = run_on(database_url, *wanted, allow_empty=True)
    assert [books.source for books in excused] == [f"{bucket}/none.csv", "http://127.0.0.1:9/*.csv", ""]


def test_a_misleading_name_is_told_in_the_books(database_url, tmp_path):
    """Plain text called .gz is read as what it is, with a warning."""
    path = tmp_path / "calls.csv.gz"
    path.write_bytes(as_log(1))
    with pytest.warns(RuntimeWarning, match="found plain text in a file called .gz"):
        (books,) = run_on(database_url, str(path))

    assert (books.status, books.warnings) == ("loaded", ("found plain text in a file called .gz; read as that",))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow fewer bytes in names")
def test_odd_names_are_loaded_and_stored_in_one_line(database_url, tmp_path, monkeypatch):
    """Bytes that are not UTF-8, line ends and escape sequences are escaped in the books, and hurt no other source."""
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate((b"caf\xe9.csv", b"new\nline.csv", b"\x1b[2J.csv", b"-dash.csv")):
        Path(os.fsdecode(name)).write_bytes(as_log(number))
    done = run_on(database_url, *(path.name for path in tmp_path.iterdir()))

    expected = [r"\x1b[2J.csv", "-dash.csv", r"caf\xe9.csv", r"new\nline.csv"]
    assert sorted(books.source for books in done) == sorted(expected)
    assert books_of(database_url) == [(books.source, "loaded", 1) for books in done]


def test_secrets_of_urls_reach_no_books(database_url):
    """Loaded, refused or failed: no table holds what stands in a URL beside host and path."""
    memory = fsspec.filesystem("memory")
    memory.pipe_file(f"/me:{SECRET}@host/cdr/a.csv", as_log(4))
    memory.pipe_file(f"/me:{SECRET}@host/other.csv", b"x,y\n1,2\n")
    names = ("cdr/*.csv", "other.csv", "none.csv", "*.nothing")
    done = run_on(database_url, *(f"memory://me:{SECRET}@host/{name}" for name in names))

    assert sorted({books.status for books in done}) == ["failed", "loaded", "refused"]
    assert SECRET not in repr(done)
    tables = execute(database_url, "select tablename from pg_tables where schemaname = 'trunkline'")
    for (table,) in tables:
        assert SECRET not in repr(execute(database_url, f"select * from trunkline.{table}"))


def test_a_long_file_is_hashed_while_its_layout_is_recognised(database_url, tmp_path, monkeypatch):
    """What comes of it is the same, also where the layout is not to be found; the thread ends with it."""
    monkeypatch.setattr("trunkline.runner.LONG_BYTES", 0)
    write_log(tmp_path / "calls.csv", map(record, range(9)))
    (tmp_path / "other.csv").write_bytes(b"x;y\n" + b"1;2\n" * 4)
    done = run_on(database_url, str(tmp_path / "other.csv"), str(tmp_path / "calls.csv"), str(tmp_path / "calls.csv"))

    assert [books.status for books in done] == ["refused", "loaded", "unchanged"]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("trunkline-hash")]


def test_an_interrupt_does_not_wait_for_the_hash(database_url, tmp_path, monkeypatch):
    """Once a run is interrupted nobody reads a long source to its end, this one having none."""
    write_log(tmp_path / "calls.csv", map(record, range(9)))

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("trunkline.runner.LONG_BYTES", 0)
    monkeypatch.setattr("trunkline.runner.layout_in_force", interrupt)
    monkeypatch.setattr(Stored, "chunks", lambda _: itertools.repeat(b"x"))
    with pytest.raises(KeyboardInterrupt):
        run_on(database_url, str(tmp_path / "calls.csv"))

    assert not [thread for thread in threading.enumerate() if thread.name.startswith("trunkline-hash")]


@pytest.mark.parametrize("growing", [False, True])
def test_a_file_rewritten_in_place_with_its_size_and_time_is_refused(database_url, tmp_path, monkeypatch, growing):
    """Neither its size, place nor time tells, so what is loaded is hashed once more while it is read."""
    path = tmp_path / "calls.csv"
    write_log(path, map(record, range(9)))
    layout = tmp_path / "growing.toml"
    layout.write_text(f'grammar = 1\nname = "own"\nextends = "customer_call_logs"\ngrowing = {str(growing).lower()}\n')
    before = path.stat()
    passes = []
    chunks = Stored.chunks

    def rewritten(self):
        passes.append(self.name)
        if len(passes) == 2:  # after its hash was taken
            with path.open("r+b") as file:
                file.write(as_log(*range(100, 109)))
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        return chunks(self)

    monkeypatch.setattr(Stored, "chunks", rewritten)
    (books,) = run_on(database_url, str(path), layout=str(layout))

    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert (books.status, books.loaded) == ("refused", 0)
    assert books.reason == "changed while it was read; load it again when nobody writes to it"
    assert execute(database_url, "select count(*) from customer_call_logs") == [(0,)]
