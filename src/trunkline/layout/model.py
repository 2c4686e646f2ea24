"""A layout: the description of one kind of CSV, as a frozen value with everything that follows from it.

Imports no numpy, pyarrow or pandas: who only lists layouts, or loads an unchanged source, must not pay for them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, PrivateAttr, StrictBool, StrictInt, StrictStr, model_validator

from trunkline.errors import SettingsError, UsageError
from trunkline.fields.clocks import check_zone
from trunkline.layout.fields import (
    LONGEST_NAME,
    AmbiguousTime,
    AnyField,
    Column,
    FieldBase,
    MoneyField,
    OneColumn,
    Part,
    PhoneField,
    RegionCode,
    TimestampField,
    WrongZone,
    Zone,
    check_currency,
    check_encoding,
)
from trunkline.layout.rules import SYSTEM, rule_problems
from trunkline.layout.trailers import TrailerRule
from trunkline.layout.versions import RESULT_VERSION, version_of

_NOT_IN_RESULT = {"grammar", "name", "extends", "status", "partition", "sequence", "wrong_zone", "most_columns", "view"}
_OWN_SCHEMAS = re.compile(r"trunkline(_staging)?|pg_.*|information_schema")
_TABLE_NAME = rf"[a-z_][a-z0-9_]{{0,{LONGEST_NAME - 1}}}"
_ASCII_CHARACTER = re.compile(r"[\x01-\x09\x0b\x0c\x0e-\x7f]")  # neither NUL nor a line end


def _check_layout_name(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_\-]*", name):
        raise ValueError(f'found "{name}", expected small letters, digits, "_" and "-"')
    return name


def _check_table(table: str) -> str:
    if not re.fullmatch(rf"({_TABLE_NAME}\.)?{_TABLE_NAME}", table):
        raise ValueError(f'found "{table}", expected a table name in small letters, digits and "_", maybe with schema')
    schema, _, _ = table.rpartition(".")
    if _OWN_SCHEMAS.fullmatch(schema):
        raise ValueError(f'found schema "{schema}", expected another: that one is not for call tables')
    return table


def _check_character(text: str) -> str:
    if not _ASCII_CHARACTER.fullmatch(text):
        raise ValueError(f"found {text!r}, expected one ASCII character")
    return text


def _check_quote(text: str) -> str:
    return text if text == "" else _check_character(text)


def _check_line_pattern(pattern: str) -> str:
    try:
        re.compile(pattern.encode("ascii"))
    except (re.error, UnicodeEncodeError) as exc:
        raise ValueError(f'found "{pattern}", expected a regular expression in ASCII: {exc}') from None
    return pattern


class Dialect(Part):
    """How the bytes of the file become fields.  What is absent is detected."""

    delimiter: Annotated[StrictStr, AfterValidator(_check_character)] | None = Field(
        default=None, description="Character between fields."
    )
    quote: Annotated[StrictStr, AfterValidator(_check_quote)] | None = Field(
        default=None, description='Character around fields; "" where quotes are ordinary characters.'
    )
    escape: Literal["double", "backslash", "none"] | None = Field(
        default=None, description="How a quote is written inside quotes."
    )
    header: StrictBool | None = Field(
        default=None, description="Whether the first record names the columns; without, columns go by position."
    )
    header_lines: StrictInt | None = Field(
        default=None, ge=1, description="Lines of the header; the names are in the first."
    )
    skip_lines: StrictInt | None = Field(
        default=None,
        ge=0,
        description="Lines before the header that are no records. Absent: a header behind a title is searched for.",
    )
    encoding: Annotated[StrictStr, AfterValidator(check_encoding)] | None = Field(
        default=None, description="Python's name of the encoding."
    )
    multiline: StrictBool | None = Field(default=None, description="Whether a quoted field may hold line ends.")
    blank_after: StrictBool | None = Field(
        default=None,
        description='Whether one blank after a delimiter is no data, as where ", " stands between fields.',
    )
    stray_quotes: Literal["reject", "keep"] | None = Field(
        default=None,
        description="What becomes of a record with quotes that are neither around whole fields nor doubled: a reject, "
        "or kept as data where there is one way only to cut the record into its fields.",
    )
    not_records: Annotated[StrictStr, AfterValidator(_check_line_pattern)] | None = Field(
        default=None,
        description="Regular expression of whole lines that are no records, such as comments. They are left out, as "
        "blank lines are, if they do not have the fields of a record.",
    )

    def with_encoding(self, encoding: str) -> Dialect:
        """
        Return the dialect with another encoding.

        Raises:
            SettingsError: If there is none of that name.
        """
        return self.model_copy(update={"encoding": _checked("encoding", encoding, check_encoding)})


class Defaults(Part):
    """What holds for all fields that do not say otherwise."""

    timezone: Zone | None = Field(default=None, description="Zone of times that state none. `--timezone` overrides it.")
    ambiguous_time: AmbiguousTime = Field(
        default="reject", description="What a time means that a change from daylight saving time had twice."
    )
    nulls: tuple[StrictStr, ...] = Field(default=("",), description="Texts that mean NULL.")
    region: RegionCode | None = Field(
        default=None, description="ISO 3166 country where phone numbers without + were dialled."
    )


class SkipRule(Part):
    """Records that are not calls.  They are counted as filtered; a record is filtered if any rule says so."""

    column: OneColumn = Field(description="One header name or position from 1.")
    not_in: tuple[StrictStr, ...] | None = Field(default=None, description="Only records with these texts are calls.")
    is_in: tuple[StrictStr, ...] | None = Field(
        default=None, alias="in", description="Records with these texts are not calls."
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.not_in is None) == (self.is_in is None):
            raise ValueError("expected either in or not_in")
        return self


class WidthRule(Part):
    """Where columns by position stand in files of another number of columns."""

    columns: StrictInt = Field(ge=1, description="Number of columns that the file has.")
    moved: dict[StrictInt, StrictInt] = Field(
        description="Position in the fields of the layout to that in such a file; 0: it has no such column."
    )

    @model_validator(mode="before")
    @classmethod
    def _numbers(cls, data: Any) -> Any:
        """Keys of a TOML table are text."""
        if not isinstance(data, Mapping) or not isinstance(moved := data.get("moved"), Mapping):
            return data
        return {**data, "moved": {int(key) if str(key).isdecimal() else key: to for key, to in moved.items()}}


class SecondClock(Part):
    """
    A second clock in the record, in UTC, that proves the zone of another field's times.

    Where it agrees, the books say that the zone is `proved`.  Of a time that the zone had twice it says which is
    meant.
    """

    field: StrictStr = Field(description="Field that carries it: a text, or a timestamp in UTC for `epoch`.")
    kind: Literal["asterisk_uniqueid", "uuid1", "epoch"] = Field(
        description="Seconds since 1970 before the last dot; a UUID, of which only version 1 is a clock; a timestamp."
    )
    of: StrictStr = Field(description="Timestamp field of local times that it checks.")
    plus: StrictStr | None = Field(
        default=None,
        description="Duration field that lies between the clock and `of`; such a clock settles doubled hours only.",
    )
    minus: StrictStr | None = Field(default=None, description="Duration field to be taken off again.")
    tolerance_s: StrictInt = Field(
        default=60, ge=0, le=400, description="How far both may differ, in seconds, and still agree."
    )


def _check_number_pattern(pattern: str) -> str:
    try:
        groups = re.compile(pattern).groupindex
    except re.error as exc:
        raise ValueError(f"found no regular expression: {exc}") from None
    if "number" not in groups or set(groups) - {"number", "stream"}:
        raise ValueError("expected a group (?P<number>...), and maybe (?P<stream>...), and none of another name")
    return pattern


class SequenceRule(Part):
    """Numbers that the switch counts its files or records with: what is missing among them was not loaded."""

    taken_from: Literal["name", "field"] = Field(
        alias="from", description="Whether the name of the source has the number, or a field of each record."
    )
    pattern: Annotated[StrictStr, AfterValidator(_check_number_pattern)] | None = Field(
        default=None,
        description="Regular expression that is looked for in the name of the source. Its group `number` is the "
        "number, its group `stream`, if it has one, what counts for itself, such as a node.",
    )
    field: StrictStr | None = Field(default=None, description="Field of type integer that has the number.")
    restarts: StrictBool = Field(
        default=False, description="The switch counts from 0 again when it is started; needs an event time."
    )

    @model_validator(mode="after")
    def _what_belongs_together(self) -> Self:
        if (self.taken_from == "name") != (self.pattern is not None):
            raise ValueError('expected pattern with from = "name", and only there')
        if (self.taken_from == "field") != (self.field is not None):
            raise ValueError('expected field with from = "field", and only there')
        if self.restarts and self.taken_from == "name":
            raise ValueError('expected restarts only with from = "field": a name has no event time')
        return self


class Layout(Part):
    """
    The description of one kind of CSV.

    Made by `load_layout` or `parse_layout`; `with_overrides` says what the source does not.
    """

    grammar: Literal[1] = Field(description="Version of this grammar.")
    name: Annotated[StrictStr, AfterValidator(_check_layout_name)] = Field(description="Name of the layout.")
    extends: StrictStr | None = Field(
        default=None, description="A built-in layout, or a file, that this one changes: its keys win, fields by name."
    )
    status: Literal["verified", "from manual"] | None = Field(
        default=None, description="Verified against the program or a real file, or written from its manual."
    )
    table: Annotated[StrictStr, AfterValidator(_check_table)] = Field(
        description="The call table; may have a schema in front."
    )
    key: tuple[StrictStr, ...] = Field(
        default=(), description="Fields that say which call a record is; may name `system`. By default all fields."
    )
    event_time: StrictStr | None = Field(
        default=None, description="Required timestamp field, in the key, that the table is partitioned by."
    )
    partition: Literal["day", "week", "month", "none"] = Field(
        default="none", description="Length of a partition; stored with the table. With an event time, by default day."
    )
    on_conflict: Literal["reject", "skip", "replace"] = Field(
        default="reject", description="What becomes of a record whose key is there with other values."
    )
    refuse: StrictStr | None = Field(
        default=None, description="Why sources of this kind are never loaded: they are recognised and set aside."
    )
    wrong_zone: WrongZone = Field(
        default="refuse",
        description="What becomes of a source whose `clocks` show a wrong zone or a wrong order of day and month.",
    )
    spreadsheet: Literal["warn", "refuse", "ignore"] = Field(
        default="warn",
        description="What becomes of a source that shows traces of a spreadsheet: a warning, its refusal, nothing.",
    )
    growing: StrictBool = Field(
        default=False, description="The file is still written to: an unterminated last line waits for the next load."
    )
    extra: Literal["report", "keep", "refuse"] = Field(
        default="report", description="Columns that the layout does not know: report, keep as jsonb, refuse the file."
    )
    view: Literal["sip_dialogs"] | None = Field(
        default=None,
        description="A view beside the table, TABLE_calls, that makes calls of its records: `sip_dialogs` pairs INVITE "
        "and BYE.",
    )
    most_columns: StrictInt | None = Field(
        default=None,
        ge=1,
        description="How many columns a file without a header may have and still be recognised; by default as many as "
        "the fields read.",
    )
    dialect: Dialect = Field(default=Dialect(), description="How the bytes become fields.")
    defaults: Defaults = Field(default=Defaults(), description="What holds for all fields that do not say otherwise.")
    skip: tuple[SkipRule, ...] = Field(default=(), description="Records that are not calls.")
    widths: tuple[WidthRule, ...] = Field(default=(), description="Files of other numbers of columns.")
    clocks: tuple[SecondClock, ...] = Field(default=(), description="Second clocks that prove zones.")
    sequence: SequenceRule | None = Field(default=None, description="Numbers that show what is missing.")
    trailer: TrailerRule | None = Field(default=None, description="Lines that say what the source holds.")
    fields: tuple[AnyField, ...] = Field(description="The fields, in the order of the table's columns.")

    _system: str | None = PrivateAttr(default=None)
    _zone_is_configured: bool = PrivateAttr(default=False)

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, data: Any) -> Any:
        """Make the defaults that depend on other keys explicit, so that a layout always says them."""
        if not isinstance(data, Mapping):
            return data
        filled = {"partition": "day" if data.get("event_time") else "none", **data}
        if not filled.get("key") and isinstance(fields := filled.get("fields"), list | tuple):
            names = [each.get("name") if isinstance(each, Mapping) else getattr(each, "name", None) for each in fields]
            filled["key"] = list(dict.fromkeys(name for name in names if isinstance(name, str)))
        return filled

    @model_validator(mode="after")
    def _follow_rules(self) -> Self:
        if problems := list(rule_problems(self)):
            raise ValueError("\n".join(problems))
        return self

    @property
    def system(self) -> str | None:
        """The switch, PBX or portal that wrote the source, as the user says; never in a layout file."""
        return self._system

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns that the layout fills, in order; the table has four more (`RESERVED`)."""
        columns = tuple(column for field in self.fields for column in field.columns)
        return (*columns, _EXTRA) if self.extra == "keep" else columns

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy, with these values; what was worked out of the old ones is not copied."""
        copied = super().model_copy(update=update, deep=deep)
        for name in ("fingerprint", "key_fingerprint"):
            copied.__dict__.pop(name, None)
        return copied

    @cached_property
    def fingerprint(self) -> str:
        """
        Hash, in hex, of everything that changes what becomes of a record: the layout with its overrides, and the
        versions of our rules and of the data that they use.  Not of its name, status or partition.
        """
        content = self.model_dump(mode="json", by_alias=True, exclude=_NOT_IN_RESULT)
        if not self.clocks:
            del content["clocks"]  # so that layouts without keep their fingerprint
        content["versions"] = self._versions()
        if SYSTEM in self.key:
            content[SYSTEM] = self._system
        return _digest(content)

    @cached_property
    def key_fingerprint(self) -> str:
        """
        Hash, in hex, of everything that changes which key a record gets, but for its zone, its currency and its
        system: a table holds calls of many zones, so the books keep these apart.
        """
        return _digest({"version": 1, "key": [self._key_part(name) for name in self.key]})

    @property
    def zones(self) -> str:
        """The zones that times without one are read in, comma-joined; "" where every time states its own."""
        zones = (self.zone_of(field) for field in self._zoned_fields())
        return ", ".join(dict.fromkeys(zone for zone in zones if zone))

    @property
    def currencies(self) -> str:
        """The currencies that the layout or the user states, comma-joined; "" where records state them or nobody."""
        return ", ".join(dict.fromkeys(field.currency for field in self._money_fields() if field.currency))

    @property
    def tz_source(self) -> Literal["stated", "configured", ""]:
        """Who says the zones: the layout, the user, or nobody as none is needed."""
        if not self.zones:
            return ""
        uses_default = any(field.timezone is None for field in self._zoned_fields())
        return "configured" if uses_default and self._zone_is_configured else "stated"

    @property
    def zoned_names(self) -> list[str]:
        """The timestamp fields whose texts may be local times."""
        return [field.name for field in self._zoned_fields()]

    def place_of(self, column: int, width: int) -> int:
        """Return where a column by position stands in a file of *width* columns, from 1; 0: nowhere."""
        rule = next((each for each in self.widths if each.columns == width), None)
        place = column if rule is None else rule.moved.get(column, column)
        return place if place <= width else 0

    def zone_of(self, field: TimestampField) -> str | None:
        """Return the zone of texts of *field* that state no offset; None: nobody said it."""
        return field.timezone or self.defaults.timezone

    def ambiguous_time_of(self, field: TimestampField) -> AmbiguousTime:
        """Return what a time that its zone had twice means in *field*."""
        return field.ambiguous_time or self.defaults.ambiguous_time

    def nulls_of(self, field: FieldBase) -> tuple[str, ...]:
        """Return the texts that mean NULL in *field*."""
        return self.defaults.nulls if field.nulls is None else field.nulls

    def region_of(self, field: PhoneField) -> str | None:
        """Return the country where numbers of *field* without "+" were dialled."""
        return field.region or self.defaults.region

    def field(self, name: str) -> AnyField:
        """Return the field of that name, or raise KeyError."""
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(name)

    def with_overrides(
        self,
        *,
        timezone: str | None = None,
        currency: str | None = None,
        system: str | None = None,
        encoding: str | None = None,
        wrong_zone: WrongZone | None = None,
    ) -> Layout:
        """
        Return the layout with what the user says in place of what it says itself.

        Args:
            timezone: Zone of times without one, in place of that of `[defaults]`.  A field with its own keeps it.
            currency: ISO 4217 code of all amounts whose record does not state it.
            system: Name of the switch, PBX or portal; "" is none.
            encoding: Python's name of the encoding, in place of that of `[dialect]`.  A byte order mark overrides it.
            wrong_zone: What becomes of a source whose second clocks show a wrong zone.

        Raises:
            SettingsError: If one of them cannot be used, or the layout has amounts in several currencies.
        """
        layout = self.model_copy()
        if timezone is not None:
            defaults = self.defaults.model_copy(update={"timezone": _checked("timezone", timezone, check_zone)})
            layout = layout.model_copy(update={"defaults": defaults})
            layout._zone_is_configured = True
        if currency is not None:
            code = _checked("currency", currency, check_currency)
            layout = layout.model_copy(
                update={"fields": tuple(self._in_currency(field, code) for field in self.fields)}
            )
        if wrong_zone is not None:
            layout = layout.model_copy(update={"wrong_zone": wrong_zone})
        if encoding is not None:
            layout = layout.model_copy(update={"dialect": self.dialect.with_encoding(encoding)})
        if system is not None:
            layout._system = system or None
        return layout

    def check_complete(self) -> None:
        """
        Make sure that everything is said that must be known before a record can be read.

        Raises:
            UsageError: If times are local and nobody says in which zone.
        """
        missing = [field.name for field in self._zoned_fields() if self.zone_of(field) is None]
        never_stated = [name for name in missing if not self.timestamp(name).may_state_offset]
        if never_stated:
            raise UsageError(
                f"layout {self.name!r} has local times ({', '.join(never_stated)}), and nobody says in which zone",
                hint="give it with '--timezone', such as --timezone Africa/Nairobi",
            )

    @property
    def proving_clocks(self) -> tuple[SecondClock, ...]:
        """The clocks that show the same moment as the times that they check."""
        return tuple(clock for clock in self.clocks if clock.plus is None and clock.minus is None)

    def clock_of(self, name: str) -> SecondClock | None:
        """Return the second clock of a timestamp field, if it has one."""
        return next((clock for clock in self.clocks if clock.of == name), None)

    def timestamp(self, name: str) -> TimestampField:
        """Return the field of local times of that name."""
        return next(field for field in self._zoned_fields() if field.name == name)

    def _zoned_fields(self) -> Iterator[TimestampField]:
        return (field for field in self.fields if isinstance(field, TimestampField) and not field.states_offset)

    @property
    def stated(self) -> dict[str, str]:
        """What the layout states for all records, by column: currencies."""
        return {field.currency_column: field.currency for field in self._money_fields() if field.currency is not None}

    def _money_fields(self) -> Iterator[MoneyField]:
        return (field for field in self.fields if isinstance(field, MoneyField))

    def _in_currency(self, field: AnyField, code: str) -> AnyField:
        if not isinstance(field, MoneyField) or field.currency_from is not None:
            return field
        if "," in self.currencies:
            raise SettingsError(
                f"layout {self.name!r} has amounts in {self.currencies}, one currency cannot stand for all",
                hint="change the layout's fields instead",
                where="currency",
            )
        return field.model_copy(update={"currency": code})

    def _versions(self) -> dict[str, object]:
        versions: dict[str, object] = {"result": RESULT_VERSION}
        if self.zones:
            versions["tzdata"] = version_of("tzdata")
        if any(isinstance(field, PhoneField) for field in self.fields):
            versions["phonenumbers"] = version_of("phonenumbers")
        return versions

    def _key_part(self, name: str) -> object:
        if name == SYSTEM:
            return SYSTEM
        field = self.field(name)
        part: dict[str, object] = {"type": field.type, "nulls": sorted(self.nulls_of(field)), **field.key_options()}
        if isinstance(field, TimestampField):
            ambiguous_time, clock = self.ambiguous_time_of(field), self.clock_of(field.name)
            part |= {"ambiguous_time": ambiguous_time}
            if clock is not None and ambiguous_time != "reject":  # else it only gives keys to records without
                part |= {"clock": clock.model_dump(mode="json")}
        return part


_EXTRA = Column(
    name="extra",
    pg_type="jsonb",
    arrow_type="string",
    source="all that the layout does not know",
    field="",
    not_null=False,
)


def _checked(setting: str, value: str, check: Callable[[str], str]) -> str:
    try:
        return check(value)
    except ValueError as exc:
        raise SettingsError(str(exc), where=setting) from exc


def _digest(content: object) -> str:
    text = json.dumps(content, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
