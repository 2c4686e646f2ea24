"""Which layout is this?  Recognised by header, width and values; never guessed between equals."""

from __future__ import annotations

from pathlib import Path

import pytest

from trunkline.detect.first_rows import read_first_rows
from trunkline.detect.recognition import ENOUGH, choose_layout, chosen, judge_layout, layout_of, rank_layouts
from trunkline.errors import LayoutError, RefusedError
from trunkline.layout.files import builtin_layouts, load_layout, parse_layout
from trunkline.layout.model import Dialect

REFERENCE = Path("examples/customer_call_logs.csv").read_bytes()
HEADERLESS = """
grammar = 1
name = "switch"
table = "switch"
[dialect]
header = false
[[fields]]
column = 1
name = "caller"
type = "phone"
required = true
[[fields]]
column = 2
name = "started_at"
type = "timestamp"
required = true
format = "%d/%m/%Y %H:%M:%S"
timezone = "UTC"
[[fields]]
column = 3
name = "duration_s"
type = "duration"
unit = "s"
"""


def switch(name="switch", text=HEADERLESS):
    return parse_layout(text.replace('"switch"', f'"{name}"'), origin=name)


def test_the_reference_file_is_recognised():
    """Its header is enough, with all values or with none."""
    assert layout_of(REFERENCE).name == "customer_call_logs"
    assert layout_of(REFERENCE.splitlines(keepends=True)[0]).name == "customer_call_logs"


@pytest.mark.parametrize(
    "text",
    [
        REFERENCE.replace(b",", b";"),
        REFERENCE.replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + REFERENCE,
        REFERENCE.decode().encode("utf-16"),
        b'"' + REFERENCE.replace(b",", b'","').replace(b"\n", b'"\n"') + b'"',
        b"call_duration,call_date,customer_id,agent,call_destination,call_cost\n"
        b"00:05:30,2022-01-01 10:00:00,1001,x,Nairobi,$1.20\n",
    ],
    ids=["semicolons", "CRLF", "byte order mark", "UTF-16", "quoted", "other order and a column more"],
)
def test_the_reference_layout_in_other_dialects(text):
    """Delimiter, line ends, encoding, quotes and the order of columns do not matter."""
    assert layout_of(text).name == "customer_call_logs"


def test_a_header_that_fits_weighs_more_than_values_that_do_not():
    """Bad values are rejects with a reason each; they are no reason not to know the file."""
    bad = REFERENCE.splitlines()[0] + b"\nx,x,x,x,x\n"
    (candidate,) = rank_layouts(bad, [load_layout("customer_call_logs")])

    assert candidate.confidence >= ENOUGH
    assert candidate.reasons == (
        "5 of its 5 columns are in the header",
        "customer_id looks wrong in 1 of 1 records",
        "cost looks wrong in 1 of 1 records",
        "started_at looks wrong in 1 of 1 records",
        "duration_s looks wrong in 1 of 1 records",
    )


def test_a_missing_column_is_named():
    """The message has the nearest layout and what it misses, and how to go on; no names or values of the file."""
    with pytest.raises(LayoutError) as caught:
        layout_of(REFERENCE.replace(b"call_cost", b"0700123456"))

    assert str(caught.value) == (
        "no layout fits; closest is customer_call_logs (4 of its 5 columns are in the header; missing: call_cost); "
        "pass --layout NAME, or write one with 'trunkline inspect FILE'"
    )


def test_a_file_of_another_kind():
    """What is like no layout at all is said to be so."""
    with pytest.raises(LayoutError, match=r"^no layout fits; pass --layout NAME"):
        layout_of(b"when,who\n2022-01-01,x\n")


@pytest.mark.parametrize("sample", [b"", b"\n", b" \r\n\n"])
def test_an_empty_file(sample):
    """There is nothing to load, which refuses the file and does not fail the run."""
    with pytest.raises(RefusedError, match="is empty, expected at least one record"):
        layout_of(sample)


def test_equals_are_not_guessed_between():
    """Two layouts that fit alike are named."""
    rows = [("0700123456", "31/01/2022 10:00:00", "5")]

    with pytest.raises(LayoutError, match="the layouts a, b fit alike; pass --layout NAME"):
        choose_layout(rows, [switch("a"), switch("b")])


def test_values_tell_layouts_of_one_width_apart():
    """Without a header, the format of a time decides."""
    other = switch("other", HEADERLESS.replace("%d/%m/%Y", "%Y-%m-%d"))
    rows = [("0700123456", "31/01/2022 10:00:00", "5"), ("0700123457", "01/02/2022 10:00:00", "")]

    choice = choose_layout(rows, [other, switch()])
    assert (choice.layout.name, choice.confidence) == ("switch", 1.0)
    assert choice.reasons == ("2 of 2 records have 2 to 3 columns",)


def test_another_width_cannot_be_it():
    """A headerless layout is not tried on records that are wider."""
    candidate = judge_layout(switch(), [("a", "b", "c", "d")])

    assert candidate.confidence == 0
    assert candidate.reasons == ("it has 2 to 3 columns, the first records have 4",)


@pytest.mark.parametrize("layout", builtin_layouts(), ids=lambda layout: layout.name)
def test_no_layout_fits_nothing(layout):
    """Without records there is no confidence."""
    assert judge_layout(layout, []).confidence == 0


def test_nothing_to_choose_from():
    """No layouts, no choice."""
    with pytest.raises(LayoutError, match="no layout fits"):
        chosen([])


def test_the_first_rows_leave_out_what_is_cut_or_damaged():
    """A last line without its end may be cut; a stray quote or blank line is not judged here."""
    first = read_first_rows(b'a,b\n1,2\n\n1,"2"x\n3,4\n5')

    assert first.rows == (("a", "b"), ("1", "2"), ("3", "4"))
    assert first.width == 2
    assert first.behind_header(1) == (("1", "2"), ("3", "4"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"blank_after": False}, {"blank_after": True}),
        ({"quote": '"'}, {"quote": "'"}),
        ({"escape": "double"}, {"escape": "backslash"}),
        ({"delimiter": ","}, {"delimiter": ";"}),
    ],
)
def test_the_same_first_lines_are_split_as_each_dialect_says(one, other):
    """What was split for one layout is taken again for those alone that split alike."""
    sample = b"""a, "b;c"\n1, '2\\"'\n'3', 4\n"""
    known = {"delimiter": ",", "quote": '"', "escape": "double", "blank_after": False}
    first = [read_first_rows(sample, Dialect(**known | stated)).rows for stated in (one, other, one)]

    assert first[0] == first[2] != first[1]


def test_what_cannot_be_it_is_not_judged_to_the_end():
    """Then only that it is below what was asked is sure; what is not below is judged as ever."""
    rows = [("+254", "31/01/2022 10:00:00", "12"), ("+254", "31/01/2022 10:00:00", "x"), ("+254", "never", "x")]
    whole = judge_layout(switch(), rows)

    assert whole.confidence == pytest.approx(1 / 3, abs=0.001)
    assert judge_layout(switch(), rows, least=0.3) == whole
    assert judge_layout(switch(), rows, least=0.5) == whole  # the last of its fields told
    early = judge_layout(switch(), rows, least=0.9)
    assert whole.confidence < early.confidence < 0.9
    assert "duration_s" not in " ".join(early.reasons)
