"""The write side of the books: a load is opened, resumed, found unchanged, closed as loaded, refused or failed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import reduce
from operator import add
from time import perf_counter
from typing import TYPE_CHECKING, Any

from psycopg2.errors import LockNotAvailable

from trunkline.books.account import Books, CacheCounts, Seconds
from trunkline.books.reading import show_load
from trunkline.database.connection import LockSpace
from trunkline.database.queries import Queries
from trunkline.errors import DatabaseBusyError, DatabaseError, ReloadNeededError
from trunkline.findings import Findings
from trunkline.sources.source import EarlierContent

if TYPE_CHECKING:
    from psycopg2 import sql
    from psycopg2.extensions import connection as Connection  # noqa: N812
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

    from trunkline.evidence import Verdict
    from trunkline.framing.cutting import EarlierBlock, SourceForm
    from trunkline.layout.files import Layout
    from trunkline.loading.tables import CallTable

query = Queries("loading")

_RELOAD_HINT = "give the same again; '--reload' replaces what this very content brought, and nothing else"
_OTHERS_HINT = "other sources brought calls under the same: delete this system's calls and load all its sources again"

LOCK_NUMBERS = 2**31  # the second half of an advisory lock is an int4


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """
    On what terms a source is loaded: all that must be equal for two loads of one content to be the same load.

    Attributes:
        source: The source's name as the books show it, without credentials.
        call_table: Qualified and quoted.
        timezone, currency: What its times and amounts are read in, comma-joined where there are several.
        tz_source: ``stated``, ``configured``, ``proved`` or empty.
    """

    source: str
    system: str
    layout: str
    layout_fingerprint: str
    key_fingerprint: str
    call_table: str
    timezone: str
    tz_source: str
    currency: str

    def parameters(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.__slots__}


def terms_of(layout: Layout, table: CallTable, source: str) -> Terms:
    """Return the terms of loading *source* by the effective *layout* into *table*."""
    return Terms(
        source=source,
        system=layout.system or "",
        layout=layout.name,
        layout_fingerprint=layout.fingerprint,
        key_fingerprint=layout.key_fingerprint,
        call_table=table.qualified,
        timezone=layout.zones,
        tz_source=layout.tz_source,
        currency=layout.currencies,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenLoad:
    """A load in work.  Only who holds its token may publish it; *reloads* are the loads that it replaces."""

    load_id: int
    token: str
    reloads: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """A source as it was read to its end: the BLAKE3 of its bytes as stored, in hex, and their number."""

    hash: str
    bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Costs:
    """What the blocks of a source cost: CPU seconds by stage, and what the cache did for them."""

    extract_s: float = 0
    transform_s: float = 0
    load_s: float = 0
    cache: CacheCounts = field(default_factory=CacheCounts)

    def __add__(self, other: Costs) -> Costs:
        return Costs(**{name: getattr(self, name) + getattr(other, name) for name in self.__slots__})

    def seconds_since(self, began: float) -> Seconds:
        """Return what the books keep of it: CPU by stage, and the time since *began*."""
        return Seconds(
            extract=self.extract_s, transform=self.transform_s, load=self.load_s, total=perf_counter() - began
        )


@dataclass(kw_only=True, slots=True)
class Attempts:
    """
    What the attempts at one source share.

    Attributes:
        began: When the first began.
        load_ids: The loads that they opened.
        costs: What all cost.
        unknown_columns: What the last one found that the layout does not know.
    """

    began: float = field(default_factory=perf_counter)
    load_ids: list[int] = field(default_factory=list)
    costs: Costs = field(default_factory=Costs)
    unknown_columns: tuple[str, ...] = ()

    def paid(self) -> tuple[CacheCounts, Seconds]:
        """Return what the books keep of the costs until now."""
        return self.costs.cache, self.costs.seconds_since(self.began)


def find_unchanged(cursor: Cursor, terms: Terms, *content_hashes: str) -> int | None:
    """Return the last load that brought one of these contents on these terms, if its calls are where it left them."""
    cursor.execute(query("find_unchanged"), terms.parameters() | {"content_hashes": list(content_hashes)})
    row = cursor.fetchone()
    return None if row is None else int(row[0])


def find_ended(cursor: Cursor, load_ids: Sequence[int]) -> int | None:
    """Return the one of these loads that is published or refused, if any is."""
    cursor.execute(query("find_ended"), {"load_ids": list(load_ids)})
    row = cursor.fetchone()
    return None if row is None else int(row[0])


def loads_of_content(cursor: Cursor, terms: Terms, content_hash: str) -> tuple[int, ...]:
    """Return the loads that brought this content to the call table, on whatever terms, replays of its rejects first."""
    cursor.execute(query("same_content"), terms.parameters() | {"content_hash": content_hash})
    return tuple(int(load_id) for load_id, _ in cursor.fetchall())


def check_terms(cursor: Cursor, table: CallTable, terms: Terms, reloaded: Sequence[int]) -> None:
    """
    Refuse a load on other terms than those of the calls that the table holds of this system.

    Raises:
        ReloadNeededError: The same call would get another time, amount or key, and so be there twice.
    """
    cursor.execute(query("other_terms"), terms.parameters() | {"reloaded": list(reloaded)})
    others = {int(row[0]): row[1:] for row in cursor.fetchall()}
    if not others:
        return
    cursor.execute(query("any_call_of", table=table.identifier), {"load_ids": list(others)})
    held = cursor.fetchone()
    if held is None:
        return
    load_id = int(held[0])
    timezone, currency, _ = others[load_id]
    what = _difference((timezone, currency), (terms.timezone, terms.currency))
    raise ReloadNeededError(
        f"load {load_id} brought calls of this system to {terms.call_table} under {what}",
        where=terms.source,
        hint=_OTHERS_HINT if reloaded else _RELOAD_HINT,
    )


def _difference(there: tuple[str, str], here: tuple[str, str]) -> str:
    for name, before, now in zip(("the zone", "the currency"), there, here, strict=True):
        if before != now:
            return f"{name} {before or 'none'}, this load has {now or 'none'}"
    return "another key than this layout's"


def begin_load(
    cursor: Cursor,
    terms: Terms,
    *,
    content: Content | None,
    resume_key: str | None,
    reloads: tuple[int, ...] = (),
    replays: int | None = None,
) -> OpenLoad:
    """Open the books of a load, in the caller's transaction; *replays* is the load whose rejects it sends again."""
    from trunkline import __version__

    cursor.execute(
        query("begin_load"),
        terms.parameters()
        | {
            "content_hash": content.hash if content else None,
            "bytes": content.bytes if content else None,
            "resume_key": resume_key,
            "reloads": reloads[-1] if reloads else None,
            "replays": replays,
            "program_version": __version__,
        },
    )
    load_id, token = _row(cursor)
    return OpenLoad(load_id=int(load_id), token=str(token), reloads=reloads)


def note_readings(cursor: Cursor, forms: Mapping[int, SourceForm]) -> None:
    """Keep how the sources of loads were read, so that their rejects can be exported and replayed without them."""
    readings = (
        {
            "load_id": load_id,
            "preamble": form.preamble,
            "header": [name.replace("\0", "\ufffd") for name in form.header],  # which no text in PostgreSQL holds
            "dialect": json.dumps(asdict(form.dialect)),
        }
        for load_id, form in forms.items()
    )
    from psycopg2.extras import execute_batch  # 15 ms, and for a source that is unchanged nothing is noted

    execute_batch(cursor, query("note_reading"), readings)


def note_proof(cursor: Cursor, load_id: int) -> None:
    """Keep that second clocks in the records of a load agree with the zone that its times were read in."""
    cursor.execute(query("note_proof"), {"load_id": load_id})


def note_warnings(cursor: Cursor, load_id: int, warnings: Sequence[str]) -> None:
    """Keep what is doubtful about the source of a load, in place of what was kept before."""
    cursor.execute(query("note_warnings"), {"load_id": load_id, "warnings": list(warnings)})


def note_trailer(cursor: Cursor, load_id: int, trailer: Mapping[str, object]) -> None:
    """Keep what the trailers of a source state, and what was found."""
    cursor.execute(query("note_trailer"), {"load_id": load_id, "trailer": json.dumps(trailer)})


def note_verdict(cursor: Cursor, load_id: int, verdict: Verdict) -> None:
    """Keep what follows from the evidence of a source that is not refused for it."""
    if verdict.is_proved:
        note_proof(cursor, load_id)
    if verdict.trailer is not None:
        note_trailer(cursor, load_id, verdict.trailer)


def own_load(cursor: Cursor, load_id: int) -> bool:
    """Take the lock of a load for this session; False while another session works on it."""
    cursor.execute(query("own_load"), {"space": LockSpace.LOAD, "load_id": load_id % LOCK_NUMBERS})
    return bool(_row(cursor)[0])


def disown_loads(cursor: Cursor, load_ids: Iterable[int]) -> None:
    """Give the locks of loads back."""
    numbers = [load_id % LOCK_NUMBERS for load_id in load_ids]
    cursor.execute(query("disown_loads"), {"space": LockSpace.LOAD, "numbers": numbers})


def left_loads(cursor: Cursor, *resume_keys: str) -> list[OpenLoad]:
    """Return the loads that were begun under one of these and that nobody works on; this session owns them now."""
    cursor.execute(query("resumable_loads"), {"resume_keys": list(resume_keys)})
    begun = [int(load_id) for (load_id,) in cursor.fetchall()]
    taken = [_take_load(cursor, load_id) for load_id in begun if own_load(cursor, load_id)]
    return [load for load in taken if load is not None]


def _take_load(cursor: Cursor, load_id: int) -> OpenLoad | None:
    """Give a load that this session owns a new token; None, and the lock given back, if it is not to be had."""
    cursor.execute("savepoint before_take")
    try:
        cursor.execute("set local lock_timeout = '2s'")
        cursor.execute(query("take_load"), {"load_id": load_id})
        row = cursor.fetchone()
        cursor.execute("set local lock_timeout = default")
    except LockNotAvailable:  # its owner was lost, and other sessions of that run still work on it
        cursor.execute("rollback to savepoint before_take")
        row = None
    cursor.execute("release savepoint before_take")
    if row is None:
        disown_loads(cursor, [load_id])
        return None
    return OpenLoad(load_id=load_id, token=str(row[0]))


def hold_load(cursor: Cursor, load: OpenLoad) -> None:
    """
    Keep others from taking a load over until the caller's transaction ends, whose commit need not reach the disk.

    Raises:
        DatabaseBusyError: If another run has taken it over: the session that owned it was lost.
    """
    cursor.execute(query("hold_load"), {"load_id": load.load_id, "token": load.token})
    if cursor.fetchone() is None:
        raise DatabaseBusyError(f"load {load.load_id} was taken over by another run")


def earlier_content(cursor: Cursor, source: str) -> EarlierContent | None:
    """
    Return what a source of this name was when it was last loaded, into whatever table; None if it never was.

    Where that is not what `earlier_load` returns, which knows the terms, all is read.
    """
    cursor.execute(query("earlier_content"), {"source": source})
    rows = cursor.fetchall()
    standing = _standing([size for *_, size in rows])
    if not standing:
        return None
    content_hash, content_bytes, first_byte, size = rows[standing - 1]
    return EarlierContent(content_hash=content_hash, bytes=content_bytes, standing=first_byte + size)


@dataclass(frozen=True, kw_only=True, slots=True)
class EarlierLoad:
    """
    The last load of a source of the same name.

    Attributes:
        content_hash: BLAKE3 of what it read, as stored; empty where there was none.
        blocks: Its blocks that may be there again, by first byte.
    """

    content_hash: str = ""
    blocks: Mapping[int, EarlierBlock] = field(default_factory=dict)


def earlier_load(cursor: Cursor, terms: Terms) -> EarlierLoad:
    """Return the last load of a source of this name and system into the same table, without blocks if there is none."""
    from trunkline.framing.cutting import EarlierBlock  # not where a source is unchanged

    cursor.execute(query("earlier_blocks"), terms.parameters())
    rows = cursor.fetchall()
    if not rows:
        return EarlierLoad()
    standing = _standing([row[4] for row in rows])
    blocks = (
        EarlierBlock(
            position=position,
            first_byte=first_byte,
            first_line=first_line,
            size=size,
            lines=lines,
            identity=identity,
        )
        for _, position, first_byte, first_line, size, lines, identity in rows[:standing]
    )
    return EarlierLoad(content_hash=rows[0][0] or "", blocks={block.first_byte: block for block in blocks})


def _standing(sizes: Sequence[int]) -> int:
    """
    Return how many blocks of an earlier load, of these sizes, may be there again.

    Its last ended with the source: where it is short, what has come since belongs into it, or a source that grows a
    little every day would come to have a block for each of them.
    """
    whole = sizes[:-1]
    return len(sizes) if whole and sizes[-1] >= min(whole) else len(whole)


@dataclass(frozen=True, kw_only=True, slots=True)
class StagedBlock:
    """A block of an earlier attempt that is safely staged."""

    first_byte: int
    first_line: int
    identity: str


def staged_blocks(cursor: Cursor, load_id: int) -> dict[int, StagedBlock]:
    """Return the staged blocks of a load, by position."""
    cursor.execute(query("staged_blocks"), {"load_id": load_id})
    return {
        position: StagedBlock(first_byte=first_byte, first_line=first_line, identity=identity)
        for position, first_byte, first_line, identity in cursor.fetchall()
    }


def staged_findings(cursor: Cursor, load_id: int) -> Findings:
    """Return what the staged blocks of a load show, those of earlier attempts included."""
    cursor.execute(query("staged_findings"), {"load_id": load_id})
    return reduce(add, (Findings.of(found) for (found,) in cursor.fetchall()), Findings())


@dataclass(frozen=True, kw_only=True, slots=True)
class StagedCounts:
    """Records of a load as the database counts them."""

    read: int
    typed: int
    rejected: int


def count_staged(cursor: Cursor, load_id: int) -> StagedCounts:
    """Return the records of a load that were read, typed and rejected so far."""
    cursor.execute(query("count_staged"), {"load_id": load_id})
    read, typed, rejected = (int(count) for count in _row(cursor))
    return StagedCounts(read=read, typed=typed, rejected=rejected)


def refuse_load(cursor: Cursor, load: OpenLoad, reason: str, *, content: Content, left_out: int = 0) -> None:
    """
    Close the books of a load that is refused; the caller drops what it staged.

    Args:
        left_out: Conflicts that are not among its rejects, since there are more than are kept.
    """
    rejected_by = _rejected_by(cursor, load.load_id)
    if left_out:
        rejected_by["conflict"] = rejected_by.get("conflict", 0) + left_out
    cursor.execute(
        query("close_refused"),
        {
            "load_id": load.load_id,
            "reason": reason,
            "content_hash": content.hash,
            "bytes": content.bytes,
            "left_out": left_out,
            "rejected_by": json.dumps(rejected_by),
        },
    )
    cursor.execute(query("link_rejects"), {"load_ids": [load.load_id]})
    cursor.execute(query("trim_rejects"), {"load_id": load.load_id})


def fail_load(cursor: Cursor, load_id: int, reason: str) -> None:
    """Close the books of a load that failed; its records are not settled, so it has no rejects either."""
    cursor.execute(query("drop_rejects"), {"load_id": load_id})
    cursor.execute(query("close_failed"), {"load_id": load_id, "reason": reason})


def discard_loads(cursor: Cursor, load_ids: Sequence[int]) -> None:
    """Remove the books of loads that turned out to be another's or unchanged, their rejects included."""
    cursor.execute(query("discard_loads"), {"load_ids": list(load_ids)})


@dataclass(frozen=True, kw_only=True, slots=True)
class Closing:
    """What closes the books of a load, beside what the database counts itself."""

    load: OpenLoad
    content: Content
    duplicates: int = 0
    duplicates_in_source: int = 0
    conflicts: int = 0
    replaced: int = 0

    def to_dict(self) -> dict[str, object]:
        counts = ("duplicates", "duplicates_in_source", "conflicts", "replaced")
        return {
            "load_id": self.load.load_id,
            "content_hash": self.content.hash,
            "bytes": self.content.bytes,
            "reloads": self.load.reloads[-1] if self.load.reloads else None,
            **{name: getattr(self, name) for name in counts},
        }


def add_totals(cursor: Cursor, load_ids: Sequence[int], *, aside: sql.Identifier) -> None:
    """Write the sums of loads into the books; *aside* has what the first of them set aside."""
    cursor.execute(query("add_totals", aside=aside), {"load_ids": list(load_ids)})


def add_partitions(cursor: Cursor, table: CallTable, relations: Mapping[int, Iterable[int]]) -> None:
    """Note in which relations the calls of loads are, by number of the load, their duplicates' twins included."""
    pairs = [(load_id, number) for load_id, numbers in relations.items() for number in sorted(numbers)]
    cursor.execute(
        query("add_partitions"),
        {
            "call_table": table.qualified,
            "load_ids": [load_id for load_id, _ in pairs],
            "relations": [number for _, number in pairs],
        },
    )


def close_loaded(cursor: Cursor, closings: Sequence[Closing]) -> None:
    """Close the books of loads, whose order of publishing is taken: the table's checks refuse what does not balance."""
    cursor.execute(query("close_loaded"), {"loads": json.dumps([closing.to_dict() for closing in closings])})
    cursor.execute(query("link_rejects"), {"load_ids": [closing.load.load_id for closing in closings]})
    for closing in closings:
        if closing.load.reloads:
            superseded = {"load_id": closing.load.load_id, "load_ids": list(closing.load.reloads)}
            cursor.execute(query("supersede"), superseded)


def add_costs(cursor: Cursor, costs: Mapping[int, tuple[CacheCounts, Seconds]]) -> None:
    """Note what loads cost us, by their numbers; not part of the balance."""
    rows = [
        cache.to_dict() | {"load_id": load_id, "seconds": seconds.to_dict()}
        for load_id, (cache, seconds) in costs.items()
    ]
    cursor.execute(query("add_costs"), {"costs": json.dumps(rows)})


def unchanged_books(connection: Connection, load_id: int, source: str, attempts: Attempts) -> Books:
    """Return the books of *source* whose content *load_id* brought before: its counts and totals, and our own costs."""
    return unchanged(show_load(connection, load_id).books, source, attempts)


def unchanged(books: Books, source: str, attempts: Attempts) -> Books:
    """Return *books* of another source as those of *source*, which has the same content."""
    return replace(
        books,
        status="unchanged",
        source=source,
        cache=attempts.costs.cache,
        seconds=Seconds(total=perf_counter() - attempts.began),
    )


def _rejected_by(cursor: Cursor, load_id: int) -> dict[str, int]:
    cursor.execute(query("rejected_by"), {"load_id": load_id})
    return dict(_row(cursor)[0])


def _row(cursor: Cursor) -> tuple[Any, ...]:
    row = cursor.fetchone()
    if row is None:
        raise DatabaseError("PostgreSQL sent no row where one was expected")
    return tuple(row)


ReadRaw = Callable[[Iterable[int]], Iterator[tuple[int, bytes]]]
"""From source lines, in order, to (byte offset, original bytes) of the records that start there."""
