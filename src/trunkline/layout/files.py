"""Layout files: TOML text to a `Layout`, from a name, a path or a string, with all problems of a file at once."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from trunkline.errors import LayoutError
from trunkline.layout.fields import FIELD_TYPES, Column, FieldBase, Part
from trunkline.layout.model import Defaults, Dialect, Layout, SecondClock, SequenceRule, SkipRule, WidthRule
from trunkline.layout.trailers import TrailerRule, TrailerTotal
from trunkline.problems import Place, problems_of, suggestion

__all__ = [
    "Column",
    "Defaults",
    "Dialect",
    "FieldBase",
    "Layout",
    "SecondClock",
    "SequenceRule",
    "SkipRule",
    "WidthRule",
    "builtin_layout",
    "builtin_layouts",
    "layout_index",
    "layout_text",
    "load_layout",
    "parse_layout",
]

_BUILTIN: Final = resources.files("trunkline").joinpath("layouts")
_PARTS: Final[Mapping[str, type[Part]]] = {
    "dialect": Dialect,
    "defaults": Defaults,
    "skip": SkipRule,
    "widths": WidthRule,
    "clocks": SecondClock,
    "sequence": SequenceRule,
    "trailer": TrailerRule,
}

Table = dict[str, Any]


def load_layout(name_or_path: str) -> Layout:
    """
    Return a built-in layout by name, or one of the user's own by path.

    Args:
        name_or_path: What has a "/" (or this system's separator), or ends in ``.toml``, is a path.

    Raises:
        LayoutError: If there is none, or it is not well formed.
    """
    return parse_layout(layout_text(name_or_path), origin=name_or_path)


def parse_layout(text: str, *, origin: str) -> Layout:
    """
    Return the layout that *text* describes.

    Args:
        text: TOML, in the grammar of docs/reference/layouts.md.
        origin: Where it comes from, for messages; a path in ``extends`` is relative to its folder.

    Raises:
        LayoutError: With everything that is wrong; *origin* and key path say where.
    """
    data = _extended(_read(text, origin), origin, ())
    try:
        return Layout.model_validate(data)
    except ValidationError as error:
        problems = problems_of(error, known_at=_known_at, path_of=lambda place: _path_of(place, data))
        raise LayoutError.of(problems, where=origin) from None


def builtin_layouts() -> tuple[Layout, ...]:
    """Return the layouts that come with trunkline, by name."""
    return tuple(builtin_layout(name) for name in builtin_names())


@cache
def builtin_layout(name: str) -> Layout:
    """Return one of the layouts that come with trunkline, which is read once."""
    return load_layout(name)


def layout_index() -> dict[str, Any]:
    """Return what `detect.preselection` noted of the layouts that come with trunkline, by name."""
    return dict(json.loads(_BUILTIN.joinpath("index.json").read_bytes()))


def layout_text(name_or_path: str) -> str:
    """
    Return the TOML of a built-in layout, or of a file, as it was written.

    Raises:
        LayoutError: If there is none, or it cannot be read.
    """
    if not is_path(name_or_path):
        names = builtin_names()
        if name_or_path not in names:
            raise LayoutError(
                f"found no layout {name_or_path!r}, {suggestion(name_or_path, names)}",
                hint="name one of 'trunkline layouts', or a file by its path",
            )
        return _BUILTIN.joinpath(f"{name_or_path}.toml").read_text("utf-8")
    try:
        return Path(name_or_path).expanduser().read_text("utf-8-sig")
    except OSError as exc:
        raise LayoutError(f"cannot be read: {exc.strerror or exc}", where=name_or_path) from exc
    except UnicodeDecodeError as exc:
        raise LayoutError("is not UTF-8, expected a TOML file", where=name_or_path) from exc


def is_path(name_or_path: str) -> bool:
    """Return whether a layout is named by its path."""
    return name_or_path.endswith(".toml") or Path(name_or_path).name != name_or_path


def builtin_names() -> list[str]:
    """Return the names of the layouts that come with trunkline, in order."""
    return sorted(each.name.removesuffix(".toml") for each in _BUILTIN.iterdir() if each.name.endswith(".toml"))


def _read(text: str, origin: str) -> Table:
    try:
        return tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as exc:
        raise LayoutError(f"is no TOML: {exc}", where=origin) from exc


def _extended(data: Table, origin: str, below: tuple[str, ...]) -> Table:
    """Return *data* laid over what it extends, and that over what it extends in turn."""
    base = data.get("extends")
    if not isinstance(base, str):
        return data
    if is_path(base) and is_path(origin):
        base = str(Path(origin).expanduser().parent / Path(base).expanduser())
    if base in below:
        raise LayoutError(f"extends itself by way of {base}", where=origin)
    try:
        text = layout_text(base)
    except LayoutError as exc:
        raise LayoutError(f"extends: {exc}", where=origin) from exc
    return _laid_over(data, _extended(_read(text, base), base, (*below, base)))


def _laid_over(data: Table, base: Table) -> Table:
    """Return *base* with the keys of *data* in place of its own: tables key by key, fields by their name."""
    merged = {**base, **data}
    for name in ("dialect", "defaults"):
        if isinstance(data.get(name), dict) and isinstance(base.get(name), dict):
            merged[name] = {**base[name], **data[name]}
    if "fields" in data and _are_tables(data["fields"]) and _are_tables(base.get("fields")):
        merged["fields"] = _fields_laid_over(data["fields"], base["fields"])
    return merged


def _fields_laid_over(fields: list[Table], base: list[Table]) -> list[Table]:
    """Return the fields of *base* in their order, each with the keys of its namesake, then the new ones."""
    own = {str(field.get("name")): field for field in fields}
    changed = [_field_laid_over(own.pop(str(field.get("name")), {}), field) for field in base]
    known = {str(field.get("name")) for field in base}
    return [*changed, *(field for field in fields if str(field.get("name")) not in known)]


def _field_laid_over(field: Table, base: Table) -> Table:
    """A field of another type shares only its column, name and requirement with that of *base*."""
    if field.get("type", base.get("type")) == base.get("type"):
        return {**base, **field}
    return {**{key: value for key, value in base.items() if key in FieldBase.model_fields}, **field}


def _are_tables(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def _known_at(place: Place) -> Iterable[str]:
    """Return the keys that the table at *place* may have; pydantic puts a field's type behind its number."""
    match place:
        case ("fields", int(), "type"):
            return FIELD_TYPES
        case ("fields", int(), str(field_type)):
            return _keys(FIELD_TYPES[field_type])
        case ("trailer", "totals", *_):
            return _keys(TrailerTotal)
        case (str(part), *_):
            return _keys(_PARTS[part])
    return _keys(Layout)


def _keys(part: type[Part]) -> list[str]:
    return [info.alias or name for name, info in part.model_fields.items()]


def _path_of(place: Place, data: Table) -> str:
    """Return a place as a user finds it: fields by their name, else by their number from 1."""
    match place:
        case ("fields", int(number), *rest):
            field = data["fields"][number]
            name = field.get("name") if isinstance(field, dict) else None
            parts = [f"fields.{name}" if isinstance(name, str) else f"fields #{number + 1}", *rest[1:]]
        case (("skip" | "widths" | "clocks") as part, int(number), *rest):
            parts = [f"{part} #{number + 1}", *rest]
        case _:
            parts = list(place)
    return ".".join(str(part) if isinstance(part, str) else f"#{part + 1}" for part in parts)
