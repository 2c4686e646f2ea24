"""The rule for trailers: how a line is known that says what a source holds, and what it says.

A module of its own beside `layout.model`, which has the other parts of a layout.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, Literal, Self

from pydantic import Field, StrictBool, StrictInt, StrictStr, model_validator

from trunkline.layout.fields import DurationUnit, Part, Pattern, Texts
from trunkline.problems import suggestion

if TYPE_CHECKING:
    from trunkline.layout.model import Layout

COUNT: Final = "count"
"""Name of the group of a pattern that has the number of records."""
_SUMMED: Final = ("money", "duration", "integer", "decimal")


class TrailerTotal(Part):
    """A total that a trailer states: the sum of a field over all calls, whatever their currency."""

    field: StrictStr = Field(description="Field of type money, duration, integer or decimal that is summed.")
    column: StrictInt | None = Field(default=None, ge=1, description="Position of the total in the trailer.")
    unit: DurationUnit | None = Field(default=None, description="Unit of the total, where it is not that of the field.")
    implied: StrictInt | None = Field(
        default=None, ge=0, le=18, description="Decimals that the total does not write, where not those of the field."
    )


class TrailerRule(Part):
    """
    A line that says what the source holds, such as `TRAILER,1200,340.50`: it is filtered, and compared with the
    books.  It may also be the first line behind the header, and stand there more than once, as in joined files.
    """

    first: Texts = Field(default=(), description="Text of its first field, or a list of such texts.")
    pattern: Pattern | None = Field(
        default=None,
        description="Instead: regular expression (RE2) of the whole line, which has not as many fields as a record. "
        "Group `count` is the number of records; other groups have names of fields, and are their totals.",
    )
    count: StrictInt | None = Field(default=None, ge=1, description="Position of the number of records.")
    count_of: Literal["calls", "records"] = Field(
        default="calls", description="What is counted: all but what is filtered, or all but trailers."
    )
    count_more: StrictInt = Field(
        default=0, description="What the number counts beside these, such as 2 for a header and the trailer itself."
    )
    totals: tuple[TrailerTotal, ...] = Field(default=(), description="See below.")
    required: StrictBool = Field(
        default=True, description="A source without a trailer was cut off; not looked at where it is `growing`."
    )
    mismatch: Literal["refuse", "warn"] = Field(
        default="refuse", description="What becomes of a source that is not what its trailer says, or has none."
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if bool(self.first) == (self.pattern is not None):
            raise ValueError("expected either first or pattern")
        if self.pattern is not None and (self.count is not None or any(each.column for each in self.totals)):
            raise ValueError("found positions beside pattern, expected its groups to have the values")
        if self.pattern is None and any(each.column is None for each in self.totals):
            raise ValueError("found totals without column, expected its position in the trailer")
        return self

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the groups of the pattern."""
        return tuple(re.compile(self.pattern).groupindex) if self.pattern else ()

    @property
    def all_totals(self) -> tuple[TrailerTotal, ...]:
        """The totals, those that only a group of the pattern names included."""
        named = {each.field for each in self.totals}
        more = (name for name in self.groups if name != COUNT and name not in named)
        return (*self.totals, *(TrailerTotal(field=name) for name in more))


def trailer_problems(layout: Layout) -> Iterator[str]:
    """Yield what is wrong between the rule for trailers and the fields."""
    rule = layout.trailer
    if rule is None:
        return
    fields = {each.name: each for each in layout.fields}
    for total in rule.all_totals:
        field = fields.get(total.field)
        if field is None:
            known = suggestion(total.field, list(fields))
            yield f'trailer.totals: found field "{total.field}", which is no field, {known}'
        elif field.type not in _SUMMED:
            yield f"trailer.totals: {total.field} is of type {field.type}, expected one of {', '.join(_SUMMED)}"
        elif total.unit is not None and field.type != "duration":
            yield f"trailer.totals: {total.field} is of type {field.type}, expected a unit beside durations only"
        elif field.type == "duration" and field.unit is None and total.unit is None:
            yield f"trailer.totals: {total.field} has the unit of each record, expected the unit of its total"
        if rule.pattern is not None and total.field not in rule.groups:
            yield f'trailer.totals: the pattern has no group "{total.field}"'
