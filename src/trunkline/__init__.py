"""Call logs from CSV files into PostgreSQL: every call once, with books that prove it.

The names below are loaded when they are first used, so that `import trunkline` costs nothing that its user
does not need.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from trunkline.blocks import RawRecords, RejectTable
    from trunkline.books.account import Books
    from trunkline.errors import TrunklineError
    from trunkline.extraction import extract, extract_blocks
    from trunkline.layout.files import Layout, load_layout
    from trunkline.loading.load import load
    from trunkline.runner import check, run
    from trunkline.settings.resolution import Settings
    from trunkline.tracing.findings import Verified
    from trunkline.tracing.verifying import verify
    from trunkline.transformation import transform

_HOMES = {
    "Books": "books.account",
    "Layout": "layout.model",
    "RawRecords": "blocks",
    "RejectTable": "blocks",
    "Settings": "settings.model",
    "TrunklineError": "errors",
    "Verified": "tracing.findings",
    "check": "runner",
    "extract": "extraction",
    "extract_blocks": "extraction",
    "load": "loading.load",
    "load_layout": "layout.files",
    "run": "runner",
    "transform": "transformation",
    "verify": "tracing.verifying",
}

__all__ = [
    "Books",
    "Layout",
    "RawRecords",
    "RejectTable",
    "Settings",
    "TrunklineError",
    "Verified",
    "__version__",
    "check",
    "extract",
    "extract_blocks",
    "load",
    "load_layout",
    "run",
    "transform",
    "verify",
]


def __getattr__(name: str) -> Any:
    """Load a public name on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'trunkline' has no attribute {name!r}")
    return getattr(import_module(f"trunkline.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
