"""The proof: of a file with exactly one damaged record exactly that record is rejected, whatever byte was hit.

All files are made: every position and every kind of damage, quoted or not.  What is stored is held against the
undamaged file, what may be stored against a slow reader that shares no code with the package.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.strict_csv import fields_of
from trunkline.extraction import extract
from trunkline.layout.files import load_layout
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


def stored_and_rejected(lines: list[str], end: str) -> tuple[dict[int, tuple[object, ...]], dict[int, bytes]]:
    data = (end.join(lines) + end).encode("utf-8", "surrogateescape")
    calls, rejects = transform(extract(data, LAYOUT), LAYOUT)
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
    """Every other is stored byte-exact; what the damage left a valid record is stored as it now reads, or rejected."""
    line_end, record = LINE_ENDS[end]
    lines = [written(HEADER, quote), *(written(call, quote) for call in CALLS)]
    whole, none = stored_and_rejected(lines, line_end)
    assert list(whole) == [2, 3, 4]
    assert none == {}
    at = record + 1
    del whole[at + 1]
    for damaged in damages(kind, CALLS[record], quote):
        stored, rejected = stored_and_rejected([*lines[:at], damaged, *lines[at + 1 :]], line_end)
        after = stored.pop(at + 1, None)

        assert whole == stored, damaged
        assert rejected == ({} if after else {at + 1: damaged.encode("utf-8", "surrogateescape")}), damaged
        assert after is None or is_record(damaged), damaged


@pytest.mark.parametrize("quote", ["", '"'], ids=["unquoted", "quoted"])
def test_what_a_separator_or_quote_can_do_unseen(quote):
    """Only a separator added inside of quotes leaves a record that is one: there it is data, as in a place's name."""
    unseen = {
        (kind, damaged)
        for kind in KINDS
        for damaged in damages(kind, CALLS[1], quote)
        if is_record(damaged) and stored_and_rejected([written(HEADER, quote), damaged], "\n")[0]
    }

    names = {f"{CALLS[1][2][:at]},{CALLS[1][2][at:]}" for at in range(len(CALLS[1][2]) + 1)} if quote else set()
    assert {("separator added", written((*CALLS[1][:2], name, *CALLS[1][3:]), quote)) for name in names} == unseen
