"""The books of a load as a value: where every record of a source went, and what the loaded calls sum to.  No I/O."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any, Literal

Status = Literal["running", "loaded", "unchanged", "refused", "failed"]
"""What became of a source: ``unchanged`` is a run's finding, ``running`` a load that is still in work or was left
behind; the books hold all but ``unchanged``."""

_USUAL_DECIMALS = 2
# ISO 4217, list one, column "minor unit", where it is not 2.
_OTHER_DECIMALS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
_DECIMALS = {currency: places for places, currencies in _OTHER_DECIMALS.items() for currency in currencies.split()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Totals:
    """
    Sums over the calls that a load brought into the table.

    Attributes:
        duration_s: Seconds.
        cost: Exact amounts by ISO 4217 currency; "" where the layout knows none.
    """

    duration_s: Decimal = Decimal(0)
    cost: dict[str, Decimal] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"duration_s": 3720, "cost": {"USD": "13.70"}}``; text where a number would not be exact."""
        return {
            "duration_s": whole_or_text(self.duration_s),
            "cost": {currency: format_amount(amount, currency) for currency, amount in sorted(self.cost.items())},
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheCounts:
    """How often the cache had what a load asked for, and the bytes of values that it gave and took."""

    hits: int = 0
    misses: int = 0
    bytes_read: int = 0
    bytes_written: int = 0

    def to_dict(self) -> dict[str, int]:
        return asdict(self)

    def __add__(self, other: CacheCounts) -> CacheCounts:
        return CacheCounts(**{name: getattr(self, name) + getattr(other, name) for name in self.__slots__})


@dataclass(frozen=True, kw_only=True, slots=True)
class Seconds:
    """What a load took: CPU seconds by stage, which work side by side, and wall seconds in all."""

    extract: float = 0.0
    transform: float = 0.0
    load: float = 0.0
    total: float = 0.0

    def to_dict(self) -> dict[str, float]:
        """Return the four numbers, to the millisecond."""
        return {
            "extract": round(self.extract, 3),
            "transform": round(self.transform, 3),
            "load": round(self.load, 3),
            "total": round(self.total, 3),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Books:
    """
    The account of one source: ``read = loaded + duplicates + rejected + filtered`` once it is loaded.

    Attributes:
        source: Its name, without credentials or URL signatures.
        layout: Name of the layout, or None where the source ended before one was chosen.
        load_id: Its load, the earlier one where it is unchanged; None where no load was begun.
        duplicates_in_source: Those duplicates whose twin stands in the same source.
        rejected_by: Reject code to count.
        conflicts: Records with the key of another call and other values; counted within *rejected* or, where
            the layout skips them, within *duplicates*.
        totals: Of what was loaded.
        timezone, currency: What times without a zone and amounts without a currency were read in, comma-joined where
            there are several; "" where the records say it themselves.
        warnings: What is doubtful about it and no reason to refuse it, a line each, without values of records.
        unknown_columns: Columns that this run found and did not load, as the layout does not know them.
        trailer: What its trailers state and what was found, by name, and whether that ``agrees``; None without any.
        reason: Why it was refused or failed, in one line.
    """

    source: str
    layout: str | None
    status: Status
    load_id: int | None = None
    read: int = 0
    loaded: int = 0
    duplicates: int = 0
    duplicates_in_source: int = 0
    rejected: int = 0
    rejected_by: dict[str, int] = field(default_factory=dict)
    filtered: int = 0
    conflicts: int = 0
    totals: Totals = field(default_factory=Totals)
    cache: CacheCounts = field(default_factory=CacheCounts)
    seconds: Seconds = field(default_factory=Seconds)
    timezone: str = ""
    currency: str = ""
    warnings: tuple[str, ...] = ()
    unknown_columns: tuple[str, ...] = ()
    trailer: dict[str, Any] | None = None
    reason: str | None = None

    @property
    def is_balanced(self) -> bool:
        """Whether every record that was read is accounted for exactly once."""
        return self.read == self.loaded + self.duplicates + self.rejected + self.filtered

    def to_dict(self) -> dict[str, Any]:
        """Return what ``trunkline run --json`` writes for a source."""
        return {
            "source": self.source,
            "layout": self.layout,
            "status": self.status,
            "load_id": self.load_id,
            "read": self.read,
            "loaded": self.loaded,
            "duplicates": self.duplicates,
            "duplicates_in_source": self.duplicates_in_source,
            "rejected": self.rejected,
            "rejected_by": dict(sorted(self.rejected_by.items())),
            "filtered": self.filtered,
            "conflicts": self.conflicts,
            "totals": self.totals.to_dict(),
            "cache": self.cache.to_dict(),
            "seconds": self.seconds.to_dict(),
            "timezone": self.timezone,
            "currency": self.currency,
            "warnings": list(self.warnings),
            "trailer": self.trailer,
            "unknown_columns": list(self.unknown_columns),
            "reason": self.reason,
        }


def format_amount(amount: Decimal, currency: str) -> str:
    """
    Return *amount* exactly, with the decimals that the currency usually has and no needless zeros beyond.

    >>> format_amount(Decimal("13.700000"), "USD"), format_amount(Decimal("0.002500"), "USD")
    ('13.70', '0.0025')
    >>> format_amount(Decimal("700.000000"), "UGX")
    '700'
    """
    whole, _, decimals = f"{amount:f}".partition(".")
    decimals = decimals.rstrip("0").ljust(_DECIMALS.get(currency, _USUAL_DECIMALS), "0")
    return f"{whole}.{decimals}" if decimals else whole


def whole_or_text(number: Decimal) -> int | str:
    """
    Return *number* as an integer if it is one, else exactly, as text.

    >>> whole_or_text(Decimal("3720.000")), whole_or_text(Decimal("12.50"))
    (3720, '12.5')
    """
    return int(number) if number == number.to_integral_value() else f"{number:f}".rstrip("0")
