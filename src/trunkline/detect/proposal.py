"""A layout for a file that none fits: TOML to edit that loads at once, with a comment on every guess.

What is not plainly something else stays text, so that no phone number, id or code is damaged.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from trunkline.detect.first_rows import FirstRows, Row
from trunkline.detect.proposed_types import Guess, guess_type
from trunkline.detect.shapes import is_amount, is_clock, is_integer, looks_like_date
from trunkline.errors import LayoutError
from trunkline.layout.rules import CANONICAL, RESERVED

_MOST_TITLE_ROWS: Final = 20
_LONGEST: Final = 50  # characters of a proposed name: room for _e164 and the like

# Words of headers that say what a column is, in the order in which they are tried; the first column to fit gets the
# name.  Only names whose type the values allow are given.
_MEANINGS: Final[Mapping[str, str]] = {
    "started_at": r"start|begin|origination|initiat|call_?(date|time)|date_?time|^timestamp$|^date$|^time$",
    "answered_at": r"answer|(?<!dis)connect",
    "ended_at": r"(^|_)end|disconnect|hangup|finish",
    "billable_s": r"bill",
    "ring_s": r"ring",
    "duration_s": r"duration|length|elapsed|^(seconds|secs)$",
    "cost": r"cost|price|charge|amount",
    "caller": r"^(src|from|ani|cli|msisdn|caller|caller_?id|calling_?party)$"
    r"|^(caller|calling|source|from|a)(_?(id|party))?_?(no|num|number|phone)$",
    "callee": r"^(dst|to|dnis|callee|called_?party)$"
    r"|^(callee|called|dialled|dialed|dest(ination)?|to|b)(_?party)?_?(no|num|number|phone)$",
    "destination": r"^(call_?)?destination$",
    "customer_id": r"^cust(omer)?_?id$",
    "call_id": r"^(call_?id|unique_?id|uuid|sid|pkid|cdr_?id|id)$",
    "disposition": r"^(call_?)?disposition$",
    "direction": r"^(call_?)?direction$",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Column:
    """
    A column to describe: its position from 1, its name or else its position, what its header says in small letters,
    and its values that are not empty.
    """

    place: int
    ref: str | int
    words: str
    values: tuple[str, ...]
    is_full: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class _Field:
    """A field of the proposal."""

    column: str | int | list[str | int]
    name: str
    guess: Guess
    is_full: bool


def propose_layout(first: FirstRows, *, name: str, timezone: str | None = None, currency: str | None = None) -> str:
    """
    Return the TOML of a layout for a source.

    Args:
        first: Its first records.
        name: Name for layout and table, such as that of the file; what cannot stand in one is replaced.
        timezone: Zone of its times, if the user says it.
        currency: ISO 4217 code of its amounts, if the user says it.

    Raises:
        LayoutError: If there are no records.
    """
    first = _behind_title(first)
    named = has_header(first.rows)
    columns = _columns(first, named)
    if not columns:
        raise LayoutError("there are no records to propose a layout from", hint="give a file with a few records")
    fields = _fields(columns, currency)
    event_time = next((each.name for each in fields if each.guess.type == "timestamp" and each.is_full), None)
    lines = [*_head(_identifier(name.partition(".")[0]) or "calls", event_time), *_dialect(first, named)]
    lines += _defaults(fields, timezone)
    for each in fields:
        lines += _field_lines(each, required=each.name == event_time)
    return "\n".join(lines) + "\n"


def has_header(rows: Sequence[Row]) -> bool:
    """
    Return whether the first record names the columns: words none of which looks like a value.  Names may be missing;
    they repeat only where the records behind have values that no name has.
    """
    if not rows:
        return False
    names = [name for name in rows[0] if name]
    if 2 * len(names) < len(rows[0]) or not all(re.search(r"[^\W\d_]", name) for name in names):
        return False
    if any(is_amount(name) or is_clock(name) or looks_like_date(name) for name in names):
        return False
    return len(set(names)) == len(names) or any(is_integer(value) for row in rows[1:] for value in row)


def _behind_title(first: FirstRows) -> FirstRows:
    """
    Return the first records from the header on, where a title and its like stand before one that is as wide as the
    records are: lines that have less than half as many values.  A layout finds such a header again by its names.
    """
    for at, row in enumerate(first.rows[:_MOST_TITLE_ROWS]):
        if len(row) == first.width and all(row):
            titles = first.rows[:at]
            thin = all(2 * sum(map(bool, title)) < len(row) for title in titles)
            return replace(first, rows=first.rows[at:]) if thin and has_header(first.rows[at:]) else first
    return first


def _columns(first: FirstRows, named: bool) -> list[_Column]:
    header = first.rows[0] if named else ()
    records = [row for row in first.behind_header(1 if named else 0) if row != header]  # again, as in joined files
    columns = []
    for place in range(len(header) or first.width):
        values = [row[place] for row in records if place < len(row)]
        present = tuple(value for value in values if value != "")
        # A name that is empty, or there twice, finds no column; the position does.
        ref = header[place] if named and header[place] and header.count(header[place]) == 1 else place + 1
        words = _words(header[place]) if named else ""
        is_full = bool(values) and len(present) == len(values)
        columns.append(_Column(place=place + 1, ref=ref, words=words, values=present, is_full=is_full))
    return columns


def _words(name: str) -> str:
    """Return a header in small letters and underscores, callDuration as call_duration."""
    return re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()).strip("_")


def _fields(columns: Sequence[_Column], currency: str | None) -> list[_Field]:
    """Return a field for each column, but that a date and its time are one, and a cost takes its currency along."""
    pair = _date_and_time(columns)
    code = next((each for each in columns if _is_currency_column(each)), None)
    if code is not None and not any(_is_cost(each) for each in columns):
        code = None
    taken: set[str] = set(RESERVED)
    fields = []
    for column in columns:
        if (pair and column is pair[1]) or column is code:
            continue
        if pair and column is pair[0]:
            joined = tuple(f"{day} {time}" for day, time in zip(pair[0].values, pair[1].values, strict=True))
            guess = guess_type("start", joined, currency=None, currency_from=None)
            fields.append(_named(replace(column, words="start"), guess, taken, column_of=[pair[0].ref, pair[1].ref]))
            continue
        from_column = code.ref if code is not None else None
        guess = guess_type(column.words, column.values, currency=currency, currency_from=from_column)
        fields.append(_named(column, guess, taken))
    return fields


def _is_cost(column: _Column) -> bool:
    return guess_type(column.words, column.values, currency="XXX", currency_from=None).type == "money"


def _is_currency_column(column: _Column) -> bool:
    codes = bool(column.values) and all(re.fullmatch("[A-Z]{3}", value) for value in column.values)
    return codes and re.search(r"currency|price_unit", column.words) is not None


def _date_and_time(columns: Sequence[_Column]) -> tuple[_Column, _Column] | None:
    """Return the one full column of dates and the one full column of times of day, if there is one of each."""
    dates = [each for each in columns if each.is_full and all(looks_like_date(value) for value in each.values)]
    times = [
        each
        for each in columns
        if each.is_full and "time" in each.words and all(is_clock(value) for value in each.values)
    ]
    if len(dates) == len(times) == 1 and len(dates[0].values) == len(times[0].values):
        return dates[0], times[0]
    return None


def _named(column: _Column, guess: Guess, taken: set[str], *, column_of: list[str | int] | None = None) -> _Field:
    """Return the field with a name of its own; one that means the same in every layout only if the type allows it."""
    wanted = [
        name
        for name, pattern in _MEANINGS.items()
        if guess.type in CANONICAL[name] and column.words and re.search(pattern, column.words)
    ]
    plain = _identifier(column.words) or f"column_{column.place}"
    if guess.type not in CANONICAL.get(plain, (guess.type,)):
        plain = f"{plain}_text" if guess.type == "text" else f"{plain}_value"
    candidates = (*wanted, plain, *(f"{plain}_{number}" for number in range(2, 20_000)))
    name = next(name for name in candidates if _names_of(name, guess).isdisjoint(taken))
    taken |= _names_of(name, guess)
    return _Field(column=column_of or column.ref, name=name, guess=guess, is_full=column.is_full)


def _names_of(name: str, guess: Guess) -> set[str]:
    """Return the columns that a field of this name and type fills."""
    match guess.type:
        case "phone":
            return {name, f"{name}_e164"}
        case "money":
            return {name, "currency" if name == "cost" else f"{name}_currency"}
    return {name}


def _identifier(words: str) -> str:
    """Return *words* as a name, or "" if nothing is left of them."""
    name = re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")[:_LONGEST].rstrip("_")
    return f"n{name}" if name[:1].isdigit() else name


def _head(name: str, event_time: str | None) -> Iterator[str]:
    yield "# Proposed by trunkline from the first records of a file.  It loads as it is; read what says CHECK first."
    yield ""
    yield "grammar = 1"
    yield f"name = {_text(name)}"
    yield f"table = {_text(name)}"
    yield "# The key says which call a record is: two records with the same key are the same call.  Without one, all"
    yield "# fields are the key, and only records that are equal in all of them are duplicates."
    yield '# key = ["call_id"]'
    if event_time is not None:
        yield f"event_time = {_text(event_time)}"


def _dialect(first: FirstRows, named: bool) -> Iterator[str]:
    dialect = first.dialect
    yield ""
    yield "[dialect]"
    yield f"delimiter = {_text(dialect.delimiter)}"
    yield f"quote = {_text(dialect.quote)}"
    yield f"header = {'true' if named else 'false'}"
    if dialect.blank_after:
        yield "blank_after = true"
    if dialect.encoding != "utf-8":
        yield f"encoding = {_text(dialect.encoding)}"


def _defaults(fields: Iterable[_Field], timezone: str | None) -> Iterator[str]:
    if not any(each.guess.needs_zone for each in fields):
        return
    yield ""
    yield "[defaults]"
    if timezone is not None:
        yield f"timezone = {_text(timezone)}"
    else:
        yield 'timezone = "UTC" # CHECK: the file does not say in which zone its times are'


def _field_lines(each: _Field, *, required: bool) -> Iterator[str]:
    yield ""
    for note in each.guess.notes:
        yield f"# {note}"
    yield "[[fields]]"
    yield f"column = {_value(each.column)}"
    yield f"name = {_text(each.name)}"
    yield f"type = {_text(each.guess.type)}"
    if required:
        yield "required = true"
    for key, value in each.guess.options.items():
        yield f"{key} = {_value(value)}"


def _value(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(each) for each in value)}]"
    return _text(value) if isinstance(value, str) else str(value)


def _text(text: str) -> str:
    """Return *text* as a basic string of TOML, which is that of JSON but for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
