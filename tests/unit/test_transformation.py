"""From text to typed calls and rejects: every record ends in one place, and nothing is guessed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.blocks import NO_REJECTS, RawRecords, TextBlock, TypedBlock
from trunkline.errors import RefusedError, UsageError
from trunkline.layout.files import load_layout, parse_layout
from trunkline.layout.model import Layout
from trunkline.transformation import transform, transform_block, typed_totals

GOLDEN = json.loads(Path(__file__).with_name("golden_keys.json").read_text(encoding="utf-8"))
HEADER = ("customer_id", "call_cost", "call_destination", "call_date", "call_duration")
REFERENCE = load_layout("customer_call_logs")
GOOD = ("1001", "$1.20", "Nairobi", "2022-01-01 10:00:00", "00:05:30")

SWITCH = """
grammar = 1
name = "switch"
table = "switch"
key = ["system", "call_id", "cost"]
[[skip]]
column = "type"
not_in = ["2"]
[defaults]
nulls = ["", "NULL"]
[[fields]]
column = "id"
name = "call_id"
type = "text"
[[fields]]
column = "from"
name = "caller"
type = "phone"
region = "KE"
[[fields]]
column = "result"
name = "disposition"
type = "text"
map = { "NO ANSWER" = "no_answer", "ANSWERED" = "answered" }
[[fields]]
column = ["day", "clock"]
name = "started_at"
type = "timestamp"
format = "%d/%m/%Y %H:%M:%S"
timezone = "UTC"
[[fields]]
column = "price"
name = "cost"
type = "money"
currency_from = "unit"
min = 0
[[fields]]
column = "legs"
name = "legs"
type = "integer"
min = 1
max = 9
[[fields]]
column = "address"
name = "address"
type = "ip"
"""
SWITCH_GOOD = {
    "type": "2",
    "id": "a",
    "from": "0712345678",
    "result": "ANSWERED",
    "day": "31/01/2022",
    "clock": "10:00:00",
    "price": "1.5",
    "unit": "EUR",
    "legs": "2",
    "address": "10.0.0.1",
}


def text_block(rows: Sequence[Sequence[str]], header: Sequence[str] = HEADER) -> TextBlock:
    """Return rows as extraction would, on every other line."""
    columns = [pa.array([row[place] for row in rows], pa.string()) for place in range(len(header))]
    batch = pa.RecordBatch.from_arrays(columns, names=list(header))
    return TextBlock(batch=batch, lines=np.arange(len(rows)) * 2, rejects=NO_REJECTS, read=len(rows))


def reference(*rows: Sequence[str]) -> TypedBlock:
    """Transform rows of the reference layout."""
    return transform_block(text_block(rows), REFERENCE)


def with_(**changes: str) -> tuple[str, ...]:
    """Return a good record with some of its fields changed."""
    return tuple(changes.get(name, value) for name, value in zip(HEADER, GOOD, strict=True))


def switch(*changes: Mapping[str, str], system: str = "pbx-1", more: str = "") -> TypedBlock:
    """Transform records of the switch layout, each with its changes from a good one."""
    rows = [list({**SWITCH_GOOD, **change}.values()) for change in changes]
    layout = parse_layout(SWITCH + more, origin="test").with_overrides(system=system)
    return transform_block(text_block(rows, list(SWITCH_GOOD)), layout)


def rejected(block: TypedBlock) -> list[tuple[int, str | None, str]]:
    """Return line, field and code of every reject."""
    return [(row["line"], row["field"], row["code"]) for row in block.rejects.to_pylist()]


def test_a_record_of_the_reference_file():
    """Text becomes the types of the layout, exactly."""
    (call,) = reference(GOOD).batch.to_pylist()

    assert {
        "customer_id": 1001,
        "cost": Decimal("1.200000"),
        "currency": "USD",
        "destination": "Nairobi",
        "started_at": datetime(2022, 1, 1, 7, tzinfo=UTC),
        "duration_s": 330,
        "record_key": bytes.fromhex(GOLDEN["keys"][0]["key"]),
    } == call


@pytest.mark.parametrize("name", ["customer_call_logs"])
def test_columns_are_those_of_the_layout(name):
    """Names and types of the typed columns are what the layout promises, whatever the records say."""
    layout = load_layout(name)
    typed = transform_block(text_block([]), layout).batch

    assert [column.name for column in layout.columns] == typed.schema.names[:-1]
    assert [column.arrow_type for column in layout.columns] == [str(kind) for kind in typed.schema.types[:-1]]


def test_columns_of_every_type_are_those_of_the_layout():
    """The same for a layout with the other types, for records and for none."""
    layout = parse_layout(SWITCH, origin="test")
    wanted = [(column.name, column.arrow_type) for column in layout.columns]

    some: list[list[dict[str, str]]] = [[], [{}], [{}, {"legs": ""}]]
    for changes in some:
        schema = switch(*changes).batch.schema
        assert wanted == [(field.name, str(field.type)) for field in schema][:-1]


@pytest.mark.parametrize(
    ("field", "name", "text", "code"),
    [
        ("customer_id", "customer_id", "", "missing_value"),
        ("customer_id", "customer_id", "007", "bad_integer"),
        ("customer_id", "customer_id", "+7", "bad_integer"),
        ("customer_id", "customer_id", "1_000", "bad_integer"),
        ("customer_id", "customer_id", "١٢٣", "bad_integer"),
        ("customer_id", "customer_id", "NaN", "bad_integer"),
        ("customer_id", "customer_id", "-0", "bad_integer"),
        ("customer_id", "customer_id", "9223372036854775808", "out_of_range"),
        ("call_cost", "cost", "$", "bad_money"),
        ("call_cost", "cost", "€1.20", "bad_money"),
        ("call_cost", "cost", "$1.1234567", "bad_money"),
        ("call_cost", "cost", "$1,200.00", "bad_money"),
        ("call_cost", "cost", "$1000000000000", "out_of_range"),
        ("call_destination", "destination", "", "missing_value"),
        ("call_date", "started_at", "2022-02-30 10:00:00", "bad_timestamp"),
        ("call_date", "started_at", "now", "bad_timestamp"),
        ("call_duration", "duration_s", "-00:00:01", "bad_duration"),
        ("call_duration", "duration_s", "00:60:00", "bad_duration"),
        ("call_duration", "duration_s", "330", "bad_duration"),
    ],
)
def test_a_bad_value_rejects_its_record_alone(field, name, text, code):
    """The neighbours are loaded, on their lines."""
    block = reference(GOOD, with_(**{field: text}), GOOD)

    assert [(2, name, code)] == rejected(block)
    assert block.lines.tolist() == [0, 4]
    assert reference(GOOD, GOOD).batch.equals(block.batch)
    assert block.read == 3


def test_the_first_failing_field_decides():
    """One reject per record, of the field that the layout names first."""
    block = reference(with_(call_duration="x", call_cost="y"), with_(call_duration="x"))

    assert rejected(block) == [(0, "cost", "bad_money"), (2, "duration_s", "bad_duration")]


def test_a_message_says_the_shape_and_not_the_value():
    """Digits are 9 and letters a: what is logged is no personal data."""
    block = reference(with_(customer_id="ID-4711 Zoë"), with_(call_date=""))

    assert block.rejects["message"].to_pylist() == [
        "found AA-9999 Aaa, expected a whole number in digits, without leading zeros",
        "found nothing, expected a value",
    ]


def test_a_long_value_is_cut_in_its_message():
    """A field of a megabyte does not make a message of one."""
    (message,) = reference(with_(customer_id="x" * 1_000_000)).rejects["message"].to_pylist()

    assert message.startswith("found " + "a" * 40 + "…, expected")


def test_rejects_of_extraction_are_kept():
    """Rejects of both stages are in one list, by line."""
    text = text_block([GOOD, with_(customer_id="x")])
    early = pa.RecordBatch.from_pylist(
        [{"line": 1, "field": None, "code": "bad_quote", "message": "found a quote"}], schema=NO_REJECTS.schema
    )
    block = transform_block(TextBlock(batch=text.batch, lines=text.lines, rejects=early, read=3), REFERENCE)

    assert rejected(block) == [(1, None, "bad_quote"), (2, "customer_id", "bad_integer")]
    assert block.read == 3 == block.batch.num_rows + block.rejects.num_rows + block.filtered


def test_columns_are_found_in_any_order():
    """A header in another order gives the same calls."""
    turned = transform_block(text_block([GOOD[::-1]], HEADER[::-1]), REFERENCE)

    assert reference(GOOD).batch.equals(turned.batch)


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_the_header_again_is_filtered(mark):
    """Files that were joined end to end have it in the middle, maybe with the byte order mark of the second file."""
    block = reference(GOOD, (mark + HEADER[0], *HEADER[1:]), with_(customer_id="1002"))

    assert (block.filtered, block.read, rejected(block)) == (1, 3, [])
    assert block.lines.tolist() == [0, 4]


def test_another_header_refuses_the_file():
    """After names in another order each record would be read wrong."""
    with pytest.raises(RefusedError, match="second header with the columns in another order"):
        reference(GOOD, HEADER[::-1], GOOD[::-1])


def test_a_record_with_the_name_of_a_column_is_no_header():
    """Only a record that holds all names, each as often as the header, is one."""
    block = reference(with_(call_destination="call_date"), tuple(HEADER[0] for _ in HEADER))

    assert (block.filtered, rejected(block)) == (0, [(2, "customer_id", "bad_integer")])


def test_missing_columns_refuse_the_file():
    """The message names what there is and what is missing."""
    with pytest.raises(RefusedError, match="found columns customer_id, call_cost, expected also call_destination, cal"):
        transform_block(text_block([GOOD[:2]], HEADER[:2]), REFERENCE)


def test_a_column_that_is_there_twice_refuses_the_file():
    """Nobody guesses which of the two is meant."""
    with pytest.raises(RefusedError, match="found column call_cost more than once"):
        transform_block(text_block([(*GOOD, "$2.00")], (*HEADER, "call_cost")), REFERENCE)


def test_columns_that_the_layout_does_not_know_are_left_out():
    """They change nothing, unless the layout refuses them."""
    text = text_block([(*GOOD, "x")], (*HEADER, "note"))
    refusing = parse_layout('extends = "customer_call_logs"\ngrammar = 1\nname = "own"\nextra = "refuse"', origin="t")

    assert reference(GOOD).batch.equals(transform_block(text, REFERENCE).batch)
    with pytest.raises(RefusedError, match="found columns note"):
        transform_block(text, refusing)


def test_columns_that_the_layout_does_not_know_can_be_kept():
    """As JSON, whatever is in them."""
    keeping = parse_layout('extends = "customer_call_logs"\ngrammar = 1\nname = "own"\nextra = "keep"', origin="t")
    text = text_block([(*GOOD, 'a "b" \\ \t\u2028', "é")], (*HEADER, "note", "note"))

    assert transform_block(text, keeping).batch["extra"].to_pylist() == [
        '{"note": "a \\"b\\" \\\\ \\u0009\u2028", "note_2": "é"}'
    ]


def test_records_that_are_no_calls_are_filtered():
    """They are counted, and neither calls nor rejects, however bad."""
    block = switch({}, {"type": "1", "legs": "x"}, {"id": "b"})

    assert block.batch["call_id"].to_pylist() == ["a", "b"]
    assert (block.filtered, block.read, rejected(block)) == (1, 3, [])
    assert block.lines.tolist() == [0, 4]


def test_empty_optional_fields_are_null():
    """In all columns of the field, by every word that means so."""
    empty = {name: "NULL" for name in SWITCH_GOOD if name not in ("type", "id")}
    (call,) = switch(empty).batch.drop_columns(["record_key"]).to_pylist()

    assert dict.fromkeys(call) | {"call_id": "a"} == call


def test_the_fields_of_a_switch():
    """Phone numbers, words with a meaning, two columns for a time, and a currency beside its amount."""
    (call,) = switch({}).batch.drop_columns(["record_key"]).to_pylist()

    assert {
        "call_id": "a",
        "caller": "0712345678",
        "caller_e164": "+254712345678",
        "disposition": "answered",
        "disposition_raw": "ANSWERED",
        "started_at": datetime(2022, 1, 31, 10, tzinfo=UTC),
        "cost": Decimal("1.500000"),
        "currency": "EUR",
        "legs": 2,
        "address": "10.0.0.1",
    } == call


@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"result": "no answer"}, "disposition", "not_allowed"),
        ({"clock": ""}, "started_at", "bad_timestamp"),
        ({"unit": "euro"}, "cost", "bad_money"),
        ({"unit": ""}, "cost", "bad_money"),
        ({"price": "$1.5"}, "cost", "bad_money"),
        ({"price": "-0.01"}, "cost", "out_of_range"),
        ({"legs": "0"}, "legs", "out_of_range"),
        ({"legs": "10"}, "legs", "out_of_range"),
        ({"address": "10.0.0.256"}, "address", "bad_ip"),
        ({"from": "2.54712E+11"}, "caller", "bad_phone"),
        ({"id": "", "price": "NULL", "unit": ""}, None, "missing_value"),
    ],
)
def test_what_a_switch_layout_rejects(change, field, code):
    """The stable codes, and the record as a whole where its key is empty."""
    assert [(2, field, code)] == rejected(switch({}, change))


def keys(block: TypedBlock) -> list[bytes]:
    """Return the record keys."""
    return block.batch["record_key"].to_pylist()  # type: ignore[no-any-return]


def test_the_system_is_part_of_the_key_where_the_layout_says_so():
    """Two switches may give the same id to two calls."""
    assert keys(switch({})) == keys(switch({}))
    assert keys(switch({})) != keys(switch({}, system="pbx-2"))


def test_the_currency_is_part_of_the_key_where_the_record_states_it():
    """One euro is not one dollar; fields that are not in the key are no part of it."""
    one, other, same = keys(switch({}, {"unit": "USD"}, {"legs": "3"}))

    assert one != other
    assert one == same


@given(st.lists(st.sampled_from([GOOD, with_(customer_id="x"), with_(call_cost="($0.5)"), with_(call_date="2022")])))
def test_every_record_ends_in_one_place(rows):
    """Calls and rejects together are the records, each on its own line."""
    block = reference(*rows)
    lines = sorted([*block.lines.tolist(), *block.rejects["line"].to_pylist()])

    assert [2 * row for row in range(len(rows))] == lines


def test_totals():
    """Exact sums by currency; calls without a price or without a duration are in none."""
    block = switch({}, {"id": "b", "price": "0.000001"}, {"id": "c", "unit": "KES"}, {"id": "d", "price": ""})
    totals = typed_totals(block.batch, parse_layout(SWITCH, origin="test"))

    assert {"EUR": Decimal("1.500001"), "KES": Decimal("1.5")} == totals.cost
    assert totals.duration_s == 0


def test_totals_of_the_reference_layout():
    """Seconds and dollars; of no calls, none."""
    totals = typed_totals(reference(GOOD, with_(customer_id="2")).batch, REFERENCE)

    assert (Decimal(660), {"USD": Decimal("2.4")}) == (totals.duration_s, totals.cost)
    assert (Decimal(0), {}) == (
        typed_totals(reference().batch, REFERENCE).duration_s,
        typed_totals(reference().batch, REFERENCE).cost,
    )


def frame(*rows: Sequence[str], **attrs: Any) -> pd.DataFrame:
    """Return rows as a frame of text whose first record is on line 2."""
    index = pd.RangeIndex(2, 2 + len(rows), name="source_line")
    made = pd.DataFrame(list(rows), columns=list(HEADER), index=index, dtype=pd.ArrowDtype(pa.string()))
    made.attrs.update(attrs)
    return made


def test_frames_in_and_out():
    """Calls and rejects by source line, and what was known of the source stays known."""
    calls, rejects = transform(frame(GOOD, with_(customer_id="x"), GOOD, source="calls.csv"), REFERENCE)

    assert calls.index.tolist() == [2, 4]
    assert [*(column.name for column in REFERENCE.columns), "record_key"] == list(calls.columns)
    findings = calls.attrs.pop("findings")
    assert calls.attrs == {"source": "calls.csv", "read": 3, "filtered": 0, "typed": 2, "unknown_columns": ()}
    assert findings.traces == {("started_at", "whole_minutes"): 3}
    assert rejects[["source_line", "byte_offset", "raw", "field", "code"]].to_numpy().tolist() == [
        [3, 0, b"x,$1.20,Nairobi,2022-01-01 10:00:00,00:05:30", "customer_id", "bad_integer"]
    ]


def test_a_frame_of_ones_own():
    """What pandas reads by itself works as well, whichever kind of text it makes; rows are counted from 1."""
    for kind in ("str", "object", "string"):
        own = pd.DataFrame([GOOD, with_(customer_id="x")], columns=list(HEADER)).astype(kind)
        calls, rejects = transform(own, "customer_call_logs")
        assert (calls.index.tolist(), rejects["source_line"].tolist()) == ([1], [2])


def test_numbers_are_no_text():
    """A frame whose ids went through type inference is refused: what they were cannot be known."""
    own = frame(GOOD).astype({"customer_id": "int64"})

    with pytest.raises(UsageError, match="column 'customer_id' is int64, expected text"):
        transform(own, REFERENCE)


def test_original_bytes_come_from_the_attrs():
    """A reject has the bytes and the offset that the source has."""
    record = b"x;whatever;it;was"
    found = {3: (77, record)}

    class Records(RawRecords):
        def find(self, source_line: int) -> tuple[int, bytes]:
            return found[source_line]

    _, rejects = transform(frame(GOOD, with_(customer_id="x"), records=Records([])), REFERENCE)

    assert [(77, record)] == list(zip(rejects["byte_offset"], rejects["raw"], strict=True))


def test_rejects_of_extraction_come_first_by_line():
    """What could not be read and what could not be typed are one table."""
    columns = ["source_line", "byte_offset", "raw", "field", "code", "message"]
    early = pd.DataFrame([[9, 1, b"\xff", None, "bad_encoding", "found bytes"]], columns=columns)
    _, rejects = transform(frame(GOOD, with_(customer_id="x"), rejects=early), REFERENCE)

    assert rejects["source_line"].tolist() == [3, 9]
    assert columns == list(rejects.columns)


def test_a_zone_that_nobody_states_is_asked_for():
    """Before any record is read."""
    local = parse_layout(SWITCH.replace('timezone = "UTC"', ""), origin="test")

    with pytest.raises(UsageError, match="nobody says in which zone"):
        transform(frame(GOOD), local)


class Memory:
    """A cache that keeps typed blocks in a dict."""

    def __init__(self) -> None:
        self.kept: dict[str, TypedBlock] = {}
        self.hits = 0

    def get_typed(self, key: str) -> TypedBlock | None:
        self.hits += key in self.kept
        return self.kept.get(key)

    def put_typed(self, key: str, block: TypedBlock) -> None:
        self.kept[key] = block


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Memory:
    """The cache that `transform` uses for whatever it is given."""
    kept = Memory()
    monkeypatch.setattr("trunkline.transformation._cache_for", lambda _: kept)
    return kept


def test_a_result_is_found_again(memory):
    """The same text on the same lines gives what the cache has, and that is what it would be without."""
    rows = [GOOD, with_(customer_id="x"), with_(customer_id="12")]
    first = transform(frame(*rows), REFERENCE)
    again = transform(frame(*rows), REFERENCE)

    assert memory.hits == 1
    pd.testing.assert_frame_equal(first[0], again[0])
    assert first[1].to_dict() == again[1].to_dict()


def test_a_slice_is_known_by_its_own_text(memory):
    """A frame cut out of another has the result of its own rows."""
    whole = frame(GOOD, with_(customer_id="12"), with_(customer_id="13"))
    transform(frame(with_(customer_id="12"), with_(customer_id="13")), REFERENCE)
    calls, _ = transform(whole.iloc[1:], REFERENCE)

    assert memory.hits == 1
    assert calls["customer_id"].tolist() == [12, 13]
    assert calls.index.tolist() == [3, 4]


@pytest.mark.parametrize(
    ("other", "layout"),
    [
        (frame(with_(customer_id="1002")), REFERENCE),
        (frame(GOOD, GOOD), REFERENCE),
        (frame(GOOD), REFERENCE.with_overrides(timezone="UTC")),
        (frame(GOOD).rename(columns={"call_cost": "x"}).assign(call_cost="$1.20"), REFERENCE),
    ],
    ids=["text", "number of records", "layout", "names"],
)
def test_what_differs_is_not_mixed_up(memory: Memory, other: pd.DataFrame, layout: Layout):
    """Other text, records, names or another layout have results of their own."""
    transform(frame(GOOD), REFERENCE)
    transform(other, layout)

    assert memory.hits == 0


def test_many_rows_are_worked_on_in_parts():
    """A frame longer than a part has the calls and lines of the whole."""
    rows = pd.DataFrame([GOOD] * 70_000, columns=list(HEADER), dtype=pd.ArrowDtype(pa.string()))
    rows.index = pd.RangeIndex(2, 70_002, name="source_line")
    rows.iloc[69_999, 0] = "x"
    calls, rejects = transform(rows, REFERENCE)

    assert list(range(2, 70_001)) == calls.index.tolist()
    assert rejects["source_line"].tolist() == [70_001]
