"""The fields of a layout, one model per type: which CSV column, how its text is read, which columns it fills.

Attributes are named as in the layout file.  The `description` of each is its documentation: the reference page is
made from these models.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    StrictBool,
    StrictInt,
    StrictStr,
    WithJsonSchema,
    model_validator,
)

from trunkline.fields.clocks import check_zone
from trunkline.fields.time_formats import ISO_TIMESTAMPS, check_format

ColumnRef = str | int
"""A CSV column: its name in the header, or its position from 1."""

PlainUnit = Literal["s", "ms", "us", "min", "h", "6s", "0.1min"]
DurationUnit = Literal["hms", "go", "go_ns"] | PlainUnit
EPOCHS = ("epoch_s", "epoch_ms", "epoch_us")
E164, RAW, CURRENCY = "_e164", "_raw", "currency"
LONGEST_NAME = 63  # bytes of a PostgreSQL identifier (its manual, "Identifiers and Key Words")

IN_WORDS = "x-in-words"
"""Key of a JSON schema: what may stand in the file, for the reference page."""

_MOST_DIGITS = 18  # of numeric(18, scale): what 64 bits hold
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """
    A column that a layout fills in its call table.

    Attributes:
        name: Column name in PostgreSQL.
        pg_type: Its type there, as SQL.
        arrow_type: Its type in typed frames, as pyarrow writes it with `str()`.
        source: CSV column or columns that it comes from, for people.
        field: Name of the layout's field.
        not_null: Every loaded record has a value.
    """

    name: str
    pg_type: str
    arrow_type: str
    source: str
    field: str
    not_null: bool


def check_name(name: str) -> str:
    """Return *name* if it can be a column without being quoted."""
    if not _NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        raise ValueError(
            f'found "{name}", expected a name in small letters, digits and "_", at most {LONGEST_NAME} long'
        )
    return name


def _check_column(value: object) -> ColumnRef | tuple[ColumnRef, ...]:
    parts = tuple(value) if isinstance(value, list | tuple) else (value,)
    checked = tuple(part for part in parts if _is_column(part))
    if not parts or len(checked) < len(parts):
        raise ValueError(f"found {value!r}, expected a header name, a position from 1, or a list of these")
    return checked if isinstance(value, list | tuple) else checked[0]


def _dumped_column(value: ColumnRef | tuple[ColumnRef, ...]) -> ColumnRef | list[ColumnRef]:
    return list(value) if isinstance(value, tuple) else value


def _is_column(part: object) -> bool:
    if isinstance(part, bool):
        return False
    return (isinstance(part, int) and part >= 1) or (isinstance(part, str) and part != "")


def _check_one_column(value: object) -> ColumnRef:
    if isinstance(value, str | int) and _is_column(value):
        return value
    raise ValueError(f"found {value!r}, expected a header name or a position from 1")


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _check_format(formats: tuple[str, ...]) -> tuple[str, ...]:
    if len(formats) > 1 and not set(EPOCHS).isdisjoint(formats):
        raise ValueError(f"found {', '.join(formats)}, expected either an epoch or strptime formats")
    for each in formats:
        if each not in EPOCHS:
            check_format(each)
    return formats


def _check_pattern(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as exc:
        raise ValueError(f'found "{pattern}", expected a regular expression: {exc}') from exc
    if re.search(r"\(\?<?[=!]|\\[1-9]|\(\?P=", pattern):
        raise ValueError(f'found "{pattern}", expected a pattern without look-around and back-references (RE2)')
    return pattern


def check_currency(code: str) -> str:
    """Return *code* if it can be an ISO 4217 code."""
    if not re.fullmatch("[A-Z]{3}", code):
        raise ValueError(f'found "{code}", expected an ISO 4217 code such as USD')
    return code


WrongZone = Literal["refuse", "report"]
"""What becomes of a source whose times are surely read wrong: nothing of it is loaded, or a warning says so."""


def check_encoding(name: str) -> str:
    """Return *name* if Python knows an encoding of that name."""
    try:
        "".encode(name)
    except (LookupError, ValueError):
        raise ValueError(f'found "{name}", expected an encoding such as utf-8, latin-1 or cp1252') from None
    return name


def _check_region(code: str) -> str:
    if not re.fullmatch("[A-Z]{2}", code):
        raise ValueError(f'found "{code}", expected an ISO 3166 country code such as KE')
    return code


Name = Annotated[StrictStr, AfterValidator(check_name)]
Zone = Annotated[StrictStr, AfterValidator(check_zone)]
CurrencyCode = Annotated[StrictStr, AfterValidator(check_currency)]
RegionCode = Annotated[StrictStr, AfterValidator(_check_region)]
Pattern = Annotated[StrictStr, AfterValidator(_check_pattern)]
Texts = Annotated[
    tuple[StrictStr, ...], BeforeValidator(_as_tuple), WithJsonSchema({IN_WORDS: "text or list of texts"})
]
Formats = Annotated[
    tuple[StrictStr, ...],
    BeforeValidator(_as_tuple),
    AfterValidator(_check_format),
    WithJsonSchema({IN_WORDS: "text or list of texts"}),
]
OneColumn = Annotated[ColumnRef, PlainValidator(_check_one_column), WithJsonSchema({IN_WORDS: "text or position"})]
Columns = Annotated[
    ColumnRef | tuple[ColumnRef, ...],
    PlainValidator(_check_column),
    PlainSerializer(_dumped_column),  # pydantic's own warns of a list where it has made one of a tuple itself
    WithJsonSchema({IN_WORDS: "text, position or list"}),
]
Number = Annotated[Decimal, Field(allow_inf_nan=False)]
Implied = Annotated[
    StrictInt | None,
    Field(ge=0, le=_MOST_DIGITS, description="Decimals that are not written: 2 makes `120` 1.20."),
]
TwoNames = Annotated[tuple[StrictStr, StrictStr], WithJsonSchema({IN_WORDS: "list of two texts"})]
AmbiguousTime = Literal["reject", "earlier", "later"]


class Part(BaseModel):
    """
    A part of a layout: frozen, and an unknown key is an error.

    Its validator is made when it is first used alone, as that of a whole layout holds those of all parts already.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True, defer_build=True
    )


class FieldBase(Part):
    """What fields of all types have."""

    KEY_OPTIONS: ClassVar[tuple[str, ...]] = ()
    """The type's own options that change its key value; the others only decide what is rejected or shown."""
    LATER_KEY_OPTIONS: ClassVar[tuple[str, ...]] = ()
    """Such options that came later: where they are not set, the fingerprint is that of before."""

    column: Columns = Field(
        description="Header name, position from 1, or a list of these, whose texts are joined by `join`."
    )
    name: Name = Field(description="Column in the call table; see the names that mean the same in every layout.")
    aliases: tuple[StrictStr, ...] = Field(
        default=(), description="Other header names of the column; the first name that the file has counts."
    )
    required: StrictBool = Field(default=False, description="An empty field is a reject; else it is NULL.")
    join: StrictStr = Field(default=" ", description="What stands between the texts of a list of columns.")
    nulls: tuple[StrictStr, ...] | None = Field(
        default=None, description="Texts that mean NULL in this field; by default those of `[defaults]`."
    )
    trim: StrictBool = Field(default=False, description="Blanks around the text are left out, as in padded numbers.")

    @property
    def columns_read(self) -> tuple[ColumnRef, ...]:
        """The CSV columns that the field's own text comes from, in the order in which they are joined."""
        return self.column if isinstance(self.column, tuple) else (self.column,)

    @property
    def beside(self) -> ColumnRef | None:
        """The CSV column with what the field must know beside its own text: a currency, or a unit."""
        return None

    @property
    def all_columns_read(self) -> tuple[ColumnRef, ...]:
        """The CSV columns that the field needs, also beside its own text."""
        return self.columns_read if self.beside is None else (*self.columns_read, self.beside)

    @property
    def names_of(self) -> Mapping[ColumnRef, tuple[str, ...]]:
        """The columns that may have other names in the header, with these."""
        return {} if isinstance(self.column, tuple) or not self.aliases else {self.column: self.aliases}

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns that the field fills."""
        raise NotImplementedError

    @model_validator(mode="after")
    def _aliases_of_one_name(self) -> Self:
        if self.aliases and not isinstance(self.column, str):
            raise ValueError("found aliases, expected them beside one header name only")
        return self

    def key_options(self) -> Mapping[str, Any]:
        """Return the options that change the field's value in a record key."""
        options = {name: getattr(self, name) for name in ("column", "join", *self.KEY_OPTIONS)}
        later = {name: getattr(self, name) for name in ("trim", *self.LATER_KEY_OPTIONS)}
        return options | {name: value for name, value in later.items() if value}

    def _column(
        self, pg_type: str, arrow_type: str, *, name: str | None = None, nullable: bool = False, source: str = ""
    ) -> Column:
        return Column(
            name=name or self.name,
            pg_type=pg_type,
            arrow_type=arrow_type,
            source=source or ", ".join(map(str, self.columns_read)),
            field=self.name,
            not_null=self.required and not nullable,
        )


def _decimal(scale: int) -> tuple[str, str]:
    return f"numeric({_MOST_DIGITS},{scale})", f"decimal128({_MOST_DIGITS}, {scale})"


def _check_implied(implied: int | None, most: int) -> None:
    if implied is not None and implied > most:
        raise ValueError(f"implied is {implied}, expected at most the scale, {most}")


def _check_range(low: Decimal | int | None, high: Decimal | int | None) -> None:
    if low is not None and high is not None and low > high:
        raise ValueError(f"min {low} is above max {high}, expected it below")


class TextField(FieldBase):
    """Text as it is written."""

    type: Literal["text"]
    allowed: tuple[StrictStr, ...] | None = Field(default=None, description="The only texts that are not rejected.")
    pattern: Pattern | None = Field(
        default=None, description="Regular expression (RE2) that the whole text must match."
    )
    map: dict[StrictStr, StrictStr] | None = Field(
        default=None,
        description="Text to canonical name; NAME_raw keeps the text as written. Others are rejected, or `other`.",
    )
    other: StrictStr | None = Field(default=None, description="Canonical name of every text that `map` does not have.")
    when: dict[StrictStr, StrictStr] | None = Field(
        default=None,
        description="Another field to canonical name: a record with a value there, other than 0, has that name, "
        "whatever `map` says of its text.",
    )

    @property
    def columns(self) -> tuple[Column, ...]:
        if self.map is None:
            return (self._column("text", "string"),)
        return (self._column("text", "string"), self._column("text", "string", name=self.name + RAW))

    @model_validator(mode="after")
    def _other_than_mapped(self) -> Self:
        for key in ("other", "when"):
            if getattr(self, key) is not None and self.map is None:
                raise ValueError(f"found {key} without map, expected both or none")
        return self


class IntegerField(FieldBase):
    """A whole number in canonical digits: no "+", no leading zeros, no blanks."""

    type: Literal["integer"]
    min: StrictInt | None = Field(default=None, description="Smallest number that is not rejected.")
    max: StrictInt | None = Field(default=None, description="Largest number that is not rejected.")
    allowed: tuple[StrictInt, ...] | None = Field(default=None, description="The only numbers that are not rejected.")

    @property
    def columns(self) -> tuple[Column, ...]:
        return (self._column("bigint", "int64"),)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        _check_range(self.min, self.max)
        return self


class DecimalField(FieldBase):
    """An exact decimal number."""

    KEY_OPTIONS = ("scale", "point")
    LATER_KEY_OPTIONS = ("implied",)

    type: Literal["decimal"]
    scale: StrictInt = Field(
        default=6, ge=0, le=_MOST_DIGITS, description="Decimal places of the column; more in a record are a reject."
    )
    point: Literal[".", ","] = Field(default=".", description="Character before the decimals.")
    implied: Implied = None
    min: Number | None = Field(default=None, description="Smallest number that is not rejected.")
    max: Number | None = Field(default=None, description="Largest number that is not rejected.")

    @property
    def columns(self) -> tuple[Column, ...]:
        return (self._column(*_decimal(self.scale)),)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        _check_range(self.min, self.max)
        _check_implied(self.implied, self.scale)
        return self


class MoneyField(FieldBase):
    """
    An exact amount, and its currency in a column of its own: `currency` for `cost`, else NAME_currency.  A sign,
    parentheses for negative amounts, and a symbol or ISO code that can mean the currency may stand around it.
    """

    KEY_OPTIONS = ("scale", "point", "group", "implied", "currency_from")

    type: Literal["money"]
    scale: StrictInt = Field(
        default=6, ge=0, le=_MOST_DIGITS, description="Decimal places of the column; more in a record are a reject."
    )
    currency: CurrencyCode | None = Field(
        default=None, description="ISO 4217 code of all amounts. `--currency` overrides it. Unknown: NULL."
    )
    currency_from: OneColumn | None = Field(
        default=None,
        description="Column with the ISO 4217 code of each record, instead of `currency`; NULL where there is none.",
    )
    currency_aliases: tuple[StrictStr, ...] = Field(
        default=(), description="Other header names of the column of `currency_from`."
    )
    point: Literal[".", ","] = Field(default=".", description="Character before the decimals.")
    group: Literal[",", ".", " ", "'"] | None = Field(
        default=None, description="Character between groups of three digits; none is allowed without it."
    )
    implied: Implied = None
    min: Number | None = Field(default=None, description="Smallest amount that is not rejected.")
    max: Number | None = Field(default=None, description="Largest amount that is not rejected.")

    @property
    def currency_column(self) -> str:
        """Name of the column with the currency: ``currency`` for ``cost``, else NAME_currency."""
        return CURRENCY if self.name == "cost" else f"{self.name}_{CURRENCY}"

    @property
    def beside(self) -> ColumnRef | None:
        return self.currency_from

    @property
    def names_of(self) -> Mapping[ColumnRef, tuple[str, ...]]:
        if self.currency_from is None or not self.currency_aliases:
            return super().names_of
        return {**super().names_of, self.currency_from: self.currency_aliases}

    @property
    def columns(self) -> tuple[Column, ...]:
        source = "" if self.currency_from is None else str(self.currency_from)
        return (
            self._column(*_decimal(self.scale)),
            self._column("char(3)", "string", name=self.currency_column, nullable=True, source=source),
        )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _check_range(self.min, self.max)
        if self.currency is not None and self.currency_from is not None:
            raise ValueError("found currency and currency_from, expected one of them")
        if self.point == self.group:
            raise ValueError(f'point and group are both "{self.point}", expected two characters')
        _check_implied(self.implied, self.scale)
        return self


class DurationField(FieldBase):
    """How long something took, in seconds: integer, or with `scale` numeric."""

    KEY_OPTIONS = ("unit", "scale")
    LATER_KEY_OPTIONS = ("implied", "unit_from", "units", "between")

    type: Literal["duration"]
    unit: DurationUnit | None = Field(
        default=None,
        description="What is written: `hms` is hours:minutes:seconds, `go` `1h2m3.5s`, `go_ns` the same with "
        "nanoseconds where no unit is written, `6s` and `0.1min` six seconds.",
    )
    unit_from: OneColumn | None = Field(
        default=None, description="Column with the unit of each record, instead of `unit`."
    )
    units: dict[StrictStr, PlainUnit] | None = Field(
        default=None, description='What the texts of that column mean, such as `{ SEC = "s", MIN = "min" }`.'
    )
    between: TwoNames | None = Field(
        default=None,
        description="Two timestamp fields, instead of a text and its unit: the time from the first to the second, NULL "
        "where one of them is.",
    )
    implied: Implied = None
    scale: StrictInt = Field(default=0, ge=0, le=6, description="Decimal places of a second; more are a reject.")
    min: Number | None = Field(default=None, ge=0, description="Shortest duration that is not rejected, in seconds.")
    max: Number | None = Field(default=None, ge=0, description="Longest duration that is not rejected, in seconds.")

    @property
    def beside(self) -> ColumnRef | None:
        return self.unit_from

    @property
    def columns(self) -> tuple[Column, ...]:
        return (self._column(*_decimal(self.scale)) if self.scale else self._column("integer", "int32"),)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _check_range(self.min, self.max)
        if sum(each is not None for each in (self.unit, self.unit_from, self.between)) != 1:
            raise ValueError("expected one of unit, unit_from and between")
        if (self.units is None) != (self.unit_from is None):
            raise ValueError("expected unit_from and units together")
        if self.implied is not None and (self.between is not None or self.unit in ("hms", "go", "go_ns")):
            raise ValueError(f"found implied with unit {self.unit or 'between'}, expected a unit of plain numbers")
        _check_implied(self.implied, 6)
        return self


class TimestampField(FieldBase):
    """A moment.  Its zone is in the text, or here, or in `[defaults]`, or given by the user."""

    KEY_OPTIONS = ("format", "ambiguous_time")

    type: Literal["timestamp"]
    format: Formats = Field(
        default=(),
        description="strptime format, a list of them, `epoch_s`, `epoch_ms` or `epoch_us`; by default ISO 8601.",
    )
    also: Formats = Field(
        default=(),
        description="More strptime formats, for texts that fit none of `format`. Unlike there, adding one changes no "
        "key, so calls that are loaded stay the same calls.",
    )
    timezone: Zone | None = Field(
        default=None, description="Zone of this field, whatever the defaults and `--timezone` say (`UTC` in a header)."
    )
    ambiguous_time: AmbiguousTime | None = Field(default=None, description="As in `[defaults]`, for this field.")

    @property
    def columns(self) -> tuple[Column, ...]:
        return (self._column("timestamptz", "timestamp[us, tz=UTC]"),)

    @property
    def is_epoch(self) -> bool:
        """Whether it is counted from 1970 in UTC."""
        return bool(self.format) and self.format[0] in EPOCHS

    @property
    def states_offset(self) -> bool:
        """Whether every text says its offset from UTC, so that no zone is needed."""
        return self.is_epoch or (bool(self.format) and all("%z" in each for each in (*self.format, *self.also)))

    @property
    def may_state_offset(self) -> bool:
        """Whether a text may say its offset from UTC."""
        return not self.format or self.is_epoch or any("%z" in each for each in (*self.format, *self.also))

    @property
    def formats(self) -> tuple[str, ...]:
        """All formats in the order in which they count."""
        return (*(self.format or ISO_TIMESTAMPS), *self.also) if self.also else self.format

    @model_validator(mode="after")
    def _no_epoch_also(self) -> Self:
        if self.also and (self.is_epoch or not set(EPOCHS).isdisjoint(self.also)):
            raise ValueError("found also with an epoch, expected strptime formats only")
        return self


class DateField(FieldBase):
    """A calendar day."""

    KEY_OPTIONS = ("format",)

    type: Literal["date"]
    format: Formats = Field(default=(), description="strptime format or a list of them; by default `%Y-%m-%d`.")

    @property
    def columns(self) -> tuple[Column, ...]:
        return (self._column("date", "date32[day]"),)

    @model_validator(mode="after")
    def _no_epoch(self) -> Self:
        if not set(EPOCHS).isdisjoint(self.format):
            raise ValueError(f"format: found {self.format[0]}, expected a strptime format (an epoch is a timestamp)")
        return self


class BooleanField(FieldBase):
    """True or false."""

    KEY_OPTIONS = ("true", "false")

    type: Literal["boolean"]
    true: tuple[StrictStr, ...] | None = Field(
        default=None, description="Texts that mean true, exactly; by default true, t, yes, y and 1 in any case."
    )
    false: tuple[StrictStr, ...] | None = Field(
        default=None, description="Texts that mean false, exactly; by default false, f, no, n and 0 in any case."
    )

    @property
    def columns(self) -> tuple[Column, ...]:
        return (self._column("boolean", "bool"),)

    @property
    def choices(self) -> Mapping[str, bool] | None:
        """What each text means; None: the usual words."""
        if self.true is None or self.false is None:
            return None
        return dict.fromkeys(self.true, True) | dict.fromkeys(self.false, False)

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.true is None) != (self.false is None):
            raise ValueError("found one of true and false, expected both or none")
        both = set(self.true or ()) & set(self.false or ())
        if both:
            raise ValueError(f"{', '.join(sorted(both))} means true and false, expected one of them")
        return self


class PhoneField(FieldBase):
    """A phone number as written, and in NAME_e164 its E.164 form where it is a valid number."""

    type: Literal["phone"]
    region: RegionCode | None = Field(
        default=None, description="ISO 3166 country where a number without + was dialled; by default of `[defaults]`."
    )

    @property
    def columns(self) -> tuple[Column, ...]:
        return (
            self._column("text", "string"),
            self._column("text", "string", name=self.name + E164, nullable=True),
        )


class IpField(FieldBase):
    """An IPv4 or IPv6 address."""

    KEY_OPTIONS = ("format",)

    type: Literal["ip"]
    format: Literal["text", "little_endian"] = Field(
        default="text",
        description="`little_endian`: an IPv4 address as a whole number of 32 bits, low byte first.",
    )

    @property
    def columns(self) -> tuple[Column, ...]:
        return (self._column("inet", "string"),)


FIELD_TYPES: Mapping[str, type[FieldBase]] = {
    "text": TextField,
    "integer": IntegerField,
    "decimal": DecimalField,
    "money": MoneyField,
    "duration": DurationField,
    "timestamp": TimestampField,
    "date": DateField,
    "boolean": BooleanField,
    "phone": PhoneField,
    "ip": IpField,
}

AnyField = Annotated[
    TextField
    | IntegerField
    | DecimalField
    | MoneyField
    | DurationField
    | TimestampField
    | DateField
    | BooleanField
    | PhoneField
    | IpField,
    Field(discriminator="type"),
]
