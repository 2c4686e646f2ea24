"""Fingerprints: the same for the same result, another for everything that can change it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.layout import model as layout_model
from trunkline.layout.fields import FIELD_TYPES
from trunkline.layout.files import Layout, load_layout
from trunkline.layout.model import Defaults, Dialect, SkipRule
from trunkline.layout.versions import RESULT_VERSION

# A layout with a field of each type, and for every key of the grammar another value than it has here.
FIELDS: dict[str, dict[str, Any]] = {
    "text": {"column": "a", "name": "a", "type": "text", "map": {"X": "x"}},
    "integer": {"column": "b", "name": "b", "type": "integer"},
    "decimal": {"column": "c", "name": "c", "type": "decimal"},
    "money": {"column": "d", "name": "d", "type": "money"},
    "duration": {"column": "e", "name": "e", "type": "duration", "unit": "s"},
    "timestamp": {"column": "f", "name": "f", "type": "timestamp", "required": True},
    "date": {"column": "g", "name": "g", "type": "date"},
    "boolean": {"column": "h", "name": "h", "type": "boolean", "true": ["Y"], "false": ["N"]},
    "phone": {"column": "i", "name": "i", "type": "phone"},
    "ip": {"column": "j", "name": "j", "type": "ip"},
}
WHOLE: dict[str, Any] = {
    "grammar": 1,
    "name": "whole",
    "table": "whole",
    "key": [field["name"] for field in FIELDS.values()],
    "event_time": "f",
    "defaults": {"timezone": "Africa/Nairobi"},
    "skip": [{"column": "k", "in": ["2"]}],
    "fields": list(FIELDS.values()),
}
OF_ALL_FIELDS: dict[str, Any] = {
    "column": "z", "required": True, "join": "T", "aliases": ["zz"], "nulls": ["", "-"], "trim": True,
}  # fmt: skip
OF_TYPES: dict[str, dict[str, Any]] = {
    "text": {"allowed": ["X"], "pattern": "X", "map": {"X": "y"}, "other": "z", "when": {"b": "z"}},
    "integer": {"min": 1, "max": 9, "allowed": [1]},
    "decimal": {"scale": 2, "point": ",", "implied": 2, "min": 1, "max": 9},
    "money": {
        "scale": 2, "currency": "USD", "currency_from": "x", "currency_aliases": ["xx"], "point": ",", "group": "'",
        "implied": 2, "min": 1, "max": 9,
    },
    "duration": {
        "unit": "ms", "scale": 3, "min": 1, "max": 9, "unit_from": "x", "units": {"S": "s"}, "implied": 2,
        "between": ["f", "f"],
    },
    "timestamp": {"format": "%d.%m.%Y", "also": "%d.%m.%Y", "timezone": "UTC", "ambiguous_time": "later"},
    "date": {"format": "%d.%m.%Y"},
    "boolean": {"true": ["J"], "false": ["0"]},
    "phone": {"region": "KE"},
    "ip": {"format": "little_endian"},
}  # fmt: skip
OF_PARTS: dict[str, dict[str, Any]] = {
    "dialect": {
        "delimiter": ";", "quote": "'", "escape": "none", "header": True, "header_lines": 2, "skip_lines": 1,
        "encoding": "latin-1", "multiline": True, "not_records": "#.*", "blank_after": True,
        "stray_quotes": "keep",
    },
    "defaults": {"timezone": "UTC", "ambiguous_time": "later", "nulls": ["", "NULL"], "region": "KE"},
    "skip": {"column": "l", "is_in": ["3"], "not_in": ["2"]},
}  # fmt: skip
OF_LAYOUT: dict[str, Any] = {
    "table": "other",
    "key": ["a", "f"],
    "event_time": None,
    "on_conflict": "skip",
    "extra": "keep",
    "growing": True,
    "widths": [{"columns": 9, "moved": {"1": 2}}],
    "refuse": "quality records",
    "spreadsheet": "ignore",
    "trailer": {"first": "TRAILER", "count": 2},
    "clocks": [{"field": "a", "kind": "uuid1", "of": "f"}],
}
WITHOUT_EFFECT: dict[str, Any] = {
    "name": "other", "status": "verified", "partition": "month", "grammar": None, "extends": "another",
    "wrong_zone": "report", "most_columns": 9, "sequence": {"from": "field", "field": "b", "restarts": True},
}  # fmt: skip

# What gives the same call another key, but for zones (which the books keep for each system).
CHANGES_KEYS = {
    *((kind, option) for kind in FIELDS for option in ("column", "join", "nulls", "trim")),
    ("decimal", "scale"), ("decimal", "point"), ("decimal", "implied"),
    *(("money", option) for option in ("scale", "point", "group", "implied", "currency_from")),
    *(("duration", option) for option in ("unit", "scale", "implied", "unit_from", "units", "between")),
    ("timestamp", "format"), ("timestamp", "ambiguous_time"), ("date", "format"),
    ("boolean", "true"), ("boolean", "false"), ("ip", "format"),
    ("defaults", "ambiguous_time"), ("defaults", "nulls"), ("layout", "key"),
}  # fmt: skip

OPTIONS = [
    *((kind, option, value) for kind in FIELDS for option, value in {**OF_ALL_FIELDS, **OF_TYPES[kind]}.items()),
    *((part, option, value) for part, options in OF_PARTS.items() for option, value in options.items()),
    *(("layout", option, value) for option, value in OF_LAYOUT.items()),
]


def changed(part, option, value):
    """Return the layout with one option changed."""
    data = copy.deepcopy(WHOLE)
    if part in FIELDS:
        field = next(field for field in data["fields"] if field["type"] == part)
        field[option] = not field.get("required", False) if option == "required" else value
        if option == "between":
            field["unit"] = None
        if option in ("unit_from", "units"):
            field |= {"unit": None, "unit_from": "v", "units": {"M": "min"}, option: value}
        if part == "timestamp" and option == "required":
            data["event_time"] = None
    elif part == "skip":
        data["skip"] = [{"column": "k", "in": ["2"], option: value}]
        if option in ("not_in", "is_in"):
            del data["skip"][0]["in"]
    elif part == "layout":
        data[option] = value
    else:
        data[part] = {**data.get(part, {}), option: value}
    return Layout.model_validate(data)


def test_the_table_above_has_every_key_of_the_grammar():
    """A new key of the grammar must be added here, and with it to the fingerprints."""
    for kind, model in FIELD_TYPES.items():
        assert set(model.model_fields) == {*OF_ALL_FIELDS, *OF_TYPES[kind], "name", "type"}
    assert set(Dialect.model_fields) == set(OF_PARTS["dialect"])
    assert set(Defaults.model_fields) == set(OF_PARTS["defaults"])
    assert set(SkipRule.model_fields) == set(OF_PARTS["skip"])
    assert set(Layout.model_fields) == {*OF_LAYOUT, *WITHOUT_EFFECT, *OF_PARTS, "fields", "view"}


def test_a_view_changes_no_fingerprint():
    """What is made of the calls in the database does not change the calls."""
    layout = load_layout("kamailio_flatstore")
    without = layout.model_copy(update={"view": None})

    assert (layout.fingerprint, layout.key_fingerprint) == (without.fingerprint, without.key_fingerprint)


@pytest.mark.parametrize(("part", "option", "value"), OPTIONS)
def test_what_changes_the_result_changes_the_fingerprint(part, option, value):
    """Every option but those below gives another fingerprint; the key's changes exactly with keys."""
    before, after = Layout.model_validate(WHOLE), changed(part, option, value)

    assert after.fingerprint != before.fingerprint
    assert (after.key_fingerprint != before.key_fingerprint) is ((part, option) in CHANGES_KEYS)


@pytest.mark.parametrize(("option", "value"), [(name, value) for name, value in WITHOUT_EFFECT.items() if value])
def test_what_does_not_change_the_result_changes_no_fingerprint(option, value):
    """Names, status and the length of partitions do not make the same content another."""
    before, after = Layout.model_validate(WHOLE), changed("layout", option, value)

    assert (after.fingerprint, after.key_fingerprint) == (before.fingerprint, before.key_fingerprint)


def test_a_clock_changes_keys_where_it_settles_a_time_otherwise():
    """A doubled hour was read as the later one and is now read as the clock says."""
    data = {**WHOLE, "defaults": {"timezone": "UTC", "ambiguous_time": "later"}}
    after = Layout.model_validate({**data, "clocks": OF_LAYOUT["clocks"]})

    assert after.key_fingerprint != Layout.model_validate(data).key_fingerprint


def test_the_name_of_a_field_is_part_of_the_result_but_not_of_keys():
    """A column by another name is another result; the keys of its calls are the same."""
    before, data = Layout.model_validate(WHOLE), copy.deepcopy(WHOLE)
    data["fields"][0]["name"] = data["key"][0] = "other"
    after = Layout.model_validate(data)

    assert after.fingerprint != before.fingerprint
    assert after.key_fingerprint == before.key_fingerprint


def test_the_order_of_the_key_is_part_of_it():
    """The values are hashed in the order of the key."""
    data = {**WHOLE, "key": WHOLE["key"][::-1]}

    assert Layout.model_validate(data).key_fingerprint != Layout.model_validate(WHOLE).key_fingerprint


@pytest.mark.parametrize("override", [{"timezone": "UTC"}, {"currency": "KES"}])
def test_overrides_change_the_fingerprint_and_no_keys(override):
    """Another zone or currency is another result; that keys differ by zone is kept by system in the books."""
    before = load_layout("customer_call_logs")
    known = before.fingerprint  # worked out once, and not copied
    after = before.with_overrides(**override)

    assert after.fingerprint != known == before.fingerprint
    assert after.key_fingerprint == before.key_fingerprint


def test_saying_what_the_layout_says_changes_nothing():
    """Only the effective zone counts, not who says it."""
    before = load_layout("customer_call_logs")

    assert before.with_overrides(timezone="Africa/Nairobi", currency="USD").fingerprint == before.fingerprint


def test_the_system_counts_where_it_is_part_of_the_key():
    """Equal bytes of two switches get different keys only if the layout says so."""
    without = load_layout("customer_call_logs")
    within = Layout.model_validate({**WHOLE, "key": ["system", *WHOLE["key"]]})

    assert without.with_overrides(system="a").fingerprint == without.with_overrides(system="b").fingerprint
    assert within.with_overrides(system="a").fingerprint != within.with_overrides(system="b").fingerprint
    assert within.with_overrides(system="a").key_fingerprint == within.key_fingerprint


@pytest.mark.parametrize("package", ["tzdata", "phonenumbers"])
def test_newer_data_makes_another_fingerprint(package, monkeypatch):
    """Zones and numbering plans change, and with them what the same bytes mean."""
    before = Layout.model_validate(WHOLE).fingerprint
    monkeypatch.setattr(layout_model, "version_of", lambda name: "newer" if name == package else "same")
    newer = Layout.model_validate(WHOLE).fingerprint
    monkeypatch.setattr(layout_model, "version_of", lambda name: "same")

    assert len({before, newer, Layout.model_validate(WHOLE).fingerprint}) == 3


def test_new_rules_make_another_fingerprint(monkeypatch):
    """A release that reads the same text otherwise does not find its old results unchanged."""
    before = Layout.model_validate(WHOLE).fingerprint
    monkeypatch.setattr(layout_model, "RESULT_VERSION", RESULT_VERSION + 1)

    assert Layout.model_validate(WHOLE).fingerprint != before


def test_the_key_fingerprint_of_the_reference_layout_stays():
    """Tables in use remember it: another one would refuse every further load."""
    assert load_layout("customer_call_logs").key_fingerprint == "966e4377d45764b67182e9c4fcd320e7"


@given(order=st.permutations(list(WHOLE)), options=st.permutations(list(FIELDS["boolean"])))
def test_the_order_in_which_a_file_says_things_does_not_matter(order, options):
    """Fingerprints are of what a layout says, not of how its file is written."""
    boolean = {name: FIELDS["boolean"][name] for name in options}
    fields = [boolean if field["type"] == "boolean" else field for field in WHOLE["fields"]]
    shuffled = Layout.model_validate({name: {**WHOLE, "fields": fields}[name] for name in order})
    before = Layout.model_validate(WHOLE)

    assert (shuffled.fingerprint, shuffled.key_fingerprint) == (before.fingerprint, before.key_fingerprint)
