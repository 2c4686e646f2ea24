"""Files over HTTP: one request and one answer, so that what is copied is one state of the file.

fsspec's own file would ask for it range by range, and join those of two states without a word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aiohttp import ClientTimeout, hdrs
from fsspec.asyn import sync

from trunkline.errors import SourceChangedError, SourceError

if TYPE_CHECKING:
    from trunkline.sources.remote import Sink

# aiohttp gives a whole download five minutes.  Here only silence ends it; and what is stored compressed stays so.
CLIENT: Final = {"timeout": ClientTimeout(total=None, sock_connect=30, sock_read=120), "auto_decompress": False}

_OK = 200
_AS_STORED = {hdrs.ACCEPT_ENCODING: "identity"}
_CHUNK_BYTES = 4 * 1024 * 1024


def fetch_http(filesystem: Any, url: str, into: Sink) -> None:
    """
    Copy the file at *url*.

    Raises:
        SourceError: If the answer is no file, or cannot be known to be whole.
        SourceChangedError: If the file is not the same after as it was before.
        Exception: Those of aiohttp, also for an answer that breaks off before its stated end.
    """
    # A size spares fsspec the question for it; what it is does not matter.
    with filesystem.open(url, "rb", block_size=0, size=1, headers=_AS_STORED) as remote:
        answer = remote.r
        _check(answer)
        while chunk := remote.read(_CHUNK_BYTES):
            into.write(chunk)
    before, after = _state(answer.headers), _state_now(filesystem, url)
    if any(after.get(name, value) != value for name, value in before.items()):
        raise SourceChangedError("changed while it was copied", hint="load it again when nobody writes to it")


def _check(answer: Any) -> None:
    if answer.status != _OK:
        raise SourceError(f"the server answered with status {answer.status}, expected 200", hint="is it ready yet?")
    encoding = answer.headers.get(hdrs.CONTENT_ENCODING, "identity").lower()
    if encoding not in ("identity", "gzip", "x-gzip", "zstd"):  # those are told by content like any archive
        raise SourceError(
            f"found the content encoding {encoding}, expected none or gzip", hint="copy it with another program"
        )
    # RFC 9112, 8: without either, an answer that broke off looks like a whole one.
    chunked = "chunked" in answer.headers.get(hdrs.TRANSFER_ENCODING, "").lower()
    if not chunked and hdrs.CONTENT_LENGTH not in answer.headers:
        raise SourceError(
            "the server states no length, so that nobody can tell whether it is whole, expected one",
            hint="copy it with another program",
        )


def _state(headers: Any) -> dict[str, str]:
    """
    Return what in an answer tells one state of the file from another.

    A file that was modified just when it was asked for is made anew each time: its time tells nothing.
    """
    tag, modified = headers.get(hdrs.ETAG), headers.get(hdrs.LAST_MODIFIED)
    if tag:
        return {hdrs.ETAG: tag}
    return {hdrs.LAST_MODIFIED: modified} if modified and modified != headers.get(hdrs.DATE) else {}


def _state_now(filesystem: Any, url: str) -> dict[str, str]:
    """Return the same as the server says it now; nothing if it does not, as for signed addresses: they allow GET."""

    async def ask() -> dict[str, str]:
        session = await filesystem.set_session()
        async with session.head(filesystem.encode_url(url), headers=_AS_STORED, allow_redirects=True) as answer:
            return _state(answer.headers) if answer.status == _OK else {}

    try:
        found: dict[str, str] = sync(filesystem.loop, ask)
    except Exception:  # the file is there already; what comes after it is only a question
        return {}
    return found
