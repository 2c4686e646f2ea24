"""Blocks become text: pandas reads what the strict scan found good, the rest is kept as rejects.

Nothing is swallowed, shifted or skipped: bad lines are cut out before pandas sees the bytes, and what it returns is
counted against the scan.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa

from trunkline.blocks import NO_REJECTS, REJECT_COLUMNS, REJECT_SCHEMA, Block, RawRecords, RejectTable, TextBlock
from trunkline.cache.store import cache_for
from trunkline.framing.cutting import SourceForm, block_identity, frame
from trunkline.framing.dialect import ResolvedDialect
from trunkline.framing.loose import split_loosely
from trunkline.framing.records import Damage, split_record, width_of
from trunkline.framing.scanning import MAX_RECORD_BYTES, Outcome, Scan, bounds_in, is_plain, scan, without_blanks
from trunkline.layout.files import Layout, load_layout
from trunkline.layout.header_search import dialect_of
from trunkline.sources.source import Source, open_source

if TYPE_CHECKING:
    import os

    import redis as redis_py

    from trunkline.cache.port import BlockCache

    SourceLike = str | os.PathLike[str] | bytes | BinaryIO

_TEXT = pd.ArrowDtype(pa.large_string())  # as Arrow reads it for pandas: another type would be a second conversion
_MAX_FAST_COLUMNS = 1_000  # pandas takes half a millisecond per column and block, whatever is in it
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def extract_block(block: Block, header: tuple[str, ...], dialect: ResolvedDialect) -> TextBlock:
    """
    Return the records of a block as text, and those that are damaged as rejects.

    Args:
        block: As `framing.frame` cut it.
        header: The column names; their number is how many fields a record must have.
        dialect: As resolved for the source.
    """
    plain = _read_plain(block.data, block.lines, header, dialect) if _may_be_plain(block, header, dialect) else None
    return _read_judged(block, header, dialect) if plain is None else _undamaged(plain)


def extract_each(blocks: Sequence[Block], header: tuple[str, ...], dialect: ResolvedDialect) -> list[TextBlock]:
    """
    Return the text of each of some blocks, as `extract_block` would; of one source, or of several that are read alike.

    Blocks without damage are read as one: a call of pandas' reader takes as long as reading 10,000 records.  A small
    block that is kept keeps the memory of all.
    """
    plain = [place for place, block in enumerate(blocks) if _may_be_plain(block, header, dialect)]
    texts: dict[int, TextBlock] = {}
    if len(plain) > 1:
        data = b"".join(_with_line_end(blocks[place].data) for place in plain)
        lines = [blocks[place].lines for place in plain]
        batch = _read_plain(data, sum(lines), header, dialect)
        if batch is not None:
            ends = np.cumsum(lines).tolist()
            texts = {
                place: _undamaged(batch[end - count : end])
                for place, end, count in zip(plain, ends, lines, strict=True)
            }
    return [texts.get(place) or extract_block(block, header, dialect) for place, block in enumerate(blocks)]


def _undamaged(batch: pa.RecordBatch) -> TextBlock:
    return TextBlock(batch=batch, lines=np.arange(batch.num_rows), rejects=NO_REJECTS, read=batch.num_rows)


def _with_line_end(data: bytes) -> bytes:
    return data if data.endswith(b"\n") else data + b"\n"


def _read_judged(block: Block, header: tuple[str, ...], dialect: ResolvedDialect) -> TextBlock:
    """Return the text of the records that the scan finds good."""
    scanned = scan(block.data, dialect, len(header))
    fast = np.flatnonzero((scanned.outcomes == Outcome.OK) & ~scanned.slow)
    slow = np.flatnonzero((scanned.outcomes == Outcome.OK) & scanned.slow)
    if len(fast) and block.data.startswith(_BYTE_ORDER_MARK, scanned.starts[fast[0]]):
        fast, slow = fast[1:], np.append(fast[:1], slow)  # data here, but pandas would drop it
    batch = _read_fast(_kept_bytes(block.data, scanned, fast), len(header), dialect)
    if batch is None or batch.num_rows != len(fast):  # the scan is the stricter reader
        fast, slow, batch = fast[:0], np.sort(np.append(fast, slow)), _no_rows(len(header))
    lines = fast
    if len(slow):
        batch, lines = _with_slow(batch, fast, _read_slow(block.data, scanned, slow, dialect, len(header)), slow)
    rejects = _rejects(scanned, len(header), dialect)
    return TextBlock(
        batch=pa.RecordBatch.from_arrays(batch.columns, names=list(header)),
        lines=lines,
        rejects=rejects,
        read=batch.num_rows + rejects.num_rows,
    )


def extract(source: SourceLike, layout: Layout | str, redis: redis_py.Redis | BlockCache | None = None) -> pd.DataFrame:
    """
    Return the records of a source as a frame of text, untouched.

    Args:
        source: Path, URL, ``-`` for standard input, the content as bytes, or an open binary file.
        layout: What the file is, as a `Layout`, the name of a built-in one, or the path of a layout file.
        redis: Where texts of blocks are cached, if anywhere.

    Returns:
        One column per CSV column, named by the header, of dtype string[pyarrow]; the index ``source_line`` says
        where in the source each record begins.  Its attrs hold

        - ``rejects``: a `RejectTable` of the records that could not be read,
        - ``records``: `RawRecords`, the original bytes of all,
        - ``source``: the name of the source without credentials,
        - ``form``: its dialect, its header and what stands before its first record,
        - ``read``: how many records there were, rejects included,
        - ``content_hash``: BLAKE3 of the source as stored, in hex,
        - ``bytes``: its size as stored,
        - ``whole``: that it is all of a source, so that its trailer can be compared.

    Raises:
        SourceError: If the source cannot be read.
        SourceChangedError: If it changed meanwhile.
        LayoutError: If the layout, or its dialect, cannot be.
    """
    with open_source(source) as opened:
        content = {"content_hash": opened.content_hash(), "bytes": opened.size}
        frames = list(_frames(opened, layout, redis))
    parts = [part.attrs for part in frames]
    for part in frames:
        part.attrs = {}  # pandas compares them when it joins frames
    whole = pd.concat(frames) if len(frames) > 1 else frames[0]
    rejects = [part["rejects"] for part in parts if len(part["rejects"])] or [parts[0]["rejects"]]
    whole.attrs = parts[0] | {
        "rejects": RejectTable(pd.concat(rejects, ignore_index=True)),
        "records": reduce(add, (part["records"] for part in parts)),
        "read": sum(part["read"] for part in parts),
        "whole": True,
        **content,
    }
    return whole


def extract_blocks(
    source: SourceLike, layout: Layout | str, redis: redis_py.Redis | BlockCache | None = None
) -> Iterator[pd.DataFrame]:
    """
    Yield what `extract` returns, block by block, in bounded memory; at least one frame, though it may have no rows.

    The attrs ``content_hash`` and ``bytes`` are those of the block: each can be loaded by itself, and is unchanged
    by itself.  What is wrong with the source as a whole, a change while it was read say, is raised after its last
    block.
    """
    with open_source(source) as opened:
        yield from _frames(opened, layout, redis)


def _frames(opened: Source, layout: Layout | str, redis: redis_py.Redis | BlockCache | None) -> Iterator[pd.DataFrame]:
    layout = load_layout(layout) if isinstance(layout, str) else layout
    cache = cache_for(redis)
    dialect = dialect_of(opened.sample(), layout)
    framed = frame(opened.chunks(), dialect, growing=layout.growing)
    to_frame = _frame_maker(SourceForm.of(framed, dialect), opened.name)
    nothing = True
    for block in framed.blocks:
        nothing = False
        identity = block_identity(block, framed.header, dialect)
        text = cache.get_text(identity)
        if text is None:
            text = extract_block(block, framed.header, dialect)
            cache.put_text(identity, text)
        yield to_frame(block, text, identity)
    if nothing:
        block = Block(position=0, first_byte=0, first_line=1, data=b"", lines=0)
        identity = block_identity(block, framed.header, dialect)
        yield to_frame(block, extract_block(block, framed.header, dialect), identity)
    opened.check_unchanged(may_grow=layout.growing)


def _frame_maker(form: SourceForm, source: str) -> Callable[[Block, TextBlock, str], pd.DataFrame]:
    bounds = bounds_in(form.dialect, len(form.header))

    def to_frame(block: Block, text: TextBlock, identity: str) -> pd.DataFrame:
        frame_ = _text_frame(text.batch)
        frame_.index = pd.Index(text.lines + block.first_line, name="source_line")
        frame_.columns = pd.Index(form.header, dtype=object)
        records = RawRecords([block], bounds)
        frame_.attrs = {
            "rejects": _reject_table(text.rejects, block.first_line, records),
            "records": records,
            "read": text.read,
            "source": source,
            "form": form,
            "content_hash": identity,
            "bytes": len(block.data),
        }
        return frame_

    return to_frame


def _text_frame(batch: pa.RecordBatch) -> pd.DataFrame:
    """Return a batch as a frame that shares its memory; the columns are numbered, since names may repeat."""
    numbered = pa.Table.from_arrays(batch.columns, names=_numbers(batch.num_columns))
    frame_: pd.DataFrame = numbered.to_pandas(types_mapper=pd.ArrowDtype)
    return frame_


def _reject_table(rejects: pa.RecordBatch, first_line: int, records: RawRecords) -> RejectTable:
    found = rejects.to_pydict()
    lines = [line + first_line for line in found["line"]]
    places = [records.find(line) for line in lines]
    columns: Sequence[list[object]] = (
        list(lines),
        [offset for offset, _ in places],
        [raw for _, raw in places],
        found["field"],
        found["code"],
        found["message"],
    )
    return RejectTable(dict(zip(REJECT_COLUMNS, columns, strict=True)))


def _kept_bytes(data: bytes, scanned: Scan, lines: np.ndarray) -> bytes:
    """Return the lines, with their ends, without the bytes of any other."""
    if len(lines) == len(scanned.starts):
        return data
    if not len(lines):
        return b""
    follows = np.append(scanned.starts[1:], len(data))
    breaks = np.flatnonzero(np.diff(lines) != 1)
    firsts = lines[np.append(0, breaks + 1)]
    lasts = lines[np.append(breaks, len(lines) - 1)]
    return b"".join(
        data[start:end] for start, end in zip(scanned.starts[firsts].tolist(), follows[lasts].tolist(), strict=True)
    )


def _may_be_plain(block: Block, header: tuple[str, ...], dialect: ResolvedDialect) -> bool:
    """Tell whether only the number of fields can be wrong in a block, and is right in its first line."""
    first, _, _ = block.data[:MAX_RECORD_BYTES].partition(b"\n")  # pandas asks of the others what the first has
    if not first.strip() or first.startswith(_BYTE_ORDER_MARK):
        return False
    width = width_of(first.removesuffix(b"\r"), dialect.delimiter.encode(), dialect.quote.encode(), dialect)
    return width == len(header) and is_plain(block.data, dialect)


def _read_plain(data: bytes, lines: int, header: tuple[str, ...], dialect: ResolvedDialect) -> pa.RecordBatch | None:
    """
    Return the fields of lines that may be plain; None if not all of them are good.

    Where only the number of fields can be wrong, pandas counts them: the scan, which takes as long as the reading,
    finds out which lines are wrong.
    """
    try:
        batch = _read_fast(data, len(header), dialect)
    except pd.errors.ParserError:
        return None
    if batch is None or batch.num_rows != lines:
        return None
    return pa.RecordBatch.from_arrays(batch.columns, names=list(header))


def _read_fast(data: bytes, width: int, dialect: ResolvedDialect) -> pa.RecordBatch | None:
    """Return the fields of good records as `width` columns of text, by pandas' pyarrow engine; None if it cannot."""
    if not data:
        return _no_rows(width)
    quote = dialect.quote or _unused_byte(data)
    if quote is None or width > _MAX_FAST_COLUMNS:
        return None
    if dialect.blank_after:
        data = without_blanks(data, dialect)
    if dialect.block_encoding != "utf-8" and not data.isascii():
        data = data.decode(dialect.block_encoding).encode()
    if not data.endswith((b"\n", b"\r")):
        data += b"\n"  # Arrow finds no columns in a lone line without an end
    if data.startswith(codecs.BOM_UTF8):
        data = b"\n" + data  # Arrow skips one at its beginning, where it is data: only a source's own start has a mark
    names = _numbers(width)
    read = pd.read_csv(
        io.BytesIO(data),
        engine="pyarrow",
        sep=dialect.delimiter,
        quotechar=quote,
        header=None,
        names=names,
        dtype=_TEXT,  # one for all: by column, pandas 3.1 takes three times as long
        dtype_backend="pyarrow",
        keep_default_na=False,
    )
    # Column by column: `Table.from_pandas` takes 3 ms for that, as long as Arrow takes for half a MiB.
    columns = [_plain(column.array.__arrow_array__()) for _, column in read.items()]
    return pa.RecordBatch.from_arrays(columns, names=names)


def _plain(column: pa.ChunkedArray) -> pa.StringArray:
    """Return a column in one piece, with 32-bit offsets: a block has less than 2 GiB."""
    whole = column.cast(pa.string()).combine_chunks()
    return whole if isinstance(whole, pa.StringArray) else pa.concat_arrays(whole.chunks)


def _unused_byte(data: bytes) -> str | None:
    """Return a character that *data* does not have: pandas' pyarrow engine cannot do without a quote."""
    return next((chr(byte) for byte in range(1, 128) if byte not in b"\r\n" and byte not in data), None)


def _no_rows(width: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([], pa.string())] * width, names=_numbers(width))


def _numbers(width: int) -> list[str]:
    return [str(number) for number in range(width)]


def _read_slow(data: bytes, scanned: Scan, lines: np.ndarray, dialect: ResolvedDialect, width: int) -> pa.RecordBatch:
    """Return the fields of good records, one record at a time, for those that pandas may misread."""
    rows, encoding = [], dialect.block_encoding
    for line in lines.tolist():
        record = data[scanned.starts[line] : scanned.ends[line]]
        fields: list[bytes] | Damage | None = split_record(record, dialect)
        if dialect.stray_quotes == "keep" and isinstance(fields, Damage):
            fields = split_loosely(record, dialect, width)
        if fields is None or isinstance(fields, Damage):  # the scan says they are good, so this cannot be
            raise TypeError(fields)
        rows.append([field.decode(encoding) for field in fields])
    columns = [pa.array([row[column] for row in rows], pa.string()) for column in range(width)]
    return pa.RecordBatch.from_arrays(columns, names=_numbers(width))


def _with_slow(
    fast: pa.RecordBatch, fast_lines: np.ndarray, slow: pa.RecordBatch, slow_lines: np.ndarray
) -> tuple[pa.RecordBatch, np.ndarray]:
    """Return both, in order of lines."""
    lines = np.append(fast_lines, slow_lines)
    order = np.argsort(lines, kind="stable")
    table = pa.Table.from_batches([fast, slow]).combine_chunks().take(pa.array(order))
    return table.combine_chunks().to_batches()[0], lines[order]


def _rejects(scanned: Scan, width: int, dialect: ResolvedDialect) -> pa.RecordBatch:
    lines = np.flatnonzero(scanned.outcomes > Outcome.CONTINUED)
    # What is said depends on outcome and width only, so it is put into words once for all lines alike.
    facts = np.stack([scanned.outcomes[lines].astype(np.int64), scanned.widths[lines].astype(np.int64)], axis=1)
    kinds, kind_of = np.unique(facts, axis=0, return_inverse=True)
    codes = [Outcome(outcome).code for outcome, _ in kinds.tolist()]
    messages = [_message(Outcome(outcome), found, width, dialect) for outcome, found in kinds.tolist()]
    columns = [
        pa.array(lines, pa.int64()),
        pa.nulls(len(lines), pa.string()),
        pa.array(codes, pa.string()).take(pa.array(kind_of)),
        pa.array(messages, pa.string()).take(pa.array(kind_of)),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=REJECT_SCHEMA)


def _message(outcome: Outcome, found: int, width: int, dialect: ResolvedDialect) -> str:
    if outcome is Outcome.TOO_LONG:
        return f"found a record longer than {MAX_RECORD_BYTES // 2**20} MiB, expected a call"
    if outcome is Outcome.NUL_BYTE:
        return "found a NUL byte, expected text"
    if outcome is Outcome.BAD_ENCODING:
        return f"found bytes that are not {dialect.block_encoding}, expected text in that encoding"
    if outcome is Outcome.BAD_QUOTE:
        return f"found a quote ({dialect.quote}) out of place, expected quotes around whole fields only"
    if outcome is Outcome.TORN_RECORD:
        return "found the end of the source inside a record, expected a line end after it"
    return f"found {found} {'field' if found == 1 else 'fields'}, expected {width}"
