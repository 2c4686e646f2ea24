"""Open what a name stands for, as bytes that can be read more than once: a file as it is, all else as a copy of it."""

from __future__ import annotations

import io
import os
import stat
import sys
from pathlib import Path
from typing import BinaryIO

from trunkline.errors import SourceError
from trunkline.sources.naming import is_url, shown
from trunkline.sources.remote import fetch
from trunkline.sources.spool import Spool
from trunkline.sources.stored import Stored

STDIN = "-"
_CHUNK_BYTES = 4 * 1024 * 1024


def open_stored(name: str, *, stdin: BinaryIO | None = None) -> Stored:
    """
    Open a path, a URL or ``-``.

    What is not a regular file is first copied to a temporary one.

    Args:
        name: As the user gave it.
        stdin: What ``-`` means, by default the standard input of the process.

    Raises:
        SourceError: If it is missing, cannot be read or copied, or is no file.
    """
    if name == STDIN:
        return _open_stdin(stdin or _standard_input())
    return _fetched(name) if is_url(name) else _open_path(name)


def spooled(name: str, file: BinaryIO) -> Stored:
    """
    Return a temporary copy of what an open file still has.

    Raises:
        SourceError: If it cannot be read, or there is no room for it.
    """
    with Spool(name) as spool:
        while chunk := _read(name, file):
            spool.write(chunk)
        return Stored(name, spool.take())


def _read(name: str, file: BinaryIO) -> bytes:
    try:
        return file.read(_CHUNK_BYTES)
    except OSError as error:
        raise SourceError(f"cannot be read: {error.strerror}", where=name) from error


def _standard_input() -> BinaryIO:
    if sys.stdin is None:
        raise SourceError("found standard input closed, expected call logs in it", where=STDIN)
    return sys.stdin.buffer


def _open_stdin(stdin: BinaryIO) -> Stored:
    if not stdin.isatty():  # somebody may type
        try:
            found = os.fstat(stdin.fileno())
        except (OSError, io.UnsupportedOperation):
            pass  # no file of the system, but one in memory
        else:
            _check_kind(found, STDIN)
    return spooled(STDIN, stdin)


def _open_path(path: str) -> Stored:
    name = shown(path)
    try:
        _check_kind(os.stat(path), name)  # noqa: PTH116 - before it is opened: that alone moves some devices
        file = Path(path).open("rb")  # noqa: SIM115 - what is returned closes it
    except FileNotFoundError:
        raise SourceError("not found, expected a file", where=name) from None
    except OSError as error:
        raise SourceError(f"cannot be opened: {error.strerror}", where=name) from error
    except ValueError:
        raise SourceError("found a NUL in the name, expected a file", where=name) from None
    found = os.fstat(file.fileno())
    if stat.S_ISREG(found.st_mode) and (found.st_size or not file.peek(1)):  # those of the kernel state no size
        return Stored(name, file, path=Path(path))
    with file:
        return spooled(name, file)


def _check_kind(found: os.stat_result, name: str) -> None:
    """Refuse folders, and devices other than /dev/null: most never end, and some act on being read."""
    if stat.S_ISDIR(found.st_mode):
        raise SourceError("found a folder, expected a file", where=name)
    is_device = stat.S_ISBLK(found.st_mode) or stat.S_ISCHR(found.st_mode)
    if is_device and found.st_rdev != os.stat(os.devnull).st_rdev:  # noqa: PTH116 - it is no path on Windows
        raise SourceError("found a device, expected a file", where=name)


def _fetched(url: str) -> Stored:
    name = shown(url)
    with Spool(name) as spool:
        fetch(url, spool)
        return Stored(name, spool.take(), location=url)
