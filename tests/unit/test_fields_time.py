"""Timestamps and dates: real ones only, in their format only, in UTC."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.fields.parsed import Parsed
from trunkline.fields.text_bytes import text_bytes
from trunkline.fields.timestamp import parse_dates, parse_epochs, parse_timestamps

NAIROBI = "Africa/Nairobi"


def told(parsed: Parsed) -> list[object]:
    """Return each value, or the code of its first fault."""
    codes = [
        next((fault.code for fault in parsed.faults if fault.rows[row]), None) for row in range(len(parsed.columns[0]))
    ]
    return [code if code else value.as_py() for code, value in zip(codes, parsed.columns[0], strict=True)]


def timestamps(*texts: str, **options: object) -> list[object]:
    """Parse a column of these timestamps."""
    return told(parse_timestamps(text_bytes(pa.array(texts)), **{"zone": NAIROBI, **options}))  # type: ignore[arg-type]


def utc(text: str) -> datetime:
    """Return a time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_local_time_is_read_in_its_zone():
    """Nairobi is three hours ahead of UTC."""
    assert [utc("2022-01-01 07:00:00")] == timestamps("2022-01-01 10:00:00", formats=["%Y-%m-%d %H:%M:%S"])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "epoch",
        "infinity",
        "2022-02-30 10:00:00",
        "2023-02-29 10:00:00",
        "1900-02-29 10:00:00",  # no leap year
        "2022-13-01 10:00:00",
        "2022-00-01 10:00:00",
        "2022-01-00 10:00:00",
        "0000-01-01 10:00:00",
        "2022-01-01 24:00:00",
        "2022-01-01 10:60:00",
        "2016-12-31 23:59:60",  # a leap second
        "2022-01-01 10:00:0",
        "2022-01-01 10:00:00 ",
        " 2022-01-01 10:00:00",
        "2022-01-01 10:00",
        "2022-1-1 10:00:00",
        "2022-01-01T10:00:00",
        "2022-01-01 10:00:00.5",
        "2022-01-01 10:00:00Z",
        "٢٠٢٢-01-01 10:00:00",
        "2022/01/01 10:00:00",
        "01.01.2022 10:00:00",
        "44562.4166",
    ],
)
def test_what_is_no_time_in_the_format_is_bad(text):
    """Beside good neighbours, in a column of one width or of several."""
    good = "2022-01-01 10:00:00"

    assert [utc("2022-01-01 07:00:00"), "bad_timestamp", utc("2022-01-01 07:00:00")] == timestamps(
        good, text, good, formats=["%Y-%m-%d %H:%M:%S"]
    )


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("%d/%m/%Y %H:%M", "31/12/2021 23:30", "2021-12-31 20:30:00"),
        ("%-d/%-m/%Y %-H:%M", "1/2/2022 9:05", "2022-02-01 06:05:00"),
        ("%-m/%-d/%Y %-I:%M %p", "2/1/2022 12:05 am", "2022-01-31 21:05:00"),
        ("%m/%d/%y %I:%M:%S %p", "02/01/22 12:05:09 PM", "2022-02-01 09:05:09"),
        ("%Y%m%d%H%M%S", "20220131235959", "2022-01-31 20:59:59"),
        ("%Y%m%d%H%M%S.%f", "20081223201938.314", "2008-12-23 17:19:38.314"),
        ("%Y-%m-%dT%H:%M:%S.%NZ", "2016-06-06T18:26:52.2589935Z", "2016-06-06 15:26:52.258993"),
        ("%Y-%m-%d %H:%M:%S.%N", "2016-06-06 18:26:52.123456789", "2016-06-06 15:26:52.123456"),
        ("%Y-%m-%d %H:%M:%S.%N", "2016-06-06 18:26:52.5", "2016-06-06 15:26:52.5"),
        ("%a %b %d %H:%M:%S %Y", "Mon Dec 15 11:38:34 2003", "2003-12-15 08:38:34"),
        ("%d %B %Y %T", "15 december 2003 11:38:34", "2003-12-15 08:38:34"),
        ("%F %T %z UTC", "2013-11-07 08:42:25 +0000 UTC", "2013-11-07 08:42:25"),
        ("%Y-%m-%dT%H:%M:%S.%fZ", "2016-06-06T18:26:52.000Z", "2016-06-06 15:26:52"),
        ("%H:%M:%S.%f %b %d %Y", "15:54:56.868 DEC 18 2017", "2017-12-18 12:54:56.868"),
    ],
)
def test_formats(pattern, text, expected):
    """The ways of writing times that switches and portals have; in Nairobi, where no offset is stated."""
    assert [utc(expected), "bad_timestamp", utc(expected)] == timestamps(text, f"{text}0x", text, formats=[pattern])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2022-01-01 10:00:00", "2022-01-01 07:00:00"),
        ("2022-01-01T10:00", "2022-01-01 07:00:00"),
        ("2022-01-01T10:00:00.25", "2022-01-01 07:00:00.25"),
        ("2022-01-01T10:00:00Z", "2022-01-01 10:00:00"),
        ("2022-01-01 10:00:00+05:30", "2022-01-01 04:30:00"),
        ("2022-01-01 10:00:00-0800", "2022-01-01 18:00:00"),
        ("2022-01-01T10:00:00.000001+03", "2022-01-01 07:00:00.000001"),
    ],
)
def test_iso_8601_is_read_without_a_format(text, expected):
    """Each way alone and all of them in one column give the same."""
    assert [utc(expected)] == timestamps(text)
    assert utc(expected) == timestamps("2022-01-01 10:00:00", "no", "2022-01-01T10:00:00Z", text)[3]


@pytest.mark.parametrize("text", ["2022-01-01T10:00:00+3", "2022-01-01T10:00:00+24:00", "2022-01-01T10:00:00.1234567"])
def test_what_iso_8601_does_not_say(text):
    """Half an offset, one of a day, and more decimals than a timestamp holds are bad."""
    assert timestamps(text) == ["bad_timestamp"]


def test_a_time_without_zone_is_not_guessed():
    """Where nobody states a zone, only times with an offset are good."""
    assert ["bad_timestamp", utc("2022-01-01 07:00:00")] == timestamps(
        "2022-01-01 10:00:00", "2022-01-01 10:00:00+03:00", zone=None
    )


@pytest.mark.parametrize(
    ("choice", "expected"),
    [("reject", "bad_timestamp"), ("earlier", "2022-11-06 05:30:00"), ("later", "2022-11-06 06:30:00")],
)
def test_the_doubled_hour(choice, expected):
    """The layout says which half past one is meant when the clocks go back; a stated offset says it better."""
    wanted = expected if expected == "bad_timestamp" else utc(expected)

    assert [wanted, utc("2022-11-06 06:30:00")] == timestamps(
        "2022-11-06 01:30:00", "2022-11-06 01:30:00-05:00", zone="America/New_York", ambiguous_time=choice
    )


@pytest.mark.parametrize("choice", ["reject", "earlier", "later"])
def test_an_hour_that_never_was(choice):
    """A time that the clocks jumped over is bad, whatever the choice."""
    assert timestamps("2022-03-13 02:30:00", zone="America/New_York", ambiguous_time=choice) == ["bad_timestamp"]


@given(
    st.lists(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)), min_size=1, max_size=20),  # noqa: DTZ001
    st.sampled_from(["%Y-%m-%d %H:%M:%S.%f", "%d/%m/%Y %H:%M:%S.%f", "%Y%m%d%H%M%S%f", "%I:%M:%S.%f %p %B %d %Y"]),
)
def test_what_python_writes_is_read_back(times, pattern):
    """Every time that there is survives being written and read."""
    texts = [time.strftime(pattern.replace("%Y", f"{time.year:04}")) for time in times]

    assert [time.replace(tzinfo=UTC) for time in times] == timestamps(*texts, formats=[pattern], zone="UTC")


@given(st.lists(st.text("0123456789-: T", min_size=19, max_size=19), min_size=1, max_size=20))
def test_text_in_the_shape_of_a_time_is_a_time_or_bad(texts):
    """What is accepted is what Python's strict ISO reader makes of it."""
    for text, value in zip(texts, timestamps(*texts, formats=["%Y-%m-%d %H:%M:%S"], zone="UTC"), strict=True):
        assert value == "bad_timestamp" or (value == utc(text) and text[10] == " ")


@pytest.mark.parametrize(
    ("unit", "text", "expected"),
    [
        ("epoch_s", "1641027600", utc("2022-01-01 09:00:00")),
        ("epoch_s", "1641027600.17", utc("2022-01-01 09:00:00.17")),
        ("epoch_ms", "1641027600170", utc("2022-01-01 09:00:00.17")),
        ("epoch_us", "1641027600170001", utc("2022-01-01 09:00:00.170001")),
        ("epoch_s", "-99999999999", "out_of_range"),
        ("epoch_s", "-1", utc("1969-12-31 23:59:59")),
        ("epoch_s", "253402300800", "out_of_range"),
        ("epoch_s", "1641027600.1234567", "bad_timestamp"),
        ("epoch_us", "1.5", "bad_timestamp"),
        ("epoch_s", "", "bad_timestamp"),
        ("epoch_s", "1_641", "bad_timestamp"),
    ],
)
def test_epochs(unit, text, expected):
    """Seconds, milliseconds and microseconds since 1970."""
    assert [expected] == told(parse_epochs(text_bytes(pa.array([text])), unit=unit))


def test_a_time_that_utc_moves_out_of_the_calendar():
    """Python could not read it back from the table."""
    texts = ("0001-01-01 00:00:00", "9999-12-31 23:59:59")

    assert [utc(texts[0]), utc(texts[1])] == timestamps(*texts, zone="UTC")
    assert ["out_of_range", utc("9999-12-31 20:59:59")] == timestamps(*texts)
    assert timestamps(*texts, zone="America/New_York")[1] == "out_of_range"


def test_dates():
    """Real dates, ISO unless the layout says otherwise."""
    texts = text_bytes(pa.array(["2022-01-31", "2022-02-30", "31/01/2022", "today"]))

    assert [date(2022, 1, 31), "bad_date", "bad_date", "bad_date"] == told(parse_dates(texts))
    assert ["bad_date", "bad_date", date(2022, 1, 31), "bad_date"] == told(parse_dates(texts, formats=["%d/%m/%Y"]))


def test_a_column_without_values():
    """An empty block has no times and no faults."""
    assert told(parse_timestamps(text_bytes(pa.array([], pa.string())), zone=NAIROBI)) == []
