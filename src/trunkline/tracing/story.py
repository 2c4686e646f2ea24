"""The life of a record: where it stands, and what each load made of it.  No I/O, and no value of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

Became = Literal[
    "loaded", "changed", "duplicate", "replaced", "rejected", "filtered", "reloaded", "missing", "no record", "nothing",
    "unknown",
]  # fmt: skip
"""What a load made of a record: ``nothing`` where the load itself brought nothing, ``unknown`` where only the source
could tell."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """
    The call that has the key of a record.

    Attributes:
        partition: The table that holds it.
        differs: Whether its values are other ones; None where there is nothing to compare.
    """

    load_id: int
    source_line: int
    partition: str
    record_key: str
    differs: bool | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownLoad:
    """A load that met the record."""

    id: int
    source: str
    system: str
    layout: str
    call_table: str
    status: str
    reason: str | None
    content_hash: str | None
    timezone: str
    tz_source: str
    currency: str
    at: datetime
    superseded_by: int | None
    replays: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Chapter:
    """
    What one load made of a record.

    Attributes:
        became: See `Became`.
        detail: The same in words, with loads, lines and codes.
        at: When the load ended, or began where it has not ended.
        partition, record_key: Of the call, where it is loaded.
        kept_load_id, kept_source_line: Of a duplicate or a conflict: the call that was kept.
        reject: Its reject, as the books have it, without bytes.
    """

    load_id: int
    source: str
    status: str
    at: datetime
    became: Became
    detail: str
    partition: str | None = None
    record_key: str | None = None
    kept_load_id: int | None = None
    kept_source_line: int | None = None
    reject: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Story:
    """
    The life of a record.

    Attributes:
        read_as: What reading its line again shows, see `rereading.Kind`; None where the source is not at hand.
        block, byte_offset: Where it stands; the offset is known from its source or its reject.
        record_key: None where the line is no call, or nobody knows.
        chapters: Load by load, in order.
        lost_against: Conflicts, as (reject, load, line), that its call was kept against.
        notes: What is not known, and the next step.
    """

    source: str
    source_line: int
    read_as: str | None
    block: int | None
    byte_offset: int | None
    record_key: str | None
    chapters: tuple[Chapter, ...]
    lost_against: tuple[tuple[int, int, int], ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return what ``trunkline explain --json`` writes."""
        return asdict(self)
