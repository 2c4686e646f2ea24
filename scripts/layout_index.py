"""Writes src/trunkline/layouts/index.json, by which most built-in layouts need not be read to recognise a file.

To be run when a built-in layout was changed; with `--check` it only says whether the index is current.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from trunkline.detect.preselection import outline_of
from trunkline.layout.files import builtin_layouts

INDEX = Path(__file__).parents[1] / "src/trunkline/layouts/index.json"


def index() -> str:
    """Return the index of all built-in layouts, a line for each."""
    lines = (f"{json.dumps(layout.name)}: {json.dumps(outline_of(layout))}" for layout in builtin_layouts())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main() -> int:
    """Write the index, or say that it is old."""
    if "--check" not in sys.argv[1:]:
        INDEX.write_text(index(), "utf-8")
    elif INDEX.read_text("utf-8") != index():
        print("the index of layouts is not current: run python scripts/layout_index.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
