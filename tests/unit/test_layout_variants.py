"""One layout for files that differ a little: other header names, other numbers of columns, kinds that hold no calls."""

from __future__ import annotations

import pytest

from trunkline.detect.recognition import layout_of
from trunkline.errors import LayoutError, RefusedError
from trunkline.extraction import extract
from trunkline.layout.files import load_layout, parse_layout
from trunkline.layout.header_match import match_header
from trunkline.transformation import transform

NAMED = """
grammar = 1
name = "named"
table = "named"
[[fields]]
column = "From"
aliases = ["Source", "Caller"]
name = "caller"
type = "text"
required = true
"""
PLACED = """
grammar = 1
name = "placed"
table = "placed"
[dialect]
header = false
[[widths]]
columns = 3
moved = { 3 = 0, 4 = 3 }
[[fields]]
column = 1
name = "caller"
type = "text"
[[fields]]
column = 3
name = "call_id"
type = "text"
[[fields]]
column = 4
name = "sequence"
type = "integer"
"""


def rows(data, text):
    calls, rejects = transform(extract(data, parse_layout(text, origin="t")), parse_layout(text, origin="t"))
    assert len(rejects) == 0
    return calls.drop(columns="record_key").astype(object).where(calls.notna(), None).values.tolist()


@pytest.mark.parametrize("name", ["From", "Source", "Caller"])
def test_other_names_of_a_column(name):
    """The column is found by any of its names."""
    assert rows(f"{name}\n0700\n".encode(), NAMED) == [["0700"]]


def test_the_first_name_counts():
    """Of two columns with a name of the field, its own name wins; the other is not known."""
    assert rows(b"Caller,From\n1,2\n", NAMED) == [["2"]]


def test_another_name_that_is_there_twice():
    """Two columns of one name are not guessed between."""
    with pytest.raises(RefusedError, match="found column Source more than once"):
        match_header(["Source", "Source"], parse_layout(NAMED, origin="t"))


def test_columns_of_a_narrower_file():
    """A file of three columns has no call id, and its sequence in the third."""
    assert rows(b"0700,x,id,7\n", PLACED) == [["0700", "id", 7]]
    assert rows(b"0700,x,7\n", PLACED) == [["0700", None, 7]]
    assert rows(b"0700,x\n", PLACED) == [["0700", None, None]]


def test_a_kind_that_holds_no_calls(monkeypatch):
    """It is recognised and refused with its reason, also when it is named."""
    quality = parse_layout(NAMED, origin="t").model_copy(update={"refuse": "records of quality, not calls"})
    monkeypatch.setattr("trunkline.detect.recognition.builtin_layouts", lambda: (quality,))

    with pytest.raises(RefusedError, match="is 'named': records of quality, not calls"):
        layout_of(b"From\n1\n")
    with pytest.raises(RefusedError, match="is 'named': records of quality, not calls"):
        match_header(["From"], quality)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('column = "From"', "column = 1", "found aliases, expected them beside one header name only"),
        ("required = true", 'other = "x"', "found other without map, expected both or none"),
    ],
)
def test_what_cannot_be_together(old, new, message):
    """The message says which key misses which."""
    with pytest.raises(LayoutError, match=message):
        parse_layout(NAMED.replace(old, new), origin="t")


def test_a_position_that_is_none():
    """The problem is told with its place."""
    with pytest.raises(LayoutError, match=r"widths #1\.moved"):
        parse_layout(PLACED.replace("3 = 0", '"x" = 0'), origin="t")


def test_a_list_of_columns_has_a_fingerprint():
    """Date and time in two columns are no reason for a warning."""
    assert len({load_layout("carrier_bill").fingerprint, load_layout("carrier_bill").fingerprint}) == 1
    assert load_layout("carrier_bill").model_dump(mode="json")["fields"][3]["column"] == ["Call Date", "Call Time"]


ASIDE = """
grammar = 1
name = "aside"
table = "aside"
[dialect]
header = false
delimiter = ","
not_records = "#.*|[^,]*,,(?:Start|End)|[0-9]+,total,x"
[[fields]]
column = 1
name = "caller"
type = "text"
[[fields]]
column = 2
name = "callee"
type = "text"
"""


def aside_outcome(data):
    layout = parse_layout(ASIDE, origin="t")
    calls, rejects = transform(extract(data, layout), layout)
    return (
        calls["caller"].to_dict(),
        dict(zip(rejects["source_line"], rejects["code"], strict=True)),
        calls.attrs["read"],
    )


def test_lines_that_are_no_records():
    """They are left out as blank lines are, wherever they stand and however many, and count as nothing."""
    data = b"#v 1\n1,,Start\n0700,a\n\n# three, of,them\n2,,End\n3,,Start\n0711,b\n9,,End"

    assert aside_outcome(data) == ({3: "0700", 8: "0711"}, {}, 2)


def test_a_record_is_never_taken_for_another_line():
    """A line with the fields of a record is one, whatever it looks like; another line that fits nothing is a reject."""
    assert aside_outcome(b"#0700,a\n0700,b\n1,,Begin\n0,total,x\n") == (
        {1: "#0700", 2: "0700"},
        {3: "too_many_fields"},
        3,
    )


def test_a_source_without_any_record():
    """Only such lines: nothing is read."""
    assert aside_outcome(b"#v 1\n1,,Start\n2,,End\n") == ({}, {}, 0)


@pytest.mark.parametrize("pattern", ["(", "ä"])
def test_a_pattern_of_lines_that_is_none(pattern):
    """It is one of ASCII, since it is matched on bytes of any encoding."""
    with pytest.raises(LayoutError, match="expected a regular expression in ASCII"):
        parse_layout(ASIDE.replace("#.*", pattern), origin="t")


def test_what_is_filtered_is_no_sign_of_a_layout():
    """Records that a layout takes for no calls do not speak for it, nor do more columns than it may have."""
    wide = "460475,Acme,Normal,+12025550123,,Originating,,,12,20240301060000.314,,Yes,,,016" + "," * 182

    assert layout_of(f"version=14.2\n{wide}\n".encode()).name == "broadworks_cdr"
    with pytest.raises(LayoutError, match="no layout fits"):
        layout_of(wide.replace("Normal", "Special").encode() + b"\n")
    with pytest.raises(LayoutError, match="no layout fits"):
        layout_of(wide.encode() + b"," * 300 + b"\n")


EVENTS = """
grammar = 1
name = "events"
table = "TABLE"
view = "sip_dialogs"
"""


def test_what_a_view_is_made_of():
    """A layout with a view has the columns of the view, and a table whose name leaves room for its own."""
    field = '[[fields]]\ncolumn = "method"\nname = "method"\ntype = "text"\n'

    with pytest.raises(LayoutError, match="view: sip_dialogs is made of the column call_id, expected a field"):
        parse_layout(EVENTS.replace("TABLE", "t") + field, origin="t")
    with pytest.raises(LayoutError, match="table: with _calls for its view it is longer than 63 characters"):
        parse_layout(EVENTS.replace("TABLE", "t" * 60) + field, origin="t")
