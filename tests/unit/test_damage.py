"""The proof: of a file with exactly one damaged record exactly that record is rejected, whatever byte was hit.

All files are made: every position and every kind of damage, quoted or not.  Each is framed by itself, since only there
can damage reach other records; all of a kind are then extracted and transformed in one file, each between good ones.
What is stored is held against the undamaged file, what may be stored against a slow reader that shares no code with the
package.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from tests.strict_csv import fields_of
from trunkline.extraction import extract
from trunkline.framing.cutting import frame
from trunkline.framing.dialect import ResolvedDialect
from trunkline.framing.scanning import Outcome, scan
from trunkline.layout.files import load_layout
from trunkline.layout.header_search import dialect_of
from trunkline.transformation import transform

LAYOUT = load_layout("customer_call_logs")
HEADER = ("customer_id", "call_cost", "call_destination", "call_date", "call_duration")
CALLS = (
    ("1001", "$1.20", "Nairobi", "2022-01-01 10:00:00", "00:05:30"),
    ("1002", "$0.00", "Thika Rd", "2022-01-02 23:59:59", "00:00:00"),
    ("1003", "$10.07", "Kisumu", "2022-01-03 00:00:00", "01:00:01"),
)
LINE_ENDS = {"LF": ("\n", 1), "CRLF": ("\r\n", 2), "CR": ("\r", 0)}  # and which record is damaged
STORED = ["customer_id", "cost", "destination", "started_at", "duration_s", "record_key"]


def written(call: tuple[str, ...], quote: str, delimiter: str = ",") -> str:
    return delimiter.join(quote + field + quote for field in call)


def damages(kind: str, call: tuple[str, ...], quote: str) -> Iterator[str]:
    """Yield the record after every damage of a kind: each is in one place, but for another delimiter in all."""
    line = written(call, quote)
    if kind == "separator removed":
        yield from (line[:at] + line[at + 1 :] for at, mark in enumerate(line) if mark == ",")
    elif kind == "byte removed":
        yield from (line[:at] + line[at + 1 :] for at in range(len(line)))
    elif kind == "cut short":
        yield from (line[:at] for at in range(1, len(line)))
    elif kind == "other delimiter":
        yield from (written(call, quote, other) for other in ";\t|:")
    else:
        yield from (line[:at] + ADDED[kind] + line[at:] for at in range(len(line) + 1))


ADDED = {"separator added": ",", "quote added": '"', "NUL added": "\0", "undecodable byte added": "\udcff"}
KINDS = ("separator removed", "separator added", "quote added", "other delimiter")
CASES = [(kind, quote, end) for kind in KINDS for quote in ("", '"') for end in LINE_ENDS] + [
    (kind, quote, "LF")
    for kind in ("NUL added", "undecodable byte added", "cut short", "byte removed")
    for quote in ("", '"')
]


def source_of(lines: list[str], end: str) -> bytes:
    return (end.join(lines) + end).encode("utf-8", "surrogateescape")


def good_lines(lines: list[str], end: str) -> list[int]:
    """Return the source lines of a file's good records: what the reader of fields gets, cut out of all other bytes."""
    data = source_of(lines, end)
    dialect = dialect_of(data, LAYOUT)
    framed = frame([data], dialect)
    assert (dialect, framed.header) == (ResolvedDialect(), HEADER)
    (block,) = framed.blocks
    found = scan(block.data, dialect, len(HEADER))
    assert found.records == len(lines) - 1
    return [int(line) + 2 for line in np.flatnonzero(found.outcomes == Outcome.OK)]


def stored_and_rejected(lines: list[str], end: str) -> tuple[dict[int, tuple[object, ...]], dict[int, bytes]]:
    """Return what transformation makes of a file: typed calls and rejects by source line."""
    calls, rejects = transform(extract(source_of(lines, end), LAYOUT), LAYOUT)
    rows = calls[STORED].itertuples(name=None)
    assert calls.attrs["read"] == len(calls) + len(rejects) + calls.attrs["filtered"]
    return {row[0]: row[1:] for row in rows}, dict(zip(rejects["source_line"], rejects["raw"], strict=True))


def is_record(line: str) -> bool:
    """Whether a damaged line is a record all the same: then it is judged by its values, as any other."""
    raw = line.encode("utf-8", "surrogateescape")
    fields = fields_of(raw)
    return fields is not None and len(fields) == len(HEADER) and b"\0" not in raw and "\udcff" not in line


@pytest.mark.parametrize(("kind", "quote", "end"), CASES)
def test_exactly_the_damaged_record_is_rejected(kind, quote, end):
    """Every other is good; the damaged one only where the damage left a valid record, to be judged by its values."""
    line_end, record = LINE_ENDS[end]
    lines = [written(HEADER, quote), *(written(call, quote) for call in CALLS)]
    at = record + 1
    for damaged in damages(kind, CALLS[record], quote):
        good = good_lines([*lines[:at], damaged, *lines[at + 1 :]], line_end)

        assert good == [line for line in (2, 3, 4) if line != at + 1 or is_record(damaged)], damaged


@pytest.mark.parametrize(("kind", "quote", "end"), CASES)
def test_good_records_are_stored_between_damaged_ones(kind, quote, end):
    """With as many damaged records as can be made between them; each of these as it now reads, or rejected."""
    line_end, record = LINE_ENDS[end]
    damaged = list(damages(kind, CALLS[record], quote))
    (good,) = stored_and_rejected([written(HEADER, quote), written(CALLS[0], quote)], line_end)[0].values()
    pairs = [line for each in damaged for line in (each, written(CALLS[0], quote))]
    stored, rejected = stored_and_rejected([written(HEADER, quote), *pairs], line_end)

    assert [stored.pop(line) for line in range(3, len(pairs) + 2, 2)] == [good] * len(damaged)
    lines = dict(zip(range(2, len(pairs) + 2, 2), damaged, strict=True))
    assert {line: lines[line].encode("utf-8", "surrogateescape") for line in lines if line not in stored} == rejected
    assert all(is_record(lines[line]) for line in stored)


@pytest.mark.parametrize("quote", ["", '"'], ids=["unquoted", "quoted"])
def test_what_a_separator_or_quote_can_do_unseen(quote):
    """Only a separator added inside of quotes leaves a record that is one: there it is data, as in a place's name."""
    damaged = {(kind, line) for kind in KINDS for line in damages(kind, CALLS[1], quote) if is_record(line)}
    stored, _ = stored_and_rejected([written(HEADER, quote), *(line for _, line in sorted(damaged))], "\n")
    unseen = {one for at, one in enumerate(sorted(damaged)) if at + 2 in stored}

    names = {f"{CALLS[1][2][:at]},{CALLS[1][2][at:]}" for at in range(len(CALLS[1][2]) + 1)} if quote else set()
    assert {("separator added", written((*CALLS[1][:2], name, *CALLS[1][3:]), quote)) for name in names} == unseen
