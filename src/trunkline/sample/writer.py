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
from trunkline.sample.layouts import SAMPLE_LAYOUTS, Matrix, SampleLayout
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
        rejected_by: Damaged records by the reject code they must lead to.
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
    days: int = 90,
    manifest: str | os.PathLike[str] | None = None,
) -> Sample:
    """
    Write a call log in bounded memory.

    Args:
        out: File to make or overwrite, or an open binary file, which is not closed.
        records: Lines after the header, damaged and repeated ones included.
        seed: Another seed gives other calls.  *dirty* and *duplicates* change only the records that they
            damage or replace; all others stay as they are without them.
        layout: Name of a layout in SAMPLE_LAYOUTS.
        dirty: Share of records to damage, from 0 to 1; each damage leads to a known reject code.
        duplicates: Share of records to replace with an exact repeat of an earlier undamaged record.
        days: Days over which the calls spread, from 2022-01-01, in order of time.
        manifest: File for one JSON object a line, in order: ``{"line", "code", "field"}`` for a damaged
            record and ``{"line", "repeats"}`` for a duplicate, with lines counted from 1, the header's
            included.

    Raises:
        UsageError: If the layout has no sample or a number is out of range.
        SourceError: If a file cannot be written.
    """
    _check(records=records, dirty=dirty, duplicates=duplicates, days=days)
    sketch = _sample_layout(layout)
    streams = [np.random.default_rng(part) for part in np.random.SeedSequence(seed).spawn(2)]
    traffic, fate = streams
    sample = Sample()
    try:
        with contextlib.ExitStack() as files:
            data = out if not isinstance(out, str | os.PathLike) else files.enter_context(Path(out).open("wb"))
            notes = files.enter_context(Path(manifest).open("wb")) if manifest is not None else None
            sample.bytes += data.write(sketch.header)
            for chunk in _chunks(calls(records, days, traffic), sketch, fate, (dirty, duplicates)):
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


def _check(*, records: int, dirty: float, duplicates: float, days: int) -> None:
    if records < 0:
        raise UsageError(f"found {records} records, expected 0 or more")
    if not 1 <= days <= 36_500:
        raise UsageError(f"found {days} days, expected 1 to 36500")
    if not (dirty >= 0 and duplicates >= 0 and dirty + duplicates <= 1):
        found = f"found shares {dirty:g} dirty and {duplicates:g} duplicates"
        raise UsageError(f"{found}, expected 0 to 1 and no more than 1 together")


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
        damage: Index of the layout's damage, -1 for none.
        variant: Which variant of that damage.
        repeats: Source line of the record that is repeated, 0 for none.
    """

    calls: Calls
    rows: Matrix
    first_line: int
    damage: Ints
    variant: Ints
    repeats: Ints


def _chunks(
    traffic: Iterator[Calls],
    sketch: SampleLayout,
    fate: np.random.Generator,
    shares: tuple[float, float],
) -> Iterator[_Chunk]:
    """Yield the records of *traffic* with their fate; *shares* of them are damaged and repeated."""
    dirty, duplicates = shares
    first_line = 1 + sketch.header.count(b"\n")
    pool: _Pool | None = None
    for some in traffic:
        rows = sketch.render(some)
        draw, which = fate.random(len(rows)), fate.random(len(rows))
        damaged, repeated = draw < dirty, (draw >= dirty) & (draw < dirty + duplicates)
        if pool is None or not len(pool.lines):
            repeated[np.argmin(damaged)] = False  # the first good record has nothing to repeat
        lines = first_line + np.arange(len(rows), dtype=np.int64)
        rows, repeats = _repeat(rows, lines, which, fresh=~damaged & ~repeated, repeated=repeated, pool=pool)
        if pool is None or not len(pool.lines):
            pool = _pool(rows, lines, ~damaged & ~repeated)
        number = (which * len(sketch.damages) * 1_000).astype(np.int64)
        yield _Chunk(
            calls=some,
            rows=rows,
            first_line=first_line,
            damage=np.where(damaged, number // 1_000, -1),
            variant=number % 1_000,
            repeats=repeats,
        )
        first_line += len(rows)


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
    sample.duplicates += int(np.count_nonzero(chunk.repeats))
    sample.rejected_by.update(sketch.damages[kind].code for kind in chunk.damage[chunk.damage >= 0])
    sample.duration_s += int(chunk.calls.duration_s[loaded].sum())
    if sketch.priced:
        sample.cost += Decimal(int(chunk.calls.cents[loaded].sum())).scaleb(-2)
    return _encode(chunk, sketch)


def _encode(chunk: _Chunk, sketch: SampleLayout) -> bytes:
    """Return the records as bytes: the good ones all at once, the damaged ones one by one between them."""
    written = chunk.rows != 0
    data = chunk.rows[written].tobytes()
    ends = np.cumsum(np.count_nonzero(written, axis=1))
    parts, position = [], 0
    for row in np.flatnonzero(chunk.damage >= 0):
        start, end = int(ends[row - 1]) if row else 0, int(ends[row])
        fields = data[start:end].removesuffix(b"\n").split(b",")
        damage = sketch.damages[chunk.damage[row]]
        parts += [data[position:start], b",".join(damage.spoil(fields, int(chunk.variant[row]))), b"\n"]
        position = end
    return b"".join([*parts, data[position:]])


def _manifest(chunk: _Chunk, sketch: SampleLayout) -> bytes:
    """Return one line of JSON for each record that is damaged or repeated."""
    notes = []
    for row in np.flatnonzero((chunk.damage >= 0) | (chunk.repeats > 0)):
        note: dict[str, object] = {"line": chunk.first_line + int(row)}
        if chunk.repeats[row]:
            note["repeats"] = int(chunk.repeats[row])
        else:
            damage = sketch.damages[chunk.damage[row]]
            note |= {"code": damage.code, "field": damage.field}
        notes.append(json.dumps(note) + "\n")
    return "".join(notes).encode()
