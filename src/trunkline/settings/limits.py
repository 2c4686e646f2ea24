"""How many rejects a source may have before it is refused."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, kw_only=True, slots=True)
class MaxRejects:
    """
    A number of records, or a share of those that were read.

    Attributes:
        records: The most rejects that are accepted, or None.
        percent: The largest share of rejects that is accepted, 0 to 100, or None.
    """

    records: int | None = None
    percent: Decimal | None = None

    @classmethod
    def parse(cls, text: str) -> MaxRejects:
        """
        Return the limit that *text* states.

        Raises:
            ValueError: If it is neither ``N`` nor ``N%``.

        >>> MaxRejects.parse("0.5%").allows(rejected=5, read=1_000)
        True
        >>> MaxRejects.parse("0.5%").allows(rejected=6, read=1_000)
        False
        """
        if re.fullmatch("[0-9]{1,18}", text):
            return cls(records=int(text))
        if found := re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)\s?%", text):
            percent = Decimal(found[1])
            if percent <= 100:
                return cls(percent=percent)
        raise ValueError(f'found "{text}", expected a number of records such as 100, or a share such as 0.5%')

    def allows(self, rejected: int, read: int) -> bool:
        """Return whether *rejected* of *read* records are accepted; exact at the limit."""
        if self.records is not None and rejected > self.records:
            return False
        return self.percent is None or rejected * 100 <= self.percent * read

    def __str__(self) -> str:
        """Return the limit as `parse` reads it."""
        return f"{self.percent}%" if self.percent is not None else str(self.records)
