"""A field of a layout and its text to the columns that the field fills, and to what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import reduce
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trunkline.fields.duration import parse_durations, parse_durations_by_unit, span_between
from trunkline.fields.go_duration import parse_go_durations
from trunkline.fields.money import MoneyStyle, parse_money
from trunkline.fields.number import parse_decimals, parse_integers
from trunkline.fields.parsed import Fault, Parsed
from trunkline.fields.phones import parse_phones
from trunkline.fields.spreadsheet import lost_values
from trunkline.fields.text import (
    not_allowed,
    not_matching,
    parse_address_numbers,
    parse_addresses,
    parse_booleans,
    parse_mapped,
)
from trunkline.fields.text_bytes import Mask, byte_lengths, mask_of, text_bytes
from trunkline.fields.timestamp import parse_dates, parse_epochs, parse_timestamps
from trunkline.fields.zones import CallWitness
from trunkline.layout.fields import (
    AnyField,
    BooleanField,
    DateField,
    DecimalField,
    DurationField,
    IntegerField,
    IpField,
    MoneyField,
    PhoneField,
    TextField,
    TimestampField,
)
from trunkline.layout.model import Layout

_NOT_LOST: Final = "the value itself (a spreadsheet has put this in its place)"


@dataclass(frozen=True, kw_only=True, eq=False)
class FieldText:
    """
    What the records say in the columns of a field.

    Attributes:
        text: The field's own text, without nulls.
        absent: Which records say nothing, be it with a word that means so.
        beside: What the column says that the field names for its currencies or units, or None.
    """

    text: pa.StringArray
    absent: Mask
    beside: pa.StringArray | None = None

    def __getitem__(self, rows: slice) -> FieldText:
        """Return what some of the records say."""
        beside = None if self.beside is None else self.beside[rows]
        return FieldText(text=self.text[rows], absent=self.absent[rows], beside=beside)


def field_text(
    field: AnyField, layout: Layout, columns: list[pa.StringArray], beside: pa.StringArray | None
) -> FieldText:
    """
    Return the text of a field.

    Args:
        field: A field of *layout*.
        layout: Says which texts mean NULL.
        columns: The field's own CSV columns, at least one; several are joined, and absent where all are.
        beside: The CSV column with the currencies or units, or None.
    """
    nulls = layout.nulls_of(field)
    if field.trim:
        columns = [pc.utf8_trim(column, " \t") for column in columns]
    absent = reduce(np.logical_and, [_is_any(column, nulls) for column in columns])
    parts = [pc.fill_null(column, "") if column.null_count else column for column in columns]
    text = parts[0] if len(parts) == 1 else pc.binary_join_element_wise(*parts, field.join)
    return FieldText(text=text, absent=absent, beside=beside)


def _is_any(text: pa.StringArray, words: tuple[str, ...]) -> Mask:
    """Return which values are null or one of a few *words*."""
    found = np.zeros(len(text), dtype=np.bool_)
    if text.null_count:
        found |= text.is_null().to_numpy(zero_copy_only=False)
    for word in words:
        if word == "":
            found |= byte_lengths(text) == 0
            continue
        found |= mask_of(pc.equal(text, word))
    return found


def parse_field(field: AnyField, layout: Layout, said: FieldText, call_witness: CallWitness | None = None) -> Parsed:
    """
    Return the columns that *field* fills, in the order of `field.columns`, and the faults of its values.

    *call_witness* brings what second clocks say of a timestamp.

    A record that says nothing has NULL in all of them, and that is a fault where the field is required.
    """
    parsed = _parse(field, layout, said, call_witness)
    faults = (*parsed.faults, *_range_faults(field, parsed.columns[0]))
    if not said.absent.any():
        return Parsed(columns=parsed.columns, faults=faults)
    absent = pa.array(said.absent)
    columns = tuple(pc.if_else(absent, pa.scalar(None, column.type), column) for column in parsed.columns)
    there = tuple(Fault(code=one.code, rows=one.rows & ~said.absent, expected=one.expected) for one in faults)
    if not field.required:
        return Parsed(columns=columns, faults=there)
    missing = Fault(code="missing_value", rows=said.absent, expected="a value")
    return Parsed(columns=columns, faults=(missing, *there))


def parse_span(field: DurationField, first: pa.Array, second: pa.Array) -> Parsed:
    """Return how long it was between two timestamps of the record, and the faults of a field that is counted so."""
    parsed = span_between(first, second, scale=field.scale)
    faults = [*parsed.faults, *_range_faults(field, parsed.columns[0])]
    if field.required:
        absent = parsed.columns[0].is_null().to_numpy(zero_copy_only=False)
        faults.insert(0, Fault(code="missing_value", rows=absent, expected="both times"))
    return Parsed(columns=parsed.columns, faults=tuple(faults))


def _parse(field: AnyField, layout: Layout, said: FieldText, call_witness: CallWitness | None) -> Parsed:
    """Parse all values, those of absent ones with arbitrary results."""
    text = said.text
    match field:
        case TextField():
            return _parse_text(field, layout, text)
        case IntegerField():
            return parse_integers(text_bytes(text))
        case DecimalField():
            return parse_decimals(text_bytes(text), scale=field.scale, point=field.point, implied=field.implied)
        case MoneyField():
            return parse_money(text_bytes(text), _money_style(field), said.beside)
        case DurationField():
            return _parse_durations(field, said)
        case TimestampField():
            return _parse_timestamps(field, layout, text, call_witness)
        case DateField():
            return parse_dates(text_bytes(text), formats=field.format)
        case BooleanField():
            return parse_booleans(text, field.choices)
        case PhoneField():
            return parse_phones(text, region=layout.region_of(field))
        case IpField():
            return parse_addresses(text) if field.format == "text" else parse_address_numbers(text_bytes(text))


def _parse_text(field: TextField, layout: Layout, text: pa.StringArray) -> Parsed:
    parsed = Parsed(columns=(text,)) if field.map is None else parse_mapped(text, field.map, field.other)
    lost = None if layout.spreadsheet == "ignore" else lost_values(text)
    faults = [] if lost is None else [Fault(code="spreadsheet_damage", rows=lost, expected=_NOT_LOST)]
    faults += parsed.faults
    if field.allowed is not None:
        faults.append(not_allowed(text, field.allowed))
    if field.pattern is not None:
        faults.append(not_matching(text, field.pattern))
    return Parsed(columns=parsed.columns, faults=tuple(faults))


def _money_style(field: MoneyField) -> MoneyStyle:
    return MoneyStyle(
        scale=field.scale, point=field.point, group=field.group, implied=field.implied, currency=field.currency
    )


def _parse_durations(field: DurationField, said: FieldText) -> Parsed:
    if field.units is not None and said.beside is not None:
        return parse_durations_by_unit(said.text, said.beside, field.units, scale=field.scale, implied=field.implied)
    unit = field.unit or "s"
    if unit in ("go", "go_ns"):
        return parse_go_durations(said.text, scale=field.scale, bare_ns=unit == "go_ns")
    return parse_durations(text_bytes(said.text), unit=unit, scale=field.scale, implied=field.implied)


def _parse_timestamps(
    field: TimestampField, layout: Layout, text: pa.StringArray, call_witness: CallWitness | None
) -> Parsed:
    if field.is_epoch:
        return parse_epochs(text_bytes(text), unit=field.format[0])
    return parse_timestamps(
        text_bytes(text),
        formats=field.formats,
        zone=layout.zone_of(field),
        ambiguous_time=layout.ambiguous_time_of(field),
        call_witness=call_witness,
    )


def _range_faults(field: AnyField, values: pa.Array) -> list[Fault]:
    """Return which numbers are outside of what the layout allows."""
    faults = []
    if isinstance(field, IntegerField | DecimalField | MoneyField | DurationField):
        if field.min is not None:
            faults.append(_outside(pc.less(values, _number(field.min)), f"at least {field.min}"))
        if field.max is not None:
            faults.append(_outside(pc.greater(values, _number(field.max)), f"at most {field.max}"))
    if isinstance(field, IntegerField) and field.allowed is not None:
        faults.append(not_allowed(values, field.allowed))
    return faults


def _number(limit: int | Decimal) -> pa.Scalar:
    return pa.scalar(Decimal(limit))


def _outside(rows: pa.BooleanArray, expected: str) -> Fault:
    return Fault(code="out_of_range", rows=mask_of(rows), expected=expected)
