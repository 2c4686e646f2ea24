"""What type a column of an unknown file may have, by its values and its header.

A type is only proposed if every value seen fits it and no other reading of them does; else the column stays text,
which damages nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from trunkline.detect.shapes import fits_format, fits_iso, is_amount, is_clock, is_integer

_DATES: Final = (
    "%d/%m/%Y", "%m/%d/%Y", "%-d/%-m/%Y", "%-m/%-d/%Y", "%Y/%m/%d", "%d-%m-%Y", "%m-%d-%Y", "%d.%m.%Y",
    "%d/%m/%y", "%m/%d/%y", "%d %b %Y", "%b %d %Y", "%Y-%m-%d",
)  # fmt: skip
_CLOCKS: Final = ("%H:%M:%S", "%H:%M", "%H:%M:%S.%f", "%I:%M:%S %p", "%I:%M %p")
_FORMATS: Final = (*(f"{day} {clock}" for day in _DATES for clock in _CLOCKS), *_DATES)

_DURATION: Final = re.compile(r"dur|bill|ring|talk|length|elapsed|seconds|secs|hold|wait")
_PHONE: Final = re.compile(
    r"^(src|dst|from|to|ani|dnis|cli|msisdn)$|(^|_)(phone|mobile)($|_)"
    r"|^(caller|callee|calling|called|dialled|dialed|source|from|to|dest(ination)?|[ab])(_?(id|party))?"
    r"(_?(no|num|number|phone))$|^(caller|callee|caller_?id|(calling|called)_?party)$"
)
_MONEY: Final = re.compile(r"(^|_)(cost|price|charges?|amount|fees?|revenue|tax)($|_)")
_SEQUENCE: Final = re.compile(r"^sequence$|^seq(uence)?_(no|number)$")
_NAMES_SOMETHING: Final = re.compile(
    r"(^|_)(ids?|uuid|guid|sid|refs?|reference|codes?|pin|no|num|numbers?|accounts?|ext|extension|group|party|"
    r"msisdn|imsi|imei|iccid|batch)($|_)"
)
_LONGEST_S: Final = 10**6  # 11 days: what is more is an id, a moment, or not in seconds
_UNITS: Final = ((r"_ms$|milli", "ms"), (r"min", "min"))
_USUAL: Final[Mapping[str, str]] = {
    "$": "USD", "US$": "USD", "€": "EUR", "£": "GBP", "₹": "INR", "₦": "NGN", "₵": "GHS", "KSh": "KES", "R$": "BRL",
}  # fmt: skip
_MOST_DECIMALS: Final = 9


@dataclass(frozen=True, kw_only=True, slots=True)
class Guess:
    """
    A type for a column.

    Attributes:
        type: Name of the field type.
        options: Its own options.
        notes: What the user should know or check.
        needs_zone: Its times state no offset from UTC.
    """

    type: str
    options: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    needs_zone: bool = False


TEXT: Final = Guess(type="text")


def guess_type(words: str, values: Sequence[str], *, currency: str | None, currency_from: str | int | None) -> Guess:
    """
    Return a type for a column.

    Args:
        words: Its header in small letters and underscores, "" where there is none.
        values: Its values that are not empty.
        currency: ISO 4217 code of amounts, if the user says it.
        currency_from: The column that states it, if one does.
    """
    if not values:
        return Guess(type="text", notes=("Always empty in the first records.",))
    if _NAMES_SOMETHING.search(words):  # a value that looks like a day, a length or an amount is a name here
        return _as_phone(words, values) or _as_sequence(words, values) or TEXT
    return (
        _as_timestamp(values)
        or _as_duration(words, values)
        or _as_money(words, values, currency, currency_from)
        or _as_phone(words, values)
        or _as_sequence(words, values)
        or TEXT
    )


def _as_timestamp(values: Sequence[str]) -> Guess | None:
    if all(fits_iso(value) for value in values):
        zoned = all(re.search(r"(Z|[+-]\d\d:?\d\d)$", value[10:]) for value in values)
        return Guess(type="timestamp", needs_zone=not zoned)
    formats = [each for each in _FORMATS if all(fits_format(each, value) for value in values)]
    strict = [each for each in formats if "%-" not in each] or formats
    if len(strict) == 1:
        options = {} if strict[0] == "%Y-%m-%d" else {"format": strict[0]}
        is_day = strict[0] in _DATES
        return Guess(type="date" if is_day else "timestamp", options=options, needs_zone=not is_day)
    if not strict:
        return None
    kind = "date" if strict[0] in _DATES else "timestamp"
    either = " or ".join(f'format = "{each}"' for each in strict)
    return Guess(type="text", notes=(f'CHECK: the first records do not tell which: type = "{kind}" with {either}.',))


def _as_duration(words: str, values: Sequence[str]) -> Guess | None:
    if not _DURATION.search(words):
        return None
    if all(is_clock(value) for value in values):
        decimals = max(len(value.partition(".")[2]) for value in values)
        options: dict[str, Any] = {"unit": "hms"} | ({"scale": decimals} if decimals else {})
        return Guess(type="duration", options=options) if decimals <= 6 else None
    if not all(is_integer(value) and not value.startswith("-") for value in values):
        return None
    unit = next((unit for pattern, unit in _UNITS if re.search(pattern, words)), "s")
    if max(map(int, values)) >= _LONGEST_S * (1_000 if unit == "ms" else 1):
        return None
    if "sec" in words or unit != "s":
        return Guess(type="duration", options={"unit": unit} | ({"scale": 3} if unit == "ms" else {}))
    return Guess(
        type="duration", options={"unit": unit}, notes=("CHECK: the file does not say that these are seconds.",)
    )


def _as_money(words: str, values: Sequence[str], currency: str | None, currency_from: str | int | None) -> Guess | None:
    if not _MONEY.search(words) or not all(is_amount(value) for value in values):
        return None
    if any(_could_be_a_number_to_dial(value) for value in values):
        return None
    styles = {_style_of(value) for value in values} - {""}
    if len(styles) > 1 or "?" in styles:
        return Guess(type="text", notes=("CHECK: an amount, but the first records do not tell its decimal point.",))
    style = styles.pop() if styles else "."
    point, group = style[0], style[1:]
    options: dict[str, Any] = {} if point == "." else {"point": point}
    options |= {"group": group} if group else {}
    decimals = max(len(re.sub(r"[^\d.,]", "", value).rpartition(point)[2]) if point in value else 0 for value in values)
    if decimals > _MOST_DECIMALS:
        return None
    options |= {"scale": decimals} if decimals > 6 else {}
    return _in_currency(values, options, currency, currency_from)


def _could_be_a_number_to_dial(value: str) -> bool:
    """Return whether an amount may as well be a phone number or a code: a leading zero or plus, or many digits."""
    digits = value.lstrip("+")
    return digits.isdigit() and (value != digits or len(digits) > 6 or (digits[0] == "0" and digits != "0"))


def _style_of(value: str) -> str:
    """Return point and group of an amount, "" where it has neither, and "?" where ``1,234`` may be either."""
    digits = re.sub(r"[^\d.,]", "", value).strip(".,")
    marks = re.sub(r"\d", "", digits)
    if not marks:
        return ""
    last = marks[-1]
    if len(set(marks)) == 2 and marks.count(last) == 1:
        return last + marks[0]
    if len(marks) == 1 and not re.fullmatch(r"\d{1,3},\d{3}", digits):
        return last
    return "?"


def _in_currency(
    values: Sequence[str], options: dict[str, Any], currency: str | None, currency_from: str | int | None
) -> Guess | None:
    marks = {mark for value in values if (mark := re.sub(r"[\d.,()+\-−\s']", "", value))}
    if currency is not None:
        return Guess(type="money", options=options | {"currency": currency})
    if currency_from is not None:
        return Guess(type="money", options=options | {"currency_from": currency_from})
    if not marks:
        return Guess(type="money", options=options, notes=('CHECK: no currency is known; state it: currency = "USD".',))
    mark = marks.pop()
    code = mark if re.fullmatch("[A-Z]{3}", mark) else _USUAL.get(mark)
    if marks or code is None:
        return Guess(type="text", notes=("CHECK: an amount whose currency is not clear.",))
    notes = () if code == mark else (f'CHECK: the file only says "{mark}".',)
    return Guess(type="money", options=options | {"currency": code}, notes=notes)


def _as_phone(words: str, values: Sequence[str]) -> Guess | None:
    if not _PHONE.search(words):
        return None
    from trunkline.fields.phones import DAMAGED  # imports pyarrow, which who lists layouts does not need

    if any(DAMAGED.fullmatch(value.strip()) for value in values):
        return Guess(type="text", notes=("CHECK: phone numbers, but some have lost digits, as in a spreadsheet.",))
    return Guess(type="phone", notes=('Kept as written; add region = "KE" or yours for NAME_e164.',))


def _as_sequence(words: str, values: Sequence[str]) -> Guess | None:
    is_sequence = _SEQUENCE.search(words) and all(is_integer(value) for value in values)
    return Guess(type="integer") if is_sequence else None
