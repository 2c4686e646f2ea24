"""A layout for an unknown file: it loads at once, and damages nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trunkline.detect.first_rows import FirstRows, read_first_rows
from trunkline.detect.proposal import has_header, propose_layout
from trunkline.detect.recognition import judge_layout
from trunkline.errors import LayoutError
from trunkline.extraction import extract
from trunkline.layout.files import parse_layout
from trunkline.transformation import transform

REFERENCE = Path("examples/customer_call_logs.csv").read_bytes()


def proposed(text, **given):
    first = read_first_rows(text)
    toml = propose_layout(first, name="calls", **given)
    return parse_layout(toml, origin="proposal"), toml, first


def proposed_column(header, values):
    """Return the proposal for a file of one column."""
    first = FirstRows(dialect=read_first_rows(b"a,b\n").dialect, rows=((header,), *((value,) for value in values)))
    toml = propose_layout(first, name="calls")
    (field,) = parse_layout(toml, origin="proposal").fields
    return field, toml


def test_the_reference_file():
    """What the file does not say is a guess with a comment; the rest is as in the layout that comes along."""
    layout, toml, _ = proposed(REFERENCE)

    assert {field.name: field.type for field in layout.fields} == {
        "customer_id": "text",
        "cost": "money",
        "destination": "text",
        "started_at": "timestamp",
        "duration_s": "duration",
    }
    assert (layout.event_time, layout.zones, layout.currencies) == ("started_at", "UTC", "USD")
    assert toml.count("CHECK: ") == 2
    assert 'timezone = "UTC" # CHECK: the file does not say in which zone its times are' in toml
    assert '# CHECK: the file only says "$".' in toml


def test_what_the_user_says_is_no_guess():
    """A zone and a currency that are given are stated without a comment."""
    layout, toml, _ = proposed(REFERENCE, timezone="Africa/Nairobi", currency="TTD")

    assert (layout.zones, layout.currencies) == ("Africa/Nairobi", "TTD")
    assert "CHECK: " not in toml


def test_a_bill_with_date_and_time_in_two_columns():
    """They become one timestamp, and the currency column that of the amount; a decimal comma is seen."""
    layout, _, _ = proposed(
        b"Call Type;Customer Identifier;Non-Charged Party;Call Date;Call Time;Duration;Amount;Currency;Call Class\n"
        b"V;+447700900123;07700900456;13/02/2024;10:00:00;00123;1,20;GBP;\n"
        b"V;+447700900123;07700900457;14/02/2024;11:00:00;5;0,20;GBP;\n"
    )

    assert [(field.name, field.column, field.type) for field in layout.fields] == [
        ("call_type", "Call Type", "text"),
        ("customer_identifier", "Customer Identifier", "text"),
        ("non_charged_party", "Non-Charged Party", "text"),
        ("started_at", ("Call Date", "Call Time"), "timestamp"),
        ("duration", "Duration", "text"),
        ("cost", "Amount", "money"),
        ("call_class", "Call Class", "text"),
    ]
    assert layout.columns[3].pg_type == "timestamptz"
    cost = layout.field("cost")
    assert cost.type == "money"
    assert (cost.point, cost.currency_from) == (",", "Currency")


@pytest.mark.parametrize(
    ("header", "values"),
    [
        ("caller", ["0700123456", "100"]),
        ("callee", ["+254700123456", "s"]),
        ("customer", ["1001", "1002"]),
        ("call_id", ["1704103200.1", "1704103200.2"]),
        ("account", ["007", "8"]),
        ("code", ["1.10", "1.20"]),
        ("cost_centre", ["0042", "0043"]),
        ("charge_number", ["0700123456", "0700123457"]),
        ("amount", ["254700123456", "254700123457"]),
        ("imsi", ["639020000000001", "639020000000002"]),
        ("epoch", ["1704103200", "1704103201"]),
        ("cause", ["16", "17"]),
        ("duration", ["007", "008"]),
        ("start", ["01/02/2024 10:00:00", "02/03/2024 10:00:00"]),
        ("price", ["1,200", "2,300"]),
        ("time", ["10:00:00", "11:00:00"]),
        ("flag", ["1", "0"]),
        ("billing_number", ["1001", "1002"]),
        ("billed", ["254700123456", "254700123457"]),
        ("ring_group", ["600", "601"]),
        ("charge_code", ["100", "200"]),
        ("batch_id", ["2024-01-31", "2024-02-01"]),
        ("duration", ["1704103200", "1704103201"]),
    ],
)
def test_what_may_be_a_number_an_id_or_a_code_stays_text(header, values):
    """Only text (or a phone number, which keeps its text) is proposed for what another type could damage."""
    field, _ = proposed_column(header, values)

    assert field.type in ("text", "phone")


@pytest.mark.parametrize(
    ("header", "values", "expected"),
    [
        ("start", ["2024-01-31T10:00:00Z"], 'type = "timestamp"\nrequired = true\n'),
        ("start", ["13/02/2024 10:00"], 'format = "%d/%m/%Y %H:%M"\n'),
        ("start", ["02/13/2024 10:00"], 'format = "%m/%d/%Y %H:%M"\n'),
        ("day", ["2024-01-31"], 'type = "date"\n'),
        ("call_duration", ["0:05:30.5"], 'unit = "hms"\nscale = 1\n'),
        ("callDuration", ["0:05:30"], 'name = "duration_s"\ntype = "duration"\nunit = "hms"\n'),
        ("duration_ms", ["1500"], 'unit = "ms"\nscale = 3\n'),
        ("Duration (secs)", ["65"], 'name = "duration_s"\ntype = "duration"\nunit = "s"\n'),
        ("duration", ["65"], "# CHECK: the file does not say that these are seconds.\n"),
        ("price", ["-0.0085"], '# CHECK: no currency is known; state it: currency = "USD".\n'),
        ("price", ["USD 1.20"], 'currency = "USD"\n'),
        ("price", ["1.234,50"], 'point = ","\ngroup = "."\n'),
        ("price", ["0.00250000"], "scale = 8\n"),
        ("sequence", ["0", "1"], 'type = "integer"\n'),
        ("system", ["pbx"], 'name = "system_2"\n'),
        ("cost", ["unknown"], 'name = "cost_text"\n'),
    ],
)
def test_what_is_plain_is_proposed(header, values, expected):
    """Types, formats and units that every value fits, and no other reading of them does."""
    _, toml = proposed_column(header, values)

    assert expected in toml


def test_a_time_whose_order_is_not_clear_says_both():
    """Day and month are not guessed; the comment has the formats to choose from."""
    _, toml = proposed_column("start", ["01/02/2024 10:00:00"])

    assert 'type = "timestamp" with format = "%d/%m/%Y %H:%M:%S" or format = "%m/%d/%Y %H:%M:%S".' in toml


def test_a_file_without_a_header():
    """Columns go by position."""
    layout, _, _ = proposed(b'"","100","200","x,y","2024-01-01 10:00:00",,10,0,"ANSWERED"\n')

    assert layout.dialect.header is False
    assert [field.column for field in layout.fields] == list(range(1, 10))
    assert layout.event_time == "column_5"


@pytest.mark.parametrize(
    "text",
    [b"Report,,\n,,\nid,started,note\n", b"Report\n\nid,started,note\n", b"id,started,note\nid,started,note\n"],
)
def test_a_title_or_a_second_header_is_no_record(text):
    """The types are those of the records, and the file loads as it is."""
    data = text + b"7,2022-01-01 10:00:00,x\n"
    layout, _, _ = proposed(data)
    calls, rejects = transform(extract(data, layout), layout)

    assert [field.type for field in layout.fields] == ["text", "timestamp", "text"]
    assert (len(calls), len(rejects)) == (1, 0)


def test_names_that_are_there_twice_or_not_at_all():
    """Such columns go by position, so that each is found."""
    layout, _, _ = proposed(b"id,name,name,\n1,a,b,c\n")

    assert [field.column for field in layout.fields] == ["id", 2, 3, 4]


@pytest.mark.parametrize("text", [b"", b"\n\n"])
def test_nothing_to_propose_from(text):
    """A file without records has no columns."""
    with pytest.raises(LayoutError, match="there are no records to propose a layout from"):
        proposed(text)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([("id", "cost")], True),
        ([("Call Start", "")], True),
        ([("id", "cost"), ("1", "2")], True),
        ([("a", "a"), ("1", "2")], True),
        ([("a", "a"), ("b", "b")], False),
        ([("1001", "Nairobi")], False),
        ([("alice", "2022-01-01")], False),
        ([("alice", "00:05:30")], False),
        ([("alice", "$1.20")], False),
        ([("", "", "x")], False),
        ([], False),
    ],
)
def test_a_header_is_words(rows, expected):
    """A first record with something that looks like a value is no header."""
    assert has_header(rows) is expected


cells = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["", "1", "0700", "$1.20", "1,20", "USD", "10:00:00", "2024-01-31", "31/01/2024", "2024-01-31 10:00:00"]
    ),
)
words = st.sampled_from(
    [
        "start",
        "Call Date",
        "time",
        "cost",
        "currency",
        "system",
        "caller",
        "caller_e164",
        "duration_s",
        "1",
        "x" * 80,
        "",
    ]
)


KINDS = ["", "call ", "Billing ", "ring_", "Duration ", "charge_", "cost ", "start_", "end-", "wait ", "Price-", "B-"]
NAMES = ["ID", "number", "No", "code", "Account", "ref", "PIN", "IMSI", "ext", "group", "uuid", "reference", "num"]
identifiers = st.one_of(
    st.from_regex(r"[0-9]{1,22}", fullmatch=True),
    st.from_regex(r"0[0-9]{1,12}", fullmatch=True),
    st.from_regex(r"\+[0-9]{6,15}", fullmatch=True),
    st.from_regex(r"[0-9]{1,3}[eE][0-9]{1,2}", fullmatch=True),
    st.from_regex(r"[0-9]{1,4}[-.][0-9]{1,4}", fullmatch=True),
    st.dates().map(str),
    st.times().map(str),
    st.datetimes().map(str),
    st.sampled_from(["0x1F", "$5", "1,234", "(100)", "TRUE", "NaN", "inf", "-0", "1E5", "NULL"]),
)


@given(kind=st.sampled_from(KINDS), name=st.sampled_from(NAMES), values=st.lists(identifiers, min_size=1, max_size=4))
@example(kind="B-", name="number", values=["0E0"])
def test_what_a_header_calls_an_id_is_loaded_as_it_is_written(kind, name, values):
    """Phone numbers, ids and codes come out of a proposed layout to the letter, whatever they look like."""
    text = "\n".join([f"note|{kind}{name}", *(f"x|{value}" for value in values)]) + "\n"
    first = read_first_rows(text.encode())
    layout = parse_layout(propose_layout(first, name="t"), origin="proposal").with_overrides(timezone="UTC")
    calls, rejects = transform(extract(text.encode(), layout), layout)

    column = next(field.name for field in layout.fields if field.column == f"{kind}{name}")
    assert rejects.empty
    assert calls[column].tolist() == values


@given(data=st.data(), width=st.integers(1, 6))
def test_every_proposal_loads_at_once(data, width):
    """Whatever a file holds: the proposal is a layout, and every record that it was made from fits it."""
    row = st.tuples(*[cells] * width)
    header = data.draw(st.tuples(*[st.one_of(words, cells)] * width))
    rows = (header, *data.draw(st.lists(row, max_size=5)))
    first = FirstRows(dialect=read_first_rows(b"a,b\n").dialect, rows=rows)

    layout = parse_layout(propose_layout(first, name=data.draw(st.text(max_size=5))), origin="proposal")
    judged = judge_layout(layout, rows)
    assert judged.confidence == 1, judged.reasons


@pytest.mark.parametrize(
    "text",
    [
        REFERENCE,
        b'"","100","0700123456","x,y","2024-01-01 10:00:00",,10,0,"ANSWERED"\n',
        b"Start Time,End Time,From,To,Call Duration,Price,Price Unit,Day,\n"
        b"2024-01-01T10:00:00Z,2024-01-01T10:01:05Z,+254700123456,0700123456,65,-0.0085,USD,2024-01-01,\n"
        b"2024-01-01T10:00:00+03:00,,anonymous,s,,,,,\n",
        b"date;time;seconds;amount\n13/02/2024;10:00:00;5;1.234,50 EUR\n14/02/2024;10:00:00;0;0,5 EUR\n",
        b"price\tstarted\n(1.20)\t1/31/24 10:00\n",
    ],
    ids=["reference", "headerless", "cloud", "bill", "tabs"],
)
def test_the_proposal_loads_the_file(text):
    """No record that the proposal was made from is rejected by it."""
    layout, _, _ = proposed(text)
    calls, rejects = transform(extract(text, layout), layout)

    assert rejects.empty
    assert len(calls) == len(text.splitlines()) - (layout.dialect.header is True)
