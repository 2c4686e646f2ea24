"""The rejects of a load in the books, compared with what reading its source again makes of the same lines."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from trunkline.database.queries import Queries
from trunkline.tracing.findings import Disagreement, Findings

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

    from trunkline.blocks import Block, TypedBlock
    from trunkline.engine import Reading

query = Queries("verifying")


@dataclass(kw_only=True, slots=True)
class KeptRejects:
    """
    The rejects of one load, compared block by block.

    Attributes:
        load_id: Whose they are.
        same_layout: Whether the load was read by today's layout: else a record may be read otherwise today.
        by_code: Those that the books have in the blocks compared so far.
    """

    load_id: int
    same_layout: bool
    findings: Findings
    by_code: Counter[str] = field(default_factory=Counter)

    def compare(self, cursor: Cursor, block: Block, reading: Reading, typed: TypedBlock) -> None:
        """Compare the rejects of a block: each is in the books with its bytes, place and code, and no other is."""
        found = {
            block.first_line + line: (name, code)
            for line, name, code in zip(
                *(typed.rejects.column(name).to_pylist() for name in ("line", "field", "code")), strict=True
            )
        }
        cursor.execute(
            query("rejects_between"),
            {"load_id": self.load_id, "first_line": block.first_line, "end_line": block.first_line + block.lines},
        )
        kept = cursor.fetchall()
        records = reading.records_of(block)
        calls = typed.lines + block.first_line
        for line, offset, raw, name, code in sorted(kept):
            self.by_code[code] += 1
            if records.find(line) != (offset, bytes(raw)):
                self._add("reject_bytes", line, "the reject has other bytes, or another place, than the record")
            self._compare_code(line, (name, code), found.get(line), is_call=_holds(calls, line))
        for line in sorted(found.keys() - {row[0] for row in kept}):
            self._add("reject_missing", line, f"cannot be loaded ({found[line][1]}), and is not among the rejects")

    def _compare_code(
        self, line: int, kept: tuple[str | None, str], found: tuple[str | None, str] | None, *, is_call: bool
    ) -> None:
        if kept[1] == "conflict" and is_call:
            return  # the call table is asked for those
        if found is None:
            if self.same_layout or not is_call:
                self._add("reject_extra", line, f"is among the rejects ({kept[1]}), and reading it finds nothing wrong")
        elif kept != found and self.same_layout:
            self._add("reject_code", line, f"is among the rejects as {_said(kept)}, and is {_said(found)}")

    def _add(self, kind: str, line: int, detail: str) -> None:
        self.findings.add(Disagreement(kind=kind, source_line=line, detail=detail))


def _holds(lines: np.ndarray, line: int) -> bool:
    place = int(np.searchsorted(lines, line))
    return place < len(lines) and int(lines[place]) == line


def _said(reject: tuple[str | None, str]) -> str:
    name, code = reject
    return f"{name}: {code}" if name else code
