"""Sources: where bytes come from, what they are called, and how damage and change are told."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable

import fsspec
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import SourceChangedError, SourceError
from trunkline.sources.compression import COMPRESSIONS
from trunkline.sources.expansion import expand
from trunkline.sources.source import EarlierContent, Source, open_container, open_source

DATA = b"a,b\n" + b"1001,$1.20\n" * 10_000
if sys.version_info >= (3, 14):
    from compression import zstd
else:
    import backports.zstd as zstd

PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": lambda data: zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1}),
}
DAMAGED = {"gzip": -6, "bzip2": 10, "xz": 40, "zstd": -2}  # a byte of a checksum, or that one covers
SUFFIX = {one.name: one.suffix for one in COMPRESSIONS}


def read(source: Source) -> bytes:
    with source:
        return b"".join(source.chunks())


def test_a_file_is_read_and_hashed(tmp_path):
    """Its name is the path, its hash BLAKE3 of what is stored, and it may be read again and again."""
    path = tmp_path / "calls.csv"
    path.write_bytes(DATA)
    with open_source(path) as source:
        assert (str(path), len(DATA)) == (source.name, source.size)
        assert blake3(DATA).hexdigest() == source.content_hash()
        assert DATA[: 64 * 1024] == source.sample()
        assert DATA == b"".join(source.chunks()) == b"".join(source.chunks())
        source.check_unchanged()


def grown(earlier: bytes, standing: int) -> EarlierContent:
    return EarlierContent(content_hash=blake3(earlier).hexdigest(), bytes=len(earlier), standing=standing)


@pytest.mark.parametrize("standing", [0, 10, 32 * 1024, 50_000, 70_000])
@pytest.mark.parametrize("size", [70_000, 64 * 1024, len(DATA) - 1])
def test_a_file_that_has_grown_is_found_out_by_its_hash(tmp_path, monkeypatch, standing, size):
    """What is beyond the blocks that stand can be read alone, and is made sure of."""
    monkeypatch.setattr("trunkline.sources.stored._CHUNK_BYTES", 32 * 1024)
    path = tmp_path / "calls.csv"
    path.write_bytes(DATA)
    earlier = grown(DATA[:size], min(standing, size))
    with open_source(path) as source:
        assert source.content_hash(earlier=earlier) == blake3(DATA).hexdigest()
        assert source.grown_from == earlier
        assert b"".join(source.rest()) == DATA[earlier.standing :]
        with path.open("r+b") as file:
            file.seek(len(DATA) - 1)
            file.write(b"X")
        with pytest.raises(SourceChangedError, match="changed while it was read"):
            list(source.rest())


PACKED = gzip.compress(DATA, mtime=0)


@pytest.mark.parametrize(
    ("data", "earlier"),
    [
        (DATA, grown(DATA, 10)),
        (DATA, grown(DATA + b"more", 10)),
        (DATA, grown(b"X" + DATA[1:70_000], 10)),
        (PACKED, grown(PACKED[:100], 10)),
    ],
    ids=["the same", "shorter now", "another", "compressed"],
)
def test_what_has_not_grown_is_read_as_a_whole(tmp_path, data, earlier):
    """A file that is the same, became shorter or is another; and what is compressed, whatever stands in it."""
    path = tmp_path / "calls.csv"
    path.write_bytes(data)
    with open_source(path) as source:
        assert source.content_hash(earlier=earlier) == blake3(path.read_bytes()).hexdigest()
        assert source.grown_from is None


def test_a_long_file_is_read_ahead(tmp_path, monkeypatch):
    """A thread reads and hashes, and ends with its reader; what comes of it, be it an error, is the same."""
    monkeypatch.setattr("trunkline.sources.source.LONG_BYTES", 0)
    monkeypatch.setattr("trunkline.sources.stored._CHUNK_BYTES", 32 * 1024)
    path = tmp_path / "calls.csv"
    path.write_bytes(DATA)
    with open_source(path) as source:
        source.content_hash()
        assert b"".join(source.chunks()) == DATA
        assert next(source.chunks()) == DATA[: 32 * 1024]
        with path.open("r+b") as file:
            file.write(b"X")
        with pytest.raises(SourceChangedError, match="changed while it was read"):
            list(source.chunks())
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("trunkline-reader")]


@pytest.mark.parametrize(
    "make",
    [
        lambda data: open_source(data),
        lambda data: open_source(io.BytesIO(data)),
        lambda data: open_source("-", stdin=io.BytesIO(data)),
        lambda data: open_source("-", stdin=io.BytesIO(gzip.compress(data))),
    ],
)
def test_what_is_no_file_is_read_like_one(make):
    """Bytes, open files and standard input can be read twice too; `check_unchanged` has nothing to say."""
    with make(DATA) as source:
        assert DATA == b"".join(source.chunks()) == b"".join(source.chunks())
        source.check_unchanged()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are of POSIX")
def test_a_pipe_is_spooled(tmp_path):
    """A named pipe, as from <(command), is a source."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(DATA,))
    writer.start()

    assert read(open_source(pipe)) == DATA
    writer.join()


@pytest.mark.parametrize("kind", PACK)
@pytest.mark.parametrize("members", [1, 3])
def test_archives_are_read_whole(tmp_path, kind, members):
    """One stream or several in a row, told by content."""
    path = tmp_path / ("calls.csv" + SUFFIX[kind])
    path.write_bytes(PACK[kind](DATA) * members)
    with open_source(path) as source:
        assert blake3(path.read_bytes()).hexdigest() == source.content_hash()
        assert DATA * members == b"".join(source.chunks())


@pytest.mark.parametrize("kind", PACK)
def test_hundreds_of_streams_are_one_file(kind):
    """As of a log that was compressed and appended line by line; the pieces it is read in end anywhere in them."""
    lines = [b"%d,$1.20\n" % number for number in range(300)]

    assert read(open_source(b"".join(map(PACK[kind], lines)))) == b"".join(lines)


@pytest.mark.parametrize("kind", PACK)
@given(cut=st.floats(0, 0.999))
def test_archives_cut_short_are_refused(kind, cut):
    """Wherever an archive ends too early, reading it ends with an error."""
    packed = PACK[kind](DATA)
    head = packed[: max(16, int(len(packed) * cut))]
    with pytest.raises(SourceError, match=f"^<bytes>: found the end of the file inside {kind} data"):
        read(open_source(head))


@pytest.mark.parametrize("kind", PACK)
@pytest.mark.parametrize("damage", ["checksum", "trailing"])
def test_damaged_archives_are_refused(kind, damage):
    """A wrong checksum and bytes after the end are errors, although all data came before."""
    packed = bytearray(PACK[kind](DATA))
    if damage == "checksum":
        packed[DAMAGED[kind]] ^= 0xFF
    else:
        packed += b"1002,$2.50\n"
    with pytest.raises(SourceError, match=f"^<bytes>: found damaged {kind} data, or something else after its end"):
        read(open_source(bytes(packed)))


def test_nul_padding_after_gzip_is_allowed():
    """Tapes and block devices pad archives; gzip itself reads over it."""
    assert read(open_source(gzip.compress(DATA) + b"\0" * 512)) == DATA


def test_a_bomb_comes_in_small_pieces():
    """However much a few bytes unpack to, a chunk is bounded."""
    source = open_source(gzip.compress(b"\0" * 2**26))
    with source:
        assert max(len(chunk) for chunk in source.chunks()) <= 2**20


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zst", ".zip"])
def test_what_is_neither_an_archive_nor_text_is_refused(tmp_path, suffix):
    """A file that is called an archive and begins with anything else is damaged, or nothing at all."""
    path = tmp_path / f"calls.csv{suffix}"
    for damaged in (b"", b"\0" + gzip.compress(DATA)[1:]):
        path.write_bytes(damaged)
        with pytest.raises(SourceError, match=rf"found neither \w+ data nor text in a file called \{suffix}, expected"):
            open_source(path)


@pytest.mark.parametrize(
    ("name", "content", "doubt"),
    [
        ("calls.csv", DATA, None),
        ("calls.csv.gz", gzip.compress(DATA), None),
        ("Master.csv.2024-01-31", gzip.compress(DATA), None),
        ("calls.csv.gz", DATA, "found plain text in a file called .gz; read as that"),
        ("calls.zip", DATA, "found plain text in a file called .zip; read as that"),
        ("calls.zst", lzma.compress(DATA), "found xz data in a file called .zst; read as that"),
        ("calls.csv", gzip.compress(DATA), "found gzip data in a file called .csv; read as that"),
    ],
)
def test_content_decides_and_a_name_that_misleads_is_told(tmp_path, name, content, doubt):
    """What a file is called changes nothing about how it is read."""
    path = tmp_path / name
    path.write_bytes(content)
    with open_source(path) as source:
        assert source.doubts == ((doubt,) if doubt else ())
        assert b"".join(source.chunks()) == DATA


def zipped(members: dict[str, bytes], **options) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", **options) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return packed.getvalue()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_the_only_file_of_a_zip_archive_is_the_source(method):
    """Folders, hidden files and what macOS adds do not count; the hash is that of the file."""
    data = zipped({"a/": b"", "a/calls.csv": DATA, "__MACOSX/a/calls.csv": b"x", "a/.x": b"x"}, compression=method)

    with open_source(data) as source:
        assert source.content_hash() == blake3(DATA).hexdigest()
        assert source.sample() == DATA[: 64 * 1024]
        assert b"".join(source.chunks()) == DATA


def test_each_file_of_a_zip_archive_is_a_source(tmp_path):
    """Named after the archive; a path in a name is only a name, and nothing is written anywhere."""
    path = tmp_path / "calls.zip"
    path.write_bytes(zipped({"../../feb.csv": b"feb", "jan.csv": b"jan", "/mar.csv.gz": gzip.compress(b"mar")}))
    with open_container(path) as container:
        names = container.names
        assert [b"".join(container.open(name).chunks()) for name in names] == [b"feb", b"mar", b"jan"]

    assert names == [f"{path}::{member}" for member in ("../../feb.csv", "/mar.csv.gz", "jan.csv")]
    assert [read(open_source(name)) for name in names] == [b"feb", b"mar", b"jan"]
    assert [one.name for one in tmp_path.iterdir()] == ["calls.zip"]
    with pytest.raises(SourceError, match="found 3 members in"):
        open_source(path)
    with pytest.raises(SourceError, match=r"found no member apr\.csv in the zip archive, expected one of its 3"):
        open_source(f"{path}::apr.csv")


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (zipped({}), "found no file in the zip archive"),
        (zipped({"a.zip": zipped({"a.csv": b"a"})}), "found a zip archive inside of another one"),
        (zipped({"a.csv": b"a", "b.csv": b"a"}).replace(b"b.csv", b"a.csv"), "found two members of one name"),
        (zipped({"a.csv": DATA})[:-30], "found a damaged zip archive"),
        (zipped({"a.csv": DATA}).replace(b"1001", b"1002", 1), "found a damaged zip archive"),
    ],
)
def test_a_zip_archive_that_cannot_be_read_is_refused(data, problem):
    """Whatever is wrong with it shows before its last chunk came."""
    with pytest.raises(SourceError, match=problem):
        read(open_source(data))


def test_a_zip_archive_with_any_byte_changed_is_read_right_or_refused():
    """Checked for every byte: the data comes as it was, or not at all."""
    whole = zipped({"calls.csv": b"a,b\n1,2\n"}, compression=zipfile.ZIP_DEFLATED)
    for at in range(4, len(whole)):
        for flip in (0x01, 0x80, 0xFF):
            damaged = whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :]
            with contextlib.suppress(SourceError):
                assert read(open_source(damaged)) == b"a,b\n1,2\n", (at, flip)


@pytest.mark.parametrize("change", ["grown", "shrunk", "rewritten", "replaced", "deleted"])
def test_a_change_while_reading_is_noticed(tmp_path, change):
    """Whatever happens to the file between opening and the end, it is not reported as read."""
    path = tmp_path / "calls.csv"
    path.write_bytes(DATA)
    with open_source(path) as source:
        chunks = source.chunks()
        if change == "deleted":
            path.unlink()
        elif change == "replaced":
            (tmp_path / "new").write_bytes(DATA)
            (tmp_path / "new").replace(path)
        else:
            path.write_bytes({"grown": DATA + b"x", "shrunk": DATA[:-9], "rewritten": DATA}[change])
            if change == "rewritten":
                os.utime(path, ns=(0, 0))
        if change == "shrunk":
            with pytest.raises(SourceChangedError, match="became shorter while it was read"):
                list(chunks)
        with pytest.raises(SourceChangedError, match=r"(changed|is gone) while it was read; load it again"):
            source.check_unchanged()


@pytest.mark.parametrize(
    ("name", "message"), [("missing.csv", "not found, expected a file"), ("", "found a folder, expected a file")]
)
def test_what_cannot_be_opened_is_said(tmp_path, name, message):
    """Missing files and folders are errors that name the path."""
    with pytest.raises(SourceError) as caught:
        open_source(tmp_path / name)

    assert f"{tmp_path / name}: {message}" == str(caught.value)


def test_globs_and_folders_are_expanded_in_order(tmp_path, monkeypatch):
    """Sorted by name, without hidden files and folders; other names stand for themselves."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "day" / "deep").mkdir(parents=True)
    (tmp_path / "day" / "folder.csv").mkdir()
    for name in ("b.csv", "a.csv.gz", "C.CSV", "notes.txt", ".hidden.csv", "Master.csv.2024-01-31", "deep/c.csv"):
        (tmp_path / "day" / name).touch()
    (tmp_path / "odd[1].csv").touch()

    assert expand(["day"]) == ["day/C.CSV", "day/Master.csv.2024-01-31", "day/a.csv.gz", "day/b.csv"]
    assert expand(["day/?.csv"]) == ["day/b.csv"]
    assert expand(["day/**/*.csv"]) == ["day/b.csv", "day/deep/c.csv"]
    assert expand(["odd[1].csv", "missing.csv", "-", "https://h/a.csv"]) == [
        "odd[1].csv",
        "missing.csv",
        "-",
        "https://h/a.csv",
    ]


@pytest.mark.parametrize("name", ["*.CSV", "empty", ""])
def test_a_pattern_that_stands_for_nothing_is_an_error(tmp_path, monkeypatch, name):
    """Nothing to load is no success; and a variable that is not set is not the folder one is in."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.csv").write_bytes(DATA)
    with pytest.raises(SourceError, match=", expected "):
        expand([name])


def test_urls_are_read_through_fsspec():
    """A URL is fetched once and then read like a file."""
    fsspec.filesystem("memory").pipe_file("/folder/calls.csv.gz", gzip.compress(DATA))
    with open_source("memory://folder/calls.csv.gz") as source:
        assert source.name == "memory://folder/calls.csv.gz"
        assert b"".join(source.chunks()) == DATA


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("memory://me:s3cret@missing.csv?key=s3cret", "not found"),
        (
            "nonsense://host/calls.csv",
            "found the protocol nonsense, expected one of gcs, gs, http, https, s3, s3a, sftp",
        ),
    ],
)
def test_urls_that_cannot_be_read_say_so_without_secrets(url, message):
    """The message names the redacted URL; the cause, which may quote the real one, is left out."""
    with pytest.raises(SourceError) as caught:
        open_source(url)

    assert message in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_missing_extra_names_its_command(monkeypatch):
    """Where a protocol needs a package that is not there, the message says how to get it."""
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(SourceError, match=r"pip install 'trunkline\[s3\]'"):
        open_source("s3://bucket/calls.csv")


def test_an_unchanged_source_needs_neither_pandas_nor_numpy(tmp_path):
    """Hash, dialect and header come without the imports that cost a second."""
    path = tmp_path / "calls.csv"
    path.write_bytes(DATA)
    program = """
import sys
from trunkline.framing.cutting import frame, resolve_dialect
from trunkline.sources.expansion import expand
from trunkline.sources.source import open_source
with open_source(expand([sys.argv[1]])[0]) as source:
    source.content_hash()
    header = frame(source.chunks(), resolve_dialect(source.sample())).header
print(header, sorted({"pandas", "numpy", "pyarrow", "fsspec"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)

    assert done.stdout == "('a', 'b') []\n"


def test_a_file_that_may_grow_is_refused_only_for_other_changes(tmp_path):
    """What was appended after it was opened is left for the next load."""
    path = tmp_path / "calls.csv"
    path.write_bytes(DATA)
    with open_source(path) as source:
        with path.open("ab") as file:
            file.write(b"1002,$2.50\n")
        source.check_unchanged(may_grow=True)
        assert b"".join(source.chunks()) == DATA
        with pytest.raises(SourceChangedError):
            source.check_unchanged()
        path.write_bytes(b"a,b\n")
        with pytest.raises(SourceChangedError):
            source.check_unchanged(may_grow=True)
