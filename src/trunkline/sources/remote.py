"""What URLs point to, through fsspec: listed, and copied as one state of it or not at all."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Literal, Protocol

from trunkline.errors import SourceChangedError, SourceError, TrunklineError
from trunkline.sources.naming import MEMBER_MARK, shown

GLOB: Final = "glob"
FOLDER: Final = "folder"
FILE: Final = "file"

_EXTRAS = {"http": "http", "https": "http", "s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "sftp": "sftp"}
_HTTP = ("http", "https")
_GONE = (404, 410)
_CHECK = "check the address and the credentials"
_BROKE_OFF = ("ClientPayloadError", "ServerDisconnectedError", "FSTimeoutError", "IncompleteRead", "ReadTimeoutError")
_NOT_THERE = ("NoSuchKey", "NoSuchBucket")  # what s3fs lets pass of botocore
_AGAIN = "load it again when nobody writes to it"
_CHUNK_BYTES = 4 * 1024 * 1024
_SFTP_REQUESTS = 64  # of 32 KiB, under way at once
_MAGIC = re.compile(r"[*\[]|\?(?!\w+=)")  # "?versionId=..." names a version
# What of a file's description changes with its content, as the file systems of fsspec call it.
_STATE = (
    "size",
    "ETag",
    "etag",
    "VersionId",
    "generation",
    "LastModified",
    "last_modified",
    "mtime",
    "updated",
    "created",
)


class Sink(Protocol):
    """What a copy is written to."""

    @property
    def written(self) -> int: ...
    def write(self, chunk: bytes) -> object: ...


def stands_for(url: str) -> Literal["glob", "folder", "file"]:
    """
    Return what a URL stands for; the other side is asked only where the URL leaves it open.

    Raises:
        SourceError: If it cannot be asked, or if HTTP, which has no lists, would have to.
    """
    if MEMBER_MARK in url:  # of fsspec's chains
        return FILE
    scheme, _, rest = url.partition("://")
    if scheme.lower() in _HTTP:
        path = re.split(r"[?#]", rest, maxsplit=1)[0].partition("/")[2]
        if re.search(r"[*\[]", path) or (path.endswith("/") and "?" not in rest):
            raise SourceError(
                "found a glob or a folder, expected the address of one file",
                where=shown(url),
                hint="HTTP has no lists of files: name each",
            )
        return FILE
    if _MAGIC.search(rest):
        return FILE if _is(url, FILE) else GLOB
    return FOLDER if rest.endswith("/") or _is(url, "directory") else FILE


def list_files(url: str) -> list[str]:
    """
    Return the URLs of the files that a glob matches, or that are in a folder, in any order.

    Raises:
        SourceError: If they cannot be had.
    """
    with _translated(url):
        filesystem, path = _file_system(url)
        if _MAGIC.search(url.partition("://")[2]):
            found = filesystem.glob(path, detail=True).values()
        else:
            found = filesystem.ls(path, detail=True)
        # With what stands before the path in the URL: host, user and password.
        before = url[: url.rstrip("/").rindex(path.rstrip("/"))]
        return [before + one["name"] for one in found if _is_file(filesystem, one)]


def _is_file(filesystem: Any, found: Mapping[str, Any]) -> bool:
    """Whether what was listed is a file, or a link to one; object stores mark empty folders by names that end so."""
    kind = found["type"] if found["type"] != "link" else filesystem.info(found["name"])["type"]
    return bool(kind == "file" and not found["name"].endswith("/"))


def fetch(url: str, into: Sink) -> None:
    """
    Copy what a URL points to.

    Raises:
        SourceError: If it cannot be had, or came short of the size that the other side stated.
        SourceChangedError: If it is not the same after as it was before.
    """
    with _translated(url):
        filesystem, path = _file_system(url)
        if url.partition("://")[0].lower() in _HTTP:
            from trunkline.sources.http_files import fetch_http

            fetch_http(filesystem, path, into)
        else:
            _fetch_file(filesystem, path, into)


def _fetch_file(filesystem: Any, path: str, into: Sink) -> None:
    before = _state(filesystem, path)
    with filesystem.open(path, "rb", cache_type="readahead", block_size=_CHUNK_BYTES) as remote:
        if hasattr(remote, "prefetch"):  # of SFTP: else each 32 KiB waits for those before
            remote.prefetch(before["size"], _SFTP_REQUESTS)
        while chunk := remote.read(_CHUNK_BYTES):
            into.write(chunk)
    if _state(filesystem, path) != before:
        raise SourceChangedError("changed while it was copied", hint=_AGAIN)
    expected = before.get("size")
    if expected is not None and into.written != expected:
        raise SourceError(f"found {into.written} bytes, expected {expected}", hint="try again")


def _state(filesystem: Any, path: str) -> Mapping[str, Any]:
    filesystem.invalidate_cache()
    found = filesystem.info(path)
    if found.get("type") == "directory":
        raise SourceError("found a folder, expected a file")
    return {name: found[name] for name in _STATE if name in found}


def _is(url: str, kind: str) -> bool:
    """Whether a URL points to something of that kind; what is not there is of none."""
    try:
        with _translated(url):
            filesystem, path = _file_system(url)
            return bool(filesystem.info(path)["type"] == kind)
    except SourceError as error:
        if isinstance(error.__context__, FileNotFoundError):
            return False
        raise


def _file_system(url: str) -> tuple[Any, str]:
    """Return fsspec's file system for a URL, and the path in it; nothing of what it knew before is believed."""
    from fsspec.core import url_to_fs

    scheme = url.partition("://")[0].lower()
    if scheme in _HTTP:
        from trunkline.sources.http_files import CLIENT

        filesystem, path = url_to_fs(url, client_kwargs=CLIENT)
    elif scheme == "sftp":
        from trunkline.sources.sftp_files import open_sftp

        filesystem, path = open_sftp(url)
    else:
        filesystem, path = url_to_fs(url)
    filesystem.invalidate_cache()
    return filesystem, path


@contextmanager
def _translated(url: str) -> Iterator[None]:
    """
    Turn what protocols raise into errors of ours.

    Each has errors of its own, and their texts may hold the URL with its secrets, so none is quoted or kept as cause.
    """
    name = shown(url)
    try:
        yield
    except TrunklineError as error:
        error.where = error.where or name
        raise
    except ImportError:
        raise _missing(url, name) from None
    except FileNotFoundError as error:
        raise _not_had(error, name) from None
    except PermissionError:
        raise SourceError("the other side refuses to show it", where=name, hint=_CHECK) from None
    except ValueError as error:
        if "rotocol" not in str(error):
            raise _unreadable(error, name) from None
        schemes = ", ".join(sorted(_EXTRAS))
        raise SourceError(
            f"found the protocol {url.partition('://')[0]}, expected one of {schemes}", where=name
        ) from None
    except Exception as error:
        raise _unreadable(error, name) from None


def _missing(url: str, name: str) -> SourceError:
    scheme = url.partition("://")[0].lower()
    extra = _EXTRAS.get(scheme)
    hint = f"pip install 'trunkline[{extra}]'" if extra else f"install the fsspec package for {scheme}://"
    return SourceError(f"reading {scheme}:// needs a package that is not installed", where=name, hint=hint)


def _not_had(error: FileNotFoundError, name: str) -> TrunklineError:
    """Tell what is not there from what was not given: fsspec may call all of it not found."""
    cause = error.__cause__
    if cause is None or isinstance(cause, FileNotFoundError) or getattr(cause, "status", None) in _GONE:
        return SourceError("not found", where=name)
    return _unreadable(cause, name)


def _unreadable(error: BaseException, name: str) -> TrunklineError:
    status = getattr(error, "status", None)
    if status is not None:
        return SourceError(f"the server answered with status {status}", where=name, hint=_CHECK)
    kind = type(error).__name__
    if kind == "FileExpired":  # of s3fs: the rest has another ETag
        return SourceChangedError("changed while it was copied", where=name, hint=_AGAIN)
    if kind in _NOT_THERE:
        return SourceError("not found", where=name)
    if kind in _BROKE_OFF or isinstance(error, ConnectionResetError | TimeoutError | EOFError):
        return SourceError(f"the copy broke off ({kind})", where=name, hint="try again")
    if kind == "BadHostKeyException":
        return SourceError(
            "the host has another key than in ~/.ssh/known_hosts",
            where=name,
            hint="if its key was changed, remove the old one: ssh-keygen -R HOST",
        )
    return SourceError(f"cannot be read ({kind})", where=name, hint=_CHECK)
