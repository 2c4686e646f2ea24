"""What `sample` writes: the same bytes for the same seed, unique calls, and damage exactly where it says."""

import csv
import io
import json
import re
from collections import Counter
from decimal import Decimal

import pytest

from trunkline.detect.recognition import layout_of
from trunkline.errors import SourceError, UsageError
from trunkline.extraction import extract
from trunkline.layout.files import load_layout
from trunkline.sample.layouts import SAMPLE_LAYOUTS
from trunkline.sample.traffic import CHUNK_RECORDS
from trunkline.sample.writer import Sample, write_sample
from trunkline.transformation import transform

HEADER = "customer_id,call_cost,call_destination,call_date,call_duration"


def written(**arguments):
    """Return what a sample says of itself, and its lines without line ends, the header's at 0."""
    file = io.BytesIO()
    sample = write_sample(file, **arguments)
    assert file.getvalue().endswith(b"\n")
    return sample, file.getvalue().split(b"\n")[:-1]


def layout_for(name):
    """Return a layout with what its files do not say."""
    layout = load_layout(name)
    return layout.with_overrides(timezone="Africa/Nairobi", system="pbx-1") if name == "asterisk_cdr_csv" else layout


def notes_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_same_seed_gives_the_same_bytes():
    """Two samples with equal arguments are equal, and another seed gives another one."""
    arguments = {"records": 500, "dirty": 0.1, "duplicates": 0.1}

    assert written(**arguments)[1] == written(**arguments)[1]
    assert written(**arguments)[1] != written(**arguments, seed=2)[1]


def test_a_clean_record_has_the_form_of_the_reference_file():
    """Every line reads as customer, dollars with two decimals, city, local time and HH:MM:SS."""
    _, lines = written(records=2_000)
    rows = list(csv.reader(line.decode() for line in lines[1:]))

    assert lines[0].decode() == HEADER
    assert len(rows) == 2_000
    form = r"\d{4,},\$\d+\.\d\d,[A-Z][A-Za-z' ]+,2022-\d\d-\d\d \d\d:\d\d:\d\d,\d\d:[0-5]\d:[0-5]\d"
    assert [row for row in rows if not re.fullmatch(form, ",".join(row))] == []


@pytest.mark.parametrize("days", [1, 90])
def test_clean_records_are_unique_by_their_key_across_chunks(days):
    """No two records share customer, time, destination and duration, in one chunk or in two."""
    _, lines = written(records=CHUNK_RECORDS * 2 + 17, days=days)
    keys = {tuple(value for n, value in enumerate(line.split(b",")) if n != 1) for line in lines[1:]}

    assert len(keys) == CHUNK_RECORDS * 2 + 17


def test_a_crowded_second_still_has_one_call_a_customer():
    """With very few customers for the time there is, nobody starts two calls in one second."""
    _, lines = written(records=40 * 2_000, days=1)
    calls = Counter((line.split(b",")[0], line.split(b",")[3]) for line in lines[1:])

    assert calls.most_common(1)[0][1] == 1


def test_times_ascend_within_the_days():
    """Calls are in order of time and lie in the days asked for."""
    _, lines = written(records=3_000, days=7)
    times = [line.split(b",")[3] for line in lines[1:]]

    assert times == sorted(times)
    assert times[0] >= b"2022-01-01 00:00:00"
    assert b"2022-01-07 00:00:00" < times[-1] <= b"2022-01-07 23:59:59"


def test_nights_are_quiet():
    """The busiest hour has many times the calls of the quietest."""
    _, lines = written(records=20_000)
    hours = Counter(line.split(b",")[3][11:13] for line in lines[1:])

    assert hours[b"19"] > 10 * hours[b"03"] > 0


def test_the_sample_knows_its_totals():
    """Duration and cost are those of the records that are neither damaged nor repeated."""
    sample, lines = written(records=1_000)
    rows = [line.decode().split(",") for line in lines[1:]]
    clock = [row[4].split(":") for row in rows]

    assert sample.duration_s == sum(3600 * int(h) + 60 * int(m) + int(s) for h, m, s in clock)
    assert sample.cost == sum((Decimal(row[1].removeprefix("$")) for row in rows), Decimal(0))
    assert (sample.records, sample.duplicates, sample.rejected_by) == (1_000, 0, Counter())
    assert sample.bytes == sum(len(line) + 1 for line in lines)


def test_damage_is_where_the_manifest_says(tmp_path):
    """Lines outside the manifest equal those of the clean sample, lines in it do not."""
    _, clean = written(records=3_000)
    sample, dirty = written(records=3_000, dirty=0.2, manifest=tmp_path / "notes.jsonl")
    notes = notes_of(tmp_path / "notes.jsonl")
    differing = [n + 1 for n, (was, now) in enumerate(zip(clean, dirty, strict=True)) if was != now]

    assert [note["line"] for note in notes] == differing
    assert Counter(note["code"] for note in notes) == sample.rejected_by
    assert 500 < len(notes) < 700


def test_all_kinds_of_damage_occur():
    """A dirty sample of moderate size has every code that the layout can be damaged to."""
    sample, _ = written(records=1_000, dirty=0.5)
    damages = SAMPLE_LAYOUTS["customer_call_logs"].damages

    assert set(sample.rejected_by) == {damage.code for damage in damages}


@pytest.mark.parametrize("damage", SAMPLE_LAYOUTS["customer_call_logs"].damages, ids=lambda d: f"{d.code}-{d.field}")
def test_every_variant_of_a_damage_changes_the_record(damage):
    """No variant gives the good record back, none breaks the line in two."""
    good = [b"1001", b"$1.20", b"Nairobi", b"2022-01-01 10:00:00", b"00:05:30"]
    spoiled = [b",".join(damage.spoil(good, variant)) for variant in range(12)]

    assert b",".join(good) not in spoiled
    assert not any(b"\n" in line or b"\r" in line for line in spoiled)


def test_a_repeat_equals_the_record_it_repeats(tmp_path):
    """Each duplicate is, byte for byte, the earlier undamaged line that the manifest names."""
    records = CHUNK_RECORDS + 5_000
    sample, lines = written(records=records, dirty=0.1, duplicates=0.2, manifest=tmp_path / "notes.jsonl")
    notes = notes_of(tmp_path / "notes.jsonl")
    repeats = [note for note in notes if "repeats" in note]
    spoiled = {note["line"] for note in notes}

    assert len(repeats) == sample.duplicates > records * 0.19
    assert all(note["repeats"] < note["line"] and note["repeats"] not in spoiled for note in repeats)
    assert all(lines[note["line"] - 1] == lines[note["repeats"] - 1] for note in repeats)
    assert any(note["line"] - note["repeats"] > CHUNK_RECORDS // 2 for note in repeats)


@pytest.mark.parametrize(
    ("shares", "rejected", "duplicates"),
    [
        ({"dirty": 1.0}, 50, 0),
        ({"duplicates": 1.0}, 0, 49),  # the first one has nothing to repeat
    ],
)
def test_the_largest_shares(shares, rejected, duplicates):
    """All records can be damaged, and all but one can be repeats."""
    sample, _ = written(records=50, **shares)

    assert (sample.rejected_by.total(), sample.duplicates) == (rejected, duplicates)


@pytest.mark.parametrize("layout", SAMPLE_LAYOUTS)
def test_a_torn_and_long_records_are_as_told(tmp_path, layout):
    """The last record ends in its middle, and so many others are too long; the rest stays as it was."""
    _, clean = written(records=300, layout=layout)
    sample = write_sample(
        tmp_path / "calls.csv", records=300, layout=layout, too_long=2, torn=True, manifest=tmp_path / "m"
    )
    data = (tmp_path / "calls.csv").read_bytes()
    lines = data.split(b"\n")
    _, rejects = transform(extract(data, layout_for(layout)), layout_for(layout))

    assert sample.rejected_by == {"too_long": 2, "torn_record": 1}
    assert sum(now != was for now, was in zip(lines, clean, strict=True)) == 3
    assert [[note["line"], note["code"]] for note in notes_of(tmp_path / "m")] == rejects[
        ["source_line", "code"]
    ].values.tolist()


@pytest.mark.parametrize("layout", SAMPLE_LAYOUTS)
def test_a_conflict_is_the_same_call_with_another_value(tmp_path, layout):
    """It has the key of the record that the manifest names, and is no duplicate of it."""
    sample = write_sample(
        tmp_path / "calls.csv", records=2_000, layout=layout, conflicts=0.1, duplicates=0.1, manifest=tmp_path / "m"
    )
    calls, rejects = transform(extract(tmp_path / "calls.csv", layout_for(layout)), layout_for(layout))
    notes = notes_of(tmp_path / "m")
    conflicts = [note for note in notes if note.get("code") == "conflict"]
    values = calls.drop(columns="record_key").astype(object).fillna("")

    assert len(rejects) == 0
    assert (len(conflicts), len(notes) - len(conflicts)) == (sample.rejected_by["conflict"], sample.duplicates)
    assert len(conflicts) > 150
    for note in conflicts:
        assert calls["record_key"][note["line"]] == calls["record_key"][note["repeats"]]
        assert (values.loc[note["line"]] != values.loc[note["repeats"]]).sum() == 1


def test_conflicts_alone_need_one_record():
    """The first record is good, whatever the shares."""
    assert written(records=50, conflicts=1.0)[0].rejected_by == {"conflict": 49}


def test_good_records_run_out():
    """With no good record left, every record is damaged or repeats the only one."""
    sample, _ = written(records=CHUNK_RECORDS + 50, dirty=0.5, duplicates=0.5)

    assert sample.rejected_by.total() + sample.duplicates == CHUNK_RECORDS + 49


def test_no_records_are_a_header():
    """A sample of nothing is a header, and valid."""
    assert written(records=0) == (Sample(bytes=len(HEADER) + 1), [HEADER.encode()])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"records": -1}, "found -1 records, expected 0 or more"),
        ({"records": 1, "days": 0}, "found 0 days, expected 1 to 36500"),
        (
            {"records": 1, "dirty": 0.6, "duplicates": 0.5},
            "found shares 0.6 dirty, 0.5 duplicates, 0 conflicts, expected 0 to 1 and no more than 1 together",
        ),
        ({"records": 1, "too_long": 2}, "found 2 records to make too long, expected 0 to 1"),
        (
            {"records": 1, "layout": "nokia"},
            "no sample for layout 'nokia', expected one of: asterisk_cdr_csv, customer_call_logs",
        ),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    """What cannot be written is said before anything is written."""
    file = io.BytesIO()

    with pytest.raises(UsageError) as caught:
        write_sample(file, **arguments)

    assert str(caught.value) == message
    assert file.getvalue() == b""


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    """The error says which file and why."""
    missing = tmp_path / "missing" / "calls.csv"

    with pytest.raises(SourceError) as caught:
        write_sample(missing, records=1)

    assert str(caught.value) == f"{missing}: cannot write the sample: No such file or directory"


def test_a_sample_of_asterisk_is_what_its_layout_reads(tmp_path):
    """Recognised by itself; every damage is the reject that the manifest says, and the totals agree."""
    out, manifest = tmp_path / "Master.csv", tmp_path / "manifest.jsonl"
    sample = write_sample(out, records=2_000, layout="asterisk_cdr_csv", dirty=0.05, manifest=manifest, days=5)
    layout = layout_of(out.read_bytes()[:65_536]).with_overrides(timezone="Africa/Nairobi", system="pbx-1")
    calls, rejects = transform(extract(out, layout), layout)

    notes = [json.loads(line) for line in manifest.read_text().splitlines()]
    told = rejects[["source_line", "code", "field"]].astype(object).where(rejects.notna(), None).values.tolist()
    assert layout.name == "asterisk_cdr_csv"
    assert told == [[note["line"], note["code"], note["field"]] for note in notes]
    assert (len(calls), int(calls["duration_s"].sum()), sample.cost) == (
        2_000 - len(notes),
        sample.duration_s,
        Decimal(0),
    )
    assert calls["record_key"].is_unique
    assert {"answered", "no_answer"} == set(calls["disposition"])
