"""What stands around the digits of an amount: sign, parentheses, symbol or currency code."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import pyarrow as pa

from trunkline.fields.text_bytes import Bytes, Ints, Mask, TextBytes

_TOO_LONG: Final = b"\xff"  # no UTF-8, so no meaning
_MARK_BYTES: Final = 8  # a sign, a space and "US$", "FCFA" or "€": what is longer is no amount

# What a symbol may stand for; a currency that is not named here goes by its ISO 4217 code alone.
_SYMBOL_TABLE: Final = """
$     ARS AUD BBD BMD BND BSD BZD CAD CLP COP FJD GYD HKD JMD LRD MXN NAD NZD SBD SGD SRD TTD TWD USD UYU XCD
US$   USD
A$    AUD
C$    CAD
R$    BRL
€     EUR
£     EGP FKP GBP GIP LBP SHP SSP SYP
¥     CNY JPY
₹     INR
Rs    INR LKR MUR NPR PKR SCR
Rs.   INR LKR MUR NPR PKR SCR
₦     NGN
₵     GHS
GH₵   GHS
₱     PHP
₺     TRY
₽     RUB
₩     KRW
฿     THB
zł    PLN
Kč    CZK
kr    DKK ISK NOK SEK
R     ZAR
KSh   KES
Ksh   KES
TSh   TZS
USh   UGX
CFA   XAF XOF
FCFA  XAF XOF
"""
SYMBOLS: Final = {
    symbol: frozenset(codes) for symbol, *codes in (line.split() for line in _SYMBOL_TABLE.strip().splitlines())
}
_CODE: Final = re.compile("[A-Z]{3}")
_SPACE: Final = "[ \u00a0\u202f]"
_MARK: Final = r"[^\s\d()+\-−]"
_AROUND: Final = re.compile(
    # In front of the digits: an opening parenthesis, sign and symbol in either order, the point of ".50".
    rf"(?P<open>\(?)(?:(?P<sign>[-+−]){_SPACE}?)?(?:(?P<mark>{_MARK}+?){_SPACE}?)??(?P<inner>[-+−]?)(?P<point>[.,]?)\0"
    # Behind them: a symbol, a sign, the closing parenthesis.
    rf"(?:{_SPACE}?(?P<after>{_MARK}+))?(?P<last>[-−]?)(?P<close>\)?)"
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Around:
    """
    What stands around the digits of every amount of a column.

    Attributes:
        front: Bytes before the number.
        back: Bytes behind it.
        negative: The amount is below zero.
        bad: What stands there means nothing.
        marks: The distinct symbols and codes, "" for none.
        mark_numbers: Which of *marks* each amount has.
    """

    front: Ints
    back: Ints
    negative: Mask
    bad: Mask
    marks: tuple[str, ...]
    mark_numbers: Ints


def read_around(text: TextBytes) -> Around:
    """Find the number in every amount and read what stands around it; each distinct writing is read once."""
    front, back = _run_without_digit(text, text.at), _run_without_digit(text, text.from_end)
    fronts, front_numbers = _distinct(text.trimmed(back=text.lengths - front))
    backs, back_numbers = _distinct(text.trimmed(front=text.lengths - back))
    if len(fronts) == len(backs) == 1:  # all alike, as in most columns
        meanings, rows = [_meaning(fronts[0], backs[0])], None
    else:
        pairs = pa.array(front_numbers * len(backs) + back_numbers).dictionary_encode()
        meanings = [
            _meaning(fronts[pair // len(backs)], backs[pair % len(backs)]) for pair in pairs.dictionary.to_pylist()
        ]
        rows = pairs.indices.to_numpy()
    marks = tuple(sorted({meaning.mark for meaning in meanings if meaning}))

    def each(of: Callable[[_Meaning], int], without: int) -> Ints:
        values = [without if one is None else of(one) for one in meanings]
        return np.full(len(text), values[0], dtype=np.int64) if rows is None else np.array(values, dtype=np.int64)[rows]

    return Around(
        front=front - each(lambda one: one.point, 0),
        back=back,
        negative=each(lambda one: one.negative, 0) != 0,
        bad=each(lambda one: 0, 1) != 0,
        marks=marks or ("",),
        mark_numbers=each(lambda one: marks.index(one.mark), 0),
    )


def _run_without_digit(text: TextBytes, byte_at: Callable[[int], Bytes]) -> Ints:
    """Return how many bytes of each value come before its first digit, seen from the end that *byte_at* reads."""
    run = np.zeros(len(text), dtype=np.int64)
    inside = np.ones(len(text), dtype=np.bool_)
    for place in range(_MARK_BYTES + 1):
        inside &= (byte_at(place) - np.uint8(ord("0")) > 9) & (text.lengths > place)
        if not inside.any():
            break
        run += inside
    return run


def _distinct(text: TextBytes) -> tuple[list[bytes], Ints]:
    """Return the distinct values, and which one each row has; values that are too long for a mark as _TOO_LONG."""
    lengths = text.lengths
    if not lengths.any():
        return [b""], lengths
    words = text.words(0)
    if lengths.max() > _MARK_BYTES:
        words = np.where(lengths > _MARK_BYTES, np.uint64(_TOO_LONG[0]), words)
    if (words == words[0]).all():
        return [_bytes_of(words[0])], np.zeros(len(text), dtype=np.int64)
    coded = pa.array(words).dictionary_encode()
    return [_bytes_of(word) for word in coded.dictionary.to_pylist()], coded.indices.to_numpy().astype(np.int64)


def _bytes_of(word: int | np.uint64) -> bytes:
    return int(word).to_bytes(8, "little").rstrip(b"\0")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Meaning:
    """
    What stands around the digits of an amount.

    Attributes:
        negative: The amount is below zero.
        mark: The symbol or code, or "".
        point: Bytes in front that belong to the number after all: the point of ".50".
    """

    negative: bool
    mark: str
    point: int


@lru_cache(maxsize=4096)
def _meaning(front: bytes, back: bytes) -> _Meaning | None:
    """Return what the bytes around the digits mean, None if they mean nothing."""
    try:
        found = _AROUND.fullmatch(front.decode() + "\0" + back.decode())
    except UnicodeDecodeError:
        return None
    if found is None:
        return None
    signs = [sign for sign in found.group("sign", "inner", "last") if sign]
    parenthesised = found["open"] == "("
    if parenthesised != (found["close"] == ")") or len(signs) + parenthesised > 1:
        return None
    mark, after, point = (text or "" for text in found.group("mark", "after", "point"))
    if mark + point in SYMBOLS:  # "Rs.50" is fifty
        mark, point = mark + point, ""
    if mark and after:
        return None
    if mark + after and not currencies_of(mark + after):
        return None
    negative = parenthesised or signs not in ([], ["+"])
    return _Meaning(negative=negative, mark=mark or after, point=len(point))


def currencies_of(mark: str) -> frozenset[str]:
    """Return the ISO 4217 codes that a symbol or code may stand for, none if it is neither."""
    return SYMBOLS.get(mark, frozenset([mark] if _CODE.fullmatch(mark) else []))
