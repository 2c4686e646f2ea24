"""Globs and folders, of the disk and of URLs, become the names of files."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from trunkline.errors import NothingFoundError, SourceError
from trunkline.sources.naming import as_path, is_url, shown
from trunkline.sources.remote import FOLDER, GLOB, list_files, stands_for

STDIN = "-"
_FOLDER_PATTERN = "*.csv*"  # calls.csv, CALLS.CSV, calls.csv.gz, Master.csv.2024-01-31-23-59-59


def expand(names: Iterable[str]) -> list[str]:
    """
    Return the files that *names* stand for, each in the place of its name.

    A folder stands for its files called ``*.csv*``, in letters of any case, not for those in folders below; a glob
    (``*``, ``?``, ``[]``, and ``**`` for folders of any depth) for the files it matches; both sorted by name, without
    hidden files.  So do URLs, where the other side lists what it has.  Everything else stands for itself.

    Raises:
        NothingFoundError: If a folder or glob stands for nothing.
        SourceError: If it cannot be listed, or a name is empty.
    """
    return [file for name in names for file in _expand(as_path(name))]


def _expand(name: str) -> list[str]:
    if not name:  # a path library takes it for this folder; more likely it is a variable that is not set
        raise SourceError("found an empty name, expected a file, folder, glob or URL")
    if name == STDIN:
        return [name]
    return _expand_url(name) if is_url(name) else _expand_path(name)


def _expand_path(name: str) -> list[str]:
    if os.path.isdir(name):  # noqa: PTH112 - for Path, some names raise errors
        try:
            found = [os.path.join(name, one.name) for one in os.scandir(name) if one.is_file()]  # noqa: PTH118
        except OSError as error:
            raise SourceError(f"cannot be listed: {error.strerror}", where=shown(name)) from error
        return _call_logs(found, name)
    if os.path.exists(name) or not glob.has_magic(name):  # noqa: PTH110 - as above
        return [name]
    _check_listed(name)
    found = sorted(one for one in glob.glob(name, recursive=True) if Path(one).is_file())  # noqa: PTH207 (keeps "./")
    return _some(found, name)


def _check_listed(pattern: str) -> None:
    """Raise if the folder that a glob begins in is closed to us: it would match nothing, which may be allowed."""
    folder = pattern
    while glob.has_magic(folder):
        folder = os.path.dirname(folder)  # noqa: PTH120 - keeps "./"
    try:
        os.scandir(folder or ".").close()
    except PermissionError as error:
        raise SourceError(f"cannot be listed: {error.strerror}", where=shown(pattern)) from error
    except OSError:
        return  # not there: nothing matches


def _expand_url(name: str) -> list[str]:
    kind = stands_for(name)
    if kind == GLOB:
        return _some(sorted(one for one in list_files(name) if not _is_hidden(one)), name)
    return _call_logs(list_files(name), name) if kind == FOLDER else [name]


def _call_logs(files: Iterable[str], folder: str) -> list[str]:
    """Return those of the files of a folder that are to be loaded, sorted."""
    found = sorted(one for one in files if not _is_hidden(one) and fnmatchcase(_last(one).lower(), _FOLDER_PATTERN))
    if not found:
        raise NothingFoundError(f"found no {_FOLDER_PATTERN} in the folder, expected call logs", where=shown(folder))
    return found


def _some(found: Sequence[str], name: str) -> list[str]:
    if not found:
        raise NothingFoundError("no file matches, expected at least one", where=shown(name))
    return list(found)


def _is_hidden(file: str) -> bool:
    return _last(file).startswith(".")


def _last(file: str) -> str:
    return os.path.basename(file)  # noqa: PTH119 - of URLs, too
