"""What fields of a layout can say about how their values are written, from the CSV to the typed value."""

from __future__ import annotations

import pytest

from trunkline.errors import LayoutError
from trunkline.extraction import extract
from trunkline.layout.files import load_layout, parse_layout
from trunkline.transformation import transform


def layout_of(*fields, head=""):
    """Return a layout with a column for each field, in order; *fields* are their TOML without column."""
    texts = [f'[[fields]]\ncolumn = "c{place}"\n{field}' for place, field in enumerate(fields, 1)]
    return parse_layout(
        "\n".join(['grammar = 1\nname = "t"\ntable = "t"', head, *texts]).replace(";", "\n"), origin="t"
    )


def outcome(layout, *rows):
    """Return the typed values of each good row, and the codes of rejects by source line."""
    width = max(len(row) for row in rows)
    lines = [[f"c{place}" for place in range(1, width + 1)], *rows]
    calls, rejects = transform(extract("\n".join("|".join(line) for line in lines).encode(), layout), layout)
    values = calls.drop(columns="record_key").astype(object).where(calls.notna(), None).values.tolist()
    found = [[value if isinstance(value, str | int | None) else str(value) for value in row] for row in values]
    return found, dict(zip(rejects["source_line"], rejects["code"], strict=True))


PIPE = '[dialect];delimiter = "|"'


def test_padded_numbers():
    """Blanks around a number are left out where the layout says so, and only there."""
    trimmed, strict = 'name = "a";type = "decimal";scale = 2;trim = true', 'name = "b";type = "decimal";scale = 2'

    assert outcome(layout_of(trimmed, strict, head=PIPE), ["  1.20", "1.20"], ["   ", "0001.2"], ["1", " 1"]) == (
        [["1.20", "1.20"], [None, "1.20"]],
        {4: "bad_decimal"},
    )


def test_decimals_that_are_not_written():
    """With two implied decimals 120 is 1.20, and a point is no digit."""
    field = 'name = "a";type = "decimal";scale = 3;implied = 2'

    assert outcome(layout_of(field, head=PIPE), ["120"], ["-5"], ["1.2"], ["9" * 17], ["9" * 18]) == (
        [["1.200"], ["-0.050"], ["999999999999999.990"]],
        {4: "bad_decimal", 6: "out_of_range"},
    )


def test_a_unit_in_each_record():
    """A carrier's quantity with five implied decimals, in seconds, six seconds or minutes; other words are rejects."""
    units = 'units = { SEC = "s", 6SEC = "6s", MIN = "min" }'
    field = f'name = "duration_s";type = "duration";unit_from = "c2";{units};implied = 5'
    rows = [["6500000", "SEC"], ["100000", "6SEC"], ["150000", "MIN"], ["100000", "KM"], ["100000", ""], ["1.5", "MIN"]]

    assert outcome(layout_of(field, head=PIPE), *rows) == (
        [[65], [6], [90]],
        {5: "bad_duration", 6: "bad_duration", 7: "bad_duration"},
    )
    assert outcome(layout_of(field, head=PIPE), ["x", "y"])[1] == {2: "bad_duration"}


def test_nanoseconds_without_a_unit():
    """Go's own number of a duration; what is less than a millisecond could be seconds, and is not guessed."""
    field = 'name = "duration_s";type = "duration";unit = "go_ns";scale = 6'

    assert outcome(layout_of(field, head=PIPE), ["10000000000"], ["1m5s"], ["0"], ["1000000"], ["65"], ["1000"]) == (
        [["10.000000"], ["65.000000"], ["0.000000"], ["0.001000"]],
        {6: "bad_duration", 7: "bad_duration"},
    )
    assert outcome(layout_of(field, head=PIPE), ["-10000000000"], ["9999999999999999999"])[1] == {
        2: "bad_duration",
        3: "bad_duration",
    }


def test_a_day_padded_with_a_blank():
    """As C's asctime() writes it: two digits, or a blank and one."""
    field = 'name = "a";type = "timestamp";format = "%a %b %e %H:%M:%S %Y";timezone = "UTC"'
    good = ["Mon Dec 15 11:38:34 2003"], ["Fri Dec  5 11:38:34 2003"]

    assert outcome(layout_of(field, head=PIPE), *good, ["Fri Dec 5 11:38:34 2003"], ["Mon Dec  15 11:38:34 2003"]) == (
        [["2003-12-15 11:38:34+00:00"], ["2003-12-05 11:38:34+00:00"], ["2003-12-05 11:38:34+00:00"]],
        {5: "bad_timestamp"},
    )


@pytest.mark.parametrize(
    ("written", "pattern"),
    [
        ("20240301060000123", "%Y%m%d%H%M%S%f"),
        ("20240301060000.123", "%Y%m%d%H%M%S.%f"),
        ("06:00:00.123 GMT MAR 01 2024", "%H:%M:%S.%f GMT %b %d %Y"),
        ("3/1/2024 6:00:00.123 AM", "%-m/%-d/%Y %-I:%M:%S.%f %p"),
        ("Fri, 1 Mar 2024 06:00:00.123 +0000", "%a, %-d %b %Y %H:%M:%S.%f %z"),
        ("2024-03-01T08:00:00.123+02:00", "%Y-%m-%dT%H:%M:%S.%f%z"),
        ("1709272800.123", "epoch_s"),
        ("1709272800123", "epoch_ms"),
        ("1709272800123000", "epoch_us"),
    ],
)
def test_ways_to_write_a_time(written, pattern):
    """Each switch and carrier has its own; all of these are one moment."""
    field = f'name = "a";type = "timestamp";format = "{pattern}";timezone = "UTC"'

    assert outcome(layout_of(field, head=PIPE), [written]) == ([["2024-03-01 06:00:00.123000+00:00"]], {})


def test_a_time_that_means_none():
    """What a switch writes where there is no time is NULL, if the layout says so."""
    field = 'name = "a";type = "timestamp";timezone = "UTC";nulls = ["", "1900-01-01 00:00:00", "1970-01-01 00:00:00"]'

    layout = layout_of(field, 'name = "b";type = "text"', head=PIPE)

    assert outcome(layout, ["1970-01-01 00:00:00", "x"], ["1970-01-01 00:00:01", "y"]) == (
        [[None, "x"], ["1970-01-01 00:00:01+00:00", "y"]],
        {},
    )


def test_the_first_of_formats_that_a_value_may_fit_counts():
    """Days before months, though most values of the block can only have it the other way round."""
    field = 'name = "a";type = "date";format = ["%d/%m/%Y", "%m/%d/%Y"]'

    assert outcome(layout_of(field, head=PIPE), ["01/02/2024"], ["01/13/2024"], ["01/14/2024"]) == (
        [["2024-02-01"], ["2024-01-13"], ["2024-01-14"]],
        {},
    )


def test_formats_that_change_no_key():
    """A time that fits none of the formats is read in another, and the key fingerprint is that of before."""
    plain = 'name = "a";type = "timestamp";required = true;format = "%Y-%m-%d %H:%M:%S";timezone = "UTC"'
    more = plain + ';also = ["%Y/%-m/%-d %-H:%M"]'

    assert (
        outcome(layout_of(more, head=PIPE), ["2024-03-01 06:00:00"], ["2024/3/1 6:00"])[0]
        == [["2024-03-01 06:00:00+00:00"]] * 2
    )
    assert layout_of(plain).key_fingerprint == layout_of(more).key_fingerprint


def test_formats_beside_iso_8601():
    """Without a format of its own, a field has what else it names beside ISO 8601."""
    field = 'name = "a";type = "timestamp";timezone = "UTC";also = "%d.%m.%Y"'

    assert outcome(layout_of(field, head=PIPE), ["2024-03-01 06:00"], ["01.03.2024"])[0] == [
        ["2024-03-01 06:00:00+00:00"],
        ["2024-03-01 00:00:00+00:00"],
    ]


CAUSES = (
    'name = "disposition";type = "text";map = { BUSY = "busy", CLEAR = "no_answer" };when = { answered_s = "answered" }'
)
ANSWERED = 'name = "answered_s";type = "duration";unit = "s"'


def test_a_name_that_another_field_decides():
    """A call that was answered is answered whatever its cause, even one that is not known or is not there."""
    rows = ["CLEAR", "5"], ["CLEAR", "0"], ["BUSY", ""], ["ODD", "5"], ["", "5"], ["", "0"], ["ODD", "0"]

    assert outcome(layout_of(CAUSES, ANSWERED, head=PIPE), *rows) == (
        [
            ["answered", "CLEAR", 5],
            ["no_answer", "CLEAR", 0],
            ["busy", "BUSY", None],
            ["answered", "ODD", 5],
            ["answered", None, 5],
            [None, None, 0],
        ],
        {8: "not_allowed"},
    )


def test_the_first_field_that_decides_counts():
    """Of two fields with a value the one that is named first gives the name; the raw text, and so the key, stays."""
    two = CAUSES.replace("when = { ", 'when = { other_s = "busy", ')
    layout = layout_of(two, ANSWERED, 'name = "other_s";type = "duration";unit = "s"', head=PIPE)

    assert outcome(layout, ["CLEAR", "5", "5"], ["CLEAR", "5", "0"])[0] == [
        ["busy", "CLEAR", 5, 5],
        ["answered", "CLEAR", 5, 0],
    ]
    assert (
        layout.key_fingerprint
        == layout_of(
            CAUSES.partition(";when")[0], ANSWERED, 'name = "other_s";type = "duration";unit = "s"', head=PIPE
        ).key_fingerprint
    )


SPAN = 'name = "duration_s";type = "duration";between = ["a", "b"]'
ENDS = [f'name = "{name}";type = "timestamp";timezone = "UTC"' for name in "ab"]


def test_a_duration_between_two_times():
    """Counted from one time to the other, exactly, and NULL where one is missing; never negative, never rounded."""
    rows = [
        [f"2024-03-01 06:00:{first}" if first else "", f"2024-03-01 06:01:{second}" if second else "", "x"]
        for first, second in (("00", "05.250"), ("00", ""), ("", "05"), ("00", "05.2505"), ("59", "59"))
    ]
    layout = layout_of(*ENDS, SPAN + ";scale = 3", head=PIPE)

    found, rejects = outcome(layout, *rows, ["2024-03-01 06:00:01", "2024-03-01 06:00:00", "x"])
    assert [row[2] for row in found] == ["65.250", None, None, "60.000"]
    assert rejects == {5: "bad_duration", 7: "bad_duration"}


def test_a_required_duration_between_two_times():
    """A record without one of the times is a reject, and so is one that took too long."""
    rows = (
        ["2024-03-01 06:00", "", "x"],
        ["2024-03-01 06:00", "2024-03-01 06:01", "x"],
        ["0001-01-01 00:00", "2024-01-01 00:00", "x"],
    )
    layout = layout_of(*ENDS, SPAN + ";required = true;max = 60", head=PIPE)

    found, rejects = outcome(layout, *rows)
    assert [row[2] for row in found] == [60]
    assert rejects == {2: "missing_value", 4: "out_of_range"}


def test_what_lies_between_is_no_text():
    """The fields that it is made of are times of the record."""
    with pytest.raises(LayoutError, match='between has "b", expected a timestamp field'):
        layout_of(ENDS[0], SPAN)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ('name = "a";type = "text";when = { b = "x" }', "found when without map, expected both or none"),
        ('name = "a";type = "text";map = {};when = { b = "x" }', 'when has "b", which is no field'),
        ('name = "a";type = "text";map = {};when = { a = "x" }', "when has a, which has a when itself"),
        ('name = "a";type = "duration"', "expected one of unit, unit_from and between"),
        ('name = "a";type = "duration";unit_from = "u"', "expected unit_from and units together"),
        ('name = "a";type = "duration";unit = "hms";implied = 1', "found implied with unit hms"),
        ('name = "a";type = "duration";unit = "s";implied = 7', "implied is 7, expected at most the scale, 6"),
        ('name = "a";type = "decimal";scale = 1;implied = 2', "implied is 2, expected at most the scale, 1"),
        ('name = "a";type = "timestamp";format = "epoch_s";also = "%Y-%m-%d"', "found also with an epoch"),
    ],
)
def test_what_cannot_be_together(field, message):
    """The message says what is missing, or too much."""
    with pytest.raises(LayoutError, match=message):
        layout_of(field)


def test_options_that_came_later_leave_fingerprints_alone():
    """Where they are not set, tables in use still know their key; where they are, it is another."""
    plain, trimmed = 'name = "a";type = "decimal"', 'name = "a";type = "decimal";trim = true'

    assert layout_of(plain).key_fingerprint != layout_of(trimmed).key_fingerprint
    assert load_layout("customer_call_logs").key_fingerprint == "966e4377d45764b67182e9c4fcd320e7"
