"""What is opened, refused and copied: odd files, devices, standard input, archives of several members, full disks."""

from __future__ import annotations

import contextlib
import io
import lzma
import os
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
import tracemalloc
import zipfile
from pathlib import Path

import backports.zstd as zstd
import pytest

from trunkline.errors import NothingFoundError, SourceError
from trunkline.sources import compression
from trunkline.sources.expansion import expand
from trunkline.sources.source import open_container, open_source

DATA = b"a,b\n" + b"1001,$1.20\n" * 10_000


def zipped(members: dict[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return packed.getvalue()


SEVERAL = zipped({"jan.csv": b"jan", "feb.csv": b"feb", "empty.csv": b""})


def contents(name: str | Path, **options) -> dict[str, bytes]:
    with open_container(name, **options) as container:
        return {one: b"".join(container.open(one).chunks()) for one in container.names}


@pytest.mark.parametrize(
    "name", ["new\nline.csv", b"caf\xe9.csv", "two  spaces.csv", "-dash.csv", "\x1b[31m.csv", "a::b"]
)
@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow fewer bytes in names")
def test_a_file_may_be_called_anything(tmp_path, monkeypatch, name):
    """It is opened by its name and shown by one that can be printed and stored."""
    monkeypatch.chdir(tmp_path)
    path = os.fsdecode(name)
    Path(path).write_bytes(DATA)
    with open_source(path) as source:
        assert b"".join(source.chunks()) == DATA
        assert source.name.isprintable()
        assert source.name.encode()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x" * 300, "cannot be opened: File name too long"),
        ("a\0b.csv", "found a NUL in the name, expected a file"),
        ("calls.csv/b.csv", "cannot be opened: Not a directory"),
        (".", "found a folder, expected a file"),
    ],
)
def test_what_cannot_be_opened_is_said(tmp_path, monkeypatch, name, message):
    """Names that no file can have are expanded to themselves, and are errors when they are opened."""
    monkeypatch.chdir(tmp_path)
    Path("calls.csv").touch()
    if name != ".":
        assert expand([name]) == [name]
    with pytest.raises(SourceError, match=f": {message}$"):
        open_source(name)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="devices are of POSIX")
def test_devices_are_refused():
    """What never ends would fill the disk; /dev/null is an empty file."""
    for device in ("/dev/zero", "/dev/full", "/dev/random"):
        with pytest.raises(SourceError, match="found a device, expected a file"):
            open_source(device)
    with Path("/dev/zero").open("rb") as endless, pytest.raises(SourceError, match="-: found a device"):
        open_source("-", stdin=endless)
    with open_source(os.devnull) as source:
        assert list(source.chunks()) == []


@pytest.mark.skipif(not Path("/proc/version").exists(), reason="/proc is of Linux")
def test_a_file_that_states_no_size_is_read():
    """Those of the kernel say that they are empty, and are not."""
    with open_source("/proc/version") as source:
        assert b"".join(source.chunks()) == Path("/proc/version").read_bytes()


def test_a_closed_standard_input_is_an_error(monkeypatch):
    """As when a service starts the command with nothing there."""
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(SourceError, match="-: found standard input closed"):
        open_source("-")


@pytest.mark.parametrize("name", ["calls.zip", "CALLS.ZIP", "calls"])
def test_each_member_of_an_archive_is_a_source(tmp_path, monkeypatch, name):
    """Told by content, whatever the archive is called; each member can be named by itself."""
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(SEVERAL)

    assert contents(name) == {f"{name}::empty.csv": b"", f"{name}::feb.csv": b"feb", f"{name}::jan.csv": b"jan"}
    assert contents(f"{name}::jan.csv") == {f"{name}::jan.csv": b"jan"}
    with pytest.raises(SourceError, match=f"^{name}::mar.csv: found no member mar.csv"):
        open_container(f"{name}::mar.csv")


def test_an_archive_in_standard_input_is_read():
    """It is copied once for all of its members."""
    assert contents("-", stdin=io.BytesIO(SEVERAL)) == {"-::empty.csv": b"", "-::feb.csv": b"feb", "-::jan.csv": b"jan"}
    assert contents("-::feb.csv", stdin=io.BytesIO(SEVERAL)) == {"-::feb.csv": b"feb"}


def test_one_bad_member_does_not_cost_the_others():
    """Each is opened by itself; what is wrong with it names it."""
    with open_container("-", stdin=io.BytesIO(zipped({"a.csv": b"a", "b.csv.gz": b"\0", "c.csv": b"c"}))) as container:
        assert container.names == ["-::a.csv", "-::b.csv.gz", "-::c.csv"]
        with pytest.raises(SourceError, match=r"^-::b\.csv\.gz: found neither gzip data nor text"):
            container.open("-::b.csv.gz")
        assert b"".join(container.open("-::c.csv").chunks()) == b"c"


def test_links_in_an_archive_are_passed_over():
    """They hold a path and no records, and it is followed nowhere."""
    link = zipfile.ZipInfo("link.csv")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16

    assert contents("-", stdin=io.BytesIO(zipped({link: b"/etc/passwd", "a.csv": b"a"}))) == {"-": b"a"}
    with pytest.raises(SourceError, match="found no file in the zip archive"):
        open_source(zipped({link: b"/etc/passwd"}))


def test_an_encrypted_member_is_an_error():
    """Its flag says that it is; nobody is asked for a password."""
    packed = bytearray(zipped({"a.csv": b"a,b\n"}))
    packed[6] |= 1
    packed[packed.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(SourceError, match="found an encrypted zip archive"):
        open_source(bytes(packed))


def test_a_member_without_a_name_is_an_error():
    """The zipfile module falls over it with an error of its own."""
    packed = bytearray(zipped({"a": b"a,b\n"}))
    for names in (26, packed.index(b"PK\x01\x02") + 28):  # the length of the name, then that of the extra field
        packed[names], packed[names + 2] = 0, 1
    with pytest.raises(SourceError, match="found a damaged zip archive"):
        open_source(bytes(packed))


def test_a_zip64_archive_is_read(tmp_path):
    """With sizes and offsets in their wide form, as for archives of 4 GiB and more."""
    path = tmp_path / "calls.zip"
    with zipfile.ZipFile(path, "w") as archive, archive.open("a.csv", "w", force_zip64=True) as member:
        member.write(DATA)

    assert contents(path) == {str(path): DATA}


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_bomb_in_an_archive_is_refused_in_little_memory(method, monkeypatch):
    """However much a few bytes unpack to, a chunk is bounded, and more than call logs can be is refused."""
    monkeypatch.setattr(compression, "_MOST_PLAIN_BYTES", 2**24)
    bomb = zipped({"a.csv": b"\n" * 2**25}, method)
    tracemalloc.start()
    try:
        with (
            open_source(bomb) as source,
            pytest.raises(SourceError, match=r"found more than 16 MiB in \d+ compressed bytes, expected call logs"),
        ):
            for _ in source.chunks():
                pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 2**24  # of which LZMA takes 8 MiB to look back in


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_with_any_byte_changed_is_read_right_or_refused(method):
    """Checked for every byte: its number of bytes and its checksum are compared here, too."""
    whole = zipped({"calls.csv": b"a,b\n1,2\n"}, method)
    for at in range(4, len(whole)):
        for flip in (0x01, 0x80, 0xFF):
            damaged = whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :]
            with contextlib.suppress(SourceError), open_source(damaged) as source:
                assert b"".join(source.chunks()) == b"a,b\n1,2\n", (at, flip)


@pytest.mark.parametrize("pack", [lzma.compress, zstd.compress])
def test_a_bomb_is_refused(pack, monkeypatch):
    """More than call logs can be compressed: it is told from them by its ratio, once it is large enough to hurt."""
    monkeypatch.setattr(compression, "_MOST_PLAIN_BYTES", 2**24)
    with open_source(pack(b"\n" * 2**25)) as source, pytest.raises(SourceError, match="expected call logs"):
        list(source.chunks())


def test_an_archive_of_endless_members_is_refused():
    """Its directory would be read into memory as a whole."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.csv", b"")
    end = packed.getvalue()
    directory = b"\0" * (9 * 2**20)
    at = end.index(b"PK\x05\x06")
    with pytest.raises(SourceError, match="found a zip archive with too many members"):
        open_source(end[:at] + directory + end[at:-10] + struct.pack("<IIH", len(directory), at, 0))


@pytest.mark.parametrize("skipped", [b"", b"abcde"])
def test_zstd_frames_that_are_to_be_skipped_are(skipped):
    """Before, between and after the frames with data, as parallel and seekable writers leave them (RFC 8878, 3.1.2)."""
    skip = b"\x5a\x2a\x4d\x18" + struct.pack("<I", len(skipped)) + skipped
    with open_source(skip + zstd.compress(DATA) + skip + zstd.compress(DATA) + skip) as source:
        assert b"".join(source.chunks()) == 2 * DATA
    with open_source(skip[:-1] if skipped else skip[:6]) as source, pytest.raises(SourceError, match="end of the file"):
        list(source.chunks())


def test_xz_that_needs_much_memory_is_refused():
    """Its header asks for it before a byte is decompressed."""
    greedy = lzma.compress(DATA, filters=[{"id": lzma.FILTER_LZMA2, "preset": 1, "dict_size": 2**28}])
    with open_source(greedy) as source, pytest.raises(SourceError, match=r"needs more than 128 MiB to decompress"):
        list(source.chunks())


def test_what_does_not_fit_on_the_disk_is_an_error(monkeypatch):
    """The message says where it was to go, and what to do."""
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: Path("/dev/full").open("w+b", 0))  # noqa: SIM115
    with pytest.raises(SourceError, match=r"^-: cannot be copied to a temporary file: No space left .*; set TMPDIR to"):
        open_source("-", stdin=io.BytesIO(DATA))


def test_the_disk_is_not_filled_to_its_end(monkeypatch):
    """What never ends stops while others on the disk still have room."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**12, 10**12, 2**28))
    with pytest.raises(SourceError, match=r"too little room on the disk; set TMPDIR to a folder with room for it"):
        open_source("-", stdin=io.BytesIO(DATA))


@pytest.mark.skipif(sys.platform != "linux", reason="the others delete it when it is closed")
def test_a_temporary_copy_is_gone_with_its_process(tmp_path):
    """It has no name: whoever kills the process leaves nothing behind."""
    program = """
import io, os, sys
from trunkline.sources.source import open_source
source = open_source("-", stdin=io.BytesIO(b"a,b\\n" * 1000))
assert os.listdir(os.environ["TMPDIR"]) == []
os.kill(os.getpid(), 9)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], env={"TMPDIR": str(tmp_path)}, capture_output=True, text=True
    )

    assert (done.returncode, done.stderr) == (-9, "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("pattern", ["", "/*.csv", "/**/a?.csv"])
def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path, monkeypatch, pattern):
    """It is not taken for an empty one, nor a glob in it for one that matches nothing, which may be allowed."""

    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(SourceError, match="cannot be listed: Permission denied") as caught:
        expand([f"{tmp_path}{pattern}"])

    assert not isinstance(caught.value, NothingFoundError)
