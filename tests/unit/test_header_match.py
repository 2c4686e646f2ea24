"""Columns of a header and those that a layout wants: exactly, nearly, twice, not at all."""

from __future__ import annotations

import pytest

from trunkline.errors import RefusedError
from trunkline.layout.files import parse_layout
from trunkline.layout.header_match import header_warnings, match_header, places_of
from trunkline.layout.model import Layout

TEXT = """
grammar = 1
name = "named"
table = "named"
key = ["call_id"]

[[fields]]
column = "Call ID"
name = "call_id"
type = "text"
required = true

[[fields]]
column = "From"
name = "caller"
type = "text"
aliases = ["Source"]
"""


def layout(more: str = "") -> Layout:
    return parse_layout(TEXT + more, origin="test")


@pytest.mark.parametrize(
    "name",
    [
        "call id",
        "CALL ID",
        " Call ID",
        "Call ID ",
        "\u00a0Call ID\u00a0",
        "\ufeffCall ID",
        "\ufeff call id\t",
        "Call ID\u200b",
    ],
)
def test_letter_case_and_what_is_around_a_name_make_no_other_name(name):
    """The column is found, and it is said how the header has it."""
    assert match_header([name, "From"], layout()) == {"Call ID": 0, "From": 1}
    (warning,) = header_warnings([name, "From"], layout())
    assert warning.startswith(f"read the columns {name!r} as Call ID: ")


@pytest.mark.parametrize("name", ["CallID", "Call  ID", "Call_ID", "Cäll ID", ""])
def test_another_name_is_another_name(name):
    """Nothing but letter case and what is around counts for nothing."""
    with pytest.raises(RefusedError, match="expected also Call ID for layout 'named'"):
        match_header([name, "From"], layout())


def test_a_name_that_is_there_exactly_says_nothing():
    """No warning, also if an unknown column is nearly of that name."""
    assert header_warnings(["Call ID", "From"], layout()) == []
    assert match_header(["call id", "Call ID", "From"], layout()) == {"Call ID": 1, "From": 2}


def test_an_alias_may_be_written_otherwise_too():
    """Aliases are names."""
    assert match_header(["Call ID", "SOURCE "], layout()) == {"Call ID": 0, "From": 1}


def test_two_columns_that_may_be_meant_refuse_the_source():
    """Nothing says which of them is the call's id."""
    with pytest.raises(RefusedError) as caught:
        match_header(["call id", "CALL ID", "From"], layout())

    assert "found columns 'call id', 'CALL ID', expected one of them only" in str(caught.value)


def test_names_that_differ_in_case_only_are_not_mixed_up():
    """Where the layout itself has both, each is found exactly or not at all."""
    both = layout("""
[[fields]]
column = "from"
name = "trunk"
type = "text"
""")

    assert places_of(["Call ID", "From"], both) == {"Call ID": 0, "From": 1}
    assert places_of(["Call ID", "FROM"], both) == {"Call ID": 0}


def test_a_column_that_is_read_is_not_read_twice():
    """A field without its column does not take that of another."""
    other = layout("""
[[fields]]
column = "FROM"
name = "trunk"
type = "text"
""")

    assert places_of(["Call ID", "From"], other) == {"Call ID": 0, "From": 1}


def test_a_record_in_the_place_of_the_header_is_refused_without_its_values():
    """Nothing is required here, but no column would be read; phone numbers and amounts are not repeated."""
    optional = parse_layout(TEXT.replace("required = true", ""), origin="test")
    with pytest.raises(RefusedError) as caught:
        match_header(["0700123456", "Nairobi", "$1.20"], optional)
    assert "0700" not in str(caught.value)
    assert str(caught.value).startswith("found 3 columns whose names look like values, expected also Call ID, From for")

    with pytest.raises(RefusedError, match="found columns Call number, Address 1, , expected also"):
        match_header(["Call number", "Address 1", ""], optional)
