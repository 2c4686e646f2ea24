"""Keeps blocks in Redis, and treats every failure of Redis as a miss: slower, never different."""

from __future__ import annotations

import secrets
import threading
import time
import warnings
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

import redis

from trunkline.blocks import TextBlock, TypedBlock
from trunkline.cache.breaker import Breaker
from trunkline.cache.client import (
    bounded_copy,
    cause,
    client_from_url,
    execute,
    is_foreign_type,
    is_on_this_machine,
    is_refusal,
    place,
)
from trunkline.cache.port import BlockCache, CacheTally, NullCache
from trunkline.cache.values import (
    BadValueError,
    Compression,
    cache_key,
    claim_key,
    mac_key,
    pack_text,
    pack_typed,
    seal,
    unpack_text,
    unpack_typed,
    unseal,
)
from trunkline.errors import UsageError

__all__ = ["Cache", "NullCache", "cache_for", "connect_cache"]

# Long enough that a daily export finds the blocks of yesterday's and a load refused before the weekend those
# of Friday; values hold personal data, so not longer.
DEFAULT_TTL_S = 7 * 24 * 3600

# Values of the usual blocks (2 to 8 MiB of CSV) take 1 to 8 MiB.  What is larger blocks a server that works
# on one command at a time for long, and pushes many others out.
MAX_VALUE_BYTES = 16 * 1024 * 1024

# Who finds no value claims the block for as long as working it out may take: a block takes 0.05 to 0.5 s.  Others wait
# for the value that long, and no longer if whoever claimed it died.
CLAIM_S = 2.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.005, 0.1

Warn = Callable[[str], None]
BlockT = TypeVar("BlockT")


def connect_cache(
    url: str | None, *, secret: str | None = None, ttl_s: int = DEFAULT_TTL_S, warn: Warn
) -> Cache | NullCache:
    """
    Return the cache at *url*; nothing is connected until it is used.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://`` as redis-py reads it; None or "none" for no cache.
        secret: Whoever does not know it cannot plant values; all that share the cache need the same.
        ttl_s: Seconds after which Redis forgets a value.
        warn: Called with one line, once, if the cache fails.

    Raises:
        SettingsError: If the URL cannot be used.  A server that is not there is a warning, later.
    """
    if url is None or url == "none":
        return NullCache()
    return Cache(client_from_url(url), secret=secret, ttl_s=ttl_s, warn=warn)


def cache_for(client: redis.Redis | BlockCache | None) -> BlockCache:
    """
    Return the cache to use for what the user passed as ``redis=``: their own client, a cache, or None.

    The same client gets the same cache every time, so that one which failed is left alone for a while and
    warned of once, however many blocks are worked on.  Warnings are RuntimeWarnings.

    Raises:
        UsageError: If *client* is neither.
    """
    if client is None:
        return NullCache()
    if isinstance(client, Cache | NullCache):
        return client
    if not isinstance(client, redis.Redis):
        found = f"{type(client).__module__}.{type(client).__name__}"
        raise UsageError(
            f"found a {found} as redis, expected a redis.Redis",
            hint="make one with redis.Redis.from_url(URL); asyncio and cluster clients do not fit here",
        )
    with _caches_lock:
        cache = _caches.get(client)
        if cache is None:
            cache = _caches[client] = Cache(bounded_copy(client), warn=_warn_user)
        return cache


_caches: weakref.WeakKeyDictionary[redis.Redis, Cache] = weakref.WeakKeyDictionary()
_caches_lock = threading.Lock()


def _warn_user(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=2)


class Cache:
    """
    Blocks in Redis.  Never raises; safe to use from several threads.

    After a failure it stops trying for a while (see `Breaker`): a refused write stops writing, a refused read
    stops reading, and a server that is away stops both.  The first failure or bad value is passed to *warn*,
    all are counted.
    """

    def __init__(
        self,
        client: redis.Redis,
        *,
        secret: str | None = None,
        ttl_s: int = DEFAULT_TTL_S,
        max_value_bytes: int = MAX_VALUE_BYTES,
        warn: Warn,
        breaker: Callable[[], Breaker] = Breaker,
    ) -> None:
        """Use *client* with its own waits and retries; `connect_cache` and `cache_for` bound them."""
        self._client = client
        self._mac = mac_key(secret) if secret else None
        self._compression: Compression = None if is_on_this_machine(client) else "lz4"
        self._ttl_s = ttl_s
        self._max_value_bytes = max_value_bytes
        self._warn = warn
        self._warned = False
        self._reads = breaker()
        self._writes = breaker()
        self._counts = CacheTally()
        self._here = threading.local()
        self._lock = threading.Lock()

    @property
    def counts(self) -> CacheTally:
        """What it has done so far."""
        return self._counts

    @property
    def counts_here(self) -> CacheTally:
        """What it has done so far for this thread."""
        return getattr(self._here, "counts", CacheTally())

    def get_text(self, key: str) -> TextBlock | None:
        """Return what extraction made of a block, or None if that is not to be had."""
        return self._get(cache_key("extract", key), unpack_text)

    def put_text(self, key: str, block: TextBlock) -> None:
        """Keep what extraction made of a block for the time to live, if possible."""
        self._put(cache_key("extract", key), lambda: pack_text(block, self._compression))

    def get_typed(self, key: str) -> TypedBlock | None:
        """Return what transformation made of a block, or None if that is not to be had."""
        return self._get(cache_key("transform", key), unpack_typed)

    def put_typed(self, key: str, block: TypedBlock) -> bool:
        """Keep what transformation made of a block for the time to live, if possible, and return whether it is kept."""
        return self._put(cache_key("transform", key), lambda: pack_typed(block, self._compression))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _get(self, key: str, unpack: Callable[[memoryview], BlockT]) -> BlockT | None:
        value = self._attempt(self._reads, "GET", key)
        if value is None:
            value = self._await_other(key)
        if value is None:
            self._count(misses=1)
            return None
        try:
            block = unpack(unseal(value, key=key, mac=self._mac))
        except BadValueError as exc:
            self._count(misses=1, rejected=1)
            self._warn_once(f"a value is not what was written there ({exc})", "it is worked out again")
            return None
        self._count(hits=1, bytes_read=len(value))
        return block

    def _await_other(self, key: str) -> Any:
        """Return the value that another worker is making now; None if the work is ours, or was waited for in vain."""
        until, pause_s = time.monotonic() + CLAIM_S, _FIRST_PAUSE_S
        while not self._claim(key) and time.monotonic() < until:
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            value = self._attempt(self._reads, "GET", key)
            if value is not None:
                return value
        return None

    def _claim(self, key: str) -> bool:
        """Say that this worker makes the value; False while another one does."""
        own = self._own_mark()
        there = self._attempt(self._writes, "SET", claim_key(key), own, "NX", "GET", "PX", round(CLAIM_S * 1000))
        return not isinstance(there, bytes) or there == own

    def _own_mark(self) -> bytes:
        """Return what tells this thread's claims from all others."""
        if not hasattr(self._here, "mark"):
            self._here.mark = secrets.token_bytes(12)
        mark: bytes = self._here.mark
        return mark

    def _put(self, key: str, pack: Callable[[], memoryview]) -> bool:
        if self._writes.blocked:
            return False
        kept = False
        value = seal(pack(), key=key, mac=self._mac)
        if len(value) > self._max_value_bytes:
            self._count(too_big=1)
        elif self._attempt(self._writes, "SET", key, value, "EX", self._ttl_s) == b"OK":
            kept = True
            self._count(stored=1, bytes_written=len(value))
        # Given back whatever became of the value, and by SET, the only right to write that we ask for.
        self._attempt(self._writes, "SET", claim_key(key), b"", "PX", 1)
        return kept

    def _attempt(self, breaker: Breaker, *command: str | bytes | memoryview | int) -> Any:
        if not breaker.allows():
            return None
        try:
            reply = execute(self._client, *command)
        except Exception as exc:  # whatever goes wrong with Redis, the promise is a miss
            if not is_foreign_type(exc):
                self._note_failure(breaker, exc)
                return None
            reply = exc  # no string, so none of ours
        breaker.succeeded()
        return reply

    def _note_failure(self, breaker: Breaker, exc: Exception) -> None:
        self._count(errors=1)
        if is_refusal(exc):
            breaker.failed()
        else:
            self._reads.failed()
            self._writes.failed()
        self._warn_once(cause(exc), "the work goes on without it")

    def _warn_once(self, cause: str, consequence: str) -> None:
        with self._lock:
            if self._warned:
                return
            self._warned = True
        where = place(self._client)
        self._warn(f"cache at {where}: {cause}; {consequence}, slower, with the same result")

    def _count(self, **more: int) -> None:
        tally = CacheTally(**more)
        self._here.counts = self.counts_here + tally
        with self._lock:
            self._counts += tally
