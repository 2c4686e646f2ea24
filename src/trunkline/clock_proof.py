"""Proves the zone of local times by a second clock in the record, such as the epoch in Asterisk's unique ids.

Blocks are counted one by one and added up; a judgement is over a whole source.  No I/O.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trunkline.errors import RefusedError
from trunkline.fields.text_bytes import Ints, Mask
from trunkline.fields.zones import MICROSECONDS, offsets_at, zone_names, zone_rules

if TYPE_CHECKING:
    from trunkline.layout.model import Layout, SecondClock

Verdict = Literal["proved", "wrong_zone", "wrong_order", "unclear", "no_clock"]

ENOUGH: Final = 3  # records; fewer may differ by a quarter of an hour or more by chance
SHARE: Final = 0.95  # of the records whose two clocks differ by whole quarters of an hour
SHOWN_ZONES: Final = 5
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY: Final = 86_400 * MICROSECONDS
_QUARTER: Final = 900 * MICROSECONDS
_FARTHEST: Final = 60  # quarters of an hour: no zone is 15 hours from UTC
_FIRST: Final = 946_684_800 * MICROSECONDS  # 2000 and 2100: an id from elsewhere is no clock
_LAST: Final = 4_102_444_800 * MICROSECONDS
_GREGORIAN: Final = 12_219_292_800 * MICROSECONDS  # from 1582-10-15, the epoch of UUIDs, to 1970
_UNIQUE_ID: Final = r"^(?:.*-)?(?P<seconds>[0-9]{9,10})\.[0-9]+$"
_UUID: Final = r"^(?P<low>[0-9A-Fa-f]{8})-(?P<middle>[0-9A-Fa-f]{4})-1(?P<high>[0-9A-Fa-f]{3})-[89ABab][0-9A-Fa-f]{3}-"


@dataclass(frozen=True, kw_only=True, slots=True)
class ClockProof:
    """
    How the times of one field compare with the second clock of their records.

    Attributes:
        clocked: Calls that have both.
        agreeing: Those of them where both say the same moment.
        offsets: What the local clock showed, as calls by day in UTC (from 1970) and quarters of an hour ahead of
            UTC; calls whose clocks differ by anything else are not in it.
        swapped: Calls in which only day and month the other way round give such an offset.
    """

    clocked: int = 0
    agreeing: int = 0
    offsets: Counter[tuple[int, int]] = field(default_factory=Counter)
    swapped: int = 0

    def __add__(self, other: ClockProof) -> ClockProof:
        return ClockProof(
            clocked=self.clocked + other.clocked,
            agreeing=self.agreeing + other.agreeing,
            offsets=self.offsets + other.offsets,
            swapped=self.swapped + other.swapped,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """
    What the proof of one field says about its zone.

    Attributes:
        message: For people, with the numbers, and without values of records.
        zones: Zones that would agree, where that of the layout does not.
    """

    verdict: Verdict
    message: str
    zones: tuple[str, ...] = ()

    @property
    def disproves(self) -> bool:
        """Whether the times were surely read wrong."""
        return self.verdict in ("wrong_zone", "wrong_order")


@dataclass(frozen=True, kw_only=True, slots=True)
class ClockProofs:
    """The proofs of a source or a part of it, by the field whose times are checked; adds up."""

    by_field: Mapping[str, ClockProof] = field(default_factory=dict)

    def __add__(self, other: ClockProofs) -> ClockProofs:
        names = dict.fromkeys([*self.by_field, *other.by_field])
        none = ClockProof()
        return ClockProofs(
            by_field={name: self.by_field.get(name, none) + other.by_field.get(name, none) for name in names}
        )


def prove_clocks(calls: pa.RecordBatch, layout: Layout) -> ClockProofs:
    """
    Compare the times of typed calls with their second clocks.

    Args:
        calls: With the layout's columns, as transformation makes them.
        layout: With the user's overrides.  Without ``clocks`` nothing is done.
    """
    proofs = {}
    moments: dict[tuple[str, str], pa.Int64Array] = {}  # a clock may check several times
    for clock in layout.proving_clocks:
        zone = layout.zone_of(layout.timestamp(clock.of))
        if zone is not None:
            shown = (clock.field, clock.kind)
            if shown not in moments:
                moments[shown] = second_clock(calls.column(clock.field), clock)
            proofs[clock.of] = _prove(calls.column(clock.of), moments[shown], zone, clock)
    return ClockProofs(by_field=proofs)


def second_clock(values: pa.Array, clock: SecondClock) -> pa.Int64Array:
    """
    Return the moments that a second clock shows, in microseconds since 1970 in UTC; null where there is none.

    Args:
        values: The typed column of the clock's field: text, or timestamps for ``epoch``.

    Source: of the time in a UUID of version 1, RFC 9562, section 5.1; of Asterisk's unique id,
    main/channel_internal_api.c.
    """
    match clock.kind:
        case "asterisk_uniqueid":
            parts = pc.extract_regex(values, pattern=_UNIQUE_ID)
            moments = pc.multiply(pc.cast(pc.struct_field(parts, "seconds"), pa.int64()), MICROSECONDS)
        case "uuid1":
            parts = pc.extract_regex(values, pattern=_UUID)
            digits = [pc.struct_field(parts, name) for name in ("high", "middle", "low")]
            ticks = pc.cast(pc.binary_join_element_wise("0x", *digits, ""), pa.int64())
            moments = pc.subtract(pc.divide(ticks, 10), _GREGORIAN)
        case "epoch":
            moments = pc.cast(values, pa.int64())
    plausible = pc.and_(pc.greater_equal(moments, _FIRST), pc.less(moments, _LAST))
    return pc.if_else(plausible, moments, pa.scalar(None, pa.int64()))


def _prove(times: pa.Array, moments: pa.Int64Array, zone: str, clock: SecondClock) -> ClockProof:
    both = pc.and_(pc.is_valid(times), pc.is_valid(moments))
    read = times.filter(both).cast(pa.int64()).to_numpy()
    true = moments.filter(both).to_numpy()
    if not len(read):
        return ClockProof()
    tolerance = clock.tolerance_s * MICROSECONDS
    local = read + offsets_at(read, zone)
    quarters, plausible = _quarters(local - true, tolerance)
    days = true[plausible] // _DAY
    pairs, counts = _count_pairs(days, quarters[plausible])
    far = ~plausible
    return ClockProof(
        clocked=len(read),
        agreeing=int((np.abs(read - true) <= tolerance).sum()),
        offsets=Counter(dict(zip(zip(*pairs.tolist(), strict=True), counts.tolist(), strict=True))),
        swapped=_count_swapped(local[far], true[far], tolerance),
    )


def _count_pairs(days: Ints, quarters: Ints) -> tuple[Ints, Ints]:
    """Return the distinct pairs, days first, and how often each came."""
    width = 2 * _FARTHEST + 1
    codes, counts = np.unique(days * width + quarters + _FARTHEST, return_counts=True)
    return np.stack([codes // width, codes % width - _FARTHEST]), counts


def _quarters(ahead: Ints, tolerance: int) -> tuple[Ints, Mask]:
    """Return the nearest quarters of an hour, and whether some zone could be that far ahead of UTC."""
    quarters = (ahead + _QUARTER // 2) // _QUARTER
    near = np.abs(ahead - quarters * _QUARTER) <= tolerance
    return quarters, near & (np.abs(quarters) <= _FARTHEST)


def _count_swapped(local: Ints, true: Ints, tolerance: int) -> int:
    """Return how many times some zone could show if day and month were the other way round."""
    days, of_day = local // _DAY, local % _DAY
    months = days.astype("datetime64[D]").astype("datetime64[M]")
    day = days - months.astype("datetime64[D]").astype(np.int64)  # from 0
    year, month = np.divmod(months.astype(np.int64), 12)
    can = day < 12
    starts = (year * 12 + day)[can].astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    swapped = (starts + month[can]) * _DAY + of_day[can]
    return int(_quarters(swapped - true[can], tolerance)[1].sum())


def judge_clocks(proofs: ClockProofs, layout: Layout) -> dict[str, Judgement]:
    """Return what the proofs of a source say, by the field whose times they check."""
    judgements = {}
    for clock in layout.proving_clocks:
        zone = layout.zone_of(layout.timestamp(clock.of))
        if zone is not None:
            proof = proofs.by_field.get(clock.of, ClockProof())
            judgements[clock.of] = _judge(proof, zone, clock)
    return judgements


def are_proved(judgements: Mapping[str, Judgement], layout: Layout) -> bool:
    """Return whether every zone that times are read in is proved."""
    proved = {layout.zone_of(layout.timestamp(name)) for name, found in judgements.items() if found.verdict == "proved"}
    return bool(proved) and proved.issuperset(layout.zones.split(", "))


def _judge(proof: ClockProof, zone: str, clock: SecondClock) -> Judgement:
    if not proof.clocked:
        return Judgement(verdict="no_clock", message=f"no call has a clock in {clock.field} to prove its zone by")
    said = (
        f"{clock.of} is read in {zone}, and the clock in {clock.field} agrees with {proof.agreeing:,} of "
        f"{proof.clocked:,} calls"
    )
    if _explains(proof.agreeing, proof):
        return Judgement(verdict="proved", message=said)
    if proof.swapped >= ENOUGH and proof.swapped * 2 > proof.clocked:
        swapped = f"{proof.swapped:,} agree with some zone if day and month are the other way round"
        return Judgement(verdict="wrong_order", message=f"{said}; {swapped}")
    said = f"{said}; {_shown(proof)}"
    zones = _agreeing_zones(proof)
    if zones:
        more = f" and {len(zones) - SHOWN_ZONES} more" if len(zones) > SHOWN_ZONES else ""
        said = f"{said}; zones that agree: {', '.join(zones[:SHOWN_ZONES])}{more}"
    is_clear = bool(zones) and sum(proof.offsets.values()) >= ENOUGH
    return Judgement(verdict="wrong_zone" if is_clear else "unclear", message=said, zones=zones)


def _explains(calls: int, proof: ClockProof) -> bool:
    """
    Return whether so many calls that agree settle the zone.

    A leg that began some time after its id was made differs by no whole quarters of an hour: it says nothing.
    """
    return calls * 2 >= proof.clocked and calls >= SHARE * sum(proof.offsets.values())


def _shown(proof: ClockProof) -> str:
    """Return what the local clock showed, the most frequent first."""
    by_offset: Counter[int] = Counter()
    for (_, quarters), calls in proof.offsets.items():
        by_offset[quarters] += calls
    shown = [f"{_utc(quarters)} in {calls:,}" for quarters, calls in by_offset.most_common(3)]
    rest = proof.clocked - by_offset.total()
    shown += [f"no zone's time in {rest:,}"] if rest else []
    return f"the local clock showed {', '.join(shown)}"


def _utc(quarters: int) -> str:
    """
    Return an offset in the usual form.

    >>> _utc(12), _utc(-14), _utc(0)
    ('UTC+03:00', 'UTC-03:30', 'UTC+00:00')
    """
    hours, rest = divmod(abs(quarters), 4)
    return f"UTC{'-' if quarters < 0 else '+'}{hours:02}:{rest * 15:02}"


def _agreeing_zones(proof: ClockProof) -> tuple[str, ...]:
    """Return the zones that explain what the local clock showed, UTC and places first."""
    if not proof.offsets:
        return ()
    pairs, calls = np.array(list(proof.offsets)), np.array(list(proof.offsets.values()))
    most = pairs[[calls.argmax()]]
    found = [
        name
        for name in zone_names()
        if _could_show(most, name)[0] and _explains(int(calls[_could_show(pairs, name)].sum()), proof)
    ]
    return tuple(sorted(found, key=lambda name: (name != "UTC", "/" not in name, name.startswith("Etc/"), name)))


def _could_show(pairs: Ints, zone: str) -> Mask:
    """Return which days and quarters of an hour a zone had; it may change within a day, so both ends of it count."""
    rules = zone_rules(zone)
    agrees = []
    for day, quarters in pairs.tolist():
        starts = _EPOCH + timedelta(days=day)
        shown = timedelta(minutes=15 * quarters)
        ends = starts + timedelta(hours=23, minutes=59)
        agrees.append(any(at.astimezone(rules).utcoffset() == shown for at in (starts, ends)))
    return np.array(agrees)


def check_clocks(proofs: ClockProofs, layout: Layout, *, warn: Callable[[str], None]) -> bool:
    """
    Return whether every zone that times of a source are read in is proved.

    Args:
        proofs: Of the whole source.
        layout: With the user's overrides.
        warn: Told what is doubtful and yet no reason to refuse.

    Raises:
        RefusedError: If second clocks show that times were read wrong, and the layout does not let that pass.
    """
    judgements = judge_clocks(proofs, layout)
    for found in judgements.values():
        if found.disproves and layout.wrong_zone == "refuse":
            fix = "a layout with another format" if found.verdict == "wrong_order" else "the right '--timezone'"
            raise RefusedError(found.message, hint=f"give {fix}, or load it so with '--wrong-zone report'")
        if found.verdict not in ("proved", "no_clock"):
            warn(found.message)
    return are_proved(judgements, layout)
