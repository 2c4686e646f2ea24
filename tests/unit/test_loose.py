"""Records with quotes out of place: read where one reading is, and rejects where there is none or more than one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.extraction import extract
from trunkline.framing.dialect import ResolvedDialect
from trunkline.framing.loose import split_loosely
from trunkline.framing.records import Damage, split_record
from trunkline.layout.files import parse_layout

RFC = ResolvedDialect()
LAYOUT = """
grammar = 1
name = "loose"
table = "loose"
[dialect]
header = false
delimiter = ","
quote = '"'
stray_quotes = "keep"
[[fields]]
column = 1
name = "a"
type = "text"
"""


@pytest.mark.parametrize(
    ("record", "width", "fields"),
    [
        (b'1,""Ann" <2>",3', 3, [b"1", b'"Ann" <2>', b"3"]),
        (b'1,""Doe, Ann" <2>",3', 3, [b"1", b'"Doe, Ann" <2>', b"3"]),
        (b'1,"Ann" <2>,"a,b"', 3, [b"1", b'"Ann" <2>', b"a,b"]),
        (b'"Bob "The Boss" Ali","x"', 2, [b'Bob "The Boss" Ali', b"x"]),
        (b'"a","a ""b"" "c"",""', 3, [b"a", b'a ""b"" "c"', b""]),
        (b'""Ann" <2>",', 2, [b'"Ann" <2>', b""]),
    ],
)
def test_one_reading(record, width, fields):
    """The outer quotes are taken off, and those inside stay as they are written."""
    assert isinstance(split_record(record, RFC), Damage)
    assert split_loosely(record, RFC, width) == fields


@pytest.mark.parametrize(
    ("record", "width"),
    [
        (b'1,"Ann,3', 3),
        (b'1,""Ann" <2>",3', 4),
        (b'1,""Ann" <2>,3', 3),
        (b'""a" b,c "d"","e,f"', 3),
        (b'"x" a,"b","c" d', 2),
        (b'"x" a,"b","c" d', 0),
        (b"," * 2_000 + b'"x" y', 1_990),
    ],
)
def test_no_reading_or_several(record, width):
    """Neither a quote that is left open nor another number of fields is guessed away."""
    assert split_loosely(record, RFC, width) is None


FIELDS = st.lists(st.text(alphabet='ab ,"', max_size=6), min_size=1, max_size=6)


@given(fields=FIELDS)
def test_what_the_grammar_reads_is_read_alike(fields):
    """Of a record that was written well there is no other loose reading."""
    record = ",".join('"' + field.replace('"', '""') + '"' for field in fields).encode()

    assert split_loosely(record, RFC, len(fields)) in (None, split_record(record, RFC))


@given(fields=FIELDS, width=st.integers(1, 6))
def test_a_reading_has_the_bytes_of_the_record(fields, width):
    """Whatever it holds: the fields, joined, are the record but for quotes, and as many as there must be."""
    record = ",".join(fields).encode()
    found = split_loosely(record, RFC, width)

    assert found is None or (len(found) == width and b",".join(found).replace(b'"', b"") == record.replace(b'"', b""))


def test_only_quotes_out_of_place_are_read_loosely():
    """Too many fields are too many, though a quote could hold them together; lines around are as they were."""
    data = b'0,"a"\n""x" y",b\n1,"a","b"\n"z,b\n2,"c"'
    frame = extract(data, parse_layout(LAYOUT, origin="t"))

    assert frame.to_numpy().tolist() == [["0", "a"], ['"x" y', "b"], ["2", "c"]]
    assert frame.index.tolist() == [1, 2, 5]
    assert frame.attrs["rejects"]["code"].tolist() == ["too_many_fields", "bad_quote"]
    assert frame.attrs["read"] == 5


@given(fields=FIELDS, place=st.integers(0, 60))
def test_one_quote_more_or_less_is_never_read(fields, place):
    """A stray quote in a record that was written well leaves an odd number: the record is a reject, not another one."""
    record = ",".join('"' + field.replace('"', '""') + '"' for field in fields)
    place = min(place, len(record))

    assert split_loosely(f'{record[:place]}"{record[place:]}'.encode(), RFC, len(fields)) is None
