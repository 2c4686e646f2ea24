"""Sources that are URLs: how they are named without secrets, and how they are fetched through fsspec."""

from __future__ import annotations

import re
from typing import BinaryIO
from urllib.parse import urlsplit, urlunsplit

from trunkline.errors import SourceError

_URL = re.compile(r"(?:[a-z0-9]+::)*[A-Za-z][A-Za-z0-9+.-]+://")  # fsspec chains them: simplecache::s3://
_EXTRAS = {"http": "http", "https": "http", "s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "sftp": "sftp"}
_GONE = (404, 410)
_CHECK = "check the address and the credentials"
_CHUNK_BYTES = 4 * 1024 * 1024


def is_url(name: str) -> bool:
    """
    Whether a source is named by a URL; a Windows drive is none.

    >>> is_url("s3://bucket/calls.csv"), is_url("C:/calls.csv")
    (True, False)
    """
    return _URL.match(name) is not None


def redacted(name: str) -> str:
    """
    Return the name of a source without user, password, query and fragment, any of which may hold a secret.

    >>> redacted("https://u:p@example.org/calls.csv?X-Amz-Signature=abc")
    'https://example.org/calls.csv'
    >>> redacted("calls?.csv")
    'calls?.csv'
    """
    if not is_url(name):
        return name
    return "::".join(_redacted_url(part) for part in name.split("::"))


def _redacted_url(url: str) -> str:
    if not is_url(url):
        return url
    # By hand where it cannot be parsed: what is redacted must not depend on being well formed.
    plain = re.split(r"[?#]", url, maxsplit=1)[0]
    try:
        parts = urlsplit(plain)
    except ValueError:
        scheme, _, rest = plain.partition("://")
        return f"{scheme}://{rest.rpartition('@')[2]}"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def fetch(url: str, into: BinaryIO) -> None:
    """
    Copy what a URL points to into an open file.

    Raises:
        SourceError: If it cannot be had, or came short of the size that the other side stated.
    """
    import fsspec

    name = redacted(url)
    try:
        filesystem, path = fsspec.core.url_to_fs(url)
        expected = filesystem.info(path).get("size")
        with filesystem.open(path, "rb", cache_type="readahead", block_size=_CHUNK_BYTES) as remote:
            while chunk := remote.read(_CHUNK_BYTES):
                into.write(chunk)
    except ImportError:
        raise _missing(url, name) from None
    except FileNotFoundError as error:
        raise _not_had(error, name) from None
    except ValueError as error:
        if "rotocol" not in str(error):
            raise _unreadable(error, name) from None
        raise SourceError(
            f"found the protocol {url.partition('://')[0]}, expected one of {', '.join(sorted(_EXTRAS))}", where=name
        ) from None
    except Exception as error:
        # Each protocol has errors of its own, and their texts may hold the URL with its secrets.
        raise _unreadable(error, name) from None
    if expected is not None and into.tell() != expected:
        raise SourceError(f"found {into.tell()} bytes, expected {expected}", where=name, hint="try again")


def _missing(url: str, name: str) -> SourceError:
    scheme = url.partition("://")[0].lower()
    extra = _EXTRAS.get(scheme)
    hint = f"pip install 'trunkline[{extra}]'" if extra else f"install the fsspec package for {scheme}://"
    return SourceError(f"reading {scheme}:// needs a package that is not installed", where=name, hint=hint)


def _not_had(error: FileNotFoundError, name: str) -> SourceError:
    """Tell what is not there from what was not given: fsspec's HTTP calls all of it not found."""
    cause = error.__cause__
    status = getattr(cause, "status", None)
    if cause is None or isinstance(cause, FileNotFoundError) or status in _GONE:
        return SourceError("not found", where=name)
    if status is not None:
        return SourceError(f"the server answered with status {status}", where=name, hint=_CHECK)
    return _unreadable(cause, name)


def _unreadable(error: BaseException, name: str) -> SourceError:
    return SourceError(f"cannot be read ({type(error).__name__})", where=name, hint=_CHECK)
