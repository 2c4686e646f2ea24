"""Rules between the parts of a layout: names, key, event time, positions.  Each returns one line per problem."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from trunkline.layout.fields import LONGEST_NAME
from trunkline.layout.trailers import trailer_problems
from trunkline.problems import suggestion

if TYPE_CHECKING:
    from trunkline.layout.model import Layout

SYSTEM: Final = "system"
RESERVED: Final = (SYSTEM, "load_id", "source_line", "record_key", "extra")
"""Columns that every call table has, or may have; no field can have these names."""

CANONICAL: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(("started_at", "answered_at", "ended_at"), ("timestamp",)),
    **dict.fromkeys(("duration_s", "billable_s", "ring_s"), ("duration",)),
    "cost": ("money",),
    **dict.fromkeys(("caller", "callee"), ("phone", "text")),
    **dict.fromkeys(("destination", "call_id", "disposition", "direction", "currency"), ("text",)),
    "customer_id": ("text", "integer"),
    "sequence": ("integer",),
}
"""Names that mean the same in every layout, and the types that they may have: `trunkline.calls` unites them."""


VIEWS: Final[Mapping[str, tuple[str, ...]]] = {
    "sip_dialogs": ("method", "call_id", "from_tag", "to_tag", "sip_code", "sip_reason", "logged_at"),
}
"""Views that make calls of the records of a table, and the columns that they are made of."""


def rule_problems(layout: Layout) -> Iterator[str]:
    """Yield what is wrong with a layout whose parts are each well formed."""
    if not layout.fields:
        yield "fields: found none, expected at least one [[fields]]"
    yield from _name_problems(layout)
    yield from _type_problems(layout)
    yield from _when_problems(layout)
    yield from _between_problems(layout)
    yield from _view_problems(layout)
    yield from _key_problems(layout)
    yield from _event_time_problems(layout)
    yield from _sequence_problems(layout)
    yield from _position_problems(layout)
    yield from _clock_problems(layout)
    yield from trailer_problems(layout)


def _name_problems(layout: Layout) -> Iterator[str]:
    for field in layout.fields:
        if field.name in RESERVED:
            yield f'fields.{field.name}: every call table has its own "{field.name}", expected another name'
    for name in twice([field.name for field in layout.fields]):
        yield f"fields.{name}: this name is there more than once, expected once"
    columns = [column.name for column in layout.columns]
    for name in twice(columns):
        makers = dict.fromkeys(column.field for column in layout.columns if column.name == name)
        if len(makers) > 1:
            yield f"fields: {' and '.join(makers)} both fill the column {name}, expected one"
    for name in columns:
        if len(name) > LONGEST_NAME:
            yield f"fields: the column {name} is longer than {LONGEST_NAME} characters, expected a shorter field name"


def _type_problems(layout: Layout) -> Iterator[str]:
    for field in layout.fields:
        types = CANONICAL.get(field.name, (field.type,))
        if field.type not in types:
            yield (
                f'fields.{field.name}: found type "{field.type}", expected {" or ".join(types)}, as this name means '
                "the same in every layout"
            )


def _when_problems(layout: Layout) -> Iterator[str]:
    """What decides about a field is itself decided by nothing."""
    deciders = {each.name: getattr(each, "when", None) for each in layout.fields}
    for field in layout.fields:
        for name in getattr(field, "when", None) or ():
            if name not in deciders:
                yield f'fields.{field.name}: when has "{name}", which is no field, {suggestion(name, list(deciders))}'
            elif deciders[name] is not None:
                yield f"fields.{field.name}: when has {name}, which has a when itself, expected a field without"


def _between_problems(layout: Layout) -> Iterator[str]:
    types = {each.name: each.type for each in layout.fields}
    for field in layout.fields:
        for name in getattr(field, "between", None) or ():
            if types.get(name) != "timestamp":
                yield f'fields.{field.name}: between has "{name}", expected a timestamp field'


def _view_problems(layout: Layout) -> Iterator[str]:
    """A view finds the columns that it is made of."""
    if layout.view is None:
        return
    names = [column.name for column in layout.columns]
    for name in VIEWS[layout.view]:
        if name not in names:
            yield f"view: {layout.view} is made of the column {name}, expected a field of that name"
    if len(layout.table.rpartition(".")[2] + "_calls") > LONGEST_NAME:
        yield f"table: with _calls for its view it is longer than {LONGEST_NAME} characters, expected a shorter name"


def _key_problems(layout: Layout) -> Iterator[str]:
    names = [field.name for field in layout.fields]
    for name in layout.key:
        if name != SYSTEM and name not in names:
            yield f'key: found "{name}", which is no field, {suggestion(name, [*names, SYSTEM])}'
    for name in twice(layout.key):
        yield f'key: found "{name}" more than once, expected once'
    if set(layout.key) == {SYSTEM}:
        yield "key: found only system, expected fields that tell one call from another"


def _event_time_problems(layout: Layout) -> Iterator[str]:
    name = layout.event_time
    if name is None:
        if layout.partition != "none":
            yield f'partition: found "{layout.partition}" without event_time, expected none'
        return
    fields = {each.name: each for each in layout.fields}
    if name not in fields:
        yield f'event_time: found "{name}", which is no field, {suggestion(name, list(fields))}'
        return
    field = fields[name]
    if field.type != "timestamp":
        yield f'event_time: {name} is of type "{field.type}", expected timestamp'
    if not field.required:
        yield f"event_time: {name} may be empty, expected required = true"
    if name not in layout.key:
        yield f"event_time: {name} is not in the key, expected it there (the unique index needs it)"


def _sequence_problems(layout: Layout) -> Iterator[str]:
    rule = layout.sequence
    if rule is None or rule.field is None:
        return
    types = {each.name: each.type for each in layout.fields}
    if rule.field not in types:
        yield f'sequence.field: found "{rule.field}", which is no field, {suggestion(rule.field, list(types))}'
    elif types[rule.field] != "integer":
        yield f'sequence.field: {rule.field} is of type "{types[rule.field]}", expected integer'
    if rule.restarts and layout.event_time is None:
        yield "sequence.restarts: found true without event_time, expected one: it shows when the count began again"


def _position_problems(layout: Layout) -> Iterator[str]:
    """Without a header line there are no names to find columns by."""
    if layout.dialect.header is not False:
        return
    if layout.dialect.header_lines is not None:
        yield "dialect.header_lines: there is no header, expected none"
    for field in layout.fields:
        named = [column for column in field.all_columns_read if isinstance(column, str)]
        if named:
            yield f'fields.{field.name}: found column "{named[0]}", expected a position, as there is no header'
    for rule in layout.skip:
        if isinstance(rule.column, str):
            yield f'skip: found column "{rule.column}", expected a position, as there is no header'


def _clock_problems(layout: Layout) -> Iterator[str]:
    """A second clock checks local times, and only one clock those of one field."""
    fields = {each.name: each for each in layout.fields}
    zoned = layout.zoned_names
    for clock in layout.clocks:
        carrier = "timestamp" if clock.kind == "epoch" else "text"
        if clock.field not in fields:
            yield f'clocks: found field "{clock.field}", which is no field, {suggestion(clock.field, list(fields))}'
        elif fields[clock.field].type != carrier or clock.field in zoned:
            in_utc = " that needs no zone" if clock.kind == "epoch" else ""
            yield f"clocks: {clock.field} cannot carry a clock of kind {clock.kind}, expected a {carrier} field{in_utc}"
        for name in filter(None, (clock.plus, clock.minus)):
            if name not in fields or fields[name].type != "duration" or getattr(fields[name], "between", None):
                yield f'clocks: found plus or minus = "{name}", expected a duration field that is written in the record'
        if clock.of not in zoned:
            yield f'clocks: found of = "{clock.of}", expected a timestamp field of local times'
    for name in twice([clock.of for clock in layout.clocks]):
        yield f"clocks: {name} is checked more than once, expected one clock for it"


def twice(names: Sequence[str]) -> list[str]:
    """Return the names that are there more than once, in order."""
    return [name for name, count in Counter(names).items() if count > 1]
