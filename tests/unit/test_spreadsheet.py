"""Traces of a spreadsheet: found where they are, never in what switches write, and judged by the layout's policy."""

from __future__ import annotations

import pytest

from trunkline.errors import RefusedError
from trunkline.extraction import extract
from trunkline.findings import Findings
from trunkline.layout.files import load_layout, parse_layout
from trunkline.layout.model import Layout
from trunkline.sample.writer import write_sample
from trunkline.spreadsheet import judge_traces
from trunkline.transformation import transform

TEXT = """
grammar = 1
name = "calls"
table = "calls"
key = ["call_id", "started_at"]
event_time = "started_at"
{more}

[defaults]
timezone = "Africa/Nairobi"
region = "KE"

[[fields]]
column = "id"
name = "call_id"
type = "text"
{id}

[[fields]]
column = "start"
name = "started_at"
type = "timestamp"
required = true
{start}

[[fields]]
column = "from"
name = "caller"
type = "phone"

[[fields]]
column = "long"
name = "duration_s"
type = "duration"
unit = "hms"
"""
RECORD = {"id": "a1", "start": "2026-01-05 10:00:01", "from": "+254700123456", "long": "00:05:30"}


def layout(*, more: str = "", id_: str = "", start: str = "") -> Layout:
    return parse_layout(TEXT.format(more=more, id=id_, start=start), origin="test")


def csv(*records: dict[str, str]) -> bytes:
    lines = [list(RECORD), *(list((RECORD | one).values()) for one in records)]
    return "".join(";".join(line) + "\n" for line in lines).encode()


def judged(data: bytes, wanted: Layout, *, cr_only: bool = False) -> list[str]:
    """Return what is said of a source."""
    calls, _ = transform(extract(data, wanted), wanted)
    said: list[str] = []
    judge_traces(calls.attrs["findings"].traces, wanted, list(RECORD), cr_only=cr_only, warn=said.append)
    return said


@pytest.mark.parametrize("value", ["2.35E+11", "2,547E+11", "3E+05", "########", "#NAME?", "#REF!", "#DIV/0!"])
def test_an_id_that_a_spreadsheet_destroyed_is_not_stored(value):
    """It would be the same for many calls."""
    calls, rejects = transform(extract(csv({"id": value}, {}), layout()), layout())

    assert calls["call_id"].tolist() == ["a1"]
    assert rejects[["field", "code"]].values.tolist() == [["call_id", "spreadsheet_damage"]]
    assert rejects["message"][0].endswith("expected the value itself (a spreadsheet has put this in its place)")


@pytest.mark.parametrize(
    "value", ["E+11", "2.35E11", "1E5", "2E+1", "12E+11", "x2.35E+11", "#1", "###", "C#", "1+1", "-5"]
)
def test_other_text_is_stored_as_it_is(value):
    """Ids may look odd; only what spreadsheets write is damage."""
    calls, rejects = transform(extract(csv({"id": value}), layout()), layout())

    assert (calls["call_id"].tolist(), len(rejects)) == ([value], 0)


def test_a_layout_can_let_such_text_pass():
    """Where an id really looks like that."""
    wanted = layout(more='spreadsheet = "ignore"')
    data = csv({"id": "2.35E+11"})
    calls, _ = transform(extract(data, wanted), wanted)

    assert calls["call_id"].tolist() == ["2.35E+11"]
    assert judged(data, wanted, cr_only=True) == []


@pytest.mark.parametrize("value", ["2.547E+11", "254700123456.0", "########", "#NAME?"])
def test_a_phone_number_that_lost_its_digits_is_none(value):
    """Stored as it is it would look like somebody's number."""
    _, rejects = transform(extract(csv({"from": value}), layout()), layout())

    assert rejects["code"].tolist() == ["bad_phone"]


def test_damage_is_named_with_its_numbers():
    """What a spreadsheet did is said for each field, without values."""
    data = csv(
        {},
        {"id": "2.35E+11", "from": "2.5E+11"},
        {"id": "#NAME?"},
        {"start": "########"},
        {"start": "5/1/2026 10:00"},
        {"start": "46027.41667"},
        {"long": "12:05:30 AM"},
        {"long": "05:30.0"},
        {"id": "", "start": "", "from": "", "long": ""},
    )

    assert judged(data, layout()) == [
        "spreadsheet damage: records: separators and nothing else (in 1 record)",
        "spreadsheet damage: call_id: errors such as #NAME? in place of values (in 1 record)",
        "spreadsheet damage: call_id: numbers rounded as in 2.35E+11, their digits are lost (in 1 record)",
        "spreadsheet damage: caller: numbers rounded as in 2.35E+11, their digits are lost (in 1 record)",
        "spreadsheet damage: duration_s: written as spreadsheets write times, not as the layout says (in 2 records)",
        "spreadsheet damage: started_at: filled with #, as a column too narrow shows it (in 1 record)",
        "spreadsheet damage: started_at: written as spreadsheets write times, not as the layout says (in 2 records)",
    ]


@pytest.mark.parametrize("start", ["", 'format = "%Y-%m-%d %H:%M:%S"', 'format = ["%d.%m.%Y", "%Y-%m-%d %H:%M:%S"]'])
def test_times_that_all_lack_seconds_are_seen(start):
    """One of sixty is a whole minute, twenty of twenty are not by chance."""
    whole = [{"id": str(number), "start": f"2026-01-05 10:{number:02}:00"} for number in range(20)]
    some = "spreadsheet damage: started_at: none of 20 times has seconds"

    assert judged(csv(*whole), layout(start=start)) == [some]
    assert judged(csv(*whole, {}), layout(start=start)) == []
    assert judged(csv(*whole[:19]), layout(start=start)) == []


def test_times_without_seconds_are_no_damage_where_the_layout_has_none():
    """Many portals export minutes."""
    whole = [{"id": str(number), "start": f"2026-01-05 10:{number:02}"} for number in range(30)]

    assert judged(csv(*whole), layout(start='format = "%Y-%m-%d %H:%M"')) == []


def test_times_cut_to_minutes_are_named_where_they_cannot_be_read():
    """The layout has seconds, the texts have none."""
    data = csv({"start": "2026-01-05 10:00"}, {})

    assert judged(data, layout(start='format = "%Y-%m-%d %H:%M:%S"')) == [
        "spreadsheet damage: started_at: without the seconds that the layout has (in 1 record)"
    ]


def test_zeros_that_are_gone_are_seen_by_the_pattern():
    """With its zeros the id would be one."""
    wanted = layout(id_='pattern = "[0-9]{6}"')

    assert judged(csv({"id": "123456"}, {"id": "4711"}, {"id": "x"}), wanted) == [
        "spreadsheet damage: call_id: zeros in front are gone, with them the pattern would match (in 1 record)"
    ]


def test_numbers_without_zero_are_told_beside_other_damage_only():
    """Some switches write none: by itself that is no trace."""
    bare = [{"id": str(number), "from": f"7001234{number:02}"} for number in range(20)]
    numbers = "spreadsheet damage: caller: none of 20 numbers begins with 0 or +"

    assert judged(csv(*bare), layout()) == []
    assert judged(csv(*bare), layout(), cr_only=True)[1:] == [numbers]
    assert len(judged(csv(*bare, {}), layout(), cr_only=True)) == 1


def test_days_and_months_exchanged_refuse_the_source():
    """Where the 13th is rejected, the 12th is loaded as a day of December."""
    days = [{"id": str(day), "start": f"1/{day}/2026 10:00:01"} for day in range(1, 20)]
    wanted = layout(start='format = "%-d/%-m/%Y %H:%M:%S"')

    with pytest.raises(RefusedError, match="started_at: of 7 times that tell day from month, 7 are real only with"):
        judged(csv(*days), wanted)


def test_one_slip_refuses_nothing():
    """A month 13 among days that are right is a reject, and said."""
    days = [{"id": str(day), "start": f"{day}/1/2026 10:00:01"} for day in range(1, 30)]
    wanted = layout(start='format = "%-d/%-m/%Y %H:%M:%S"')

    assert judged(csv(*days, {"start": "1/13/2026 10:00:01"}), wanted) == [
        "spreadsheet damage: started_at: real only with day and month the other way round (in 1 record)"
    ]


def test_a_layout_can_refuse_what_a_spreadsheet_touched():
    """Then nothing of it is loaded."""
    with pytest.raises(RefusedError, match="spreadsheet damage: all lines end with CR alone, as old spreadsheets"):
        judged(csv({}), layout(more='spreadsheet = "refuse"'), cr_only=True)


@pytest.mark.parametrize("name", ["customer_call_logs", "asterisk_cdr_csv"])
def test_the_sample_has_no_traces(name, tmp_path):
    """What trunkline makes itself looks like what a switch writes."""
    write_sample(tmp_path / "calls.csv", layout=name, records=500)
    wanted = load_layout(name).with_overrides(timezone="UTC")
    calls, _ = transform(extract(tmp_path / "calls.csv", wanted), wanted)
    said: list[str] = []
    judge_traces(calls.attrs["findings"].traces, wanted, [], cr_only=False, warn=said.append)

    assert said == []


def test_findings_read_back_as_they_were():
    """In the books and in the cache they are JSON."""
    found = Findings(traces={("caller", "rounded"): 3, ("", "empty"): 1})  # type: ignore[arg-type]

    assert Findings.of({"traces": {"caller": {"rounded": 3}, "": {"empty": 1}}}) == found
    assert found.to_json() == '{"traces": {"": {"empty": 1}, "caller": {"rounded": 3}}}'
    assert Findings().to_json() == "{}"


@pytest.mark.parametrize("document", [[], {"traces": 1}, {"traces": {"a": []}}, {"traces": {"a": {"b": []}}}])
def test_what_is_no_finding_is_refused(document):
    """A cached value may be anybody's."""
    with pytest.raises(ValueError, match="no findings"):
        Findings.of(document)
