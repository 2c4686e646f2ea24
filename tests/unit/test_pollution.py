"""Polluted files of every family and place: no good record is lost, no bad one stored, and all are accounted for."""

from __future__ import annotations

import numpy as np
import pytest

from tests.pollution import HEADER, ROWS, lines, polluted_files, polluted_records, source, unreadable_files
from trunkline.detect.first_rows import read_first_rows
from trunkline.detect.proposal import propose_layout
from trunkline.errors import TrunklineError
from trunkline.extraction import extract
from trunkline.framing.cutting import frame
from trunkline.framing.scanning import Outcome, scan
from trunkline.layout.files import parse_layout
from trunkline.layout.header_search import dialect_of
from trunkline.transformation import transform

# All text and nothing required: no type of a field helps to find the damage.
LAYOUT = parse_layout(
    'grammar = 1\nname = "polluted"\ntable = "polluted"\n'
    + "".join(f'[[fields]]\ncolumn = "{name}"\nname = "{name}_text"\ntype = "text"\n' for name in HEADER),
    origin="test",
)
STORED = [tuple(text or None for text in row) for row in ROWS]


def names_of(files):
    return [name for name, _ in files]


def outcome(data, layout):
    """Return the calls of a source as texts, and its rejects by line; every record is in one place."""
    calls, rejects = transform(extract(data, layout), layout)
    assert calls.attrs["read"] == len(calls) + len(rejects) + calls.attrs["filtered"]
    values = calls.drop(columns="record_key").astype(object).where(calls.notna(), None)
    return {row[0]: row[1:] for row in values.itertuples(name=None)}, set(rejects["source_line"])


@pytest.mark.parametrize("at", range(len(ROWS)))
def test_one_damaged_record_is_the_only_reject(at):
    """In each place of the file and of the record, by itself: framed like all others of the undamaged file."""
    written = lines()
    clean = dialect_of(source(written), LAYOUT)
    for name, line in polluted_records(ROWS[at]):
        data = source([*written[: at + 1], line, *written[at + 2 :]])
        dialect = dialect_of(data, LAYOUT)
        (block,) = frame([data], dialect).blocks
        outcomes = scan(block.data, dialect, len(HEADER)).outcomes

        assert dialect == clean, name
        assert np.flatnonzero(outcomes != Outcome.OK).tolist() == [at], name


def test_damaged_records_are_rejected_between_good_ones():
    """All kinds of all records in one file: what is stored is what was written, and nothing else."""
    damaged = [line for row in ROWS for _, line in polluted_records(row)]
    pairs = [line for at, bad in enumerate(damaged) for line in (bad, lines()[1 + at % len(ROWS)])]
    stored, rejected = outcome(source([*lines(), *pairs]), LAYOUT)

    begin = len(ROWS) + 2
    assert rejected == set(range(begin, begin + len(pairs), 2))
    assert list(stored.values()) == [*STORED, *(STORED[at % len(ROWS)] for at in range(len(damaged)))]


@pytest.mark.parametrize(("name", "data"), list(polluted_files()), ids=names_of(polluted_files()))
def test_a_polluted_file_is_read_whole(name, data):
    """Every record is stored as it was written; what else is in the file is rejected or left out."""
    stored, rejected = outcome(data, LAYOUT)

    assert list(stored.values()) == STORED
    assert len(rejected) == (len(ROWS) + 1 if "second table" in name else 0)


@pytest.mark.parametrize(("name", "data"), list(polluted_files()), ids=names_of(polluted_files()))
def test_a_proposed_layout_loads_a_polluted_file(name, data):
    """`inspect` writes it from the file as it is."""
    layout = parse_layout(propose_layout(read_first_rows(data), name="calls", timezone="UTC"), origin="proposal")
    stored, rejected = outcome(data, layout)

    assert len(stored) == len(ROWS)
    assert len(rejected) == (len(ROWS) + 1 if "second table" in name else 0)


@pytest.mark.parametrize(("name", "data"), list(unreadable_files()), ids=names_of(unreadable_files()))
def test_nothing_of_an_unreadable_file_is_stored_wrong(name, data):
    """Its records are stored as they were written, or rejected, or the file is refused."""
    try:
        stored, _ = outcome(data, LAYOUT)
    except TrunklineError:
        return
    assert set(stored.values()) <= set(STORED)
