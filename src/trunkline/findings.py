"""What the records of a block show beside their values, for a judgement over the whole source; adds up.  No I/O."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, DecimalException
from typing import Any

Traces = Counter[tuple[str, str]]
"""Name of a field, "" for the record as a whole, and of a trace, to the number of records that show it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trailer:
    """What a trailer states: a number of records, and sums by field; None where that cannot be read."""

    count: int | None
    totals: Mapping[str, Decimal | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """
    What was found in some records.

    Attributes:
        traces: Of a spreadsheet: see `trunkline.spreadsheet`.
        trailers: See `trunkline.trailers`.
        sums: Of the calls, for each field whose sum trailers state.
    """

    traces: Traces = field(default_factory=Counter)
    trailers: tuple[Trailer, ...] = ()
    sums: Mapping[str, Decimal] = field(default_factory=dict)

    def __add__(self, other: Findings) -> Findings:
        names = dict.fromkeys([*self.sums, *other.sums])
        none = Decimal(0)
        return Findings(
            traces=self.traces + other.traces,
            trailers=self.trailers + other.trailers,
            sums={name: self.sums.get(name, none) + other.sums.get(name, none) for name in names},
        )

    def to_json(self) -> str:
        """Return it as JSON, exact numbers as text; without what there is none of."""
        traces: dict[str, dict[str, int]] = {}
        for (name, trace), count in sorted(self.traces.items()):
            traces.setdefault(name, {})[trace] = count
        trailers = [
            {"count": each.count, "totals": {name: _text(value) for name, value in each.totals.items()}}
            for each in self.trailers
        ]
        sums = {name: str(value) for name, value in self.sums.items()}
        whole = {"traces": traces, "trailers": trailers, "sums": sums}
        return json.dumps({name: value for name, value in whole.items() if value})

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Findings:
        """
        Return what `to_json` was given, from the parsed JSON.

        Raises:
            ValueError: If it is none of ours.
        """
        try:
            traces = document.get("traces", {})
            return cls(
                traces=Counter({(name, trace): int(count) for name in traces for trace, count in traces[name].items()}),
                trailers=tuple(_trailer(each) for each in document.get("trailers", ())),
                sums={name: Decimal(value) for name, value in document.get("sums", {}).items()},
            )
        except (AttributeError, LookupError, TypeError, DecimalException) as error:
            raise ValueError("no findings") from error


def _trailer(document: Mapping[str, Any]) -> Trailer:
    count, totals = document["count"], document["totals"]
    return Trailer(
        count=None if count is None else int(count),
        totals={name: None if value is None else Decimal(value) for name, value in totals.items()},
    )


def _text(value: Decimal | None) -> str | None:
    return None if value is None else str(value)
