"""Trailers: lines that say how many calls a source holds, and what they sum to; set aside, and held against the books.

Found block by block, compared when all of the source was read.  No I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trunkline.errors import RefusedError
from trunkline.fields.parsing import FieldText, parse_field
from trunkline.fields.text_bytes import Mask
from trunkline.findings import Findings, Trailer
from trunkline.framing.records import Damage, split_record
from trunkline.layout.fields import AnyField, DurationField, MoneyField
from trunkline.layout.trailers import COUNT, TrailerTotal

if TYPE_CHECKING:
    from trunkline.framing.dialect import ResolvedDialect
    from trunkline.layout.model import Layout
    from trunkline.layout.trailers import TrailerRule

_HINT = 'a part of it may be missing; mismatch = "warn" below [trailer] of the layout loads it so'


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """
    The trailers among some records.

    Attributes:
        rows: Which records of as many fields as a call are trailers.
        rejected: Which of the others are.
        trailers: What they say.
    """

    rows: Mask
    rejected: Mask
    trailers: tuple[Trailer, ...]


def find_trailers(
    batch: pa.RecordBatch, rejected: Sequence[bytes], layout: Layout, rule: TrailerRule, dialect: ResolvedDialect
) -> Found:
    """
    Return the trailers among records.

    Args:
        batch: Text columns in the order of the file.
        rejected: The bytes of records that could not be read as calls.
    """
    rows = np.zeros(batch.num_rows, dtype=np.bool_)
    stated: list[Mapping[str, str]] = []
    if rule.first and batch.num_columns:
        rows = pc.is_in(batch.column(0), value_set=pa.array(rule.first)).to_numpy(zero_copy_only=False)
        stated += [
            _at_places([str(column[row]) for column in batch.columns], rule) for row in np.flatnonzero(rows).tolist()
        ]
    others = [_of_line(line, rule, dialect) for line in rejected]
    stated += [each for each in others if each is not None]
    return Found(
        rows=rows,
        rejected=np.array([each is not None for each in others], dtype=np.bool_),
        trailers=tuple(_read(each, layout, rule) for each in stated),
    )


def _of_line(line: bytes, rule: TrailerRule, dialect: ResolvedDialect) -> Mapping[str, str] | None:
    """Return the values of a line that is no call, by what they are, or None if it is no trailer either."""
    text = line.decode(dialect.block_encoding, "replace")
    if rule.pattern is not None:
        found = pc.extract_regex(pa.array([text]), pattern=rf"\A(?:{rule.pattern})\z")[0].as_py()
        return None if found is None else {name: str(value).strip() for name, value in found.items()}
    if not text.startswith(rule.first + tuple(dialect.quote + one for one in rule.first)):
        return None
    fields = split_record(text.encode(), dialect)
    if isinstance(fields, Damage) or fields[0].decode() not in rule.first:
        return None
    return _at_places([field.decode() for field in fields], rule)


def _at_places(texts: Sequence[str], rule: TrailerRule) -> dict[str, str]:
    places = {COUNT: rule.count} | {total.field: total.column for total in rule.totals}
    return {
        name: texts[place - 1].strip() if place <= len(texts) else ""
        for name, place in places.items()
        if place is not None
    }


def _read(stated: Mapping[str, str], layout: Layout, rule: TrailerRule) -> Trailer:
    count = stated.get(COUNT)
    return Trailer(
        count=int(count) if count is not None and count.isascii() and count.isdigit() else None,
        totals={total.field: _amount(stated[total.field], layout, total) for total in rule.all_totals},
    )


def _amount(text: str, layout: Layout, total: TrailerTotal) -> Decimal | None:
    """Return a total, read as the values of its field are but for its own unit, or None if it cannot be."""
    field = _field_of(total, layout.field(total.field))
    said = FieldText(text=pa.array([text]), absent=np.array([text == ""]))
    parsed = parse_field(field, layout, said)
    value = parsed.columns[0][0].as_py()
    return None if value is None or any(fault.rows.any() for fault in parsed.faults) else Decimal(value)


def _field_of(total: TrailerTotal, field: AnyField) -> AnyField:
    changes: dict[str, Any] = {"min": None, "max": None, "allowed": None}
    if total.implied is not None:
        changes |= {"implied": total.implied}
    if isinstance(field, DurationField):
        changes |= {"unit": total.unit or field.unit, "units": None, "unit_from": None, "scale": 6}
    if isinstance(field, MoneyField):
        changes |= {"currency_from": None}
    return field.model_copy(update={name: value for name, value in changes.items() if hasattr(field, name)})


def sums_of(batch: pa.RecordBatch, rule: TrailerRule) -> dict[str, Decimal]:
    """Return the sums of typed calls that trailers state, by field."""
    return {
        total.field: Decimal(pc.sum(batch.column(total.field), min_count=0).as_py() or 0) for total in rule.all_totals
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """How many records of a source were read, and what became of them before any was loaded."""

    read: int
    rejected: int
    filtered: int


def judge_trailers(
    findings: Findings, counts: Counts, layout: Layout, *, warn: Callable[[str], None]
) -> dict[str, Any] | None:
    """
    Hold what trailers state against what was read.

    Args:
        findings: Of all of the source.

    Returns:
        ``{"agrees": True, "count": {"stated": "2", "found": "2"}, "cost": ...}`` for the books; None where there is
        no trailer.  Several, as in joined files, count together.

    Raises:
        RefusedError: If they do not agree, or there is none, and the layout does not let that pass.
    """
    rule = layout.trailer
    if rule is None:
        return None
    problem, outcome = None, None
    if not findings.trailers:
        if not rule.required or layout.growing:
            return None
        problem = "has no trailer, expected one at its end"
    else:
        compared = dict(_compared(findings, counts, rule))
        wrong = [f"{name} {stated}, found {found}" for name, (stated, found) in compared.items() if stated != found]
        outcome = {"agrees": not wrong} | {
            name: {"stated": stated, "found": found} for name, (stated, found) in compared.items()
        }
        if wrong:
            problem = f"has a trailer that states {'; '.join(wrong)}"
        if rule.all_totals and counts.rejected:
            warn(f"totals of the trailer are not compared, as {counts.rejected:,} records are rejected")
    if problem is not None:
        if rule.mismatch == "refuse":
            raise RefusedError(problem, hint=_HINT)
        warn(problem)
    return outcome


def _compared(findings: Findings, counts: Counts, rule: TrailerRule) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield what is stated and what was found; totals only where no record is missing in them."""
    trailers = findings.trailers
    if rule.count is not None or COUNT in rule.groups:
        left_out = counts.filtered if rule.count_of == "calls" else len(trailers)
        found = counts.read - left_out + rule.count_more * len(trailers)
        numbers = [each.count for each in trailers]
        yield COUNT, ("nothing readable" if None in numbers else str(sum(filter(None, numbers))), str(found))
    if counts.rejected:
        return
    for total in rule.all_totals:
        amounts = [each.totals[total.field] for each in trailers]
        stated = "nothing readable" if None in amounts else _plain(sum(filter(None, amounts), Decimal(0)))
        yield total.field, (stated, _plain(findings.sums.get(total.field, Decimal(0))))


def _plain(amount: Decimal) -> str:
    """
    Return an amount without needless zeros.

    >>> _plain(Decimal("340.500000")), _plain(Decimal("1200")), _plain(Decimal("0.000"))
    ('340.5', '1200', '0')
    """
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
