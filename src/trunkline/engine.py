"""Where blocks are worked on: from bytes to typed calls, through the cache, side by side on an executor.

On threads of this process unless another engine is asked for, such as `trunkline.dask_engine`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from time import thread_time
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import pyarrow as pa

from trunkline.blocks import RawRecords, TextBlock
from trunkline.books.account import CacheCounts
from trunkline.books.writing import Costs, EarlierLoad
from trunkline.cache.port import CacheTally
from trunkline.extraction import extract_block, extract_each
from trunkline.findings import Findings
from trunkline.framing.borders import BLOCK_SIZES
from trunkline.framing.cutting import SourceForm, block_identity, ends_line, frame, frame_rest
from trunkline.framing.dialect import ends_with_cr_only
from trunkline.framing.scanning import bounds_in
from trunkline.layout.header_match import match_header
from trunkline.layout.header_search import dialect_of
from trunkline.trailers import find_trailers, sums_of
from trunkline.transformation import transform_block, transform_each, transform_key

if TYPE_CHECKING:
    from trunkline.blocks import Block, TypedBlock
    from trunkline.cache.port import BlockCache
    from trunkline.framing.cutting import EarlierBlock, ResolvedDialect
    from trunkline.layout.files import Layout
    from trunkline.sources.source import Source

NO_EARLIER_LOAD = EarlierLoad()
BLOCKS_WAITING = 1  # beside those in work: framing is quicker than any worker

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """How the blocks of a source are read: the same for all of them."""

    header: tuple[str, ...]
    dialect: ResolvedDialect
    layout: Layout

    def records_of(self, block: Block) -> RawRecords:
        """Return the original bytes of the records of a block."""
        return RawRecords([block], bounds_in(self.dialect, len(self.header)))


@dataclass(frozen=True, kw_only=True, slots=True)
class FramedSource:
    """
    A source cut into blocks.

    Attributes:
        form: What the books keep of how it was read.
        again: Those that are there again, as its content hash says, and that nobody has read; they come first.
        blocks: Its other blocks, which can be gone through once.
        cr_only: Whether its lines end with a CR alone, as far as its first bytes show.
    """

    reading: Reading
    form: SourceForm
    blocks: Iterator[Block]
    cr_only: bool
    again: Sequence[EarlierBlock] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkedBlock:
    """
    A block's typed calls.

    Attributes:
        costs: What they cost; the seconds of a stage include its look-up in the cache.
        cached: The cache is known to hold them; asked of single blocks alone.
    """

    typed: TypedBlock
    costs: Costs
    cached: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """A block of a source that is to be worked on, with what is settled before: its identity and how it is read."""

    source: Source
    block: Block
    identity: str
    reading: Reading

    @classmethod
    def of(cls, source: Source, block: Block, reading: Reading) -> Task:
        """Return the task for a block that is read like this."""
        return cls(source=source, block=block, identity=identity_of(block, reading), reading=reading)


class Engine(Protocol):
    """Works on blocks, several at a time."""

    @property
    def at_once(self) -> int:
        """How many threads are to ask it for work."""

    def work(self, task: Task) -> WorkedBlock:
        """
        Return the typed calls of a block; called from several threads.

        Raises:
            EngineError: If it cannot be done where it was to be done.
        """

    def work_each(self, tasks: Sequence[Task]) -> list[WorkedBlock]:
        """
        Return the typed calls of each of some blocks, of one layout, which are as many bytes as one usually has.

        Raises:
            EngineError: As above.
        """

    def close(self) -> None:
        """Let go of workers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Threads:
    """The engine that is there always: whoever asks does the work, on its own thread."""

    cache: BlockCache
    at_once: int

    def work(self, task: Task) -> WorkedBlock:
        """Return the typed calls of a block."""
        return work_block(task.block, task.identity, task.reading, self.cache)

    def work_each(self, tasks: Sequence[Task]) -> list[WorkedBlock]:
        """Return the typed calls of each of some blocks."""
        return work_each(tasks, self.cache)

    def close(self) -> None:
        """Do nothing: there is nothing to let go of."""


def work_block(block: Block, identity: str, reading: Reading, cache: BlockCache) -> WorkedBlock:
    """Return the typed calls of a block, from the cache where it has them."""
    started, before = thread_time(), cache.counts_here
    key = transform_key(identity, reading.layout)
    typed = cache.get_typed(key)
    extracted = started
    cached = typed is not None
    if typed is None:
        text = _text(block, identity, reading, cache)
        extracted = thread_time()
        typed = typed_of(block, text, reading)
        cached = cache.put_typed(key, typed)
    costs = Costs(
        extract_s=extracted - started,
        transform_s=thread_time() - extracted,
        cache=_counted(cache.counts_here - before),
    )
    return WorkedBlock(typed=typed, costs=costs, cached=cached)


def work_each(tasks: Sequence[Task], cache: BlockCache) -> list[WorkedBlock]:
    """
    Return the typed calls of each of some blocks of one layout, from the cache where it has them.

    Those that are read alike are read and parsed as one: what that costs beside what it costs for each record is as
    much as 10,000 records take.
    """
    worked: list[WorkedBlock] = []
    for _, alike in groupby(tasks, lambda task: (task.reading.header, task.reading.dialect)):
        some = list(alike)
        if len(some) == 1 or some[0].reading.layout.trailer is not None:  # a trailer is looked for in each
            worked += [work_block(task.block, task.identity, task.reading, cache) for task in some]
        else:
            worked += _work_alike(some, cache)
    return worked


def _work_alike(tasks: Sequence[Task], cache: BlockCache) -> list[WorkedBlock]:
    reading = tasks[0].reading
    tallies = [CacheTally() for _ in tasks]

    def counted(place: int, ask: Callable[..., Result], *about: object) -> Result:
        before = cache.counts_here
        answer = ask(*about)
        tallies[place] += cache.counts_here - before
        return answer

    began = thread_time()
    keys = [transform_key(task.identity, reading.layout) for task in tasks]
    found = {place: counted(place, cache.get_typed, key) for place, key in enumerate(keys)}
    typed = {place: block for place, block in found.items() if block is not None}
    new = [place for place in found if place not in typed]
    texts = _texts({place: tasks[place] for place in new}, counted, cache)
    extracted = thread_time()
    for place, block in zip(new, transform_each([texts[place] for place in new], reading.layout), strict=True):
        counted(place, cache.put_typed, keys[place], block)
        typed[place] = block
    transformed = thread_time()
    whole = sum(len(task.block.data) for task in tasks)
    shares = [len(task.block.data) / whole for task in tasks]  # nobody can tell what each took of it
    return [
        WorkedBlock(
            typed=typed[place],
            costs=Costs(
                extract_s=(extracted - began) * share,
                transform_s=(transformed - extracted) * share,
                cache=_counted(tallies[place]),
            ),
        )
        for place, share in enumerate(shares)
    ]


def _texts(tasks: Mapping[int, Task], counted: Callable[..., Any], cache: BlockCache) -> dict[int, TextBlock]:
    found = {place: counted(place, cache.get_text, task.identity) for place, task in tasks.items()}
    unread = [place for place, text in found.items() if text is None]
    if unread:
        reading = tasks[unread[0]].reading
        read = extract_each([tasks[place].block for place in unread], reading.header, reading.dialect)
        for place, text in zip(unread, read, strict=True):
            counted(place, cache.put_text, tasks[place].identity, text)
            found[place] = text
    return found


def _counted(tally: CacheTally) -> CacheCounts:
    return CacheCounts(**{name: getattr(tally, name) for name in CacheCounts.__slots__})


def _text(block: Block, identity: str, reading: Reading, cache: BlockCache) -> TextBlock:
    text = cache.get_text(identity)
    if text is None:
        text = extract_block(block, reading.header, reading.dialect)
        cache.put_text(identity, text)
    return text


def typed_of(block: Block, text: TextBlock, reading: Reading) -> TypedBlock:
    """Return the typed calls of a block whose text is there, its trailers among what is filtered."""
    layout = reading.layout
    if layout.trailer is None:
        return transform_block(text, layout)
    records = reading.records_of(block)
    rejected = [records.find(block.first_line + line)[1] for line in text.rejects.column("line").to_pylist()]
    found = find_trailers(text.batch, rejected, layout, layout.trailer, reading.dialect)
    rest = TextBlock(
        batch=text.batch.filter(pa.array(~found.rows)),
        lines=text.lines[~found.rows],
        rejects=text.rejects.filter(pa.array(~found.rejected)),
        read=text.read - len(found.trailers),
    )
    typed = transform_block(rest, layout)
    findings = typed.findings + Findings(trailers=found.trailers, sums=sums_of(typed.batch, layout.trailer))
    return replace(typed, read=text.read, filtered=typed.filtered + len(found.trailers), findings=findings)


def identity_of(block: Block, reading: Reading) -> str:
    """Return what makes a block the same block: its bytes, the dialect and the header as read."""
    return block_identity(block, reading.header, reading.dialect)


def framed_source(source: Source, layout: Layout, earlier: EarlierLoad = NO_EARLIER_LOAD) -> FramedSource:
    """
    Return how a source is read, and its blocks, of which some may be known from an *earlier* load of it.

    Raises:
        RefusedError: If the columns are not those of the layout, also where no block follows.
    """
    sample = source.sample()
    dialect = dialect_of(sample, layout)
    framed = frame(source.chunks(), dialect, growing=layout.growing, earlier=earlier.blocks)
    match_header(framed.header, layout)
    reading = Reading(header=framed.header, dialect=dialect, layout=layout)
    again = _blocks_there_again(source, reading, len(framed.preamble), earlier)
    return FramedSource(
        reading=reading,
        form=SourceForm.of(framed, dialect),
        blocks=frame_rest(source.rest(), dialect, framed.header, after=again[-1], growing=layout.growing)
        if again
        else framed.blocks,
        cr_only=ends_with_cr_only(sample, dialect),
        again=again,
    )


def _blocks_there_again(
    source: Source, reading: Reading, first_byte: int, earlier: EarlierLoad
) -> Sequence[EarlierBlock]:
    """Return the blocks of an earlier load if the source has only grown since and is read alike; none if in doubt."""
    blocks = tuple(earlier.blocks.values())
    grown = source.grown_from
    if not blocks or grown is None or grown.content_hash != earlier.content_hash:
        return ()
    if reading.dialect.multiline:  # what follows a block may be part of its last record
        return ()
    first, last = blocks[0], blocks[-1]
    joined = all(one.end == other.first_byte for one, other in pairwise(blocks))
    if not joined or (first.first_byte, last.end) != (first_byte, grown.standing):
        return ()
    if not ends_line(source.read_at(last.end - 1, 2)):
        return ()
    # Header and dialect are part of every identity: what is true of one block is true of all.
    return () if _filled(source, reading, first) is None else blocks


def read_again(source: Source, reading: Reading, block: EarlierBlock) -> Block:
    """
    Return a block that is there again with its bytes.

    Raises:
        SourceChangedError: If they are others now.
    """
    read = _filled(source, reading, block)
    if read is None:
        raise source.changed()
    return read


def _filled(source: Source, reading: Reading, block: EarlierBlock) -> Block | None:
    """Return a block with the bytes that are where it was; None if they are not the same or read in another way."""
    read = block.filled(source.read_at(block.first_byte, block.size))
    return replace(read, identity=block.identity) if identity_of(read, reading) == block.identity else None


def work_blocks(
    framed: FramedSource,
    source: Source,
    cache: BlockCache,
    then: Callable[[Block, WorkedBlock], Result],
    *,
    workers: int,
) -> Iterator[Result]:
    """
    Yield what *then* makes of each block of *source* and its calls, on a worker's thread, in the order of getting done.

    Raises:
        SourceChangedError: If the source changed while it was read.
    """

    reading = framed.reading

    def work(block: Block) -> Result:
        return then(block, work_block(block, identity_of(block, reading), reading, cache))

    with ThreadPoolExecutor(workers, thread_name_prefix="trunkline") as executor:
        yield from each(executor, work, framed.blocks, in_work=workers + BLOCKS_WAITING, size=bytes_of)
    source.check_unchanged(may_grow=reading.layout.growing)


def bytes_of(block: Block) -> int:
    """Return how long a block is."""
    return block.size


def each(
    executor: Executor,
    work: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    in_work: int,
    size: Callable[[Item], int],
) -> Iterator[Result]:
    """
    Yield the result of *work* on each item as it comes, with at most *in_work* items waiting or in work, which together
    have no more bytes than as many usual blocks; but one may be longer.

    These bounds are the back-pressure: *items* is read only as fast as work gets done, and long blocks that come one
    after the other need no more memory than others.  The first error stops the rest: what was begun is waited for,
    what was not is cancelled.

    Args:
        size: How long an item is, in bytes.
    """
    pending: dict[Future[Result], int] = {}

    def finished() -> Iterator[Result]:
        done, _ = wait(pending, return_when=FIRST_COMPLETED)
        for future in done:
            del pending[future]
            yield future.result()

    try:
        for item in items:
            while pending and sum(pending.values()) + size(item) > in_work * BLOCK_SIZES.usual:
                yield from finished()
            pending[executor.submit(work, item)] = size(item)
            if len(pending) >= in_work:
                yield from finished()
        while pending:
            yield from finished()
    finally:
        for future in pending:
            future.cancel()
        wait(pending)
