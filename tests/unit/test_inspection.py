"""A first look at a file: which layout, why, first calls, and a layout to edit that loads as it is."""

import json
from pathlib import Path

import pytest

from trunkline.cli import app as cli
from trunkline.detect.inspection import inspect_source, propose_for
from trunkline.layout.files import parse_layout
from trunkline.sample.writer import write_sample
from trunkline.settings.resolution import Settings

DIRTY = b"""customer_id,call_cost,call_destination,call_date,call_duration
1001,$1.20,Nairobi,2026-01-01 10:00:00,00:05:30
1003,$0,50,Nakuru,2026-01-01 10:10:00,00:03:45
1001,$1.80,Kisumu,2026-02-30 09:30:00,00:10:30
"""
FOREIGN = """Start;From;To;Seconds;Charge
01/02/2026 13:05;+254700123456;0711000111;61;4,50
13/02/2026 13:05;+254700123456;0711000111;61;4,50
"""


@pytest.fixture
def dirty(tmp_path):
    """A file of the reference layout with one good record and two bad ones."""
    path = tmp_path / "calls.csv"
    path.write_bytes(DIRTY)
    return str(path)


@pytest.fixture
def foreign(tmp_path):
    """A file that no built-in layout fits."""
    path = tmp_path / "other.csv"
    path.write_text(FOREIGN)
    return str(path)


def look(path, rows=5, **settings):
    """Inspect a file under some settings."""
    return inspect_source(str(path), Settings(**settings), rows=rows)


def run(capsys, *arguments):
    """Return exit code, stdout and stderr of one command."""
    code = cli.execute(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_first_records_are_shown_as_they_would_load(dirty):
    """Calls are typed, rejects have their code, and the counts are those of the whole sample."""
    found = look(dirty)

    assert found.layout.name == "customer_call_logs"
    assert [(call["source_line"], call["customer_id"], str(call["cost"])) for call in found.first.calls] == [
        (2, 1001, "1.200000")
    ]
    assert [(reject["source_line"], reject["code"]) for reject in found.first.rejects] == [
        (3, "too_many_fields"),
        (4, "bad_timestamp"),
    ]
    assert (found.first.typed, found.first.rejected_by) == (1, {"bad_timestamp": 1, "too_many_fields": 1})


def test_a_record_that_the_sample_cuts_is_no_reject(tmp_path):
    """Only the first 64 KiB are read: what their end cuts in two is not judged."""
    write_sample(tmp_path / "calls.csv", records=3_000)
    found = look(tmp_path / "calls.csv", rows=3)

    assert found.first.rejected_by == {}
    assert 1_000 < found.first.typed < 1_500
    assert len(found.first.calls) == 3


def test_a_stated_zone_counts(dirty):
    """What the user states is in force here as it would be in a run."""
    found = look(dirty, timezone="UTC")

    assert found.first.calls[0]["started_at"].isoformat() == "2026-01-01T10:00:00+00:00"


def test_a_file_that_nothing_fits_has_a_reason(foreign):
    """There is no layout, and so nothing typed, but the candidates say why."""
    found = look(foreign)

    assert (found.layout, found.first) == (None, None)
    assert found.reason.startswith("no layout fits")
    assert any("missing: " in reason for each in found.candidates for reason in each.reasons)
    assert found.dialect.delimiter == ";"


def test_a_proposed_layout_loads_what_it_was_made_from(foreign):
    """It is a whole layout: its types fit the records, and the user's zone and currency are in it."""
    text = propose_for(foreign, Settings(timezone="Africa/Nairobi", currency="KES"), layout_name="other")
    layout = parse_layout(text, origin="other.toml")

    assert layout.name == "other"
    assert (layout.zones, layout.currencies) == ("Africa/Nairobi", "KES")


def test_inspect_writes_a_layout_and_shows_what_it_gives(capsys, foreign, tmp_path):
    """The first calls are those of the layout that was written; a second time it is not overwritten."""
    path = tmp_path / "own.toml"
    arguments = ["inspect", foreign, "--write", str(path), "--timezone", "Africa/Nairobi", "--currency", "KES"]
    code, out, err = run(capsys, *arguments, "--json")
    document = json.loads(out)
    again = run(capsys, *arguments)

    assert (code, document["layout"], document["typed"], document["rejected_by"]) == (0, "own", 2, {})
    assert document["calls"][0]["started_at"] == "2026-02-01T10:05:00+00:00"
    assert err == f"{path}: a layout to edit; load with: trunkline run {foreign} --layout {path}\n"
    assert again == (2, "", f"trunkline: {path} is there already; name a new file, or remove it\n")


def test_inspect_prints_tables_for_people(capsys, dirty):
    """Dialect, candidates, calls, rejects and counts, in this order."""
    code, out, err = run(capsys, "inspect", dirty)

    assert (code, err) == (0, "")
    parts = [
        "delimiter ','",
        "customer_call_logs",
        "Nairobi",
        "too_many_fields",
        "in its first 64 KiB: 1 calls, 2 rejects",
    ]
    assert [part for part in parts if part not in out] == []
    assert sorted(parts, key=out.index) == parts


def test_inspect_says_how_to_go_on_where_nothing_fits(capsys, foreign):
    """The reason is an error line, the next step follows, and looking was no failure."""
    code, _, err = run(capsys, "inspect", foreign)
    reason, step = err.splitlines()

    assert code == 0
    assert reason.startswith(f"trunkline: {foreign}: no layout fits")
    assert step == f"a layout to edit: trunkline inspect {foreign} --write my_layout.toml"


def test_inspect_of_a_missing_file_fails(capsys, tmp_path):
    """It ends with 1 like any source that cannot be read."""
    code, _, err = run(capsys, "inspect", str(tmp_path / "missing.csv"))

    assert code == 1
    assert err.startswith(f"trunkline: {tmp_path / 'missing.csv'}: ")


def test_the_proof_of_a_zone_is_shown():
    """A first look says whether second clocks agree, before anything is loaded."""
    source = str(Path(__file__).parents[1] / "fixtures" / "layouts" / "asterisk_cdr_csv.csv")
    verdicts = {}
    for zone in ("Africa/Nairobi", "UTC"):
        first = inspect_source(source, Settings(timezone=zone), rows=1).first
        assert first is not None
        verdicts[zone] = first.clocks["started_at"].verdict

    assert verdicts == {"Africa/Nairobi": "proved", "UTC": "wrong_zone"}


def test_an_encoding_that_is_stated_counts_everywhere(tmp_path):
    """Recognising, reading and proposing; the layout that is written needs no flag any more."""
    path = tmp_path / "calls.csv"
    path.write_bytes(DIRTY.replace(b"Nakuru", "Café".encode()).decode().encode("utf-16-le"))
    found = look(path, encoding="utf-16-le")
    proposed = parse_layout(propose_for(str(path), Settings(encoding="utf-16-le"), layout_name="own"), origin="test")

    assert found.layout is not None
    assert (found.layout.name, found.dialect.encoding) == ("customer_call_logs", "utf-16-le")
    assert found.first is not None
    assert [call["destination"] for call in found.first.calls] == ["Nairobi"]
    assert proposed.dialect.encoding == "utf-16-le"


def test_a_first_look_names_what_a_run_would_warn_of(tmp_path, capsys):
    """A spreadsheet's damage shows before anything is loaded."""
    path = tmp_path / "calls.csv"
    path.write_bytes(
        DIRTY.replace(b"customer_id", b"Customer_ID").replace(b"Nakuru", b"2.35E+11").replace(b"$0,", b"$0.")
    )
    code, out, _ = run(capsys, "inspect", str(path), "--layout", "customer_call_logs")

    assert code == 0
    assert "\nread the columns 'Customer_ID' as customer_id: letter case" in out
    assert (
        "\nspreadsheet damage: destination: numbers rounded as in 2.35E+11, their digits are lost (in 1 record)\n"
        in out
    )
