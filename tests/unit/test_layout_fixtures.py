"""Every built-in layout on files with its quirks: what becomes of each record, value by value, and that no other
layout takes the file for its own.

The fixtures are written by us: LAYOUT.csv or LAYOUT.VARIANT.csv, and beside it the same name in JSON with the
overrides, the typed calls by source line, the rejects, and how many records are no calls.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trunkline.detect.recognition import ENOUGH, layout_of, rank_layouts
from trunkline.errors import RefusedError
from trunkline.extraction import extract
from trunkline.layout.files import builtin_layouts, load_layout
from trunkline.transformation import transform

FOLDER = Path(__file__).parents[1] / "fixtures" / "layouts"
FILES = sorted(FOLDER.glob("*.csv"))
REFUSED = [layout.name for layout in builtin_layouts() if layout.refuse]
LOADED = [file for file in FILES if file.name.partition(".")[0] not in REFUSED]


def name_of(file):
    return file.name.partition(".")[0]


def typed(file):
    """Return what becomes of a fixture, in the words of its JSON."""
    wanted = json.loads(file.with_suffix(".json").read_text("utf-8"))
    layout = load_layout(name_of(file)).with_overrides(**wanted["overrides"])
    calls, rejects = transform(extract(file.read_bytes(), layout), layout)
    values = calls.drop(columns="record_key").astype(object)
    rows = values.where(values.notna(), None).reset_index().to_dict("records")
    found = {
        "overrides": wanted["overrides"],
        "filtered": calls.attrs["filtered"],
        "rejects": rejects[["source_line", "field", "code"]]
        .astype(object)
        .where(rejects.notna(), None)
        .values.tolist(),
        "calls": [{str(name): _plain(value) for name, value in row.items() if value is not None} for row in rows],
    }
    return wanted, found, calls


def _plain(value):
    return value if isinstance(value, str | int | bool) else str(value)


@pytest.mark.parametrize("file", LOADED, ids=lambda file: file.stem)
def test_what_becomes_of_each_record(file):
    """Every value of every call, every reject and what is filtered are those of the JSON; null columns are left out."""
    wanted, found, _ = typed(file)

    assert found == wanted


@pytest.mark.parametrize("file", LOADED, ids=lambda file: file.stem)
def test_each_leg_has_a_key_of_its_own(file):
    """No two records of a fixture are the same call, though many share a call id."""
    _, _, calls = typed(file)

    assert calls["record_key"].is_unique
    assert len(calls) > 1


@pytest.mark.parametrize("file", [file for file in FILES if file in LOADED], ids=lambda file: file.stem)
def test_a_fixture_is_recognised_as_its_own_layout_only(file):
    """Its layout is chosen, and no other one would be without it."""
    assert layout_of(file.read_bytes()).name == name_of(file)
    others = [layout for layout in builtin_layouts() if layout.name != name_of(file)]
    assert [each.layout.name for each in rank_layouts(file.read_bytes(), others) if each.confidence >= ENOUGH] == []


@pytest.mark.parametrize("file", [file for file in FILES if file not in LOADED], ids=lambda file: file.stem)
def test_what_holds_no_calls_is_recognised_and_refused(file):
    """It is not loaded as something else, and the message says what it is."""
    with pytest.raises(RefusedError, match=f"is '{name_of(file)}': "):
        layout_of(file.read_bytes())


@pytest.mark.parametrize("layout", builtin_layouts(), ids=lambda layout: layout.name)
def test_a_layout_has_a_fixture(layout):
    """No layout comes along untried."""
    assert any(name_of(file) == layout.name for file in FILES)


def test_the_legs_of_an_asterisk_call_are_the_same_call_in_every_file():
    """What Asterisk writes to Master.csv it writes to the file of the account code too, and a key is of the record."""
    _, _, master = typed(FOLDER / "asterisk_cdr_csv.csv")
    assert len(set(master["call_id"])) < len(master)


def test_the_key_fingerprints_of_all_layouts_stay():
    """Tables in use remember them: another one would refuse every further load, so it must never change unnoticed."""
    golden = json.loads((Path(__file__).parent / "golden_layouts.json").read_text("utf-8"))

    assert {layout.name: layout.key_fingerprint for layout in builtin_layouts()} == golden
