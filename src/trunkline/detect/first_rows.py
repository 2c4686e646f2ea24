"""The first records of a source as text, to recognise it by.  What looks damaged is left out here, not judged."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from trunkline.framing.dialect import ResolvedDialect, resolve_dialect, sample_lines
from trunkline.framing.records import Damage, sampled_fields

if TYPE_CHECKING:
    from trunkline.framing.dialect import WantedDialect

MOST_ROWS: Final = 200

Row = tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class FirstRows:
    """
    The first records of a source.

    Attributes:
        dialect: How they were read; whether there is a header is not known here.
        rows: Fields of each record, those of a header line first.
    """

    dialect: ResolvedDialect
    rows: tuple[Row, ...]

    @property
    def width(self) -> int:
        """Number of fields that most records have; 0 if there are none."""
        counts = Counter(len(row) for row in self.rows)
        return max(counts, key=lambda width: (counts[width], width), default=0)

    def behind_header(self, lines: int) -> tuple[Row, ...]:
        """Return the records of the usual width behind *lines* of header."""
        return tuple(row for row in self.rows[lines:] if len(row) == self.width)


def read_first_rows(sample: bytes, wanted: WantedDialect | None = None) -> FirstRows:
    """
    Return the first records of a source.

    Args:
        sample: The first bytes of the decompressed source; a last line that may be cut is left out.
        wanted: What a layout states about the dialect.

    Raises:
        LayoutError: If the stated dialect cannot be one.
        SourceError: If the sample is not text in any supported encoding.
    """
    dialect = resolve_dialect(sample, wanted)
    lines = sample_lines(sample, dialect.encoding)[dialect.skip_lines :]
    records = [line for line in lines[:MOST_ROWS] if line.strip() and not dialect.is_aside(line)]
    grammar = dialect.grammar
    split = (sampled_fields(record, grammar) for record in records)
    return FirstRows(dialect=dialect, rows=tuple(row for row in split if not isinstance(row, Damage)))
