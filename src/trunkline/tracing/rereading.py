"""One record read again from its source: blocks before its own are only framed, and count its lines."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa

from trunkline.engine import framed_source, typed_of
from trunkline.extraction import extract_block
from trunkline.framing.scanning import Outcome, scan

if TYPE_CHECKING:
    from trunkline.blocks import Block, TypedBlock
    from trunkline.engine import Reading
    from trunkline.layout.files import Layout
    from trunkline.sources.source import Source

Kind = Literal[
    "call", "rejected", "filtered", "blank line", "part of the record before", "before the records", "no line"
]
"""What a line of a source is; all but the first three are no records."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reread:
    """
    A line of a source, as today's layout reads it.

    Attributes:
        block: Position of its block in the source.
        byte_offset: Of the record, in the decompressed source.
        typed: The call alone, where it is one.
        field, code: Why it is rejected.
    """

    kind: Kind
    block: int | None = None
    byte_offset: int | None = None
    typed: TypedBlock | None = None
    field: str | None = None
    code: str | None = None


def reread(source: Source, layout: Layout, line: int) -> Reread:
    """
    Return what *line* of a source is.

    Raises:
        SourceError: If the source cannot be read.
        RefusedError: If its columns are not those of the layout.
    """
    framed = framed_source(source, layout)
    for block in framed.blocks:
        if line < block.first_line:
            break
        if line < block.first_line + block.lines:
            return _in_block(block, framed.reading, line - block.first_line)
    else:
        return Reread(kind="no line")
    return Reread(kind="before the records")


def _in_block(block: Block, reading: Reading, line: int) -> Reread:
    lines = scan(block.data, reading.dialect, len(reading.header))
    found = Reread(kind="filtered", block=block.position, byte_offset=block.first_byte + int(lines.starts[line]))
    if lines.outcomes[line] == Outcome.BLANK:
        return replace(found, kind="blank line")
    if lines.outcomes[line] == Outcome.CONTINUED:
        return replace(found, kind="part of the record before")
    typed = typed_of(block, extract_block(block, reading.header, reading.dialect), reading)
    for reject in typed.rejects.filter(pa.compute.equal(typed.rejects.column("line"), line)).to_pylist():
        return replace(found, kind="rejected", field=reject["field"], code=reject["code"])
    rows = np.flatnonzero(typed.lines == line)
    if not len(rows):
        return found
    row = int(rows[0])
    alone = replace(
        typed, batch=typed.batch.slice(row, 1), lines=typed.lines[row : row + 1], rejects=typed.rejects.slice(0, 0)
    )
    return replace(found, kind="call", typed=alone)
