"""Stage: a load's calls on their way into the call table, in tables of the load's own that readers do not see.

Each block is copied and accounted for in one transaction, so that a crash loses at most the blocks in work.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from psycopg2 import sql
from psycopg2.extras import execute_batch

from trunkline.database.queries import Queries
from trunkline.errors import RefusedError
from trunkline.loading.copy_format import CopyStream, copy_options, encode_copy
from trunkline.loading.partitions import Days, partition_bounds, partition_starts
from trunkline.loading.staged_tables import StagedTable, aside_table, repeats_table, staged_name
from trunkline.loading.tables import CallTable, identifiers

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

    from trunkline.blocks import Block, Lines, RawRecords, TypedBlock, TypedTotals

query = Queries("loading")

MOST_NEW_PARTITIONS = 400  # more is wrong dates; at 3,000 partitions readers run out of locks (measured)
COPY_CHUNK_BYTES = 1 << 18
BOUNDS_CHECK = "trunkline_bounds"


def open_stage(cursor: Cursor, table: CallTable, load_id: int) -> None:
    """Make what every load that is staged by itself has, in the caller's transaction."""
    make_aside(cursor, load_id)
    cursor.execute(query("make_staged", staged=repeats_table(load_id), table=table.identifier))


def make_aside(cursor: Cursor, load_id: int) -> None:
    """Make the table of what a load sets aside, in the caller's transaction."""
    cursor.execute(query("make_aside", aside=aside_table(load_id)))


def make_staged(
    cursor: Cursor, table: CallTable, load_id: int, starts: Iterable[date | None], *, system: str
) -> dict[date | None, StagedTable]:
    """Register and make the staged tables of these partitions, in the caller's transaction."""
    made = {}
    for start in starts:
        bounds = (None, None) if start is None else partition_bounds(start, table.partition)
        staged = StagedTable(relation=staged_name(load_id, start), lower=bounds[0], upper=bounds[1])
        cursor.execute(
            query("register_staged"),
            {"load_id": load_id, "relation": staged.relation, "lower": staged.lower, "upper": staged.upper},
        )
        _make(cursor, table, staged)
        fill_in(cursor, table, staged.identifier, load_id=load_id, system=system)
        made[start] = staged
    return made


def _make(cursor: Cursor, table: CallTable, staged: StagedTable) -> None:
    if staged.lower is None:
        cursor.execute(query("make_staged", staged=staged.identifier, table=table.identifier))
        return
    cursor.execute(
        query(
            "make_bounded",
            staged=staged.identifier,
            table=table.identifier,
            name=sql.Identifier(BOUNDS_CHECK),
            event_time=sql.Identifier(str(table.event_time)),
            lower=sql.Literal(staged.lower),
            upper=sql.Literal(staged.upper),
        )
    )


def fill_in(cursor: Cursor, table: CallTable, staged: sql.Identifier, *, load_id: int, system: str) -> None:
    """Let a staged table give each call what all have alike: for load and system a seventh of COPY's time less."""
    values: dict[str, str | int] = {"system": system, "load_id": load_id, **table.stated}
    default = sql.SQL("alter column {} set default {}")
    defaults = [default.format(sql.Identifier(name), sql.Literal(value)) for name, value in values.items()]
    cursor.execute(query("fill_in", staged=staged, defaults=sql.SQL(", ").join(defaults)))


def no_defaults(table: CallTable) -> sql.Composed:
    """Return the actions of ALTER TABLE that take back what `fill_in` did."""
    action = sql.SQL("alter column {} drop default")
    return sql.SQL(", ").join(action.format(sql.Identifier(name)) for name in ("system", "load_id", *table.stated))


@dataclass(frozen=True, kw_only=True, slots=True)
class StagedRows:
    """The calls of one block, with all columns but its load and system, in runs of one partition each."""

    batch: pa.RecordBatch
    runs: tuple[tuple[date | None, int, int], ...]  # partition, first row, end


def staged_rows(typed: TypedBlock, table: CallTable, *, first_line: int) -> StagedRows:
    """Return the rows of a block as they are copied, ordered by partition and, within one, by source line."""
    return in_runs(with_lines(typed, first_line=first_line), table)


def in_runs(batch: pa.RecordBatch, table: CallTable) -> StagedRows:
    """Return rows ordered by partition and, within one, as they come."""
    if not table.is_partitioned or batch.num_rows == 0:
        return StagedRows(batch=batch, runs=((None, 0, batch.num_rows),) if batch.num_rows else ())
    starts = partition_starts(batch.column(table.event_time), table.partition)
    if not (starts[1:] >= starts[:-1]).all():
        order = np.argsort(starts, kind="stable")
        batch, starts = batch.take(pa.array(order)), starts[order]
    return StagedRows(batch=batch, runs=tuple(_runs(starts)))


def starts_in(batch: pa.RecordBatch, table: CallTable) -> set[date | None]:
    """Return the partitions that calls fall into."""
    if not table.is_partitioned:
        return {None}
    return set(np.unique(partition_starts(batch.column(table.event_time), table.partition)).tolist())


def with_lines(typed: TypedBlock, *, first_line: int) -> pa.RecordBatch:
    """Return the calls of a block with their lines in the source."""
    columns = {name: typed.batch.column(name) for name in typed.batch.schema.names if name != "record_key"}
    columns["source_line"] = pa.array(typed.lines + first_line)
    columns["record_key"] = typed.batch.column("record_key")
    return pa.record_batch(columns)


def _runs(starts: Days) -> Iterable[tuple[date, int, int]]:
    edges = np.flatnonzero(starts[1:] != starts[:-1]) + 1
    firsts = [0, *edges.tolist()]
    ends = [*edges.tolist(), len(starts)]
    return [(starts[first].item(), first, end) for first, end in zip(firsts, ends, strict=True)]


def copy_rows(cursor: Cursor, table: CallTable, rows: StagedRows, staged: dict[date | None, StagedTable]) -> None:
    """Copy the rows of a block into their staged tables, in the caller's transaction."""
    batch = _without_stated(rows.batch, table)
    columns = identifiers(batch.schema.names)
    for start, first, end in rows.runs:
        statement = sql.SQL("copy {} ({}) from stdin with ({})").format(
            staged[start].identifier, columns, sql.SQL(copy_options())
        )
        stream = CopyStream(encode_copy(batch.slice(first, end - first), table.value_types))
        cursor.copy_expert(statement, stream, size=COPY_CHUNK_BYTES)


def _without_stated(batch: pa.RecordBatch, table: CallTable) -> pa.RecordBatch:
    """Return the columns that must be copied: all but those in which each call has what the staged table fills in."""
    filled = [name for name, value in table.stated.items() if _is_all(batch.column(name), value)]
    return batch.drop_columns(filled)


def _is_all(column: pa.Array, value: str) -> bool:
    return bool(pc.all(pc.equal(column, value), skip_nulls=False).as_py())


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockAccount:
    """What the books keep of a staged block."""

    load_id: int
    block: Block
    typed: TypedBlock
    identity: str
    totals: TypedTotals

    def parameters(self) -> dict[str, object]:
        """Return the values of the query that writes it."""
        block, typed = self.block, self.typed
        return {
            "load_id": self.load_id,
            "position": block.position,
            "first_byte": block.first_byte,
            "bytes": len(block.data),
            "first_line": block.first_line,
            "lines": block.lines,
            "content_hash": self.identity,
            "read": typed.read,
            "typed": typed.batch.num_rows,
            "rejected": typed.rejects.num_rows,
            "filtered": typed.filtered,
            "totals": totals_json(self.totals),
            "findings": typed.findings.to_json(),
        }


def add_blocks(cursor: Cursor, *accounts: BlockAccount) -> None:
    """Account for staged blocks, in the transaction that copied them."""
    execute_batch(cursor, query("add_block"), (account.parameters() for account in accounts))


def totals_json(totals: TypedTotals) -> str:
    """Return typed totals as the books keep them: exact decimals as text."""
    cost = {currency: str(amount) for currency, amount in totals.cost.items()}
    return json.dumps({"duration_s": str(totals.duration_s), "cost": cost})


def add_rejects(cursor: Cursor, load_id: int, rejects: pa.RecordBatch, *, first_line: int, records: RawRecords) -> None:
    """Keep the rejects of a block with their original bytes, in the caller's transaction."""
    if rejects.num_rows == 0:
        return
    lines = np.asarray(rejects.column("line")) + first_line
    found = [records.find(int(line)) for line in lines]
    copy_rejects(
        cursor,
        load_id,
        lines=lines,
        offsets=[offset for offset, _ in found],
        raws=[raw for _, raw in found],
        rest={name: rejects.column(name) for name in ("field", "code", "message")},
    )


def copy_rejects(
    cursor: Cursor,
    load_id: int,
    *,
    lines: Lines,
    offsets: Sequence[int],
    raws: Sequence[bytes],
    rest: dict[str, pa.Array],
) -> None:
    """Copy rejects into the books: *rest* holds field, code, message, and for conflicts what was kept."""
    batch = pa.record_batch(
        {
            "load_id": pa.repeat(pa.scalar(load_id, pa.int64()), len(lines)),
            "source_line": pa.array(lines, pa.int64()),
            "byte_offset": pa.array(offsets, pa.int64()),
            "raw": pa.array(raws, pa.binary()),
            **rest,
        }
    )
    statement = sql.SQL("copy trunkline.rejects ({}) from stdin with ({})").format(
        identifiers(batch.schema.names), sql.SQL(copy_options())
    )
    cursor.copy_expert(statement, CopyStream(encode_copy(batch)), size=COPY_CHUNK_BYTES)


def check_partition_count(starts: set[date | None], there: set[date]) -> None:
    """
    Refuse a load that would make too many partitions.

    Raises:
        RefusedError: Naming the range of its times.
    """
    new = sorted(start for start in starts if start is not None and start not in there)
    if len(new) > MOST_NEW_PARTITIONS:
        raise RefusedError(
            f"the calls would make {len(new)} new partitions or more, from {new[0]} to {new[-1]}; "
            f"expected at most {MOST_NEW_PARTITIONS}",
            hint='check the date format of the layout, or choose wider partitions (partition = "month")',
        )
