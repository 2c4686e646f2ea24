"""Under which conditions was measured: versions, settings, sizes and the machine, never its name."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.process import run_program
from benchmarks.workbench import Workbench
from trunkline import __version__

PEERS = ("duckdb", "polars", "adbc-driver-postgresql", "dlt", "pandas", "sqlalchemy")
LIST = "import importlib.metadata as m, sys; print(', '.join(f'{n} {m.version(n)}' for n in sys.argv[1:]))"


def conditions(bench: Workbench, *, note: str) -> dict[str, str]:
    """
    Return facts by name.

    Args:
        note: What else was going on, in the words of whoever measures.
    """
    facts = {
        "trunkline": __version__,
        "Python": platform.python_version(),
        **bench.servers.facts(),
        "machine": f"{os.cpu_count()} cores, {_memory_gib():.0f} GiB of memory, {platform.system()}",
    }
    if bench.peers_python.exists():
        facts["peers"] = run_program([bench.peers_python, "-c", LIST, *PEERS], bench.servers.environ).output.strip()
    if note:
        facts["note"] = note
    return facts


def now(folder: Path) -> str:
    """Return when it is, the commit that *folder* is at, and how many processes were busy in the last minute."""
    commit = commit_of(folder)
    at = f" at {commit}" if commit else ""
    return f"{datetime.now(UTC):%Y-%m-%d}{at}; {os.getloadavg()[0]:.1f} busy processes before it began"


def commit_of(folder: Path) -> str:
    """Return the short name of the commit that *folder* is at; empty where that cannot be told."""
    head = folder / ".git" / "HEAD"
    if not head.is_file():
        return ""
    name = head.read_text(encoding="utf-8").strip()
    branch = folder / ".git" / name.removeprefix("ref: ")
    if name.startswith("ref: "):
        name = branch.read_text(encoding="utf-8").strip() if branch.is_file() else ""
    return f"commit {name[:10]}" if name else ""


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
