"""Amounts of money: columns of text to exact decimals and their currencies."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from trunkline.fields.money_marks import Around, currencies_of, read_around
from trunkline.fields.numerals import Numerals, NumeralStyle, read_numerals
from trunkline.fields.parsed import Fault, Parsed, decimals
from trunkline.fields.text_bytes import TextBytes

DIGITS: Final = 18  # of numeric(18, scale)
_LARGEST: Final = np.uint64(10**DIGITS - 1)
_CODE: Final = re.compile("[A-Z]{3}")


@dataclass(frozen=True, kw_only=True, slots=True)
class MoneyStyle:
    """
    How amounts are written, and in which currency.

    Attributes:
        scale: Decimal places of the column.
        point: Character before the decimals, "." or ",".
        group: Character between groups of three digits, or None where none is allowed.
        implied: Decimals that are not written (``120`` is 1.20 where it is 2), or None.
        currency: ISO 4217 code of all amounts, or None where the records state it.
    """

    scale: int = 6
    point: str = "."
    group: str | None = None
    implied: int | None = None
    currency: str | None = None


def parse_money(text: TextBytes, style: MoneyStyle, currencies: pa.StringArray | None = None) -> Parsed:
    """
    Return amounts as decimal128(18, scale) and their currencies as string.

    Args:
        text: Values such as ``$1.20``, ``-1.20``, ``(1.20)``, ``1.20-``, ``USD 1.20`` or ``1,20 €``.
        style: How they are written.
        currencies: The ISO 4217 code of each amount, where another column has it.

    A symbol or code must be able to mean the currency that is stated.  Where none is, a code or a symbol of one
    currency states it ("€"), and that of another one is null ("$").  More decimals than the column holds are
    bad, be they zeros; nothing is ever rounded.
    """
    around = read_around(text)
    number = text.trimmed(front=around.front, back=around.back)
    found = _read_number(number, style)
    unscaled = found.magnitudes.astype(np.int64)
    codes, currency_faults = _currencies(around, len(text), style, currencies)
    faults = [
        Fault(code="bad_money", rows=around.bad | found.malformed, expected=_example(style)),
        Fault(
            code="bad_money",
            rows=found.too_many_decimals,
            expected=f"at most {style.scale} decimals (amounts are never rounded)",
        ),
        Fault(
            code="out_of_range",
            rows=found.overflow | (found.magnitudes > _LARGEST),
            expected=f"an amount with at most {DIGITS - style.scale} digits before the point",
        ),
        *currency_faults,
    ]
    if around.negative.any():
        unscaled = np.where(around.negative, -unscaled, unscaled)
    return Parsed(columns=(decimals(unscaled, style.scale), codes), faults=tuple(faults))


def _example(style: MoneyStyle) -> str:
    if style.implied:
        return f"an amount in digits only, of which the last {style.implied} are decimals"
    thousands = f'"{style.group}" between thousands' if style.group else "nothing between thousands"
    return f'an amount with "{style.point}" before the decimals and {thousands}'


def _read_number(text: TextBytes, style: MoneyStyle) -> Numerals:
    return read_numerals(
        text, NumeralStyle(scale=style.scale, point=style.point, group=style.group, implied=style.implied)
    )


def _currencies(
    around: Around, rows: int, style: MoneyStyle, currencies: pa.StringArray | None
) -> tuple[pa.StringArray, list[Fault]]:
    """Return the currency of every amount, and which do not fit it."""
    if currencies is not None:
        return currencies, _read_faults(around, currencies)
    if style.currency is not None:
        return pa.repeat(pa.scalar(style.currency, pa.string()), rows), _stated_faults(around, style.currency)
    meanings = [currencies_of(mark) for mark in around.marks]
    single = pa.array([next(iter(each)) if len(each) == 1 else None for each in meanings], pa.string())
    return single.take(pa.array(around.mark_numbers)), []


def _stated_faults(around: Around, currency: str) -> list[Fault]:
    """Return which amounts have a symbol or code that cannot mean *currency*."""
    fits = np.array([not mark or currency in currencies_of(mark) for mark in around.marks], dtype=np.bool_)
    if fits.all():
        return []
    return [Fault(code="bad_money", rows=~fits[around.mark_numbers], expected=f"an amount in {currency}")]


def _read_faults(around: Around, currencies: pa.StringArray) -> list[Fault]:
    """Return which amounts have no currency beside them, or one that their symbol or code cannot mean."""
    coded = currencies.dictionary_encode()
    codes = [code if _CODE.fullmatch(code) else None for code in coded.dictionary.to_pylist()] + [None]
    numbers = coded.indices.fill_null(len(codes) - 1).to_numpy()
    fits = np.array([[not mark or code in currencies_of(mark) for code in codes] for mark in around.marks], np.bool_)
    unknown = np.array([code is None for code in codes], dtype=np.bool_)[numbers]
    return [
        Fault(code="bad_money", rows=unknown, expected="an amount with its currency as ISO 4217 code, such as USD"),
        Fault(
            code="bad_money",
            rows=~fits[around.mark_numbers, numbers],
            expected="an amount in the currency that the record states",
        ),
    ]
