"""Blocks worked on as one become what each becomes by itself: texts, calls, rejects, numbers and findings."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from unittest.mock import Mock, patch

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strict_csv import physical_lines
from trunkline.blocks import Block, TextBlock, TypedBlock
from trunkline.cache.port import CacheTally, NullCache
from trunkline.engine import Reading, Task, work_block, work_each
from trunkline.extraction import extract_block, extract_each
from trunkline.framing.cutting import frame
from trunkline.framing.dialect import ResolvedDialect
from trunkline.framing.scanning import record_borders
from trunkline.layout.files import builtin_layouts, load_layout
from trunkline.layout.header_search import dialect_of
from trunkline.sources.source import open_source
from trunkline.together import _some_at_once
from trunkline.transformation import transform_block, transform_each, transform_key

FIXTURES = Path(__file__).parents[1] / "fixtures" / "layouts"
REFUSED = [layout.name for layout in builtin_layouts() if layout.refuse]
FILES = [file for file in sorted(FIXTURES.glob("*.csv")) if file.name.partition(".")[0] not in REFUSED]

REFERENCE = load_layout("customer_call_logs")
HEADER = ("customer_id", "call_cost", "call_destination", "call_date", "call_duration")
GOOD = b"1001,$1.20,Nairobi,2022-01-01 10:00:00,00:05:30\n"
RECORDS = [
    GOOD,
    GOOD.replace(b"10:00:00", b"10:00:30"),
    GOOD.replace(b"\n", b"\r\n"),
    GOOD.replace(b"Nairobi", "Kısumu".encode()),
    GOOD.replace(b"Nairobi", b'"Nairobi, CBD"'),
    GOOD.replace(b"1001", b"2.35E+11"),
    GOOD.replace(b"$1.20", b"#####"),
    GOOD.replace(b"2022-01-01 10:00:00", b"2022-01-01 10:00"),
    GOOD.replace(b"Nairobi", b"Nairobi,one more"),
    b"1001,too,few\n",
    b",".join(name.encode() for name in HEADER) + b"\n",
    b",,,,\n",
    b"\xef\xbb\xbf" + GOOD,
    b"1001,$1.20,\xff,2022-01-01 10:00:00,00:05:30\n",
    b"\n",
    b" \n",
]


def facts_of(block: TextBlock | TypedBlock) -> tuple[object, ...]:
    """Return all that a block says; columns are validated, which may be a part of longer ones."""
    block.batch.validate(full=True)
    block.rejects.validate(full=True)
    typed = (block.filtered, block.findings) if isinstance(block, TypedBlock) else ()
    calls = block.batch.schema, [column.to_pylist() for column in block.batch.columns]
    return (*calls, block.lines.tolist(), block.lines.dtype, block.rejects.to_pylist(), block.read, *typed)


def check_alike(blocks: list[Block], header: tuple[str, ...], dialect: ResolvedDialect, layout) -> None:
    """Make sure that texts and calls of *blocks* are the same, together and one by one."""
    texts = extract_each(blocks, header, dialect)
    alone = [extract_block(block, header, dialect) for block in blocks]
    assert [facts_of(text) for text in texts] == [facts_of(text) for text in alone]
    typed = transform_each(texts, layout)
    assert [facts_of(each) for each in typed] == [facts_of(transform_block(text, layout)) for text in alone]


def cut(block: Block, header: tuple[str, ...], dialect: ResolvedDialect) -> list[Block]:
    """Return the records of a block two by two."""
    starts = [start for start, _ in physical_lines(block.data)][::2]
    if dialect.multiline:
        starts = [0, *record_borders(block.data, dialect, len(header), whole=True).tolist()][::2]
    parts = [block.data[start:end] for start, end in pairwise([*starts, len(block.data)])]
    return [
        Block(position=number, first_byte=0, first_line=1, data=data, lines=len(physical_lines(data)))
        for number, data in enumerate(parts)
    ]


@given(st.lists(st.lists(st.sampled_from(RECORDS), max_size=4), min_size=1, max_size=6), st.booleans())
def test_blocks_of_several_sources(sources, whole):
    """Whatever is damaged in one of them, and also where the last line has no end."""
    data = [b"".join(records) for records in sources]
    data = data if whole else [each.removesuffix(b"\n") for each in data]
    blocks = [
        Block(position=0, first_byte=0, first_line=2, data=each, lines=len(physical_lines(each))) for each in data
    ]

    check_alike(blocks, HEADER, ResolvedDialect(), REFERENCE)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_records_of_every_layout(file):
    """Also where a field needs others, where records are no calls, and where the layout keeps unknown columns."""
    wanted = json.loads(file.with_suffix(".json").read_text("utf-8"))
    layout = load_layout(file.name.partition(".")[0]).with_overrides(**wanted["overrides"])
    with open_source(file) as source:
        dialect = dialect_of(source.sample(), layout)
        framed = frame(source.chunks(), dialect)
        blocks = [part for block in framed.blocks for part in cut(block, framed.header, dialect)]

    check_alike(blocks, framed.header, dialect, layout)


def test_undamaged_blocks_are_read_as_one(monkeypatch):
    """One damaged block among them is read by itself, and the others still by one call of pandas' reader."""
    reader = Mock(side_effect=pd.read_csv)
    monkeypatch.setattr("pandas.read_csv", reader)
    damaged = GOOD.replace(b"Nairobi", b'Nai"robi') + GOOD
    data = [GOOD * 2, GOOD * 3, damaged, GOOD]
    blocks = [Block(position=0, first_byte=0, first_line=2, data=each, lines=each.count(b"\n")) for each in data]

    texts = extract_each(blocks, HEADER, ResolvedDialect())

    assert [text.lines.tolist() for text in texts] == [[0, 1], [0, 1, 2], [1], [0]]
    assert reader.call_count == 2


class Kept(NullCache):
    """A cache in memory, which counts what it is asked."""

    def __init__(self):
        self.texts, self.typed, self.counts_here = {}, {}, CacheTally()

    def _get(self, values, key):
        found = values.get(key)
        self.counts_here += CacheTally(hits=found is not None, misses=found is None)
        return found

    def _put(self, values, key, block):
        values[key] = block
        self.counts_here += CacheTally(stored=1)

    def get_text(self, key):
        return self._get(self.texts, key)

    def put_text(self, key, block):
        self._put(self.texts, key, block)

    def get_typed(self, key):
        return self._get(self.typed, key)

    def put_typed(self, key, block):
        self._put(self.typed, key, block)


OTHER_HEADER = ("call_cost", "customer_id", "call_destination", "call_date", "call_duration")


def test_each_block_has_its_own_place_in_the_cache():
    """What is there already, typed or as text, is not worked out again; each knows what the cache did for it."""
    data = [GOOD * number for number in range(1, 6)]
    data[3] = GOOD.replace(b"1001,$1.20", b"$1.20,1001")
    headers = [HEADER, HEADER, HEADER, OTHER_HEADER, HEADER]
    tasks = []
    for each, header in zip(data, headers, strict=True):
        block = Block(position=0, first_byte=0, first_line=2, data=each, lines=each.count(b"\n"))
        reading = Reading(header=header, dialect=ResolvedDialect(), layout=REFERENCE)
        tasks.append(Task.of(Mock(), block, reading))
    cache, other = Kept(), Kept()
    for kept in (cache, other):
        work_block(tasks[0].block, tasks[0].identity, tasks[0].reading, kept)
        work_block(tasks[1].block, tasks[1].identity, tasks[1].reading, kept)
        del kept.typed[transform_key(tasks[1].identity, REFERENCE)]

    together = work_each(tasks, cache)
    alone = [work_block(task.block, task.identity, task.reading, other) for task in tasks]

    assert [facts_of(each.typed) for each in together] == [facts_of(each.typed) for each in alone]
    assert [each.costs.cache for each in together] == [each.costs.cache for each in alone]
    assert (cache.texts.keys(), cache.typed.keys()) == (other.texts.keys(), other.typed.keys())


def test_trailers_are_looked_for_in_each_block():
    """A layout with trailers is worked on block by block, since only the last records of each may be some."""
    layout = load_layout("customer_call_logs").model_copy(update={"trailer": Mock()})
    reading = Reading(header=HEADER, dialect=ResolvedDialect(), layout=layout)
    block = Block(position=0, first_byte=0, first_line=2, data=GOOD, lines=1)
    tasks = [Task(source=Mock(), block=block, identity="", reading=reading)] * 2
    worked = [Mock(), Mock()]
    with patch("trunkline.engine.work_block", side_effect=worked):
        assert work_each(tasks, Kept()) == worked


@pytest.mark.parametrize(
    ("sizes", "location", "groups"),
    [
        ([1] * 20, "file", [16, 4]),
        ([1 << 20] * 6, "file", [4, 2]),
        ([9 << 20, 1, 1], "file", [1, 2]),
        ([1 << 19, 1 << 16, 1 << 16], None, [1, 2]),
        ([], "file", []),
    ],
)
def test_sources_are_grouped_up_to_the_size_of_a_block(sizes, location, groups):
    """What is compressed counts as what it is likely to become, and a long source is a group of its own."""
    jobs = [Mock(content=Mock(bytes=size), source=Mock(location=location)) for size in sizes]

    assert [len(group) for group in _some_at_once(jobs)] == groups
