"""Versions that results depend on: parts of fingerprints, so that no old result passes for a new one."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import version
from typing import Final

RESULT_VERSION: Final = 4
"""Goes up when the same bytes under the same layout give another typed record, reject code or message."""


@lru_cache(maxsize=4)
def version_of(package: str) -> str:
    """Return the version of an installed package whose data ours depends on."""
    return version(package)
