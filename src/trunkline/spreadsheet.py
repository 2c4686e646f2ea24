"""Traces of a spreadsheet that a source was opened in and saved by: found block by block, judged over the source.

Only what no switch writes counts, or what many records have in common that cannot be chance.  Values that can be read
are looked at no further than it takes to see that they are sound.  No I/O.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trunkline.errors import RefusedError
from trunkline.fields.clock_reader import read_clock
from trunkline.fields.parsed import Parsed
from trunkline.fields.parsing import FieldText
from trunkline.fields.spreadsheet import LOST, NO_SECONDS, REWRITTEN_DURATION, REWRITTEN_TIME, matching
from trunkline.fields.text_bytes import Ints, Mask, text_bytes
from trunkline.fields.time_formats import Number, steps_of
from trunkline.fields.zones import MICROSECONDS
from trunkline.findings import Traces
from trunkline.layout.fields import AnyField, DateField, DurationField, PhoneField, TextField, TimestampField
from trunkline.layout.header_match import fold_name
from trunkline.layout.model import Layout

ENOUGH: Final = 20  # values without seconds, or numbers without a zero: 1 in 60 to 10 of them are so by chance
ENOUGH_SWAPPED: Final = 3  # days and months: fewer may be slips of a hand
SHARE_SWAPPED: Final = 0.01  # of those that tell the order
MOST_ZEROS: Final = 6  # that a pattern is tried with
_LOOKED_AT: Final = 5_000  # bad values of a field and block
_PEEKED_AT: Final = 256  # values that mostly show at once that the rest need not be looked at
_MINUTE: Final = 60 * MICROSECONDS

# Traces.  Those of the second list are no damage by themselves: they are held against the others.
TOLD: Final[Mapping[str, str]] = {
    "rounded": "numbers rounded as in 2.35E+11, their digits are lost",
    "filled": "filled with #, as a column too narrow shows it",
    "error": "errors such as #NAME? in place of values",
    "rewritten": "written as spreadsheets write times, not as the layout says",
    "cut": "without the seconds that the layout has",
    "zeros": "zeros in front are gone, with them the pattern would match",
    "swapped": "real only with day and month the other way round",
    "empty": "separators and nothing else",
}
WHOLE_MINUTES, SECONDS = "whole_minutes", "seconds"
BARE, FULL = "bare", "full"
IN_ORDER: Final = "in_order"


def find_traces(field: AnyField, layout: Layout, said: FieldText, parsed: Parsed) -> Traces:
    """
    Return the traces in the values of a field.

    Args:
        said: Its texts.
        parsed: What became of them.
    """
    if layout.spreadsheet == "ignore":
        return Traces()
    bad = _bad(parsed, said)
    found: Traces = Traces()
    if bad is not None:
        found.update(_of_bad(field, said.text, bad))
    if isinstance(field, TimestampField) and _has_seconds(field):
        found.update(_of_seconds(field.name, parsed.columns[0], bad))
    if isinstance(field, PhoneField) and _takes_zero(layout.region_of(field)):
        found.update(_of_zeros(field.name, said))
    return found


def empty_records(batch: pa.RecordBatch, rows: Mask) -> Traces:
    """Return how many of *rows*, which have no key, have no text in any column."""
    some = np.flatnonzero(rows)[:_LOOKED_AT]
    if not len(some):
        return Traces()
    taken = [column.take(pa.array(some)) for column in batch.columns]
    empty = np.logical_and.reduce([_is_empty(column) for column in taken])
    return _counted("", {"empty": int(empty.sum())})


def _is_empty(column: pa.StringArray) -> Mask:
    return np.asarray(pc.equal(pc.fill_null(column, ""), "").to_numpy(zero_copy_only=False), dtype=np.bool_)


def _counted(name: str, counts: Mapping[str, int]) -> Traces:
    return Traces({(name, trace): count for trace, count in counts.items() if count})


def _bad(parsed: Parsed, said: FieldText) -> Ints | None:
    """Return the first rows whose text cannot be used, or None; an absent one is not looked at."""
    faults = [fault.rows for fault in parsed.faults if fault.code != "missing_value" and fault.rows.any()]
    if not faults:
        return None
    rows = np.flatnonzero(np.logical_or.reduce(faults) & ~said.absent)
    return rows if len(rows) else None


def _of_bad(field: AnyField, text: pa.StringArray, rows: Ints) -> Traces:
    bad = text.take(pa.array(rows[:_LOOKED_AT]))
    patterns = dict(LOST)
    if isinstance(field, TimestampField | DateField):
        patterns |= {"rewritten": REWRITTEN_TIME}
    if isinstance(field, DurationField):
        patterns |= {"rewritten": REWRITTEN_DURATION}
    if (isinstance(field, TimestampField) and _has_seconds(field)) or _is_clock(field):
        patterns |= {"cut": NO_SECONDS}
    counts: dict[str, int] = {}
    left = np.ones(len(bad), dtype=np.bool_)
    if isinstance(field, TimestampField | DateField):
        left, counts = _of_order(field, text, bad, rows)
    for trace, pattern in patterns.items():  # a value shows one trace: the first
        found = matching(bad, pattern) & left
        counts[trace] = int(found.sum())
        left &= ~found
    if isinstance(field, TextField) and field.pattern is not None:
        counts["zeros"] = int(_lacks_zeros(bad, field.pattern).sum())
    return _counted(field.name, counts)


def _is_clock(field: AnyField) -> bool:
    return isinstance(field, DurationField) and field.unit == "hms"


def _has_seconds(field: TimestampField) -> bool:
    """Return whether the times of a field have seconds, by one of its formats at least."""
    if field.is_epoch:
        return False
    steps = [step for each in field.formats for step in steps_of(each)]
    return not field.formats or any(isinstance(step, Number) and step.part == "second" for step in steps)


def _lacks_zeros(text: pa.StringArray, pattern: str) -> Mask:
    found = np.zeros(len(text), dtype=np.bool_)
    digits = matching(text, "[1-9][0-9]*")
    for zeros in range(1, MOST_ZEROS + 1):
        found |= digits & matching(pc.binary_join_element_wise("0" * zeros, text, ""), pattern)
    return found


def _of_seconds(name: str, times: pa.TimestampArray, bad: Ints | None) -> Traces:
    """Return how many times are whole minutes, if all are."""
    if _some_seconds(times.slice(0, _PEEKED_AT), bad):
        return _counted(name, {SECONDS: 1})
    if _some_seconds(times, bad):
        return _counted(name, {SECONDS: 1})
    return _counted(name, {WHOLE_MINUTES: len(times) - times.null_count - (0 if bad is None else len(bad))})


def _some_seconds(times: pa.TimestampArray, bad: Ints | None) -> bool:
    micros = times.cast(pa.int64()).fill_null(0).to_numpy()
    beyond = micros % _MINUTE != 0
    if bad is not None:
        beyond[bad[bad < len(beyond)]] = False
    return bool(beyond.any())


def _takes_zero(region: str | None) -> bool:
    """Return whether numbers dialled in a country begin with a zero."""
    if region is None:
        return False
    from phonenumbers import PhoneMetadata  # slow to import, and most layouts have no such field

    known = PhoneMetadata.metadata_for_region(region)
    return known is not None and known.national_prefix == "0"


def _of_zeros(name: str, said: FieldText) -> Traces:
    """Return how many numbers begin with neither zero nor plus, if none does."""
    for text in (said.text.slice(0, _PEEKED_AT), said.text):
        if pc.any(pc.match_substring_regex(text, pattern="^[+0][0-9]{6}")).as_py():
            return _counted(name, {FULL: 1})
    return _counted(name, {BARE: int(matching(said.text, "[1-9][0-9]{6,14}").sum())})


def _of_order(
    field: TimestampField | DateField, text: pa.StringArray, bad: pa.StringArray, rows: Ints
) -> tuple[Mask, dict[str, int]]:
    """
    Hold times against the other order of day and month.

    Args:
        bad: Those of *text* at *rows*, or the first of them.

    Returns:
        Which bad ones are not real in the other order either; how many are, and how many good ones are not.
    """
    formats = field.formats if isinstance(field, TimestampField) else field.format
    exchanged = [each for each in map(_swapped, formats) if each is not None]
    if not exchanged or len(exchanged) < len(formats):
        return np.ones(len(bad), dtype=np.bool_), {}
    left = read_clock(text_bytes(bad), exchanged).bad
    if left.all():
        return left, {}
    good = np.ones(len(text), dtype=np.bool_)
    good[rows] = False
    in_order = read_clock(text_bytes(text.filter(pa.array(good))), exchanged).bad
    return left, {"swapped": int((~left).sum()), IN_ORDER: int(in_order.sum())}


def _swapped(pattern: str) -> str | None:
    """
    Return a format with day and month exchanged, or None where nobody could mix them up.

    >>> _swapped("%d/%m/%Y %H:%M"), _swapped("%-m/%-d/%y"), _swapped("%Y-%m-%d"), _swapped("%d %b %Y")
    ('%m/%d/%Y %H:%M', '%-d/%-m/%y', None, None)
    """
    found = re.fullmatch(r"(?P<before>.*?)%(?P<one>-?[dm])(?P<between>[/.-])%(?P<other>-?[dm])(?P<after>.*)", pattern)
    if not found or found["before"].startswith(("%Y", "%y")):
        return None
    return f"{found['before']}%{found['other']}{found['between']}%{found['one']}{found['after']}"


def judge_traces(
    traces: Traces, layout: Layout, header: Sequence[str], *, cr_only: bool, warn: Callable[[str], None]
) -> None:
    """
    Say which traces of a spreadsheet a source shows.

    Args:
        traces: Of all its records.
        header: Names of its columns.
        cr_only: Whether all its lines end with a CR alone.

    Raises:
        RefusedError: If the layout does not let that pass, or if times were surely read with day and month exchanged.
    """
    if layout.spreadsheet == "ignore":
        return
    told = [*_source_traces(header, cr_only=cr_only), *_value_traces(traces)]
    told += _numbers_without_zero(traces) if told else []
    mixed = _mixed_order(traces)
    if mixed:
        raise RefusedError(mixed, hint='give a layout with the right format; spreadsheet = "ignore" loads it so')
    if told and layout.spreadsheet == "refuse":
        raise RefusedError(
            f"spreadsheet damage: {'; '.join(told)}",
            hint='export it again without opening it in a spreadsheet, or set spreadsheet = "warn" in the layout',
        )
    for each in told:
        warn(f"spreadsheet damage: {each}")


def _source_traces(header: Sequence[str], *, cr_only: bool) -> list[str]:
    told = ["all lines end with CR alone, as old spreadsheets write"] if cr_only else []
    unnamed = next((place for place, name in enumerate(reversed(header)) if fold_name(name)), len(header))
    return [*told, f"the last {unnamed} columns have no name"] if unnamed > 1 else told


def _value_traces(traces: Traces) -> list[str]:
    told = []
    for (name, trace), count in sorted(traces.items()):
        if trace in TOLD:
            told.append(f"{name or 'records'}: {TOLD[trace]} (in {count:,} {'record' if count == 1 else 'records'})")
        if trace == WHOLE_MINUTES and count >= ENOUGH and not traces[name, SECONDS]:
            told.append(f"{name}: none of {count:,} times has seconds")
    return told


def _numbers_without_zero(traces: Traces) -> list[str]:
    """Return the phone numbers that all lack their zero: no damage by itself, as some switches write none."""
    bare = {name: count for (name, trace), count in sorted(traces.items()) if trace == BARE and count >= ENOUGH}
    return [
        f"{name}: none of {count:,} numbers begins with 0 or +"
        for name, count in bare.items()
        if not traces[name, FULL]
    ]


def _mixed_order(traces: Traces) -> str | None:
    """Return what is wrong where so many times have another order of day and month that others have it unseen."""
    for (name, trace), count in sorted(traces.items()):
        told = count + traces[name, IN_ORDER]
        if trace == "swapped" and count >= ENOUGH_SWAPPED and count >= SHARE_SWAPPED * told:
            return (
                f"{name}: of {told:,} times that tell day from month, {count:,} are {TOLD['swapped']} than the layout "
                "has them, so others would be loaded with the wrong day"
            )
    return None
