"""How the process of a command uses memory: settled before anything large is imported, and for commands only.

A library must not do this to the program that it is part of.
"""

from __future__ import annotations

import os
import sys

_M_ARENA_MAX = -8  # malloc.h of glibc
_ARENAS = 2


def bound_memory() -> None:
    """
    Have freed memory used again at once, rather than kept apart for each thread and by each allocator.

    Two workers on 2,000,000 records peaked at 430 to 480 MB with Arrow's own allocator, at 360 MB with that of the
    C library, and at 300 MB where its arenas are bounded, too; none was faster.
    """
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    if sys.platform == "linux" and "MALLOC_ARENA_MAX" not in os.environ:
        import ctypes

        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # of glibc; musl has none
        if mallopt is not None:
            mallopt(_M_ARENA_MAX, _ARENAS)
