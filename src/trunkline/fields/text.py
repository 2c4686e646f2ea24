"""Text with a closed choice, booleans and addresses: each distinct value is looked at once."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trunkline.fields.number import parse_integers
from trunkline.fields.parsed import Fault, Parsed
from trunkline.fields.spreadsheet import matching
from trunkline.fields.text_bytes import Mask, TextBytes, mask_of

_SHOWN = 8  # choices that a message lists

_TRUTH: Final = {
    **dict.fromkeys(("true", "t", "yes", "y", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "0"), False),
}
_ADDRESS_NUMBER: Final = "an IPv4 address as a whole number of 32 bits"


def parse_mapped(text: pa.StringArray, choices: Mapping[str, str], other: str | None = None) -> Parsed:
    """Return canonical names for a list of words, *other* for words not in it, and the words as written."""
    canonical = _by_distinct(text, lambda word: choices.get(word, other), pa.string())
    return Parsed(
        columns=(canonical, text),
        faults=(Fault(code="not_allowed", rows=_null(canonical), expected=f"one of {_list(list(choices))}"),),
    )


def parse_booleans(text: pa.StringArray, choices: Mapping[str, bool] | None = None) -> Parsed:
    """
    Return true and false.

    Args:
        text: Values such as ``true`` or ``N``.
        choices: What each word means, exactly as written; None: true, t, yes, y, 1 and false, f, no, n, 0 in
            upper or lower case.
    """
    meaning = _TRUTH.get if choices is None else choices.get
    values = _by_distinct(text, lambda word: meaning(word.lower() if choices is None else word), pa.bool_())
    expected = f"one of {_list(list(_TRUTH if choices is None else choices))}"
    return Parsed(columns=(values,), faults=(Fault(code="bad_boolean", rows=_null(values), expected=expected),))


def parse_addresses(text: pa.StringArray) -> Parsed:
    """Return IPv4 and IPv6 addresses as text in their canonical form, for PostgreSQL's inet."""
    values = _by_distinct(text, _address, pa.string())
    return Parsed(
        columns=(values,),
        faults=(Fault(code="bad_ip", rows=_null(values), expected="an IPv4 or IPv6 address"),),
    )


def _address(word: str) -> str | None:
    try:
        address = ipaddress.ip_address(word)
    except ValueError:
        return None
    return None if "%" in word else str(address)  # inet holds no scope id


def parse_address_numbers(text: TextBytes) -> Parsed:
    """
    Return IPv4 addresses that are written as 32-bit whole numbers with their low byte first, as dotted text.

    Args:
        text: Values such as ``-1139627840`` or ``3155339456``, both 192.168.18.188.
    """
    numbers = parse_integers(text)
    values = numbers.columns[0].to_numpy()
    bits = np.where(values < 0, values + 2**32, values)
    parts = [pc.cast(pa.array(bits >> shift & 0xFF), pa.string()) for shift in (0, 8, 16, 24)]
    outside = (values < -(2**31)) | (values >= 2**32)
    faults = [Fault(code="bad_ip", rows=one.rows, expected=_ADDRESS_NUMBER) for one in numbers.faults]
    return Parsed(
        columns=(pc.binary_join_element_wise(*parts, "."),),
        faults=(*faults, Fault(code="bad_ip", rows=outside, expected=_ADDRESS_NUMBER)),
    )


def not_allowed(values: pa.Array, allowed: Sequence[str | int]) -> Fault:
    """Return which values are none of *allowed*."""
    inside = pc.is_in(values, value_set=pa.array(allowed, values.type))
    return Fault(code="not_allowed", rows=~mask_of(inside), expected=f"one of {_list(allowed)}")


def not_matching(text: pa.StringArray, pattern: str) -> Fault:
    """
    Return which values *pattern* does not match as a whole.

    The pattern is one of RE2, which knows no look-around and no back-references and in return takes no longer
    than the value is long, whatever the pattern.
    """
    return Fault(code="not_allowed", rows=~matching(text, pattern), expected=f"text like {pattern}")


def _by_distinct(text: pa.StringArray, meaning: Callable[[str], object], kind: pa.DataType) -> pa.Array:
    """Return what *meaning* says of each value, null where it says None."""
    coded = text.dictionary_encode()
    meanings = pa.array([meaning(word) for word in coded.dictionary.to_pylist()], type=kind)
    return meanings.take(coded.indices)


def _null(values: pa.Array) -> Mask:
    return mask_of(values.is_null())


def _list(words: Sequence[str | int]) -> str:
    shown = ", ".join(map(str, words[:_SHOWN]))
    return shown if len(words) <= _SHOWN else f"{shown} and {len(words) - _SHOWN} more"
