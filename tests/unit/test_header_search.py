"""A header behind a title: found where the layout knows its names, and never at the cost of a record."""

from __future__ import annotations

import pytest

from trunkline.extraction import extract
from trunkline.layout.files import load_layout
from trunkline.layout.header_search import dialect_of, header_row, lines_left_out

LAYOUT = load_layout("customer_call_logs")
HEADER = "customer_id,call_cost,call_destination,call_date,call_duration"
CALL = "1001,$1.20,Nairobi,2022-01-01 10:00:00,00:05:30"


@pytest.mark.parametrize(
    ("before", "lines"),
    [
        ([], 0),
        (["Call report"], 1),
        (["", "Call report", ""], 3),
        (["Period,January"], 1),
        (['a "stray quote"'], 1),
        (["Title,,,,", ",,,,"], 2),
        ([""] * 20, 20),
        ([""] * 21, 0),
        (["a,b,c"], 0),
        ([CALL], 0),
        (["Call report", CALL], 0),
    ],
)
def test_lines_with_few_values_before_the_header_are_left_out(before, lines):
    """Not more than 20, and none that has half as many values as the header: it may be a record."""
    assert dialect_of("\n".join([*before, HEADER, CALL, ""]).encode(), LAYOUT).skip_lines == lines


def test_the_header_has_what_records_need():
    """Half of the names are no header where a required one is missing."""
    assert header_row([["Report"], ["customer_id", "call_cost", "call_date"]], LAYOUT) == 0


def test_a_stated_number_of_lines_is_not_searched_for():
    """The layout knows better."""
    stated = LAYOUT.model_copy(update={"dialect": LAYOUT.dialect.model_copy(update={"skip_lines": 0})})

    assert dialect_of(f"Report\n{HEADER}\n".encode(), stated).skip_lines == 0


def test_what_is_left_out_is_said():
    """In one warning, with what to state; nothing where it is stated."""
    stated = LAYOUT.model_copy(update={"dialect": LAYOUT.dialect.model_copy(update={"skip_lines": 2})})

    assert lines_left_out(2, LAYOUT) == (
        "left out 2 lines before the header, which are no records; dialect.skip_lines in the layout states how many "
        "there are"
    )
    assert lines_left_out(2, stated) is None
    assert lines_left_out(0, LAYOUT) is None


def test_lines_count_from_the_beginning_of_the_file():
    """A title is no record, and the source line of a record is that of the file."""
    text = extract(f"Report\n\n{HEADER}\n{CALL}\n".encode(), LAYOUT)

    assert list(text.index) == [4]
    assert text.attrs["read"] == 1
