"""What a stage may ask of a cache, and the cache that keeps nothing.  The one that keeps is in `cache`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Protocol

from trunkline.blocks import TextBlock, TypedBlock


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheTally:
    """
    What a cache has done so far; the difference of two of these is what it did in between.

    Attributes:
        hits: Look-ups that gave a block.
        misses: Look-ups that gave none, for whatever reason: hits + misses = look-ups.
        stored: Blocks written.
        rejected: Values found that were not ours: damaged, foreign or of another schema (also misses).
        too_big: Blocks not written because their value was larger than the limit.
        errors: Commands that failed.
        bytes_read: Bytes of values received.
        bytes_written: Bytes of values stored.
    """

    hits: int = 0
    misses: int = 0
    stored: int = 0
    rejected: int = 0
    too_big: int = 0
    errors: int = 0
    bytes_read: int = 0
    bytes_written: int = 0

    def __add__(self, other: CacheTally) -> CacheTally:
        return CacheTally(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})

    def __sub__(self, other: CacheTally) -> CacheTally:
        return CacheTally(**{f.name: getattr(self, f.name) - getattr(other, f.name) for f in fields(self)})


class BlockCache(Protocol):
    """
    Keeps blocks between runs, or does not: a cache that fails is a cache that misses.

    No method raises, and all may be called from several threads at once.  A key is hexadecimal, a hash of all
    that the block depends on.
    """

    @property
    def counts(self) -> CacheTally:
        """What it has done so far."""

    @property
    def counts_here(self) -> CacheTally:
        """What it has done so far for this thread."""

    def get_text(self, key: str) -> TextBlock | None:
        """Return what extraction made of a block, or None if that is not to be had."""

    def put_text(self, key: str, block: TextBlock) -> None:
        """Keep what extraction made of a block, if possible."""

    def get_typed(self, key: str) -> TypedBlock | None:
        """Return what transformation made of a block, or None if that is not to be had."""

    def put_typed(self, key: str, block: TypedBlock) -> bool:
        """Keep what transformation made of a block, if possible, and return whether it is kept."""

    def close(self) -> None:
        """Let go of the connections."""


class NullCache:
    """A cache that keeps nothing and counts nothing, where no Redis is configured."""

    counts = counts_here = CacheTally()

    def get_text(self, key: str) -> TextBlock | None:
        """Return None."""

    def put_text(self, key: str, block: TextBlock) -> None:
        """Do nothing."""

    def get_typed(self, key: str) -> TypedBlock | None:
        """Return None."""

    def put_typed(self, key: str, block: TypedBlock) -> bool:
        """Return False."""
        return False

    def close(self) -> None:
        """Do nothing."""
