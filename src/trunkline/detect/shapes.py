"""What a value looks like: good enough to recognise a layout by, never to load by (the field parsers do that)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from trunkline.fields.time_formats import (
    ISO_DATES,
    ISO_TIMESTAMPS,
    Fraction,
    Literally,
    Name,
    Number,
    Offset,
    Padding,
    Step,
    steps_of,
)
from trunkline.layout.fields import (
    AnyField,
    BooleanField,
    DateField,
    DurationField,
    IpField,
    TextField,
    TimestampField,
)

_INTEGER: Final = re.compile("0|-?[1-9][0-9]{0,18}")
_NUMBER: Final = re.compile(r"-?[0-9]{1,18}(?:[.,][0-9]+)?")
_AMOUNT: Final = re.compile(r"[(+\-−]?\s?[^\s\d()]{0,4}\s?-?[0-9][0-9.,' ]*\s?[^\s\d()]{0,4}\)?")
_CLOCK: Final = re.compile(r"[0-9]+:[0-5][0-9]:[0-5][0-9](?:\.[0-9]+)?")
_GO_DURATION: Final = re.compile(r"-?(?:(?:[0-9]+(?:\.[0-9]+)?(?:h|ms|m|s|us|µs|μs|ns))+|0)")
_DATE: Final = re.compile(r"[0-9]{4}([-/.])[0-9]{1,2}\1[0-9]{1,2}|[0-9]{1,2}([-/.])[0-9]{1,2}\2[0-9]{2,4}")
_BOOLEAN: Final = re.compile("true|t|yes|y|1|false|f|no|n|0", re.IGNORECASE)

# Two digits each; a number outside of its part's range tells day from month.
_RANGES: Final[Mapping[str, str]] = {
    "month": "0[1-9]|1[0-2]",
    "day": "0[1-9]|[12][0-9]|3[01]",
    "hour": "[01][0-9]|2[0-3]",
    "hour12": "0[1-9]|1[0-2]",
    "minute": "[0-5][0-9]",
    "second": "[0-5][0-9]",
    "short_year": "[0-9]{2}",
    "year": "[12][0-9]{3}",
}


def fits(field: AnyField, text: str) -> bool:
    """Return whether *text* looks like a value of *field*; any text looks like text or a phone number."""
    if isinstance(field, TextField):
        return _fits_text(field, text)
    return _CHECKS.get(field.type, _anything)(field, text)


def fits_format(pattern: str, text: str) -> bool:
    """Return whether *text* is written as a strptime format says, with month, day and hour in their ranges."""
    return _format_pattern(pattern).fullmatch(text) is not None


def fits_iso(text: str) -> bool:
    """Return whether *text* is an ISO 8601 timestamp as the field type reads it without a format."""
    return any(fits_format(pattern, text) for pattern in ISO_TIMESTAMPS)


def looks_like_date(text: str) -> bool:
    """Return whether *text* begins like a calendar day, in whatever order."""
    return _DATE.match(text) is not None


def is_clock(text: str) -> bool:
    """Return whether *text* is hours, minutes and seconds: a time of day, or a duration."""
    return _CLOCK.fullmatch(text) is not None


def is_integer(text: str) -> bool:
    """Return whether *text* is a whole number in canonical digits."""
    return _INTEGER.fullmatch(text) is not None


def is_amount(text: str) -> bool:
    """Return whether *text* is a number, maybe with a sign and a currency around it."""
    return _AMOUNT.fullmatch(text) is not None


def _anything(field: Any, text: str) -> bool:
    return True


def _fits_text(field: TextField, text: str) -> bool:
    if field.map is not None and text not in field.map and field.other is None:
        return False
    if field.allowed is not None and text not in field.allowed:
        return False
    return field.pattern is None or re.fullmatch(field.pattern, text) is not None


def _fits_timestamp(field: TimestampField, text: str) -> bool:
    if field.is_epoch:
        return _NUMBER.fullmatch(text) is not None
    return any(fits_format(pattern, text) for pattern in field.formats or ISO_TIMESTAMPS)


def _fits_date(field: DateField, text: str) -> bool:
    return any(fits_format(pattern, text) for pattern in field.format or ISO_DATES)


def _fits_duration(field: DurationField, text: str) -> bool:
    if field.between is not None:  # it is made of other fields, which are looked at for themselves
        return True
    if field.unit == "go_ns" and is_integer(text):
        return True
    if field.unit in ("go", "go_ns"):
        return _GO_DURATION.fullmatch(text) is not None
    return is_clock(text) if field.unit == "hms" else _NUMBER.fullmatch(text) is not None


def _fits_boolean(field: BooleanField, text: str) -> bool:
    return _BOOLEAN.fullmatch(text) is not None if field.choices is None else text in field.choices


def _fits_ip(field: IpField, text: str) -> bool:
    if field.format == "little_endian":
        return is_integer(text)
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


_CHECKS: Final[Mapping[str, Callable[[Any, str], bool]]] = {
    "integer": lambda field, text: is_integer(text),
    "decimal": lambda field, text: _NUMBER.fullmatch(text) is not None,
    "money": lambda field, text: is_amount(text),
    "duration": _fits_duration,
    "timestamp": _fits_timestamp,
    "date": _fits_date,
    "boolean": _fits_boolean,
    "ip": _fits_ip,
}


@lru_cache(maxsize=256)
def _format_pattern(pattern: str) -> re.Pattern[str]:
    return re.compile("".join(_step_pattern(step) for step in steps_of(pattern)), re.ASCII)


def _step_pattern(step: Step) -> str:
    match step:
        case Literally(data=data):
            return re.escape(data.decode())
        case Number(part=part, least=least):
            digits = f"(?:{_RANGES.get(part, '[0-9]+')})"
            return (
                digits if least != 1 else f"(?:{digits}|[1-9]|0)" if part.startswith("hour") else f"(?:{digits}|[1-9])"
            )
        case Padding():
            return "(?: (?=[0-9](?![0-9])))?"
        case Name(names=names):
            return f"(?i:{'|'.join(names)})"
        case Fraction(most=most):
            return f"[0-9]{{1,{most}}}"
        case Offset():
            return "(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)"
