"""Work on several blocks at a time: how much of it there is at most, and which blocks there are to work on."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from threading import Lock
from time import sleep

import pytest
from blake3 import blake3
from hypothesis import example, given
from hypothesis import strategies as st

from tests.earlier_blocks import as_earlier
from trunkline.books.writing import EarlierLoad
from trunkline.engine import each, framed_source, identity_of, read_again
from trunkline.errors import SourceChangedError
from trunkline.framing.borders import BLOCK_SIZES, BlockSizes
from trunkline.layout.files import load_layout
from trunkline.sources.source import EarlierContent, open_source

USUAL = BLOCK_SIZES.usual


@given(sizes=st.lists(st.integers(0, 3 * USUAL), max_size=12), in_work=st.integers(1, 4))
@example(sizes=[USUAL * 2] * 8, in_work=4)
@example(sizes=[0] * 8, in_work=2)
@example(sizes=[USUAL * 9, USUAL * 9, 1], in_work=2)
def test_what_is_in_work_is_bounded(sizes, in_work):
    """By number and by bytes, though there are threads for more; one that is too long is worked on alone."""
    lock, working, seen = Lock(), [], []

    def work(size):
        with lock:
            working.append(size)
            seen.append(list(working))
        sleep(0.001)  # long enough for others to begin, were they let
        with lock:
            working.remove(size)
        return size

    with ThreadPoolExecutor(8) as executor:
        found = list(each(executor, work, sizes, in_work=in_work, size=int))

    assert sorted(found) == sorted(sizes)
    assert all(len(some) <= in_work for some in seen)
    assert all(len(some) == 1 or sum(some) <= in_work * USUAL for some in seen)


def test_the_first_error_stops_the_rest():
    """What was begun is waited for, and nothing else is begun or asked for."""
    asked, begun = [], []

    def items():
        for number in range(100):
            asked.append(number)
            yield number

    def work(number):
        begun.append(number)
        if number == 3:
            raise ValueError(number)

    with ThreadPoolExecutor(2) as executor, pytest.raises(ValueError, match="3"):
        list(each(executor, work, items(), in_work=3, size=lambda _: 1))

    assert max(asked) < 3 + 3
    assert sorted(begun) == list(range(len(begun)))


RECORDS = [f"{1000 + number},$1.20,Nairobi,2022-01-01 10:00:00,00:01:00\n" for number in range(300)]
OLD = ("customer_id,call_cost,call_destination,call_date,call_duration\n" + "".join(RECORDS)).encode()
NEW = b"9,$1.20,Nairobi,2022-01-01 10:00:00,00:01:00\n"
LAYOUT = load_layout("customer_call_logs")


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr("trunkline.framing.borders.BLOCK_SIZES", BlockSizes(least=1_024, usual=2_048, most=4_096))


@contextmanager
def grown_source(folder, old, new, standing=None, layout=LAYOUT):
    """A source that was *old* when it was hashed last, and the load that brought that, with all of its blocks."""
    path = folder / "calls.csv"
    path.write_bytes(old)
    with open_source(path) as source:
        framed = framed_source(source, layout)
        blocks = [as_earlier(block, identity_of(block, framed.reading)) for block in framed.blocks]
    path.write_bytes(old + new)
    with open_source(path) as source:
        end = blocks[-1].end if standing is None else standing
        content = EarlierContent(content_hash=blake3(old).hexdigest(), bytes=len(old), standing=end)
        source.content_hash(earlier=content)
        earlier = EarlierLoad(content_hash=content.content_hash, blocks={block.first_byte: block for block in blocks})
        yield source, earlier


def test_blocks_of_a_source_that_grew_need_not_be_read(tmp_path, small_blocks):
    """Its content hash proves them; they can be read, and what follows them is cut as usual."""
    with grown_source(tmp_path, OLD, NEW) as (source, earlier):
        framed = framed_source(source, LAYOUT, earlier)
        (rest,) = framed.blocks
        read = [read_again(source, framed.reading, block) for block in framed.again]

        assert list(framed.again) == list(earlier.blocks.values())
        assert b"".join(block.data for block in read) == OLD[OLD.index(b"\n") + 1 :]
        assert all(identity_of(replace(block, identity=""), framed.reading) == block.identity for block in read)
        assert (rest.position, rest.first_byte, rest.first_line, rest.data) == (len(read), len(OLD), 302, NEW)


def test_a_block_that_changed_since_is_not_taken_for_what_it_was(tmp_path, small_blocks):
    """Whoever wrote to the source after it was hashed is found out where a block is read after all."""
    with grown_source(tmp_path, OLD, NEW) as (source, earlier):
        framed = framed_source(source, LAYOUT, earlier)
        (tmp_path / "calls.csv").write_bytes(OLD.replace(b"1250,", b"1251,") + NEW)

        with pytest.raises(SourceChangedError, match="changed while it was read"):
            [read_again(source, framed.reading, block) for block in framed.again]


def other(earlier, position, **changes):
    """Return an earlier load of which one block is another."""
    blocks = [replace(block, **changes) if block.position == position else block for block in earlier.blocks.values()]
    return replace(earlier, blocks={block.first_byte: block for block in blocks})


@pytest.mark.parametrize(
    ("old", "standing", "change"),
    [
        (OLD, None, lambda earlier: replace(earlier, content_hash="another")),
        (OLD, None, lambda earlier: replace(earlier, blocks={})),
        (OLD, None, lambda earlier: other(earlier, 1, size=7)),
        (OLD, 4_000, lambda earlier: earlier),
        (OLD[:-1], None, lambda earlier: earlier),
        (OLD.replace(b"\n", b"\r"), None, lambda earlier: earlier),
        (OLD, None, lambda earlier: other(earlier, 0, identity="another")),
    ],
    ids=["another load", "no blocks", "a gap", "another end", "in a line", "in a CRLF", "read in another way"],
)
def test_where_in_doubt_all_is_read(tmp_path, small_blocks, old, standing, change):
    """What the hash alone does not prove is looked at."""
    with grown_source(tmp_path, old, b"\n" + NEW, standing) as (source, earlier):
        assert source.grown_from is not None
        framed = framed_source(source, LAYOUT, change(earlier))

        assert framed.again == ()
        assert b"".join(block.data for block in framed.blocks) == (old + b"\n" + NEW)[len(framed.form.preamble) :]


def test_records_of_several_lines_are_all_read(tmp_path, small_blocks):
    """What follows a block may be part of its last record."""
    file = tmp_path / "several.toml"
    file.write_text('grammar = 1\nname = "several"\nextends = "customer_call_logs"\n[dialect]\nmultiline = true\n')
    layout = load_layout(str(file))
    with grown_source(tmp_path, OLD, NEW, layout=layout) as (source, earlier):
        assert framed_source(source, layout, earlier).again == ()
