"""Invented phone traffic: which customer calls where, when, for how long and at what cost.  No I/O, and no
knowledge of any CSV layout: `sample_layouts` writes these calls down as one system or another would.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

FIRST_DAY = np.datetime64("2022-01-01", "D")
DAY_S = 86_400
FIRST_CUSTOMER = 1001

# Calls kept in memory at once.  A chunk is a few MiB on its way out; larger ones are not faster.
CHUNK_RECORDS = 65_536

# Name, share of all calls, price in US cents a minute (the reference file's cities first).
_CITIES: tuple[tuple[str, int, int], ...] = (
    ("Nairobi", 300, 18),
    ("Mombasa", 130, 30),
    ("Nakuru", 70, 16),
    ("Kisumu", 80, 22),
    ("Eldoret", 65, 21),
    ("Thika", 55, 17),
    ("Kitale", 30, 24),
    ("Malindi", 25, 31),
    ("Garissa", 20, 33),
    ("Kakamega", 30, 23),
    ("Nyeri", 28, 19),
    ("Machakos", 32, 18),
    ("Meru", 30, 20),
    ("Naivasha", 24, 16),
    ("Murang'a", 18, 18),
    ("Kericho", 20, 21),
    ("Lamu", 8, 34),
    ("Isiolo", 9, 29),
    ("Homa Bay", 12, 25),
    ("Voi", 14, 28),
)
DESTINATIONS = tuple(name for name, _, _ in _CITIES)
_CITY_SHARES = np.cumsum([share for _, share, _ in _CITIES]) / sum(share for _, share, _ in _CITIES)
_CENTS_A_MINUTE = np.array([price for _, _, price in _CITIES], dtype=np.int64)

# Share of a day's calls in each hour: quiet nights, a morning peak, a higher one in the evening.
_HOURS = np.array([4, 2, 1, 1, 2, 6, 15, 30, 48, 58, 60, 56, 52, 50, 52, 55, 58, 64, 72, 76, 66, 44, 22, 10])
_WEEKDAYS = np.array([1.0, 1.0, 1.02, 1.05, 1.15, 0.9, 0.75])  # Monday first

_UNANSWERED = 0.03
_TO_FAVOURITE = 0.6
_MEDIAN_S, _SPREAD, _LONGEST_S = 150.0, 0.95, 4 * 3600


@dataclass(frozen=True, kw_only=True, slots=True)
class Calls:
    """
    Some calls, one array per property, all of length n.

    Attributes:
        number: Counts the calls from 0.
        customer: Customer number, from FIRST_CUSTOMER.
        second: Start of the call in local seconds since FIRST_DAY, ascending.
        duration_s: Whole seconds, 0 where nobody answered.
        destination: Index into DESTINATIONS.
        cents: Cost in US cents.
    """

    number: Ints
    customer: Ints
    second: Ints
    duration_s: Ints
    destination: Ints
    cents: Ints


def calls(records: int, days: int, rng: np.random.Generator) -> Iterator[Calls]:
    """
    Yield *records* calls over *days* days in chunks of at most CHUNK_RECORDS, in order of time.

    No customer starts two calls in one second, so customer and second tell calls apart.  Memory does not
    grow with *records*.
    """
    customers = max(3, records // 40)
    clock = _clock(days)
    taken = np.empty(0, dtype=np.int64)  # customers who call in the last second of the chunk before
    last_second = -1
    for first in range(0, records, CHUNK_RECORDS):
        count = min(CHUNK_RECORDS, records - first)
        share = np.sort(rng.random(count))
        second = _seconds((first + share * count) / records, clock)
        customer = (customers * rng.random(count) ** 3).astype(np.int64)  # few call much, many call little
        _one_call_a_second(customer, second, customers, (last_second, taken), rng)
        last_second = int(second[-1])
        still = taken if second[0] == last_second else taken[:0]
        taken = np.concatenate([still, customer[second == last_second]])
        yield _talk(first, customer, second, rng)


def _clock(days: int) -> tuple[Floats, Floats]:
    """Return the share of all calls made before each hour's end, and that hour's end in seconds."""
    weekday = (np.arange(days) + (FIRST_DAY.astype(np.int64) + 3)) % 7  # 1970-01-01 was a Thursday
    weights = np.outer(_WEEKDAYS[weekday], _HOURS).ravel()
    shares: Floats = np.concatenate([[0.0], np.cumsum(weights) / weights.sum()])
    hour_ends: Floats = np.arange(days * 24 + 1, dtype=np.float64) * 3600
    return shares, hour_ends


def _seconds(share: Floats, clock: tuple[Floats, Floats]) -> Ints:
    """Return the second by which each *share* of all calls was made."""
    shares, hour_ends = clock
    second = np.interp(share, shares, hour_ends).astype(np.int64)
    return np.minimum(second, int(hour_ends[-1]) - 1)


def _one_call_a_second(
    customer: Ints, second: Ints, customers: int, before: tuple[int, Ints], rng: np.random.Generator
) -> None:
    """Give, in place, another customer to every call whose customer already started one in that second."""
    last_second, taken = before
    earlier = last_second * customers + taken
    while True:
        call = np.concatenate([earlier, second * customers + customer])
        order = np.argsort(call, kind="stable")
        again = order[1:][call[order[1:]] == call[order[:-1]]] - len(earlier)
        if not len(again):
            return
        customer[again] = rng.integers(0, customers, len(again))


def _talk(first: int, customer: Ints, second: Ints, rng: np.random.Generator) -> Calls:
    """Add destination, duration and cost to who calls when."""
    count = len(customer)
    favourite = (customer * 2_654_435_761 % 2**32) / 2**32  # the same for all calls of a customer
    wish = np.where(rng.random(count) < _TO_FAVOURITE, favourite, rng.random(count))
    destination = np.searchsorted(_CITY_SHARES, wish, side="right").astype(np.int64)
    talk = np.clip(rng.lognormal(np.log(_MEDIAN_S), _SPREAD, count), 1, _LONGEST_S).astype(np.int64)
    duration_s = np.where(rng.random(count) < _UNANSWERED, 0, talk)
    cents = -(-duration_s * _CENTS_A_MINUTE[destination] // 60)  # a started cent is a cent
    return Calls(
        number=first + np.arange(count, dtype=np.int64),
        customer=customer + FIRST_CUSTOMER,
        second=second,
        duration_s=duration_s,
        destination=destination,
        cents=cents,
    )
