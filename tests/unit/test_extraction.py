"""Extraction: good records byte for byte, damaged ones as rejects, nothing between."""

from __future__ import annotations

import gc
import io
import tracemalloc

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.strict_csv import fields_of, outcomes_of, physical_lines
from trunkline.blocks import REJECT_COLUMNS, REJECT_SCHEMA, Block, RawRecords, TextBlock
from trunkline.cache.port import NullCache
from trunkline.extraction import extract, extract_block, extract_blocks
from trunkline.framing.cutting import frame
from trunkline.framing.dialect import ResolvedDialect
from trunkline.framing.records import Damage, split_record
from trunkline.framing.scanning import MAX_RECORD_BYTES
from trunkline.layout.files import parse_layout

LAYOUT = parse_layout(
    """
grammar = 1
name = "calls"
status = "verified"
table = "calls"
partition = "none"

[[fields]]
column = 1
name = "first"
type = "text"
""",
    origin="test",
)
HEADERLESS = LAYOUT.model_copy(update={"dialect": LAYOUT.dialect.model_copy(update={"header": False})})

csv_bytes = st.lists(
    st.sampled_from([b",", b'"', b"\n", b"\r\n", b"\r", b"a", b"\0", b"\xff", "é".encode(), b'""', b'","', b" ", b"NA"])
).map(b"".join)
good_record = st.sampled_from(
    [b"a,b", b'"a","b"', b',""', b'"x,""y""",', b" 0700,+254", b"NULL,nan", b"\xef\xbb\xbf,b"]
)


def block_of(data: bytes) -> Block:
    return Block(position=0, first_byte=0, first_line=1, data=data, lines=len(physical_lines(data)))


def text_of(data: bytes, width: int = 2, **dialect) -> TextBlock:
    return extract_block(block_of(data), tuple(f"c{number}" for number in range(width)), ResolvedDialect(**dialect))


def rows_of(text: TextBlock) -> list[tuple[str, ...]]:
    return list(zip(*(column.to_pylist() for column in text.batch.columns), strict=True))


@given(
    data=st.one_of(csv_bytes, st.lists(st.one_of(good_record, csv_bytes), max_size=8).map(b"\n".join)),
    width=st.integers(1, 3),
)
@example(data=b'""\n', width=1)
@example(data=b"\xef\xbb\xbfa,b\n", width=2)
@example(data=b'a,b\n"a,b\na,b', width=2)
def test_good_records_are_exact_and_bad_ones_rejected(data, width):
    """Held against the slow reader: every good record's fields, every bad record's line and code, and no more."""
    text = text_of(data, width)
    records = [data[start:end] for start, end in physical_lines(data)]
    outcomes = outcomes_of(data, width)
    good = [line for line, outcome in enumerate(outcomes) if outcome == "ok"]
    bad = [(line, outcome) for line, outcome in enumerate(outcomes) if outcome not in ("ok", "blank")]

    assert good == text.lines.tolist()
    assert [tuple(f.decode() for f in fields_of(records[line]) or ()) for line in good] == rows_of(text)
    rejects = text.rejects.to_pylist()
    assert bad == [(reject["line"], reject["code"]) for reject in rejects]
    assert all(reject["field"] is None for reject in rejects)
    assert text.read == len(good) + len(bad)


@given(
    records=st.lists(st.tuples(*[st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n"))] * 3)),
    ends=st.sampled_from(["\n", "\r\n", "\r"]),
    quote_all=st.booleans(),
)
def test_what_is_written_is_read(records, ends, quote_all):
    """Any text, quoted where it must be or everywhere, with any line end, comes back as it was."""

    def written(field):
        return '"' + field.replace('"', '""') + '"' if quote_all or set(field) & set('",') else field

    text = text_of("".join(",".join(map(written, record)) + ends for record in records).encode(), 3)

    assert records == rows_of(text)
    assert text.rejects.num_rows == 0


def test_every_position_of_one_stray_byte_costs_one_record_at_most():
    """A quote put in, or a byte taken out, anywhere: the neighbours are loaded as they are."""
    lines = [b"1001,$1.20,Nairobi", b'"1002","$2.50","Mom""basa"', b"1003,$0.50,Nakuru"]
    data = b"\n".join(lines)
    clean = rows_of(text_of(data, 3))
    for at in range(len(data)):
        for damaged in (data[:at] + b'"' + data[at:], data[:at] + b"," + data[at:], data[:at] + data[at + 1 :]):
            if damaged.count(b"\n") != 2:
                continue
            hit = data[:at].count(b"\n")
            text = text_of(damaged, 3)
            kept = {line: row for line, row in zip(text.lines.tolist(), rows_of(text), strict=True) if line != hit}
            assert kept == {line: row for line, row in enumerate(clean) if line != hit}
            assert text.read == 3


@pytest.mark.parametrize(
    ("record", "code", "message"),
    [
        (b"a", "too_few_fields", "found 1 field, expected 2"),
        (b"a,b,c", "too_many_fields", "found 3 fields, expected 2"),
        (b'a"b,c', "bad_quote", 'found a quote (") out of place, expected quotes around whole fields only'),
        (b"a,\0", "nul_byte", "found a NUL byte, expected text"),
        (b"a,\xa5", "bad_encoding", "found bytes that are not utf-8, expected text in that encoding"),
        (b"a," + b"x" * MAX_RECORD_BYTES, "too_long", "found a record longer than 1 MiB, expected a call"),
    ],
)
def test_rejects_say_what_was_found(record, code, message):
    """Code and message are those of the documentation; the neighbours are there."""
    text = text_of(b"a,b\n" + record + b"\nc,d\n")

    assert rows_of(text) == [("a", "b"), ("c", "d")]
    assert text.rejects.schema == REJECT_SCHEMA
    assert [{"line": 1, "field": None, "code": code, "message": message}] == text.rejects.to_pylist()


def test_text_stays_text():
    """Nothing is taken for a number, a date, a null or a comment."""
    values = ("0700123456", "+254700123456", "NA", "NULL", "", "2.35E+11", "#x", " x ", "1_000", "true", "-", "nan")
    text = text_of((",".join(values) + "\n").encode() * 3, len(values))

    assert [values] * 3 == rows_of(text)
    assert all(column.type == pa.string() and column.null_count == 0 for column in text.batch.columns)


def test_columns_of_equal_names_stay_apart():
    """A header may repeat a name; position tells the columns apart."""
    text = extract_block(block_of(b"1,2\n"), ("a", "a"), ResolvedDialect())

    assert text.batch.schema.names == ["a", "a"]
    assert rows_of(text) == [("1", "2")]


def test_single_byte_encodings_become_utf8():
    """cp1252 is decoded; a byte without a meaning in it costs its record only."""
    text = text_of("é,€\n".encode("cp1252") + b"a,\x81\n" + b"b,\x85\n", encoding="cp1252")

    assert rows_of(text) == [("é", "€"), ("b", "…")]
    assert text.rejects["line"].to_pylist() == [1]


def test_backslash_escapes_are_read():
    """Records with a backslash take the slow way, in their place among the others."""
    text = text_of(b'a,b\n"x\\"y",c\nd,e\n', escape="backslash")

    assert rows_of(text) == [("a", "b"), ('x"y', "c"), ("d", "e")]
    assert text.lines.tolist() == [0, 1, 2]


def check_read_one_by_one(lines: list[bytes], **dialect) -> None:
    """Assert that whole blocks read as their records do one by one, be some of them damaged or not."""
    split = [split_record(line, ResolvedDialect(**dialect)) for line in lines]
    good = [fields for fields in split if not isinstance(fields, Damage) and len(fields) == 2]

    text = text_of(b"\n".join(lines) + b"\n", **dialect)

    assert rows_of(text) == [tuple(field.decode() for field in fields) for fields in good]
    assert text.read == sum(line != b"" for line in lines)


spaced_fields = st.lists(
    st.sampled_from([b"a", b"", b'""', b'"a, b"', b'"a ""b"""', b" x", b'" y"', b'"', b' "z"']), min_size=1, max_size=3
)
escaped_fields = st.lists(
    st.sampled_from([b"a", b"", b"\\N", rb"a\,b", b'"c"', rb'"\"d"', rb'"e\f"', rb"g\\", b"h\\", b'"i""j"', rb'"k\\"']),
    min_size=1,
    max_size=3,
)


@given(
    records=st.lists(st.tuples(spaced_fields, st.sampled_from([b", ", b", ", b",", b",  "])), min_size=1, max_size=6)
)
@example(records=[([b'"a, b"', b'"c"'], b", "), ([b"d", b'"e"'], b", ")])
@example(records=[([b"a", b"b"], b",  "), ([b"c", b""], b", ")])
def test_a_blank_after_a_delimiter_is_no_data(records):
    """Nor is it looked for inside of quotes."""
    check_read_one_by_one([between.join(record) for record, between in records], blank_after=True)


@pytest.mark.parametrize("quote", ['"', ""])
@given(records=st.lists(escaped_fields, min_size=1, max_size=6))
@example(records=[[b"\\N", b'"c"'], [b'"e\\f"', b"a"]])
@example(records=[[b"a", b"h\\"], [b"a", b"b"]])
def test_a_backslash_is_data_before_anything_else(quote, records):
    """And a delimiter or a quote behind one is data."""
    check_read_one_by_one([b",".join(record) for record in records], escape="backslash", quote=quote)


def test_backslashes_that_are_data_take_no_record_by_itself(monkeypatch):
    r"""MySQL writes \N for each value that is not there."""
    monkeypatch.setattr("trunkline.framing.scanning.split_record", None)
    monkeypatch.setattr("trunkline.extraction.split_record", None)
    damaged = b'\\N,"C:\\temp"\n"c","d\n\\N,b\n'

    assert rows_of(text_of(damaged, escape="backslash")) == [("\\N", "C:\\temp"), ("\\N", "b")]


def test_blanks_after_delimiters_take_no_record_by_itself(monkeypatch):
    """FreeSWITCH writes one into each record, and they come in millions."""
    monkeypatch.setattr("trunkline.framing.scanning.split_record", None)
    monkeypatch.setattr("trunkline.extraction.split_record", None)
    damaged = b'"a", "b"\n"c", "d\n"e, f","g"\n'

    assert rows_of(text_of(damaged, blank_after=True)) == [("a", "b"), ("e, f", "g")]


def test_multiline_records_are_read():
    """A record of three lines is one row at its first line."""
    text = text_of(b'a,b\n"x\r\n\ny",c\nd,e\n', multiline=True)

    assert rows_of(text) == [("a", "b"), ("x\r\n\ny", "c"), ("d", "e")]
    assert text.lines.tolist() == [0, 1, 4]
    assert text.read == 3


def test_quotes_are_data_without_a_quote():
    """With quoting off nothing is special but delimiter and line end, whatever bytes are in use."""
    every = bytes(range(1, 128)).translate(None, b",\r\n").decode()

    assert rows_of(text_of(b'"a,b"\n', quote="")) == [('"a', 'b"')]
    assert [(every, "'")] == rows_of(text_of(every.encode() + b",'\n", quote=""))


def test_long_records_are_read_slowly_and_whole():
    """A record near the limit, which the fast reader would refuse, is there byte for byte."""
    long = "x" * (MAX_RECORD_BYTES - 2)

    assert [("a", "b"), ("c", long), ("d", "e")][1] == rows_of(text_of(f"a,b\nc,{long}\nd,e\n".encode()))[1]


def test_nothing_of_a_block_stays_in_memory():
    """Where line ends are CRs, its first line is the block."""
    records = b'"1,2",a\r' * 100_000
    gc.collect()
    tracemalloc.start()
    try:
        for _ in range(3):
            extract_block(block_of(b'"open,a\r' + records), ("first", "second"), ResolvedDialect())
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < len(records)
    finally:
        tracemalloc.stop()


def test_ten_thousand_columns_are_read():
    """Width is bounded by the length of a record only."""
    names = tuple(str(number) for number in range(10_000))
    text = extract_block(block_of(b",".join([b"1"] * 10_000) + b"\n"), names, ResolvedDialect())

    assert (text.batch.num_columns, text.batch.num_rows) == (10_000, 1)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a,b\r\nc,d\r\n", [("a", "b"), ("c", "d")]),
        ("é,b\nc,d".encode(), [("é", "b"), ("c", "d")]),
        (b" ,\n,\n", [(" ", ""), ("", "")]),
    ],
)
def test_plain_blocks_are_not_scanned(monkeypatch, data, expected):
    """Where only the number of fields can be wrong, pandas counts them, and nothing looks at the bytes again."""
    monkeypatch.setattr("trunkline.extraction.scan", None)
    text = text_of(data)

    assert rows_of(text) == expected
    assert (text.lines.tolist(), text.rejects.num_rows, text.read) == ([0, 1], 0, 2)


@pytest.mark.parametrize("damaged", [b"c", b"c,d,e", b"c,d,"])
def test_plain_blocks_with_a_wrong_number_of_fields_are_scanned(damaged):
    """Which record it is that has too few or too many fields, only the scan knows."""
    text = text_of(b"a,b\n" + damaged + b"\ne,f\n")

    assert rows_of(text) == [("a", "b"), ("e", "f")]
    assert text.rejects["line"].to_pylist() == [1]


def test_a_wrong_answer_of_the_fast_reader_is_not_believed(monkeypatch):
    """If pandas returned fewer records than the scan found, the slow way takes over."""
    monkeypatch.setattr(pd, "read_csv", lambda *_, **__: pd.DataFrame({"0": ["a"], "1": ["b"]}))

    assert rows_of(text_of(b"a,b\nc,d\n")) == [("a", "b"), ("c", "d")]


def test_extract_returns_text_with_where_it_came_from():
    """The public frame: text columns, source lines as index, and the rest in attrs."""
    data = b'id,name\n1,"a"\n2\n\n3,\xff\n4,b'
    calls = extract(data, LAYOUT)

    assert list(calls.columns) == ["id", "name"]
    assert calls.index.name == "source_line"
    assert {line: tuple(row) for line, row in calls.T.items()} == {2: ("1", "a"), 6: ("4", "b")}
    assert {"string[pyarrow]"} == {str(dtype) for dtype in calls.dtypes}
    rejects = calls.attrs["rejects"]
    assert list(REJECT_COLUMNS) == list(rejects.columns)
    assert list(rejects[["source_line", "byte_offset", "raw", "code"]].itertuples(index=False, name=None)) == [
        (3, 14, b"2", "too_few_fields"),
        (5, 17, b"3,\xff", "bad_encoding"),
    ]
    assert calls.attrs["records"].find(6) == (21, b"4,b")
    assert (calls.attrs["read"], calls.attrs["source"]) == (4, "<bytes>")
    assert len(calls.attrs["content_hash"]) == 64


def test_extract_joins_blocks(tmp_path):
    """A source of several blocks is one frame with one account; in pieces it is the same."""
    path = tmp_path / "calls.csv"
    lines = [b"%d,Nairobi" % number for number in range(600_000)]
    lines[299_999] = lines[599_999] = b"damaged"
    path.write_bytes(b"id,name\n" + b"\n".join(lines))
    whole = extract(path, LAYOUT)
    parts = list(extract_blocks(path, LAYOUT))

    assert len(parts) > 1
    assert (len(whole), whole.attrs["read"]) == (599_998, 600_000)
    assert whole.attrs["rejects"]["source_line"].tolist() == [300_001, 600_001]
    assert whole.index.tolist() == [line for part in parts for line in part.index]
    assert whole.attrs["records"].find(600_000)[1] == b"599998,Nairobi"


@pytest.mark.parametrize(("data", "columns"), [(b"", []), (b"a,b", ["a", "b"]), (b"a,b\n\n", ["a", "b"])])
def test_a_source_without_records_is_an_empty_frame(data, columns):
    """Empty file, header only, blank lines only: no rows, no error."""
    calls = extract(data, LAYOUT)

    assert columns == list(calls.columns)
    assert (len(calls), calls.attrs["read"], len(calls.attrs["rejects"])) == (0, 0, 0)
    assert calls.index.name == "source_line"


def test_extract_takes_open_files_and_headerless_sources():
    """A file object is read from where it is; columns without names have numbers."""
    calls = extract(io.BytesIO(b"1;2\n"), HEADERLESS)

    assert list(calls.columns) == ["1", "2"]


def test_blocks_in_the_cache_are_not_read_again():
    """The second time, texts come from the cache by the identity of their block."""

    class Remembering(NullCache):
        def __init__(self):
            self.texts = {}

        def get_text(self, key):
            return self.texts.get(key)

        def put_text(self, key, block):
            self.texts[key] = block

    cache = Remembering()
    extract(b"a,b\n1,2\n", LAYOUT, cache)
    (key,) = cache.texts
    cache.texts[key] = text_of(b"cached,text\n")

    assert extract(b"a,b\n1,2\n", LAYOUT, cache)["a"].tolist() == ["cached"]


def test_raw_records_are_found_by_line():
    """Each line of each block, and no other."""
    blocks = list(frame([b"a,b\r\n1,2\r\n\n3,4"], ResolvedDialect()).blocks)
    records = RawRecords(blocks)

    assert [records.find(line) for line in (2, 3, 4)] == [(5, b"1,2"), (10, b""), (11, b"3,4")]
    for line in (1, 5):
        with pytest.raises(KeyError):
            records.find(line)
