"""Missing and repeated numbers: the arithmetic of ranges."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.books.gaps import DISORDER, Gap, NumberRange, counts_of, find_gaps, split_runs
from trunkline.books.sequences import number_of
from trunkline.errors import LayoutError
from trunkline.layout.files import load_layout, parse_layout
from trunkline.layout.model import SequenceRule

LAYOUT = """
grammar = 1
name = "numbered"
table = "numbered"
{sequence}
[[fields]]
column = "n"
name = "sequence"
type = "integer"
[[fields]]
column = "c"
name = "callee"
type = "text"
"""


def parts(*pairs):
    """Return ranges, each of a load of its own from 1."""
    return [NumberRange(first=first, last=last, load_id=load) for load, (first, last) in enumerate(pairs, 1)]


def expanded(gaps, kind):
    """Return every number of the gaps of one kind."""
    return [number for gap in gaps if gap.kind == kind for number in range(gap.first, gap.last + 1)]


@pytest.mark.parametrize(
    ("ranges", "expected"),
    [
        ([], []),
        ([(1, 4), (5, 9)], []),
        ([(1, 4), (6, 9)], [("missing", 5, 5, (1, 2))]),
        ([(6, 9), (1, 4)], [("missing", 5, 5, (2, 1))]),
        ([(1, 4), (4, 9)], [("repeated", 4, 4, (1, 2))]),
        ([(1, 9), (2, 3), (12, 12)], [("repeated", 2, 3, (1, 2)), ("missing", 10, 11, (1, 3))]),
        ([(1, 2), (1, 2), (2, 2)], [("repeated", 1, 1, (1, 2)), ("repeated", 2, 2, (1, 2, 3))]),
    ],
)
def test_gaps_name_the_loads_around_them(ranges, expected):
    """Missing numbers have a load before and one behind, repeated ones all that have them."""
    found = find_gaps(parts(*ranges))

    assert found == tuple(Gap(kind=kind, first=first, last=last, loads=loads) for kind, first, last, loads in expected)


def test_a_count_that_is_known_to_begin_misses_its_beginning():
    """There is no load before these numbers."""
    assert find_gaps(parts((3, 4)), start=0) == (Gap(kind="missing", first=0, last=2, loads=(1,)),)


@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.integers(0, 9)).map(lambda pair: (pair[0], pair[0] + pair[1])), max_size=12
    )
)
def test_gaps_are_those_of_the_numbers_themselves(ranges):
    """Ranges say what a list of all numbers says."""
    counted = Counter(number for first, last in ranges for number in range(first, last + 1))
    gaps = find_gaps(parts(*ranges))

    whole = range(min(counted), max(counted) + 1) if counted else ()
    assert expanded(gaps, "missing") == [number for number in whole if number not in counted]
    assert expanded(gaps, "repeated") == sorted(number for number, count in counted.items() if count > 1)


@pytest.mark.parametrize(
    ("ranges", "runs"),
    [
        ([(5, 9), (0, 3)], [[(5, 9)], [(0, 3)]]),
        ([(5, 9), (1, 3)], [[(5, 9), (1, 3)]]),
        ([(5, 9), (7, 12)], [[(5, 9)], [(7, 12)]]),
        ([(0, 5 + DISORDER), (6 + DISORDER, 7 + DISORDER), (1, 6)], [[(0, 1005), (1006, 1007)], [(1, 6)]]),
        ([(3000, 3009), (2000, 2009)], [[(3000, 3009), (2000, 2009)]]),
        ([(3000, 3009), (2000, 2008)], [[(3000, 3009)], [(2000, 2008)]]),
    ],
)
def test_a_count_that_begins_again_is_told(ranges, runs):
    """By 0, by a number that was there, or by a fall of more than calls are out of order."""
    assert [[(each.first, each.last) for each in run] for run in split_runs(parts(*ranges))] == runs


@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 9)), max_size=30))
def test_no_run_has_a_number_twice(pairs):
    """And every range is in one run, in its place."""
    ranges = parts(*((first, first + more) for first, more in pairs))
    runs = split_runs(ranges)

    assert [each for run in runs for each in run] == ranges
    assert all(not expanded(find_gaps(run), "repeated") for run in runs)


def test_later_runs_begin_at_zero():
    """Of the first run nobody knows where it began."""
    row = {"system": "pbx", "layout": "l", "stream": "", "restarts": True, "source": "s"}
    rows = [row | {"first": first, "last": last, "load_id": 1} for first, last in ((5, 9), (6, 7))]

    first, second = counts_of(rows)

    assert (first.first, first.last, first.gaps) == (5, 9, ())
    assert (second.first, second.last, second.total("missing"), second.run) == (0, 7, 6, 2)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("cdr_Cluster1_02_200404061011_6125", ("cdr_Cluster1_02", 6125)),
        ("/in/cdr_a/cdr_Cluster_1_02_200404061011_6125.gz", ("cdr_Cluster_1_02", 6125)),
        ("in.zip/cdr_Cluster1_02_200404061011_0007", ("cdr_Cluster1_02", 7)),
        ("cmr_Cluster1_02_200404061011_6125", None),
        ("calls.csv", None),
        ("cdr_Cluster1_02_200404061011_" + "9" * 19, None),
    ],
)
def test_the_number_of_a_file_is_in_its_name(source, expected):
    """As Cisco Unified CM names its files."""
    assert number_of(load_layout("cucm_cdr").sequence, source) == expected


def test_a_layout_without_a_rule_has_no_numbers():
    """Nor has one whose records have them."""
    rule = SequenceRule.model_validate({"from": "field", "field": "sequence"})

    assert number_of(None, "cdr_1") is None
    assert number_of(rule, "cdr_1") is None


@pytest.mark.parametrize(
    ("sequence", "message"),
    [
        ('from = "name"', 'expected pattern with from = "name", and only there'),
        ('from = "field"', 'expected field with from = "field", and only there'),
        ('from = "name"\npattern = "([0-9]+)"', "expected a group (?P<number>...)"),
        ('from = "name"\npattern = "(?P<number>"', "found no regular expression"),
        ('from = "field"\nfield = "sequenc"', 'sequence.field: found "sequenc", which is no field'),
        ('from = "field"\nfield = "callee"', 'sequence.field: callee is of type "text", expected integer'),
        ('from = "field"\nfield = "sequence"\nrestarts = true', "sequence.restarts: found true without event_time"),
        ('from = "name"\npattern = "(?P<number>1)"\nrestarts = true', 'expected restarts only with from = "field"'),
        ('from = "field"\nfeild = "sequence"', "feild"),
    ],
)
def test_a_rule_that_cannot_be_followed_is_refused(sequence, message):
    """With what was expected."""
    with pytest.raises(LayoutError) as caught:
        parse_layout(LAYOUT.format(sequence=f"[sequence]\n{sequence}"), origin="mine.toml")

    assert message in str(caught.value)
