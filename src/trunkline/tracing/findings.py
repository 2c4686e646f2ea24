"""What a proof found: counts of disagreements by kind, with the first of each, and the verdict on a source.  No I/O."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

MOST_EXAMPLES = 5
"""Disagreements of a kind that are named one by one."""

Verdict = Literal["proved", "disagrees", "not_loaded", "failed"]
"""``not_loaded``: the books have no load of this content on these terms."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Disagreement:
    """
    One thing that is not as it should be.

    Attributes:
        kind: What kind of thing, such as ``missing``.
        detail: What was found and expected, in one line, without values of records.
        source_line: Of the record, from 1; None where it is about more than a record.
        load_id, call_table: What it is about, where that is not said already.
    """

    kind: str
    detail: str
    source_line: int | None = None
    load_id: int | None = None
    call_table: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return what is known, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(kw_only=True, slots=True)
class Findings:
    """Disagreements as they are found: all are counted, the first of each kind are kept."""

    by_kind: Counter[str] = field(default_factory=Counter)
    examples: list[Disagreement] = field(default_factory=list)

    def add(self, *found: Disagreement, count: int | None = None) -> None:
        """Add disagreements of one kind; *count* says how many there are where not all of them are named."""
        for one in found[: MOST_EXAMPLES - self.room_taken(found[0].kind)] if found else ():
            self.examples.append(one)
        if found:
            self.by_kind[found[0].kind] += len(found) if count is None else count

    def room_taken(self, kind: str) -> int:
        """Return how many of a kind are named already, at most `MOST_EXAMPLES`."""
        return min(MOST_EXAMPLES, sum(one.kind == kind for one in self.examples))

    def compare(self, kind: str, what: str, *, books: object, found: object) -> None:
        """Add a disagreement if the books say another number than was found."""
        if books != found:
            self.add(Disagreement(kind=kind, detail=f"{what}: {books} in the books, {found} found"))

    def in_order(self) -> tuple[Disagreement, ...]:
        """Return the examples, kind by kind, by line."""
        return tuple(sorted(self.examples, key=lambda one: (one.kind, one.source_line or 0)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Verified:
    """
    What reading a source again showed.

    Attributes:
        load_id: The load that brought its content.
        read, loaded, duplicates, duplicates_in_source, rejected, filtered: Records by the place they were found in.
        replaced: Records whose call another one took the place of since, as the layout says.
        disagreements: Kind to count.
        examples: The first of each kind.
        notes: What should be known of the proof.
        reason: Why it is not loaded, or could not be read, in one line.
    """

    source: str
    layout: str | None
    status: Verdict
    load_id: int | None = None
    read: int = 0
    loaded: int = 0
    duplicates: int = 0
    duplicates_in_source: int = 0
    rejected: int = 0
    filtered: int = 0
    replaced: int = 0
    disagreements: dict[str, int] = field(default_factory=dict)
    examples: tuple[Disagreement, ...] = ()
    notes: tuple[str, ...] = ()
    reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return what ``trunkline verify --json`` writes for a source."""
        own = {one.name: getattr(self, one.name) for one in fields(self)}
        return own | {
            "disagreements": dict(sorted(self.disagreements.items())),
            "examples": [one.to_dict() for one in self.examples],
            "notes": list(self.notes),
        }
