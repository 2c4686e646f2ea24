"""The index of layouts only saves work: what is recognised with it is what is recognised without."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from trunkline.detect import recognition
from trunkline.detect.first_rows import read_first_rows
from trunkline.detect.preselection import may_fit, outline_of
from trunkline.detect.recognition import ENOUGH, chosen, layout_of, rank_layouts, read_in
from trunkline.errors import LayoutError, TrunklineError
from trunkline.layout.files import builtin_layouts, load_layout, parse_layout

TESTS = Path(__file__).parents[1]
FIXTURES = sorted((TESTS / "fixtures" / "layouts").glob("*.csv"))
CORPUS = sorted((TESTS / "corpus").glob("*.csv"))
SOURCES = [file for file in (*FIXTURES, *CORPUS) if file.read_bytes().strip()]  # of nothing there is nothing to judge
SAMPLE_BYTES = 65_536

ALIASED = """
grammar = 1
name = "aliased"
table = "aliased"
[[fields]]
column = "Caller"
aliases = ["A-Number"]
name = "caller"
type = "text"
required = true
[[fields]]
column = "Callee"
name = "callee"
type = "text"
"""


def read_as_all(sample, encoding):
    """Return the layout, or what is said instead, where every built-in layout is judged."""
    layouts = read_in(encoding, builtin_layouts())
    try:
        return chosen(rank_layouts(sample, layouts)).layout.name
    except TrunklineError as error:
        return str(error)


def read_by_index(sample, encoding, monkeypatch):
    """Return the same of `layout_of`; a kind that is refused counts as recognised."""
    found: list[str] = []

    def choose(ranked):
        choice = chosen(ranked)
        found.append(choice.layout.name)
        return choice

    monkeypatch.setattr(recognition, "chosen", choose)
    try:
        layout_of(sample, encoding)
    except TrunklineError as error:
        return found[0] if found else str(error)
    return found[0]


def test_the_index_is_current():
    """Whoever changes a built-in layout makes it anew."""
    done = subprocess.run(
        [sys.executable, "scripts/layout_index.py", "--check"],
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("encoding", [None, "latin-1"])
@pytest.mark.parametrize("file", SOURCES, ids=lambda file: file.name)
def test_the_outcome_is_that_of_all_layouts(file, encoding, monkeypatch):
    """The layout, or the message, is the same as where every layout was read."""
    sample = file.read_bytes()[:SAMPLE_BYTES]

    assert read_by_index(sample, encoding, monkeypatch) == read_as_all(sample, encoding)


@pytest.mark.parametrize("file", FIXTURES, ids=lambda file: file.name)
@pytest.mark.parametrize("change", [bytes.upper, bytes.lower, lambda data: b"a title\n\n" + data])
def test_nothing_that_could_be_chosen_is_passed_over(file, change):
    """Who would be confident enough may fit, also by names in other letter case and behind a title."""
    sample = change(file.read_bytes())

    for candidate in rank_layouts(sample, builtin_layouts()):
        rows = read_first_rows(sample, candidate.layout.dialect).rows
        assert candidate.confidence < ENOUGH or may_fit(outline_of(candidate.layout), rows)


def test_few_layouts_are_read_to_recognise_the_reference_file(monkeypatch):
    """What its columns rule out is not read at all."""
    names: list[str] = []

    def read(name):
        names.append(name)
        return load_layout(name)

    monkeypatch.setattr(recognition, "builtin_layout", read)
    layout_of(Path("examples/customer_call_logs.csv").read_bytes())

    assert "customer_call_logs" in names
    assert len(names) <= 2


def test_a_file_that_nothing_fits_is_told_the_closest_of_all():
    """The closest layout is named although it was ruled out."""
    with pytest.raises(LayoutError, match="no layout fits; closest is customer_call_logs"):
        layout_of(b"customer_id,call_cost,call_destination,call_date\n1,$1.00,Nairobi,2022-01-01 10:00:00\n")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (("Caller", "Callee"), True),
        (("a-number ", "x"), True),
        (("\ufeffCALLER",), True),
        (("Callee", "x"), False),
        (("Called",), False),
    ],
)
def test_names_that_rule_a_layout_out(header, expected):
    """Only a required column counts, by any of its names, in any letter case and with blanks around."""
    outline = outline_of(parse_layout(ALIASED, origin="aliased"))

    assert may_fit(outline, [("title",), header]) is expected


@pytest.mark.parametrize(
    ("least", "most", "width", "expected"), [(2, 3, 1, False), (2, 3, 2, True), (2, 3, 4, False), (2, None, 9, True)]
)
def test_numbers_of_columns_that_rule_a_layout_out(least, most, width, expected):
    """Columns by position need a record that has them, and no more than there can be."""
    assert may_fit({"dialect": {}, "least": least, "most": most}, [("",) * width]) is expected
