"""A run: all sources, one after the other, each tried as often as the database allows.

This module imports nothing heavy: a source that is unchanged is recognised without pandas, numpy or pyarrow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING

from trunkline.bookkeeping import Content, Terms, find_unchanged, read_books, terms_of
from trunkline.books import Books
from trunkline.errors import RefusedError, TrunklineError
from trunkline.progress import Progress, Quiet
from trunkline.servers import Servers, open_servers
from trunkline.sessions import Sessions
from trunkline.source import Source, expand, open_source
from trunkline.tables import CallTable, ensure_call_table, rebuild_calls_view

if TYPE_CHECKING:
    from trunkline.layout import Layout
    from trunkline.settings import Settings


def run(sources: Sequence[str], settings: Settings, *, progress: Progress | None = None) -> list[Books]:
    """
    Load sources, in parallel within each, and streaming; what the command line calls.

    Every source is tried, whatever became of the one before.

    Args:
        sources: Paths, globs, folders, ``-`` or URLs.
        settings: Where to load, how, and with which limits.
        progress: What to tell how far it is.

    Returns:
        One account per source, in the order they were given: ``loaded``, ``unchanged``, ``refused`` or ``failed``.

    Raises:
        SettingsError, LayoutError: If the run as a whole cannot begin.
        DatabaseError: If there is no database to load into.
    """
    with open_servers(settings) as servers:
        return run_sources(sources, settings, servers, progress or Quiet())
