"""What sources are called: URLs told from paths, members of archives, and names fit for books, messages and logs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

ZIP_SUFFIX = ".zip"
MEMBER_MARK = "::"  # archive.zip::member.csv

_URL = re.compile(r"(?:[a-z0-9]+::)*[A-Za-z][A-Za-z0-9+.-]+://")  # fsspec chains them: simplecache::s3://
_ALMOST_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # with a slash lost it is a path, and may hold a password


def is_url(name: str) -> bool:
    """
    Whether a source is named by a URL; a Windows drive is none.

    >>> is_url("s3://bucket/calls.csv"), is_url("C:/calls.csv")
    (True, False)
    """
    return _URL.match(name) is not None


def as_path(name: str) -> str:
    """
    Return a ``file://`` URL as the path that it means, anything else as it is.

    >>> as_path("file:///data/calls.csv")
    '/data/calls.csv'
    """
    return name.removeprefix("file://")


def shown(name: str) -> str:
    """Return the name of a source as it gets into books, messages and logs: `redacted` and `printable`."""
    return printable(redacted(name))


def printable(name: str) -> str:
    r"""
    Return a name in one line that PostgreSQL and a terminal take: the rest, bytes that are not UTF-8 too, is escaped.

    >>> printable("new\nline.csv"), printable(b"caf\xe9.csv".decode("utf-8", "surrogateescape"))
    ('new\\nline.csv', 'caf\\xe9.csv')
    """
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def redacted(name: str) -> str:
    """
    Return the name of a source without user, password, query and fragment, any of which may hold a secret.

    >>> redacted("https://u:p@example.org/calls.csv?X-Amz-Signature=abc")
    'https://example.org/calls.csv'
    >>> redacted("calls?.csv")
    'calls?.csv'
    """
    if not _URL.match(name) and not _ALMOST_URL.match(name):
        return name
    archive, member = split_member(name)
    parts = list(_redacted_chain(archive.split(MEMBER_MARK)))
    return MEMBER_MARK.join(parts if member is None else [*parts, member])


def split_member(name: str) -> tuple[str, str | None]:
    """
    Return the archive and the member that a source's name stands for.

    >>> split_member("calls.ZIP::jan.csv"), split_member("calls.csv")
    (('calls.ZIP', 'jan.csv'), ('calls.csv', None))
    >>> split_member("https://example.org/calls.zip?signature=abc::jan.csv")
    ('https://example.org/calls.zip?signature=abc', 'jan.csv')
    """
    at = name.find(MEMBER_MARK)
    while at >= 0:
        archive, member = name[:at], name[at + len(MEMBER_MARK) :]
        if member and not is_url(member) and _path_of(archive).lower().endswith(ZIP_SUFFIX):
            return archive, member
        at = name.find(MEMBER_MARK, at + 1)
    return name, None


def _path_of(name: str) -> str:
    return re.split(r"[?#]", name, maxsplit=1)[0] if is_url(name) else name


def _redacted_chain(parts: list[str]) -> Iterator[str]:
    in_query = False  # which may hold the mark itself
    for part in parts:
        if _ALMOST_URL.match(part) or not in_query:
            in_query = re.search("[?#]", part) is not None
            yield _redacted_url(part)


def _redacted_url(url: str) -> str:
    """By hand where it cannot be parsed: what is redacted must not depend on being well formed."""
    if not _ALMOST_URL.match(url):
        return url
    scheme, _, _ = url.partition(":")
    plain = re.split(r"[?#]", url, maxsplit=1)[0]
    try:
        parts = urlsplit(plain)
        misplaced = "://" not in url or (not parts.netloc.rpartition("@")[2].startswith("[") and _no_port(parts.netloc))
    except ValueError:
        parts, misplaced = None, False
    if misplaced:  # most likely a password that holds one of /?# as it is
        return f"{scheme}://***"
    if parts is None:
        return f"{scheme}://{plain.partition('://')[2].rpartition('@')[2]}"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _no_port(netloc: str) -> bool:
    """Whether what follows the host is no port; that of ``user:password@host`` was cut off at the host."""
    _, colon, port = netloc.rpartition("@")[2].partition(":")
    return bool(colon) and not re.fullmatch("[0-9]*", port)
