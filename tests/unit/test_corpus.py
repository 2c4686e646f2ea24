"""A corpus of hostile call logs, each with its right outcome: no surprise, and every record accounted for."""

from __future__ import annotations

import contextlib
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline import errors
from trunkline.extraction import extract
from trunkline.layout.files import load_layout
from trunkline.layout.model import Layout
from trunkline.transformation import transform

CORPUS = Path(__file__).parents[1] / "corpus"
CASES = tomllib.loads((CORPUS / "manifest.toml").read_text(encoding="utf-8"))["case"]
LONG = {"x * 300000": "x" * 300_000}


def layout_of(case: dict[str, Any]) -> Layout:
    layout = load_layout("customer_call_logs")
    dialect = layout.dialect.model_copy(update=case.get("dialect", {}))
    return layout.model_copy(update={"dialect": dialect, "growing": case.get("growing", False)})


def test_every_file_has_its_case():
    """No file without an outcome, no outcome without a file."""
    assert sorted(case["file"] for case in CASES) == sorted(
        one.name for one in CORPUS.iterdir() if one.suffix != ".toml"
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["file"])
def test_a_hostile_file_has_its_outcome(case):
    """Each record is loaded from its line, rejected for its reason or filtered; or the file is, with its reason."""
    layout = layout_of(case)
    path = CORPUS / case["file"]
    if "error" in case:
        with pytest.raises(getattr(errors, case["error"])) as caught:
            transform(extract(path, layout), layout)
        assert case["message"] in str(caught.value)
        return
    calls, rejects = transform(extract(path, layout), layout)
    loaded = {int(line): LONG.get(destination, destination) for line, destination in case["loaded"].items()}
    rejected = {int(line): code for line, code in case.get("rejected", {}).items()}

    assert calls["destination"].to_dict() == loaded
    assert dict(zip(rejects["source_line"], rejects["code"], strict=True)) == rejected
    assert calls.attrs["filtered"] == case.get("filtered", 0)
    assert calls.attrs["read"] == len(loaded) + len(rejected) + case.get("filtered", 0)


HEADER = b"customer_id,call_cost,call_destination,call_date,call_duration\n"
RECORD = b"1001,$1.20,Nairobi,2022-01-01 10:00:00,00:05:30\n"
PIECES = [b"\r", b"\n", b'"', b",", b";", b"\0", b"\\", b"\xef\xbb\xbf", b"\xff\xfe", b"\x80", HEADER, RECORD]


@given(
    st.one_of(
        st.binary(max_size=200),
        st.lists(st.sampled_from(PIECES)).map(lambda pieces: HEADER + b"".join(pieces)),
    ),
    st.booleans(),
)
def test_any_bytes_are_accounted_for_or_refused(data, multiline):
    """No error but ours, and every record in exactly one place."""
    layout = layout_of({"dialect": {"multiline": multiline}})
    with contextlib.suppress(errors.TrunklineError):
        calls, rejects = transform(extract(data, layout), layout)

        assert calls.attrs["read"] == len(calls) + len(rejects) + calls.attrs["filtered"]
        lines = [*calls.index, *rejects["source_line"]]
        assert len(lines) == len(set(lines))
        assert all(raw in data for raw in rejects["raw"] if not data.startswith((b"\xff\xfe", b"\xfe\xff")))
