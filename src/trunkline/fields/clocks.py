"""Names of time zones, from the `tzdata` package and not from the machine: the same names are good everywhere."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources

from trunkline.problems import suggestion


def check_zone(name: str) -> str:
    """
    Return *name* if it is a time zone.

    Raises:
        ValueError: If it is none, with what may have been meant.
    """
    known = _zones()
    if name not in known:
        close = suggestion(name, sorted(known)) if known else ""
        hint = close if close.startswith("did") else "expected a name such as Africa/Nairobi or UTC"
        raise ValueError(f'"{name}" is no time zone, {hint}')
    return name


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(resources.files("tzdata").joinpath("zones").read_text("utf-8").split())
