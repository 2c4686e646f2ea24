"""What the records of a block show beside their values, for a judgement over the whole source; adds up.  No I/O."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

Traces = Counter[tuple[str, str]]
"""Name of a field, "" for the record as a whole, and of a trace, to the number of records that show it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """
    What was found in some records.

    Attributes:
        traces: Of a spreadsheet: see `trunkline.spreadsheet`.
    """

    traces: Traces = field(default_factory=Counter)

    def __add__(self, other: Findings) -> Findings:
        return Findings(traces=self.traces + other.traces)

    def to_json(self) -> str:
        """Return it as JSON; without what there is none of."""
        traces: dict[str, dict[str, int]] = {}
        for (name, trace), count in sorted(self.traces.items()):
            traces.setdefault(name, {})[trace] = count
        return json.dumps({"traces": traces} if traces else {})

    @classmethod
    def of(cls, document: Mapping[str, object]) -> Findings:
        """
        Return what `to_json` was given, from the parsed JSON.

        Raises:
            ValueError: If it is none of ours.
        """
        try:
            traces = document.get("traces", {})
            return cls(
                traces=Counter({(name, trace): int(count) for name in traces for trace, count in traces[name].items()})  # type: ignore[attr-defined,index]
            )
        except (AttributeError, TypeError) as error:
            raise ValueError("no findings") from error
