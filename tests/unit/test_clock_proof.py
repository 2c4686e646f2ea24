"""Second clocks: what they show, what their proof says of a zone, and that blocks add up."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.clock_proof import ClockProofs, check_clocks, judge_clocks, prove_clocks, second_clock
from trunkline.errors import LayoutError, RefusedError
from trunkline.fields.zones import offsets_at, zone_names
from trunkline.layout.files import load_layout, parse_layout
from trunkline.transformation import transform

FOLDED = """
[[fields]]
column = "seconds"
name = "duration_s"
type = "duration"
unit = "s"
[[fields]]
column = "end"
name = "ended_at"
type = "timestamp"
[[clocks]]
field = "call_id"
kind = "asterisk_uniqueid"
of = "ended_at"
plus = "duration_s"
"""
LAYOUT = """
grammar = 1
name = "clocked"
table = "clocked"
wrong_zone = "refuse"
[defaults]
timezone = "Africa/Nairobi"
[[clocks]]
field = "call_id"
kind = "asterisk_uniqueid"
of = "started_at"
[[fields]]
column = "id"
name = "call_id"
type = "text"
[[fields]]
column = "start"
name = "started_at"
type = "timestamp"
"""
CLOCKED = parse_layout(LAYOUT, origin="test")
FIRST = datetime(2024, 3, 1, 6, tzinfo=UTC)
MOMENTS = st.datetimes(datetime(2001, 10, 1), datetime(2037, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001


def calls(pairs):
    """Return a batch of typed calls from pairs of time as read and true time, the latter as a unique id."""
    ids = [None if true is None else f"pbx-{int(true.timestamp())}.{number}" for number, (_, true) in enumerate(pairs)]
    times = pa.array([read for read, _ in pairs], pa.timestamp("us", "UTC"))
    return pa.RecordBatch.from_pydict({"call_id": pa.array(ids, pa.string()), "started_at": times})


def written_in(zone, moments, *, read_in, swapped=False):
    """Return typed calls of a switch whose clock is in *zone*, read as if it were in *read_in*."""
    pairs = []
    for true in moments:
        local = true.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        if swapped:
            local = local.replace(day=local.month, month=local.day)
        pairs.append((local.replace(tzinfo=ZoneInfo(read_in)).astimezone(UTC), true))
    return calls(pairs)


def judged(batch, zone, layout=CLOCKED):
    layout = layout.with_overrides(timezone=zone)
    return judge_clocks(prove_clocks(batch, layout), layout)["started_at"]


HOURS = [FIRST + timedelta(hours=number) for number in range(200)]
YEAR = [FIRST + timedelta(days=number) for number in range(365)]


@pytest.mark.parametrize("zone", ["UTC", "Africa/Nairobi", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns"])
@pytest.mark.parametrize("moments", [HOURS, YEAR, [FIRST]])
def test_the_right_zone_is_proved(zone, moments):
    """Every call agrees, in summer and winter, and be there only one."""
    found = judged(written_in(zone, moments, read_in=zone), zone)

    assert found.verdict == "proved"
    assert found.message.endswith(f"agrees with {len(moments)} of {len(moments)} calls")


@pytest.mark.parametrize(
    ("zone", "read_in", "shown"),
    [
        ("UTC", "Africa/Nairobi", "UTC+00:00 in 200"),
        ("Africa/Nairobi", "UTC", "UTC+03:00 in 200"),
        ("Europe/Berlin", "Africa/Nairobi", "UTC+01:00 in 200"),
    ],
)
def test_a_wrong_zone_is_named_with_those_that_agree(zone, read_in, shown):
    """The message says what the clock showed, and the right zone is among those that agree."""
    found = judged(written_in(zone, HOURS, read_in=read_in), read_in)

    assert (found.verdict, found.disproves) == ("wrong_zone", True)
    assert f"agrees with 0 of 200 calls; the local clock showed {shown}" in found.message
    assert zone in found.zones
    assert read_in not in found.zones


def test_a_zone_that_is_right_in_winter_only_is_wrong():
    """Calls of a year in London agree with UTC for five months: a zone that explains all of them is there."""
    found = judged(written_in("Europe/London", YEAR, read_in="UTC"), "UTC")

    assert found.verdict == "wrong_zone"
    assert "Europe/London" in found.zones
    assert not {"UTC", "Africa/Abidjan"} & set(found.zones)


def test_day_and_month_the_other_way_round_are_seen():
    """Dates that are real in both orders would load; the second clock says which order is right."""
    moments = [datetime(2024, month, day, 9, tzinfo=UTC) for month in range(1, 13) for day in range(1, 13)]
    found = judged(written_in("Europe/Berlin", moments, read_in="Europe/Berlin", swapped=True), "Europe/Berlin")

    assert found.verdict == "wrong_order"
    assert "132 agree with some zone if day and month are the other way round" in found.message
    assert judged(written_in("Europe/Berlin", moments, read_in="Europe/Berlin"), "Europe/Berlin").verdict == "proved"


def test_legs_that_begin_late_do_not_disprove_a_zone():
    """A transferred leg has the id of a channel made minutes before."""
    late = [(true + timedelta(minutes=7), true) for true in HOURS[:80]]

    assert judged(calls([(true, true) for true in HOURS] + late), "Africa/Nairobi").verdict == "proved"


@pytest.mark.parametrize("count", [1, 2])
def test_a_few_calls_do_not_disprove_a_zone(count):
    """They may be late by an hour by chance: that is said, and loaded."""
    found = judged(written_in("UTC", HOURS[:count], read_in="Africa/Nairobi"), "Africa/Nairobi")

    assert (found.verdict, found.disproves) == ("unclear", False)


def test_a_clock_that_is_minutes_wrong_is_no_zone():
    """17 minutes are no zone's; which clock is wrong, nobody knows."""
    found = judged(calls([(true + timedelta(minutes=17), true) for true in HOURS]), "Africa/Nairobi")

    assert found.verdict == "unclear"
    assert "no zone's time in 200" in found.message


def test_calls_without_a_clock_prove_nothing():
    """Empty ids and times, ids that are no clock: nothing is claimed."""
    assert judged(calls([(FIRST, None), (None, FIRST)]), "UTC").verdict == "no_clock"
    assert judged(calls([]), "UTC").verdict == "no_clock"


@pytest.mark.parametrize(
    ("kind", "text", "wanted"),
    [
        ("asterisk_uniqueid", "1709272800.1", FIRST),
        ("asterisk_uniqueid", "pbx-a.b-1709272800.17", FIRST),
        ("asterisk_uniqueid", "17.1", None),
        ("asterisk_uniqueid", "1709272800", None),
        ("asterisk_uniqueid", "", None),
        ("asterisk_uniqueid", "99999999999.1", None),
        ("uuid1", "5f0c8c2e-d7a1-41ee-9c3e-0242ac120002", None),
        ("uuid1", "f042c687-d790-11ee", None),
        ("uuid1", "", None),
    ],
)
def test_what_a_text_shows(kind, text, wanted):
    """Only what surely is a time counts."""
    clock = CLOCKED.clocks[0].model_copy(update={"kind": kind})
    found = second_clock(pa.array([text]), clock).to_pylist()

    assert found == [None if wanted is None else int(wanted.timestamp()) * 1_000_000]


@given(st.lists(st.integers(0, 2**60 - 1)))
def test_the_time_of_a_uuid_is_that_of_the_standard_library(ticks):
    """Python's own reading of the field is the reference, and what is not of our time is no clock."""
    clock = CLOCKED.clocks[0].model_copy(update={"kind": "uuid1"})
    ids = [
        uuid.UUID(fields=(tick & 0xFFFFFFFF, tick >> 32 & 0xFFFF, 0x1000 | tick >> 48, 0x80, 0, 1)) for tick in ticks
    ]
    wanted = [each.time // 10 - 12_219_292_800_000_000 for each in ids]
    plausible = [each if 946_684_800_000_000 <= each < 4_102_444_800_000_000 else None for each in wanted]

    assert second_clock(pa.array([str(each) for each in ids], pa.string()), clock).to_pylist() == plausible


@given(st.lists(MOMENTS), st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe"]))
def test_offsets_are_those_of_the_standard_library(moments, zone):
    """For any moments of one zone, zoneinfo is the reference."""
    times = pa.array(moments, pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy()
    wanted = [at.astimezone(ZoneInfo(zone)).utcoffset() // timedelta(microseconds=1) for at in moments]

    assert offsets_at(times, zone).tolist() == wanted


@given(
    st.lists(st.tuples(MOMENTS, st.sampled_from([0, 0, 1, 3, 5.75, 0.2, -9.5, 200]))),
    st.sampled_from(["UTC", "Europe/Berlin"]),
    st.integers(0, 50),
)
def test_the_proof_is_what_a_loop_would_count(pairs, zone, cut):
    """Record by record with the standard library, and however the calls are cut into blocks."""
    pairs = [(true.replace(microsecond=0) + timedelta(hours=off), true) for true, off in pairs]
    layout = CLOCKED.with_overrides(timezone=zone)
    agreeing = 0
    offsets: dict[tuple[int, int], int] = {}
    for read, true in pairs:
        second = true.replace(microsecond=0)
        ahead = read.astimezone(ZoneInfo(zone)).replace(tzinfo=UTC) - second
        quarters = round(ahead / timedelta(minutes=15))
        agreeing += abs(read - second) <= timedelta(minutes=1)
        if abs(ahead - quarters * timedelta(minutes=15)) <= timedelta(minutes=1) and abs(quarters) <= 60:
            pair = ((second - datetime(1970, 1, 1, tzinfo=UTC)).days, quarters)
            offsets[pair] = offsets.get(pair, 0) + 1

    parts = [prove_clocks(calls(part), layout) for part in (pairs[:cut], pairs[cut:])]
    proof = (ClockProofs() + parts[0] + parts[1]).by_field["started_at"]

    assert (proof.clocked, proof.agreeing, dict(proof.offsets)) == (len(pairs), agreeing, offsets)


def test_a_wrong_zone_refuses_or_is_reported():
    """The layout says which; either way nothing is proved."""
    said: list[str] = []
    proofs = prove_clocks(written_in("UTC", HOURS, read_in="Africa/Nairobi"), CLOCKED)
    with pytest.raises(RefusedError, match="agrees with 0 of 200 calls"):
        check_clocks(proofs, CLOCKED, warn=said.append)

    lenient = CLOCKED.model_copy(update={"wrong_zone": "report"})
    assert not check_clocks(proofs, lenient, warn=said.append)
    assert len(said) == 1


def test_a_zone_that_no_clock_checks_is_not_proved():
    """Where another field has a zone of its own, one clock does not speak for both."""
    text = LAYOUT + '[[fields]]\ncolumn = "end"\nname = "ended_at"\ntype = "timestamp"\ntimezone = "UTC"\n'
    proofs = prove_clocks(calls([(FIRST, FIRST)]), CLOCKED)

    assert check_clocks(proofs, CLOCKED, warn=pytest.fail)
    assert not check_clocks(proofs, parse_layout(text, origin="test"), warn=pytest.fail)


def test_a_layout_without_clocks_costs_nothing():
    """Its calls are not even looked at."""
    assert prove_clocks(None, load_layout("customer_call_logs")) == ClockProofs()


@pytest.mark.parametrize(
    ("was", "becomes", "problem"),
    [
        ('field = "call_id"', 'field = "call"', 'clocks: found field "call", which is no field'),
        ('kind = "asterisk_uniqueid"', 'kind = "epoch"', "clocks: call_id cannot carry a clock of kind epoch"),
        ('of = "started_at"', 'of = "call_id"', 'clocks: found of = "call_id", expected a timestamp field'),
        ('kind = "asterisk_uniqueid"', 'kinds = "uuid1"', "clocks #1.kinds"),
    ],
)
def test_what_is_wrong_with_a_clock_is_said(was, becomes, problem):
    """A clock that cannot be read, or that checks nothing, is a mistake in the layout."""
    with pytest.raises(LayoutError) as error:
        parse_layout(LAYOUT.replace(was, becomes), origin="test")

    assert problem in str(error.value)


def test_every_zone_of_the_package_can_be_asked():
    """A name that tzdata lists and does not have would end the judgement."""
    assert {"UTC", "Europe/Berlin", "Asia/Kathmandu"} <= set(zone_names())


def test_an_epoch_beside_a_local_time_is_a_clock():
    """It is read as a timestamp already."""
    clock = CLOCKED.clocks[0].model_copy(update={"kind": "epoch"})

    assert second_clock(pa.array([FIRST, None]), clock).to_pylist() == [int(FIRST.timestamp()) * 1_000_000, None]


def transformed(moments, *, ambiguous_time="reject", id_late=0, seconds=600):
    """Return calls and rejects of a switch in Berlin, made of text, with an end *seconds* after the start."""
    text = LAYOUT.replace("Africa/Nairobi", "Europe/Berlin")
    text = text.replace("[defaults]", f'[defaults]\nambiguous_time = "{ambiguous_time}"') + FOLDED
    berlin = ZoneInfo("Europe/Berlin")
    ends = [at + timedelta(seconds=seconds) for at in moments]
    frame = pd.DataFrame(
        {
            "id": [f"{int(at.timestamp()) + id_late}.1" for at in moments],
            "start": [f"{at.astimezone(berlin):%Y-%m-%d %H:%M:%S}" for at in moments],
            "seconds": [str(seconds)] * len(moments),
            "end": [f"{at.astimezone(berlin):%Y-%m-%d %H:%M:%S}" for at in ends],
        },
        dtype="string[pyarrow]",
    )
    calls, rejects = transform(frame, parse_layout(text, origin="test"))
    return calls["started_at"].tolist(), calls["ended_at"].tolist(), list(rejects["code"]), ends


NIGHT = [datetime(2024, 10, 26, 22, tzinfo=UTC) + timedelta(minutes=10 * number) for number in range(36)]


@pytest.mark.parametrize("ambiguous_time", ["reject", "earlier", "later"])
def test_the_second_clock_settles_the_doubled_hour(ambiguous_time):
    """All calls of the night keep their true times, whatever the layout says of those without a clock."""
    starts, ends, rejected, true_ends = transformed(NIGHT, ambiguous_time=ambiguous_time)

    assert (starts, ends, rejected) == (NIGHT, true_ends, [])


def test_a_clock_that_agrees_with_neither_time_settles_nothing():
    """An id of half an hour later leaves the doubled hour to ambiguous_time: of two hours of calls all are rejected."""
    _, _, rejected, _ = transformed(NIGHT, id_late=1800)
    starts, _, none, _ = transformed(NIGHT, id_late=1800, ambiguous_time="earlier")

    assert rejected == ["bad_timestamp"] * 13  # twelve that begin in it, and one that ends in it
    assert none == []
    assert len(starts) == len(NIGHT)


@given(st.lists(MOMENTS, min_size=1, max_size=20), st.integers(0, 20_000))
def test_every_moment_of_a_zone_survives_with_its_clock(moments, seconds):
    """Written in local time and read again, any call has the time that zoneinfo gave away."""
    moments = [at.replace(microsecond=0) for at in moments]
    starts, ends, rejected, true_ends = transformed(moments, seconds=seconds)

    assert (starts, ends, rejected) == (moments, true_ends, [])
