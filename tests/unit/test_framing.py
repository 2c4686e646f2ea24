"""Framing: headers, blocks and their borders."""

from __future__ import annotations

import codecs
import itertools
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.earlier_blocks import as_earlier
from trunkline.blocks import Block
from trunkline.errors import SourceError
from trunkline.framing.borders import BlockSizes
from trunkline.framing.cutting import EarlierBlock, block_identity, frame, frame_rest
from trunkline.framing.dialect import ResolvedDialect
from trunkline.framing.records import Damage, split_lines, split_record
from trunkline.framing.scanning import Outcome, scan
from trunkline.sample.writer import write_sample

HEADERLESS = ResolvedDialect(header=False, header_lines=0)
SMALL = BlockSizes(least=8 * 1024, usual=16 * 1024, most=32 * 1024)


def blocks_of(data: bytes, dialect: ResolvedDialect = HEADERLESS, chunk: int = 2**20, sizes: BlockSizes | None = None):
    """Return the blocks of some bytes, handed over in chunks of one length."""
    chunks = (data[begin : begin + chunk] for begin in range(0, len(data), chunk))
    return list(frame(chunks, dialect, sizes=sizes).blocks)


def sample_of(tmp_path: Path, records: int) -> bytes:
    """Return call logs without their header."""
    path = tmp_path / "calls.csv"
    write_sample(path, records=records)
    return path.read_bytes().split(b"\n", 1)[1]


lines_and_ends = st.lists(
    st.tuples(
        st.binary(max_size=6).map(lambda line: line.translate(None, b"\r\n")),
        st.sampled_from([b"\n", b"\r\n", b"\r", b"\n\n", b"\r\r\n", b"\n\r"]),
    ),
    max_size=60,
).map(lambda pairs: b"".join(itertools.chain.from_iterable(pairs)))


@given(data=st.one_of(st.binary(max_size=200), lines_and_ends), chunk=st.integers(1, 50))
def test_blocks_concatenate_to_the_source(data, chunk):
    """Whatever the bytes, and however they come, blocks hold them all, in order, with true places."""
    sizes = BlockSizes(least=32, usual=48, most=300)
    blocks = blocks_of(data, chunk=chunk, sizes=sizes)

    mark = len(data) - len(data.removeprefix(codecs.BOM_UTF8))
    assert b"".join(block.data for block in blocks) == data[mark:]
    offset, line = mark, 1
    for position, block in enumerate(blocks):
        assert (block.position, block.first_byte, block.first_line) == (position, offset, line)
        assert block.lines == len(split_lines(block.data))
        offset, line = offset + len(block.data), line + block.lines
    assert line - 1 == len(split_lines(data[mark:]))


@given(data=lines_and_ends, chunk=st.integers(1, 50))
def test_blocks_do_not_depend_on_chunks(data, chunk):
    """How the bytes come does not change where blocks end."""
    sizes = BlockSizes(least=32, usual=48, most=300)

    assert blocks_of(data, chunk=chunk, sizes=sizes) == blocks_of(data, sizes=sizes)


def test_block_lengths_keep_their_bounds(tmp_path):
    """Blocks are as long as they are said to be, on average too, and end at line ends."""
    sizes = [len(block.data) for block in blocks_of(sample_of(tmp_path, 60_000), sizes=SMALL)]

    assert min(sizes[:-1]) >= SMALL.least
    assert max(sizes) <= SMALL.most
    assert 0.8 * SMALL.usual < np.mean(sizes) < 1.2 * SMALL.usual


def test_a_file_without_its_head_has_the_same_blocks_again(tmp_path):
    """Borders are chosen by content: all but the first few blocks are found again at other offsets."""
    data = sample_of(tmp_path, 60_000)
    later = data[data.index(b"\n", 5_000) + 1 :]
    whole = {block.data for block in blocks_of(data, sizes=SMALL)}
    again = [block.data in whole for block in blocks_of(later, sizes=SMALL)]

    assert len(again) > 100
    assert sum(not found for found in again) < 12
    assert all(again[12:])


def test_records_all_alike_still_make_blocks():
    """Where content cannot choose, as in the same line over and over, length does."""
    blocks = blocks_of(b"1001,$1.20,Nairobi\n" * 20_000, sizes=SMALL)

    assert len(blocks) > 10
    assert all(SMALL.least <= len(block.data) <= SMALL.most for block in blocks[:-1])


def earlier_of(blocks: list[Block], header: tuple[str, ...] = ("1",)) -> dict[int, EarlierBlock]:
    """Return blocks as the books know them."""
    return {block.first_byte: as_earlier(block, block_identity(block, header, HEADERLESS)) for block in blocks}


@given(data=lines_and_ends, kept=st.integers(0, 200), tail=lines_and_ends)
def test_blocks_that_are_there_again_are_cut_as_truly(data, kept, tail):
    """Whatever came to a source that was read before, or went, its blocks hold all of it with true places."""
    sizes = BlockSizes(least=32, usual=48, most=300)
    earlier = earlier_of(blocks_of(data, sizes=sizes))
    now = (data[:kept] + tail).removeprefix(codecs.BOM_UTF8)
    framed = frame([now], HEADERLESS, sizes=sizes, earlier=earlier)
    blocks = list(framed.blocks)

    assert b"".join(block.data for block in blocks) == now
    offset, line = 0, 1
    for block in blocks:
        assert (block.first_byte, block.first_line) == (offset, line)
        assert block.lines == len(split_lines(block.data))
        assert block.identity in ("", block_identity(replace(block, identity=""), framed.header, HEADERLESS))
        offset, line = offset + len(block.data), line + block.lines
    assert line - 1 == len(split_lines(now))


def test_nobody_looks_for_the_ends_of_blocks_that_are_there_again(tmp_path, monkeypatch):
    """Of a file that has grown only what is new is looked through."""
    data = sample_of(tmp_path, 5_000)
    before = blocks_of(data, sizes=SMALL)
    header = tuple("12345")
    looked: list[int] = []

    def look(window: memoryview, *_: object) -> int:
        looked.append(len(window))
        return len(window)

    monkeypatch.setattr("trunkline.framing.borders.find_border", look)
    blocks = list(frame([data + b"more\n"], HEADERLESS, sizes=SMALL, earlier=earlier_of(before, header)).blocks)

    assert [block.data for block in blocks[:-1]] == [block.data for block in before]
    assert looked == [5]
    assert [bool(block.identity) for block in blocks] == [True] * (len(blocks) - 1) + [False]


@given(data=lines_and_ends, growing=st.booleans())
def test_the_rest_is_cut_as_it_would_be_with_what_came_before(data, growing):
    """After any of its blocks, in the same places."""
    sizes = BlockSizes(least=32, usual=48, most=300)
    framed = frame([data], HEADERLESS, sizes=sizes, growing=growing)
    blocks = list(framed.blocks)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trunkline.framing.borders.BLOCK_SIZES", sizes)
        for number, block in enumerate(blocks):
            after = as_earlier(block, "")
            rest = frame_rest([data[after.end :]], HEADERLESS, framed.header, after=after, growing=growing)
            assert list(rest) == blocks[number + 1 :]


@pytest.mark.parametrize(
    ("dialect", "following"),
    [(HEADERLESS, b"\n"), (ResolvedDialect(header=False, header_lines=0, multiline=True), b"a")],
)
def test_an_end_that_what_follows_makes_another_is_looked_for_again(dialect, following):
    """A CR may become part of a CRLF, and a quote may be closed in a later line."""
    first = Block(position=0, first_byte=0, first_line=1, data=b"aa\r", lines=1)
    known = as_earlier(first, block_identity(first, ("1",), dialect))
    framed = frame([first.data + following], dialect, earlier={0: known})

    assert [block.data for block in framed.blocks] == [first.data + following]


few_fields = st.lists(
    st.sampled_from([b"a", b"", b'"a,b"', b'"', b" ", b"\\,", b"#", b'"a""b"', b"\xe9", b"b\0"]), min_size=1, max_size=3
)


@pytest.mark.parametrize(
    "dialect",
    [
        HEADERLESS,
        replace(HEADERLESS, blank_after=True),
        replace(HEADERLESS, escape="backslash"),
        replace(HEADERLESS, not_records="#.*"),
        replace(HEADERLESS, stray_quotes="keep"),
    ],
    ids=["usual", "blank after", "backslash", "asides", "stray quotes"],
)
@given(records=st.lists(few_fields, min_size=1, max_size=6))
def test_without_a_header_there_are_as_many_columns_as_most_records_have(dialect, records):
    """As it is found by splitting one line after the other."""
    lines = [b",".join(record) for record in records]
    split = [split_record(line, dialect) for line in lines if line and not dialect.is_aside(line)]
    widths = Counter(len(fields) for fields in split if not isinstance(fields, Damage))
    expected = widths.most_common(1)[0][0] if widths else min(len(split), 1)

    assert len(frame([b"\n".join(lines)], dialect).header) == expected


@pytest.mark.parametrize(
    ("data", "dialect", "header", "first"),
    [
        (b"a,b\n1,2\n", ResolvedDialect(), ("a", "b"), (4, 2)),
        (b"\xef\xbb\xbfa,b\n1,2\n", ResolvedDialect(), ("a", "b"), (7, 2)),
        (b'"a ""x""","b,c"\r\n1,2\r\n', ResolvedDialect(), ('a "x"', "b,c"), (17, 2)),
        (b"a,b\r1,2\r", ResolvedDialect(), ("a", "b"), (4, 2)),
        (b"\n\r\na,b\n1,2", ResolvedDialect(), ("a", "b"), (7, 4)),
        (b"a,b\nINTEGER,VARCHAR(50)\n1,2\n", ResolvedDialect(header_lines=2), ("a", "b"), (24, 3)),
        (b"Report\n\na,b\n1,2\n", ResolvedDialect(skip_lines=2), ("a", "b"), (12, 4)),
        (b"1,2\n", HEADERLESS, ("1", "2"), (0, 1)),
        (b"x\n1,2,3\n1,2,3\n1,2\n", HEADERLESS, ("1", "2", "3"), (0, 1)),
        ("Straße,b\n".encode("cp1252"), ResolvedDialect(encoding="cp1252"), ("Straße", "b"), None),
        (b"a,b\n", ResolvedDialect(), ("a", "b"), None),
        (b"a,b", ResolvedDialect(), ("a", "b"), None),
        (b"", ResolvedDialect(), (), None),
        (b"", HEADERLESS, (), None),
        (b"\xef\xbb\xbf", ResolvedDialect(), (), None),
        (b"\n\n", ResolvedDialect(), (), None),
    ],
)
def test_header_and_first_block(data, dialect, header, first):
    """The header is read by the same grammar as records; blocks begin right after it."""
    framed = frame([data], dialect)
    blocks = list(framed.blocks)

    assert framed.header == header
    assert first == ((blocks[0].first_byte, blocks[0].first_line) if blocks else None)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b'a,"b\n1,2\n', "a quote out of place"),
        (b"a,b\0\n1,2\n", "a NUL byte"),
        (b"a,b\xff\n1,2\n", "bytes that are not utf-8"),
    ],
)
def test_a_header_that_cannot_be_read_refuses_the_source(data, problem):
    """Without a header no field has a meaning, so nothing is guessed."""
    with pytest.raises(SourceError, match=f"^found {problem} in the header at line 1, expected column names"):
        frame([data], ResolvedDialect())


def test_a_line_of_nine_mebibytes_refuses_the_source():
    """Memory stays bounded: framing gives up on a line that no block can hold, and says which."""
    framed = frame([b"a\n1\n"] + [b"x" * 2**20] * 9, ResolvedDialect())

    assert next(framed.blocks).lines == 1
    with pytest.raises(SourceError, match=r"longer than 8 MiB at line 3, expected call records"):
        next(framed.blocks)


def test_a_header_of_nine_mebibytes_refuses_the_source():
    """The same bound holds for a header."""
    with pytest.raises(SourceError, match=r"longer than 8 MiB at line 1"):
        frame(itertools.repeat(b"x" * 2**20, 20), ResolvedDialect())


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufeff")), chunk=st.integers(1, 9))
def test_wide_encodings_are_framed_as_utf8(encoding, text, chunk):
    """UTF-16 and UTF-32 arrive as UTF-8, however the chunks cut their characters."""
    blocks = blocks_of(("\ufeff" + text).encode(encoding), ResolvedDialect(header=False, encoding=encoding), chunk)

    assert b"".join(block.data for block in blocks) == text.encode()


def test_an_undecodable_wide_character_stays_undecodable():
    """A lone surrogate and a cut last character become bytes that UTF-8 refuses too, so each costs one record."""
    data = "a,b\n".encode("utf-16-le") + b"\x00\xd8" + ",c\nd,".encode("utf-16-le") + b"\x41"
    (block,) = blocks_of(data, ResolvedDialect(header=False, encoding="utf-16-le"))

    assert split_lines(block.data) == [b"a,b", b"\xed\xbf\xbf,c", b"d,\xed\xbf\xbf"]


def test_block_identity_is_about_how_bytes_read():
    """Place does not count; bytes, header, and what changes the reading do."""

    def identity(data=b"1,2\n", header=("a", "b"), first_line=2, **dialect):
        block = Block(position=0, first_byte=0, first_line=first_line, data=data, lines=1)
        return block_identity(block, header, ResolvedDialect(**dialect))

    assert identity() == identity(first_line=99) == identity(skip_lines=3)
    others = [
        identity(data=b"1,3\n"),
        identity(header=("a,b",)),
        identity(delimiter=";"),
        identity(quote="'"),
        identity(escape="none"),
        identity(encoding="cp1252"),
        identity(multiline=True),
    ]
    assert len({identity(), *others}) == 8


def test_a_multiline_record_is_never_cut():
    """Where quotes may hold line ends, blocks end between records only."""
    record = b',"first, line\nsecond ""line""\n\n",x\n'
    data = b"".join(b"%d" % number + record + b"2,plain,y\n" * (number % 7) for number in range(5_000))
    dialect = ResolvedDialect(header=False, multiline=True)
    sizes = BlockSizes(least=64 * 1024, usual=128 * 1024, most=256 * 1024)
    blocks = blocks_of(data, dialect, sizes=sizes)
    found = [scan(block.data, dialect, 3) for block in blocks]

    assert len(blocks) > 2
    assert sum(one.records for one in found) == 5_000 + sum(number % 7 for number in range(5_000))
    assert {Outcome(value) for one in found for value in one.outcomes} == {Outcome.OK, Outcome.CONTINUED}


@given(
    data=st.lists(st.sampled_from([b"a,b", b"\n", b"\r", b'"'])).map(b"".join),
    chunk=st.integers(1, 5),
)
def test_a_growing_source_ends_with_its_last_line_end(data, chunk):
    """What comes after it may be the first part of a record that is still being written."""
    chunks = [data[at : at + chunk] for at in range(0, len(data), chunk)]
    blocks = list(frame(chunks, HEADERLESS, growing=True).blocks)

    whole = data[: max(data.rfind(b"\n"), data.rfind(b"\r")) + 1]
    assert whole == b"".join(block.data for block in blocks)


def test_a_growing_source_without_line_ends_is_refused_in_bounded_memory():
    """Nine mebibytes are no line that is still being written."""
    with pytest.raises(SourceError, match="a line longer than 8 MiB"):
        list(frame([b"x" * 2**20] * 9, HEADERLESS, growing=True).blocks)
