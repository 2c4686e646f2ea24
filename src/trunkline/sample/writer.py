"""Realistic call logs of any size, clean or dirty, for users, tests and benchmarks.

The same arguments, with the same version of trunkline and numpy, give the same bytes.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from trunkline.errors import SourceError, UsageError
from trunkline.sample.layouts import SAMPLE_LAYOUTS, TOO_LONG, TORN, Damage, Matrix, SampleLayout
from trunkline.sample.traffic import Calls, calls

Ints = npt.NDArray[np.int64]

# Records of the first chunk that are also repeated much later, as when a file is sent again in part.
_POOL_RECORDS = 4_096


@dataclass(kw_only=True, slots=True)
class Sample:
    """
    What was written, and so what loading it into an empty table must find.

    Attributes:
        records: Lines after the header.
        duplicates: Records that repeat an earlier one exactly.
        rejected_by: Damaged and conflicting records by the reject code they must lead to.
        duration_s: Seconds of all records that are neither damaged nor repeats.
        cost: US dollars of the same.
        bytes: Size of the file.
    """

    records: int = 0
    duplicates: int = 0
    rejected_by: Counter[str] = field(default_factory=Counter)
    duration_s: int = 0
    cost: Decimal = Decimal("0.00")
    bytes: int = 0

    def to_dict(self) -> dict[str, object]:
        """Return the values as JSON knows them, with exact money as text."""
        return {
            "records": self.records,
            "duplicates": self.duplicates,
            "rejected": self.rejected_by.total(),
            "rejected_by": dict(sorted(self.rejected_by.items())),
            "totals": {"duration_s": self.duration_s, "cost": {"USD": str(self.cost)}},
            "bytes": self.bytes,
        }


def write_sample(
    out: str | os.PathLike[str] | BinaryIO,
    *,
    records: int,
    seed: int = 1,
    layout: str = "customer_call_logs",
    dirty: float = 0.0,
    duplicates: float = 0.0,
    conflicts: float = 0.0,
    too_long: int = 0,
    torn: bool = False,
    days: int = 90,
    manifest: str | os.PathLike[str] | None = None,
) -> Sample:
    """
    Write a call log in bounded memory.

    Args:
        out: File to make or overwrite, or an open binary file, which is not closed.
        records: Lines after the header, damaged and repeated ones included.
        seed: Another seed gives other calls.  What follows changes only the records that it damages or replaces;
            all others stay as they are without it.
        layout: Name of a layout in SAMPLE_LAYOUTS.
        dirty: Share of records to damage, from 0 to 1; each damage leads to a known reject code.
        duplicates: Share of records to replace with an exact repeat of an earlier undamaged record.
        conflicts: Share of records to replace with an earlier undamaged record in which a value outside of the key is
            another one.
        too_long: How many records to make longer than 1 MiB, the most that a record may have.
        torn: Whether the last record breaks off, without a line end.
        days: Days over which the calls spread, from 2022-01-01, in order of time.
        manifest: File for one JSON object a line, in order: ``{"line", "code", "field"}`` for a damaged
            record, ``{"line", "repeats"}`` for a duplicate, and all four for a conflict, with lines counted from 1, the
            header's included.

    Raises:
        UsageError: If the layout has no sample or a number is out of range.
        SourceError: If a file cannot be written.
    """
    dirt = _Dirt(dirty=dirty, duplicates=duplicates, conflicts=conflicts, too_long=too_long, torn=torn)
    _check(dirt, records=records, days=days)
    sketch = _sample_layout(layout)
    traffic, fate, length = (np.random.default_rng(part) for part in np.random.SeedSequence(seed).spawn(3))
    long = length.choice(records, size=dirt.too_long, replace=False)
    sample = Sample()
    try:
        with contextlib.ExitStack() as files:
            data = out if not isinstance(out, str | os.PathLike) else files.enter_context(Path(out).open("wb"))
            notes = files.enter_context(Path(manifest).open("wb")) if manifest is not None else None
            sample.bytes += data.write(sketch.header)
            for chunk in _chunks(calls(records, days, traffic), sketch, fate, dirt, long, last=records - 1):
                sample.bytes += data.write(_tally(chunk, sketch, sample))
                if notes:
                    notes.write(_manifest(chunk, sketch))
    except BrokenPipeError:
        raise  # whoever reads *out* has seen enough
    except OSError as error:
        reason = error.strerror or type(error).__name__
        where = error.filename or (os.fspath(out) if isinstance(out, str | os.PathLike) else None)
        raise SourceError(f"cannot write the sample: {reason}", where=where) from error
    return sample


@dataclass(frozen=True, kw_only=True, slots=True)
class _Dirt:
    """What is to be wrong with a sample; as the arguments of `write_sample`."""

    dirty: float
    duplicates: float
    conflicts: float
    too_long: int
    torn: bool


def _check(dirt: _Dirt, *, records: int, days: int) -> None:
    if records < 0:
        raise UsageError(f"found {records} records, expected 0 or more")
    if not 1 <= days <= 36_500:
        raise UsageError(f"found {days} days, expected 1 to 36500")
    shares = {"dirty": dirt.dirty, "duplicates": dirt.duplicates, "conflicts": dirt.conflicts}
    if min(shares.values()) < 0 or not sum(shares.values()) <= 1:
        found = ", ".join(f"{share:g} {name}" for name, share in shares.items())
        raise UsageError(f"found shares {found}, expected 0 to 1 and no more than 1 together")
    if not 0 <= dirt.too_long <= records:
        raise UsageError(f"found {dirt.too_long} records to make too long, expected 0 to {records}")


def _sample_layout(name: str) -> SampleLayout:
    if name not in SAMPLE_LAYOUTS:
        known = ", ".join(sorted(SAMPLE_LAYOUTS))
        raise UsageError(f"no sample for layout {name!r}, expected one of: {known}")
    return SAMPLE_LAYOUTS[name]


class _Pool(NamedTuple):
    """Records that may be repeated: their lines as bytes, and their source lines."""

    rows: Matrix
    lines: Ints


@dataclass(frozen=True, kw_only=True, slots=True)
class _Chunk:
    """
    Some records with their fate.

    Attributes:
        calls: As if all records were good and new.
        rows: Bytes of each record, before damage, after repeats were put in.
        first_line: Source line of the first one.
        damage: Index into `_damages`, -1 for none.
        variant: Which variant of that damage.
        repeats: Source line of the record that is repeated, or that a conflict is with; 0 for none.
    """

    calls: Calls
    rows: Matrix
    first_line: int
    damage: Ints
    variant: Ints
    repeats: Ints


def _damages(sketch: SampleLayout) -> tuple[Damage, ...]:
    """Return the layout's damages, its conflict, a record that is too long and one that is torn."""
    return (*sketch.damages, sketch.conflict, TOO_LONG, TORN)


def _chunks(
    traffic: Iterator[Calls], sketch: SampleLayout, fate: np.random.Generator, dirt: _Dirt, long: Ints, *, last: int
) -> Iterator[_Chunk]:
    """Yield the records of *traffic* with their fate; those numbered in *long* are too long, *last* may be torn."""
    header_lines = sketch.header.count(b"\n")
    conflict, too_long, torn = range(len(sketch.damages), len(sketch.damages) + 3)
    first = 0
    pool: _Pool | None = None
    for some in traffic:
        rows = sketch.render(some)
        draw, which = fate.random(len(rows)), fate.random(len(rows))
        number = (which * len(sketch.damages) * 1_000).astype(np.int64)
        damage = np.where(draw < dirt.dirty, number // 1_000, -1)
        repeated = (damage < 0) & (draw < dirt.dirty + dirt.duplicates + dirt.conflicts)
        damage[repeated & (draw >= dirt.dirty + dirt.duplicates)] = conflict
        damage[long[(long >= first) & (long < first + len(rows))] - first] = too_long
        if dirt.torn and first + len(rows) > last:
            damage[-1] = torn
        repeated &= (damage < 0) | (damage == conflict)
        if pool is None or not len(pool.lines):
            begin = np.argmax((damage < 0) | repeated)  # the first good record has nothing to repeat
            damage[begin], repeated[begin] = (-1 if repeated[begin] else damage[begin]), False
        lines = 1 + header_lines + first + np.arange(len(rows), dtype=np.int64)
        fresh = (damage < 0) & ~repeated
        rows, repeats = _repeat(rows, lines, which, fresh=fresh, repeated=repeated, pool=pool)
        if pool is None or not len(pool.lines):
            pool = _pool(rows, lines, fresh)
        yield _Chunk(
            calls=some,
            rows=rows,
            first_line=int(lines[0]),
            damage=damage,
            variant=number % 1_000,
            repeats=repeats,
        )
        first += len(rows)


def _pool(rows: Matrix, lines: Ints, fresh: npt.NDArray[np.bool_]) -> _Pool:
    chosen = np.flatnonzero(fresh)[:_POOL_RECORDS]
    return _Pool(rows[chosen], lines[chosen])


def _repeat(
    rows: Matrix,
    lines: Ints,
    which: npt.NDArray[np.float64],
    *,
    fresh: npt.NDArray[np.bool_],
    repeated: npt.NDArray[np.bool_],
    pool: _Pool | None,
) -> tuple[Matrix, Ints]:
    """
    Put earlier fresh records, of this chunk or of the pool, in the place of those to be *repeated*.

    Returns:
        The rows, and for each the source line that it repeats or 0.
    """
    earlier = _Pool(rows[fresh], lines[fresh])
    if pool:
        earlier = _Pool(_stack(pool.rows, earlier.rows), np.concatenate([pool.lines, earlier.lines]))
    before = np.cumsum(fresh) + (len(pool.lines) if pool else 0)  # how many of `earlier` precede each record
    places = np.flatnonzero(repeated)
    chosen = (which[places] * before[places]).astype(np.int64)
    repeats = np.zeros(len(rows), dtype=np.int64)
    repeats[places] = earlier.lines[chosen]
    if not len(places):
        return rows, repeats
    taken = earlier.rows[chosen]
    rows = np.pad(rows, ((0, 0), (0, max(0, taken.shape[1] - rows.shape[1]))))
    rows[places] = 0
    rows[places, : taken.shape[1]] = taken
    return rows, repeats


def _stack(first: Matrix, second: Matrix) -> Matrix:
    """Put matrices that may differ in width on top of each other."""
    width = max(first.shape[1], second.shape[1])
    return np.vstack([np.pad(part, ((0, 0), (0, width - part.shape[1]))) for part in (first, second)])


def _tally(chunk: _Chunk, sketch: SampleLayout, sample: Sample) -> bytes:
    """Count the records of *chunk* into *sample* and return their bytes."""
    loaded = (chunk.damage < 0) & (chunk.repeats == 0)
    sample.records += len(loaded)
    sample.duplicates += int(np.count_nonzero((chunk.damage < 0) & (chunk.repeats > 0)))
    damages = _damages(sketch)
    sample.rejected_by.update(damages[kind].code for kind in chunk.damage[chunk.damage >= 0])
    sample.duration_s += int(chunk.calls.duration_s[loaded].sum())
    if sketch.priced:
        sample.cost += Decimal(int(chunk.calls.cents[loaded].sum())).scaleb(-2)
    return _encode(chunk, sketch)


def _encode(chunk: _Chunk, sketch: SampleLayout) -> bytes:
    """Return the records as bytes: the good ones all at once, the damaged ones one by one between them."""
    written = chunk.rows != 0
    data = chunk.rows[written].tobytes()
    ends = np.cumsum(np.count_nonzero(written, axis=1))
    damages = _damages(sketch)
    parts, position = [], 0
    for row in np.flatnonzero(chunk.damage >= 0):
        start, end = int(ends[row - 1]) if row else 0, int(ends[row])
        fields = data[start:end].removesuffix(b"\n").split(b",")
        damage = damages[chunk.damage[row]]
        parts += [data[position:start], b",".join(damage.spoil(fields, int(chunk.variant[row])))]
        parts += [b""] if damage is TORN else [b"\n"]
        position = end
    return b"".join([*parts, data[position:]])


def _manifest(chunk: _Chunk, sketch: SampleLayout) -> bytes:
    """Return one line of JSON for each record that is damaged or repeated."""
    damages = _damages(sketch)
    notes = []
    for row in np.flatnonzero((chunk.damage >= 0) | (chunk.repeats > 0)):
        note: dict[str, object] = {"line": chunk.first_line + int(row)}
        if chunk.repeats[row]:
            note["repeats"] = int(chunk.repeats[row])
        if chunk.damage[row] >= 0:
            damage = damages[chunk.damage[row]]
            note |= {"code": damage.code, "field": damage.field}
        notes.append(json.dumps(note) + "\n")
    return "".join(notes).encode()
