"""How the process of a command uses memory and threads: settled before anything large is imported, for commands only.

A library must not do this to the program that it is part of.
"""

from __future__ import annotations

import gc
import os
import sys

_M_ARENA_MAX = -8  # malloc.h of glibc
_ARENAS = 1
_NEW_OBJECTS = 50_000  # between collections; columns and bytes, which are most of the memory, are in no cycles


def collect_rarely() -> None:
    """Have Python look for garbage in cycles rarely: with the usual 700, imports alone cause a hundred collections."""
    gc.set_threshold(_NEW_OBJECTS)


def collect_no_more() -> None:
    """
    Have Python look for no garbage in cycles while it ends: the system takes back the whole process at once.

    Nothing here waits for that: files, connections and servers are let go by whoever opened them.  A command on nine
    records took 0.71 s with it and 0.58 s without (medians of 15).
    """
    gc.freeze()


def bound_memory() -> None:
    """
    Have freed memory used again at once, rather than kept apart for each thread and by each allocator.

    Two workers on 2,000,000 records peaked at 430 to 480 MB with Arrow's own allocator, at 360 MB with that of the
    C library, and at 300 MB where its arenas are bounded, too; none was faster.
    """
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy starts a thread for each core that nothing here uses
    if sys.platform == "linux" and "MALLOC_ARENA_MAX" not in os.environ:
        import ctypes

        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # of glibc; musl has none
        if mallopt is not None:
            mallopt(_M_ARENA_MAX, _ARENAS)
