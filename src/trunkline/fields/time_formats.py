"""How times are written: strptime's directives as a list of steps that a parser can follow, and what is allowed.

Source: the directives and what they mean, Python's `datetime.strptime`.  Stricter here: a number has all its
digits (`%m` is two), whitespace is itself, and there are no locales.  Added: `%-d`, `%-m`, `%-H`, `%-I` take
one digit or two, `%e` is a day padded with a blank, as C's asctime() writes it, and `%N` decimals up to nanoseconds,
as GNU date writes them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

Part = Literal["year", "short_year", "month", "day", "hour", "hour12", "minute", "second", "pm", "weekday"]

MONTHS: Final = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

ISO_TIMESTAMPS: Final = tuple(
    f"%Y-%m-%d{between}{clock}{zone}"
    for zone in ("", "%z")
    for between in (" ", "T")
    for clock in ("%H:%M:%S", "%H:%M:%S.%f", "%H:%M")
)
ISO_DATES: Final = ("%Y-%m-%d",)


@dataclass(frozen=True, kw_only=True, slots=True)
class Literally:
    """Exactly these bytes."""

    data: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Number:
    """A number of *least* to *most* digits."""

    part: Part
    least: int
    most: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Padding:
    """One blank where a number of one digit follows, nothing else."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Name:
    """One of *names*, in upper or lower case; its place in the list is the value."""

    part: Part
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Fraction:
    """
    One to *most* digits behind the point of a second.  Those beyond microseconds are cut off, as no timestamp of
    PostgreSQL can hold them.
    """

    most: int = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Offset:
    """``Z``, ``+hhmm``, ``+hh:mm`` or ``+hh``."""


Step = Literally | Number | Padding | Name | Fraction | Offset

_DIRECTIVES: Final[dict[str, Step]] = {
    "Y": Number(part="year", least=4, most=4),
    "y": Number(part="short_year", least=2, most=2),
    "m": Number(part="month", least=2, most=2),
    "d": Number(part="day", least=2, most=2),
    "H": Number(part="hour", least=2, most=2),
    "I": Number(part="hour12", least=2, most=2),
    "M": Number(part="minute", least=2, most=2),
    "S": Number(part="second", least=2, most=2),
    "-m": Number(part="month", least=1, most=2),
    "-d": Number(part="day", least=1, most=2),
    "-H": Number(part="hour", least=1, most=2),
    "-I": Number(part="hour12", least=1, most=2),
    "b": Name(part="month", names=tuple(name[:3] for name in MONTHS)),
    "B": Name(part="month", names=MONTHS),
    "a": Name(part="weekday", names=tuple(name[:3] for name in WEEKDAYS)),
    "A": Name(part="weekday", names=WEEKDAYS),
    "p": Name(part="pm", names=("AM", "PM")),
    "f": Fraction(),
    "N": Fraction(most=9),
    "z": Offset(),
    "%": Literally(data=b"%"),
}
_SHORTHANDS: Final = {"T": "%H:%M:%S", "F": "%Y-%m-%d", "R": "%H:%M", "D": "%m/%d/%y"}


_PIECE: Final = re.compile(r"%(?P<directive>-?.?)|(?P<text>[^%]+)", re.DOTALL)


@lru_cache(maxsize=256)
def steps_of(pattern: str) -> tuple[Step, ...]:
    """
    Return the steps of a strptime format.

    Raises:
        ValueError: If it has a directive that is not known.
    """
    steps: list[Step] = []
    for piece in _PIECE.finditer(pattern):
        directive = piece["directive"]
        if directive is None:
            steps.append(Literally(data=piece["text"].encode()))
        elif directive in _SHORTHANDS:
            steps.extend(steps_of(_SHORTHANDS[directive]))
        elif directive == "e":
            steps += [Padding(), _DIRECTIVES["-d"]]
        elif directive in _DIRECTIVES:
            steps.append(_DIRECTIVES[directive])
        else:
            known = " ".join(f"%{name}" for name in (*_DIRECTIVES, "e", *_SHORTHANDS))
            raise ValueError(f"format {pattern!r} has '%{directive}', expected one of {known}")
    return tuple(steps)


def check_format(pattern: str) -> None:
    """
    Make sure that a format says one day, and at most one time of it.

    Raises:
        ValueError: If it lacks year, month or day, has one of them twice, or hours up to 12 without AM or PM.
    """
    steps = steps_of(pattern)
    found = [str(step.part) for step in steps if isinstance(step, Number | Name)]
    found = ["year" if part == "short_year" else part for part in found]
    found += ["offset" for step in steps if isinstance(step, Offset)]
    missing = [part for part in ("year", "month", "day") if part not in found]
    if missing:
        raise ValueError(f"format {pattern!r} has no {', '.join(missing)}, expected a whole date")
    hours = ["hour" if part == "hour12" else part for part in found]
    twice = sorted({part for part in hours if hours.count(part) > 1})
    if twice:
        raise ValueError(f"format {pattern!r} has {', '.join(twice)} twice, expected it once")
    if ("hour12" in found) != ("pm" in found):
        raise ValueError(f"format {pattern!r} has one of %I and %p, expected both or %H")


def may_fit_alike(formats: Sequence[str]) -> bool:
    """Whether a text may fit two of *formats*, so that their order decides what it means (day and month, say)."""
    return len({_skeleton(pattern) for pattern in formats}) < len(formats)


def _skeleton(pattern: str) -> tuple[object, ...]:
    """Return what tells a format from another by looks alone: its literal text, and where numbers and names are."""
    return tuple(
        step.data if isinstance(step, Literally) else type(step)
        for step in steps_of(pattern)
        if not isinstance(step, Padding)
    )
