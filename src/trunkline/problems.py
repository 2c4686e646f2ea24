"""What pydantic found wrong in a file or in settings, said in our words: one line per problem, all at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

Place = tuple[int | str, ...]

_SHOWN: Final = 12  # keys or choices that a message lists
_LONGEST: Final = 60  # characters of a found value that a message repeats


def problems_of(
    error: ValidationError,
    *,
    known_at: Callable[[Place], Iterable[str]],
    path_of: Callable[[Place], str],
    secrets: Iterable[str] = (),
) -> tuple[str, ...]:
    """
    Return one line per problem: where, what was found, what was expected.

    Args:
        error: What pydantic raised.
        known_at: Place of a table to the keys that it may have.
        path_of: Place of a value to what a user calls it.
        secrets: Keys of values that are never repeated.
    """
    hidden = frozenset(secrets)
    lines = []
    for details in error.errors(include_url=False):
        path = path_of(details["loc"])
        told = _told(details, known_at, secret=not hidden.isdisjoint(map(str, details["loc"])))
        lines += [f"{path}: {text}" if path else text for text in told]
    return tuple(dict.fromkeys(lines))


def suggestion(word: str, known: Sequence[str]) -> str:
    """Return ``did you mean "currency"?``, or what there is if nothing is like *word*."""
    close = get_close_matches(word, known, n=1, cutoff=0.6)
    return f'did you mean "{close[0]}"?' if close else f"expected {one_of(known)}"


def one_of(words: Sequence[str]) -> str:
    """Return ``one of a, b and 3 more``."""
    shown = ", ".join(words[:_SHOWN])
    return f"one of {shown}" if len(words) <= _SHOWN else f"one of {shown} and {len(words) - _SHOWN} more"


def _told(details: ErrorDetails, known_at: Callable[[Place], Iterable[str]], *, secret: bool) -> list[str]:
    place, context = details["loc"], details.get("ctx", {})
    match details["type"]:
        case "extra_forbidden":
            return [f"unknown key, {suggestion(str(place[-1]), list(known_at(place[:-1])))}"]
        case "too_short":
            return ["found none, expected at least one"]
        case "missing":
            return ["missing, expected a value"]
        case "union_tag_not_found":
            return ["type is missing, expected " + one_of(list(known_at((*place, "type"))))]
        case "union_tag_invalid":
            known = list(known_at((*place, "type")))
            return [f'type: found "{context["tag"]}", {suggestion(str(context["tag"]), known)}']
        case "value_error":  # raised by our own validators, which say it all
            return str(context["error"]).splitlines()
    expected = details["msg"].removeprefix("Input should be ").replace("string", "text")
    return [f"expected {expected}" if secret else f"found {_shown(details['input'])}, expected {expected}"]


def _shown(value: object) -> str:
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
