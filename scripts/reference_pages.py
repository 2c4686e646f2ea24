"""Writes the reference pages of layouts and settings from the models, so that they say what the program does.

The prose is in scripts/pages/; a line ``<!-- made: NAME -->`` there is replaced by what is made here.  Each built-in
layout has a page too, whose prose is the comment that its file begins with.  Without arguments this writes the pages
below docs/; with `--check` it only says whether they are current.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from typer.main import get_command

from trunkline.cli.app import app
from trunkline.errors import UsageError
from trunkline.layout.fields import FIELD_TYPES, IN_WORDS, FieldBase
from trunkline.layout.files import (
    Defaults,
    Dialect,
    Layout,
    SecondClock,
    SequenceRule,
    SkipRule,
    WidthRule,
    builtin_layouts,
    layout_text,
)
from trunkline.layout.rules import CANONICAL, RESERVED
from trunkline.layout.trailers import TrailerRule, TrailerTotal
from trunkline.settings.model import ENV_PREFIX
from trunkline.settings.resolution import NOT_IN_ENVIRONMENT, Feed, Settings

ROOT = Path(__file__).parents[1]
PROSE = ROOT / "scripts" / "pages"
PAGES = ROOT / "docs"
NOTE = "<!-- Made by scripts/reference_pages.py from the models and scripts/pages/: change those. -->"

# What the JSON schema of a model calls a value, and what people who write TOML call it.
_VALUES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "object": "table",
}


def pages() -> dict[str, str]:
    """Return the pages by their path in the documentation."""
    return {
        "reference/layouts.md": _page("layouts.md", layout_parts()),
        "reference/settings.md": _page("settings.md", setting_parts()),
        **{f"layouts/{each.name}.md": layout_page(each, layout_text(each.name)) for each in builtin_layouts()},
    }


def layout_page(layout: Layout, text: str) -> str:
    """Return the page of a built-in layout: what its file says at its beginning, and what it does."""
    facts = [
        ("status", layout.status),
        ("table", f"`{layout.table}`"),
        ("key", ", ".join(f"`{name}`" for name in layout.key)),
        ("partitioned by", f"`{layout.event_time}`, {layout.partition}" if layout.event_time else "nothing"),
        ("times", layout.zones or ("as the records state" if _knows_zones(layout) else "local: state `--timezone`")),
        ("currency", layout.currencies or None),
    ]
    intro = _prose(re.match(r"(?:#.*\n)+", text)[0])  # type: ignore[index]
    parts = [
        f"# {layout.name}",
        "<!-- Made by scripts/reference_pages.py from the file of the layout: change that. -->",
        intro,
    ]
    if layout.refuse:
        return "\n\n".join([*parts, f"Such a file is refused: {layout.refuse}."]) + "\n"
    parts += [_table(("", ""), [fact for fact in facts if fact[1]]), _fields_table(layout)]
    command = f"trunkline run FILE --layout {layout.name}"
    command += " --system pbx-1" if "system" in layout.key else ""
    command += "" if layout.zones or _knows_zones(layout) else " --timezone Africa/Nairobi"
    parts.append(f"```console\n$ {command}\n```")
    parts.append(
        f"`trunkline layouts show {layout.name}` prints the layout. [Layouts](../reference/layouts.md) explains it."
    )
    return "\n\n".join(parts) + "\n"


def _knows_zones(layout: Layout) -> bool:
    try:
        layout.check_complete()
    except UsageError:
        return False
    return True


def _prose(comment: str) -> str:
    """Return comment lines as Markdown; what is indented is an example."""
    lines = [line.removeprefix("#").removeprefix(" ") for line in comment.splitlines()]
    blocks = "\n".join(lines).split("\n\n")
    shown = [f"```text\n{dedent(block)}\n```" if block.startswith("  ") else _escaped(block) for block in blocks]
    return "\n\n".join(shown)


def _escaped(block: str) -> str:
    return re.sub(r"([*_<])", r"\\\1", block)


def _fields_table(layout: Layout) -> str:
    rows = [
        (
            ", ".join(f"`{name}`" if isinstance(name, str) else str(name) for name in field.all_columns_read)
            + "".join(f", or `{name}`" for name in field.aliases),
            ", ".join(f"`{column.name}` ({column.pg_type})" for column in field.columns),
            "required" if field.required else "",
        )
        for field in layout.fields
    ]
    return _table(("CSV column", "column of the table", ""), rows)


def layout_parts() -> dict[str, str]:
    """Return what is made of the reference of layouts."""
    type_row = ("`type`", ", ".join(f"`{name}`" for name in FIELD_TYPES), "required", "What the text is; see below.")
    layouts = (
        (
            f"[`{each.name}`](../layouts/{each.name}.md)",
            each.status,
            f"`{each.table}`",
            ", ".join(f"`{name}`" for name in each.key),
        )
        for each in builtin_layouts()
    )
    canonical = ((f"`{name}`", " or ".join(f"`{each}`" for each in types)) for name, types in CANONICAL.items())
    parts = ("dialect", "defaults", "skip", "widths", "clocks", "sequence", "trailer", "fields")
    return {
        "builtin": _table(("layout", "status", "table", "key"), layouts),
        "layout": _keys(Layout, without=parts),
        "dialect": _keys(Dialect),
        "defaults": _keys(Defaults),
        "skip": f"{_sentences(SkipRule)}\n\n{_keys(SkipRule)}",
        "widths": f"{_sentences(WidthRule)}\n\n{_keys(WidthRule)}",
        "clocks": f"{_sentences(SecondClock)}\n\n{_keys(SecondClock)}",
        "sequence": f"{_sentences(SequenceRule)}\n\n{_keys(SequenceRule)}",
        "trailer": f"{_sentences(TrailerRule)}\n\n{_keys(TrailerRule, without=('totals',))}",
        "totals": f"{_sentences(TrailerTotal)}\n\n{_keys(TrailerTotal)}",
        "fields": _keys(FieldBase, more=[type_row]),
        "canonical": _table(("name", "type"), canonical),
        "reserved": f"No field can be called {', '.join(f'`{name}`' for name in RESERVED)}: call tables have these.",
        "types": "\n\n".join(_type_section(name, model) for name, model in FIELD_TYPES.items()),
    }


def setting_parts() -> dict[str, str]:
    """Return what is made of the reference of settings."""
    flags = {param.name for param in get_command(app).commands["run"].params}  # type: ignore[attr-defined]
    schema = Settings.model_json_schema()
    rows = []
    for name, info in Settings.model_fields.items():
        flag = f"`--{name.replace('_', '-')}`" if name in flags else ""
        variable = "" if name in NOT_IN_ENVIRONMENT else f"`{ENV_PREFIX}{name.upper()}`"
        value = _value(schema["properties"][name], schema)
        if name != "feeds":
            rows.append((f"`{name}`", flag, variable, value, _default(info), _cell(info.description)))
    return {
        "settings": _table(("setting", "flag", "environment", "value", "default", "meaning"), rows),
        "feed": _keys(Feed),
    }


def _page(name: str, parts: Mapping[str, str]) -> str:
    prose = (PROSE / name).read_text(encoding="utf-8")
    title, _, body = prose.partition("\n\n")
    made = re.sub(r"^<!-- made: (\w+) -->$", lambda found: parts[found[1]], body, flags=re.MULTILINE)
    return f"{title}\n\n{NOTE}\n\n{made}"


def _type_section(name: str, model: type[FieldBase]) -> str:
    needed = {"unit": "s"} if name == "duration" else {}
    columns = model.model_validate({"column": 1, "name": "name", "type": name, **needed}).columns
    filled = " and ".join(f"`{column.name.replace('name', 'NAME', 1)}` ({column.pg_type})" for column in columns)
    options = _keys(model, without=(*FieldBase.model_fields, "type"))
    return f'### `type = "{name}"`\n\n{_sentences(model)}\n\nFills {filled}.\n\n{options}'


def _keys(model: type[BaseModel], *, without: Iterable[str] = (), more: Iterable[tuple[str, ...]] = ()) -> str:
    """Return a table of the keys of a model."""
    schema = model.model_json_schema()
    hidden = set(without)
    rows = [
        (
            f"`{info.alias or name}`",
            _value(schema["properties"][info.alias or name], schema),
            _default(info),
            _cell(info.description),
        )
        for name, info in model.model_fields.items()
        if name not in hidden
    ]
    rows += more
    return _table(("key", "value", "default", "meaning"), rows) if rows else "It has no options of its own."


def _value(schema: Mapping[str, Any], whole: Mapping[str, Any]) -> str:
    """Return what may stand behind a key, in words."""
    if IN_WORDS in schema:
        return str(schema[IN_WORDS])
    if "$ref" in schema:
        return _value(whole["$defs"][schema["$ref"].rpartition("/")[2]], whole)
    if "anyOf" in schema:
        options = [_value(each, whole) for each in schema["anyOf"] if each.get("type") != "null"]
        return options[0]  # an exact number may also be text in JSON, and is a number in TOML
    if "enum" in schema or "const" in schema:
        choices = schema.get("enum", [schema.get("const")])
        return ", ".join(f"`{each}`" if str(each).strip() else f'`"{each}"`' for each in choices)
    if schema.get("type") == "array":
        return f"list of {_value(schema['items'], whole)}s"
    return _VALUES.get(schema.get("type", ""), "text")


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    if info.default in (None, (), "", {}):
        return ""
    if isinstance(info.default, tuple):
        return ", ".join(f'`"{each}"`' for each in info.default)
    text = str(info.default)
    if isinstance(info.default, bool):
        text = text.lower()
    return f"`{text}`" if text.strip() else f'`"{text}"`'


def _sentences(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split())


def _table(head: Iterable[str], rows: Iterable[Iterable[str | None]]) -> str:
    columns = tuple(head)
    lines = [columns, ("---",) * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cell or '' for cell in line)} |" for line in lines)


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


def main(arguments: list[str]) -> int:
    """Write the pages, or check them; return the exit code."""
    old = {name: text for name, text in pages().items() if not _is_current(PAGES / name, text)}
    if arguments == ["--check"]:
        if old:
            print(f"not current: {', '.join(old)}; run 'python scripts/reference_pages.py'")
        return 1 if old else 0
    for name, text in old.items():
        (PAGES / name).parent.mkdir(exist_ok=True)
        (PAGES / name).write_text(text, encoding="utf-8", newline="\n")
    return 0


def _is_current(file: Path, text: str) -> bool:
    return file.is_file() and file.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
