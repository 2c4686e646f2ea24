"""The vectorised scan, held against the slow strict reader of the tests."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.strict_csv import fields_of, outcomes_of, physical_lines
from trunkline.framing import scanning
from trunkline.framing.dialect import ResolvedDialect
from trunkline.framing.records import Damage, split_record
from trunkline.framing.scanning import Outcome, count_lines, is_plain, line_bounds, record_borders, scan

RFC = ResolvedDialect()

# Dense in what structures CSV, so that every neighbourhood of such bytes comes up.
csv_bytes = st.one_of(
    st.lists(st.sampled_from([b",", b'"', b"\n", b"\r", b"\r\n", b"a", b"\0", b"\xff", "é".encode(), b'""', b'","']))
    .map(b"".join),
    st.binary(max_size=60),
)  # fmt: skip


@given(data=csv_bytes, width=st.integers(1, 4))
@example(data=b'"', width=1)
@example(data=b'a,"b\nc,d\n"e",f\n', width=2)
@example(data=b'\r"a"\n\r\n"",""', width=2)
def test_scan_agrees_with_the_slow_reader(data, width):
    """Every physical line has exactly one outcome, and it is the one that RFC 4180 gives it."""
    found = scan(data, RFC, width)
    lines = physical_lines(data)

    assert lines == list(zip(found.starts.tolist(), found.ends.tolist(), strict=True))
    expected = outcomes_of(data, width)
    assert expected == [Outcome(value).code for value in found.outcomes.tolist()]
    assert found.records == sum(outcome != "blank" for outcome in expected)


# Whole fields, and now and then something that is none: most blocks of quoted files are like that.
quoted_lines = st.lists(
    st.tuples(
        st.sampled_from([b'"a"', b'""', b'"a""b"', b'""""', b'","', b"a", b"", b"", b'"a', b'a"', b'"\n"', b'"a"b']),
        st.sampled_from([b",", b",", b"\n", b"\r\n", b"\r"]),
    ).map(b"".join)
).map(b"".join)


@pytest.mark.parametrize(("escape", "blank_after"), [("double", False), ("double", True), ("none", False)])
@given(
    data=st.one_of(csv_bytes.map(lambda data: data.translate(None, b'"\0\xff')), csv_bytes, quoted_lines),
    width=st.integers(1, 4),
)
@example(data=b"a,b\r\na,\r\n", width=2)
@example(data=b"a\r\r\n", width=1)
@example(data=b'"a","b,c"\r\n"",""""\n', width=2)
@example(data=b'"a\n', width=1)
def test_in_a_plain_block_only_the_number_of_fields_can_be_wrong(escape, blank_after, data, width):
    """Whatever is not plain is scanned; nothing else is promised of it."""
    dialect = ResolvedDialect(escape=escape, blank_after=blank_after)
    if blank_after:
        data = data.replace(b",", b", ")
    found = scan(data, dialect, width)
    outcomes = {Outcome(value) for value in found.outcomes.tolist()}

    if is_plain(data, dialect):
        assert outcomes <= {
            Outcome.OK,
            Outcome.BLANK,
            Outcome.TOO_FEW_FIELDS,
            Outcome.TOO_MANY_FIELDS,
            Outcome.TORN_RECORD,
        }
        assert not found.slow.any()


@pytest.mark.parametrize(
    "data",
    [
        *(b'a,"b\n', b'a"b\n', b'"a"b\n', b'"a\nb"\n', b'"a\r\nb"\n', b'"a""\n', b'""a"\n'),
        *(b"a\0b\n", b"a\rb\n", b"a\n\r", b"\xff\n", b"x" * 300_000),
    ],
)
def test_what_is_not_plain(data):
    """A quote out of place, a NUL, a CR alone, what cannot be decoded, a long line: none is in a plain block."""
    assert is_plain(b"a,b\na,b\r\n", RFC)
    assert not is_plain(data, RFC)


@pytest.mark.parametrize(
    ("data", "dialect"),
    [
        (b'"a","b,c",d,""\r\n\n"a""b","""",e', RFC),
        ('"é"\n'.encode(), RFC),
        (b"'a'|'it''s'|b\n", ResolvedDialect(delimiter="|", quote="'")),
        (b'"a"\t"b"\n', ResolvedDialect(delimiter="\t", escape="none")),
        (b'"a", "b,  c","d"\n e,  f\n', ResolvedDialect(blank_after=True)),
    ],
)
def test_tidy_quotes_are_plain(data, dialect):
    """So that a file whose program quotes all fields is read as quickly as others."""
    assert is_plain(data, dialect)


@given(data=csv_bytes.map(lambda data: data.replace(b'"', b"'").replace(b",", b";")), width=st.integers(1, 4))
def test_delimiter_and_quote_are_the_dialects(data, width):
    """The same holds for any other delimiter and quote."""
    found = scan(data, ResolvedDialect(delimiter=";", quote="'"), width)

    expected = outcomes_of(data, width, ";", "'")
    assert expected == [Outcome(value).code for value in found.outcomes.tolist()]


@given(record=csv_bytes.map(lambda data: data.translate(None, b"\r\n")))
def test_split_record_agrees_with_the_slow_reader(record):
    """The grammar by regular expressions gives the same fields as the one byte by byte."""
    fields = split_record(record, RFC)

    assert fields_of(record) == (None if isinstance(fields, Damage) else fields)


marked_text = st.lists(st.sampled_from([b",", b'"', b" ", b", ", b'", "', b"\\", b"x", "é".encode()]), min_size=1).map(
    b"".join
)


@pytest.mark.parametrize(
    ("escape", "blank_after"),
    [("double", False), ("double", True), ("backslash", False), ("backslash", True), ("none", False), ("none", True)],
)
@given(records=st.lists(marked_text, min_size=1, max_size=3))
def test_scan_agrees_with_split_record_in_every_dialect(escape, blank_after, records):
    """Fast and strict way agree on quotes and width, whatever the escape and whether blanks follow delimiters."""
    dialect = ResolvedDialect(escape=escape, blank_after=blank_after)
    found = scan(b"\n".join(records) + b"\n", dialect, 2)

    for record, outcome, width in zip(records, found.outcomes.tolist(), found.widths.tolist(), strict=True):
        fields = split_record(record, dialect)
        if isinstance(fields, Damage):
            assert outcome == Outcome.BAD_QUOTE
        else:
            assert width == len(fields)
            assert (outcome == Outcome.OK) == (width == 2)


@pytest.mark.parametrize(
    ("record", "escape", "expected"),
    [
        (rb'"a\"b",c', "backslash", [b'a"b', b"c"]),
        (rb"a\,b,c", "backslash", [b"a,b", b"c"]),
        (rb'"a\\",c', "backslash", [b"a\\", b"c"]),
        (rb'"C:\temp",c', "backslash", [rb"C:\temp", b"c"]),
        (rb"a\,"[:2], "backslash", [b"a\\"]),
        (rb'"a\"', "backslash", Damage.OPEN_QUOTE),
        (rb'"a""b",c', "backslash", Damage.STRAY_QUOTE),
        (rb'"a""b",c', "none", Damage.STRAY_QUOTE),
        (rb'"a\",c', "none", [b"a\\", b"c"]),
        (rb'"a""b",c', "double", [b'a"b', b"c"]),
        (rb'"a""b,c', "double", Damage.OPEN_QUOTE),
        (rb'"a"b,c', "double", Damage.STRAY_QUOTE),
        (rb'a"b",c', "double", Damage.STRAY_QUOTE),
    ],
)
def test_escapes(record, escape, expected):
    """Each escape is the only one in its dialect."""
    assert expected == split_record(record, ResolvedDialect(escape=escape))


def test_what_ends_a_block_is_not_before_what_begins_it():
    """A delimiter at the end of a last line without its end is none before the blank that the block begins with."""
    found = scan(b' "a",', ResolvedDialect(blank_after=True), 2)

    assert found.outcomes.tolist() == [Outcome.BAD_QUOTE]


def test_without_a_quote_quotes_are_data():
    """A dialect without quoting takes quotes as they are."""
    dialect = ResolvedDialect(quote="")

    assert scan(b'a"b,"c\n",\n', dialect, 2).outcomes.tolist() == [Outcome.OK] * 2
    assert split_record(b'a"b,"c', dialect) == [b'a"b', b'"c']


def test_bytes_without_a_character_in_cp1252_are_undecodable():
    """cp1252 leaves five bytes undefined; only lines with one of them are bad, and the others are not."""
    found = scan(b"a,\x80\nb,\x81\nc,\x85\n", ResolvedDialect(encoding="cp1252"), 2)

    assert found.outcomes.tolist() == [Outcome.OK, Outcome.BAD_ENCODING, Outcome.OK]


@pytest.mark.parametrize("separator", ["\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"])
def test_only_lf_and_cr_end_lines(separator):
    """What Python's str.splitlines() takes for line ends is data here."""
    found = scan(f"a{separator}b,c\n".encode(), RFC, 2)

    assert found.outcomes.tolist() == [Outcome.OK]


def test_a_record_over_one_mebibyte_is_too_long():
    """One byte more than the limit is a reject of its own; exactly the limit is a record to read slowly."""
    fits = b"a," + b"x" * (scanning.MAX_RECORD_BYTES - 2)
    found = scan(b"a,b\n" + fits + b"\n" + fits + b"x\na,b\n", RFC, 2)

    assert found.outcomes.tolist() == [Outcome.OK, Outcome.OK, Outcome.TOO_LONG, Outcome.OK]
    assert found.slow.tolist() == [False, True, True, False]


def test_a_multiline_record_is_one_record():
    """Line ends and blank lines in quotes belong to the record where the dialect says so."""
    data = b'a,b\n"x\r\n\ny",c\nd,e\n'
    found = scan(data, ResolvedDialect(multiline=True), 2)

    assert found.outcomes.tolist() == [Outcome.OK, Outcome.OK, Outcome.CONTINUED, Outcome.CONTINUED, Outcome.OK]
    assert data[found.starts[1] : found.ends[1]] == b'"x\r\n\ny",c'


@pytest.mark.parametrize("stray", [b'a,"b\n', b'"a,b\n', b'a"b,c\n', b'a,b"\n'])
def test_a_stray_quote_costs_its_neighbours_nothing_in_a_multiline_dialect(stray):
    """What does not become a whole record with the lines after it is framed by line again."""
    data = b"a,b\n" + stray + b'"x\ny",c\nd,"e ""f"""\ng,h\n'
    found = scan(data, ResolvedDialect(multiline=True), 2)

    ok, bad, continued = Outcome.OK, Outcome.BAD_QUOTE, Outcome.CONTINUED
    assert [ok, bad, ok, continued, ok, ok] == found.outcomes.tolist()


@pytest.mark.parametrize(
    ("damaged", "outcome"),
    [
        (b'"x\n\ny"c', Outcome.BAD_QUOTE),
        (b'"x\n\ny",c,', Outcome.TOO_MANY_FIELDS),
        (b'"x,\n\nc"', Outcome.TOO_FEW_FIELDS),
    ],
)
def test_a_separator_in_a_multiline_record_costs_that_record(damaged, outcome):
    """With too few or too many fields it is one reject of all its lines; with a quote out of place, of each line."""
    found = scan(b"a,b\n" + damaged + b'\n"e\nf",g\n', ResolvedDialect(multiline=True), 2)

    lines = [outcome, Outcome.CONTINUED, Outcome.CONTINUED]
    by_line = [outcome, Outcome.BLANK, outcome]
    wanted = by_line if outcome is Outcome.BAD_QUOTE else lines
    assert [Outcome.OK, *wanted, Outcome.OK, Outcome.CONTINUED] == found.outcomes.tolist()


def test_a_good_record_is_not_taken_into_a_damaged_one():
    """An open quote that a later one closes is itself the damage where a line between is a record."""
    found = scan(b'a,"b\nc,d\n",e,f\ng,h\n', ResolvedDialect(multiline=True), 2)

    assert found.outcomes.tolist() == [Outcome.BAD_QUOTE, Outcome.OK, Outcome.BAD_QUOTE, Outcome.OK]


def test_borders_of_multiline_records_wait_for_what_may_follow():
    """Near the end of a window no border counts, since a record might still go on behind it."""
    dialect = ResolvedDialect(multiline=True)
    data = b'a,b\n"x\ny",c\n' + b"d,e\n" * (scanning.MAX_RECORD_BYTES // 4)

    assert record_borders(data, dialect, 2, whole=False).tolist() == [4, 12]
    assert len(record_borders(data, dialect, 2, whole=True)) == 1 + scanning.MAX_RECORD_BYTES // 4


@pytest.mark.parametrize(
    ("last", "outcome"),
    [
        (b"c,d", Outcome.OK),
        (b"c", Outcome.TORN_RECORD),
        (b'c,"d', Outcome.TORN_RECORD),
        (b'c,"d"x', Outcome.BAD_QUOTE),
        (b"c,d,e", Outcome.TOO_MANY_FIELDS),
        (b"c\xff", Outcome.BAD_ENCODING),
        (b"c\0\0", Outcome.NUL_BYTE),
    ],
)
def test_a_last_line_without_end_that_lacks_something_is_torn(last, outcome):
    """What more bytes could make a good record is torn; what they could not is damaged like any other line."""
    assert [Outcome.OK, outcome] == scan(b"a,b\n" + last, ResolvedDialect(), 2).outcomes.tolist()


@given(data=csv_bytes)
def test_lines_are_counted_as_they_are_found(data):
    """Counting and finding lines agree."""
    starts, ends = line_bounds(data)

    assert physical_lines(data) == list(zip(starts.tolist(), ends.tolist(), strict=True))
    assert count_lines(data) == len(starts)
