"""When work is tried again, and how long it waits."""

import psycopg2
import pytest

from trunkline.database.retrying import can_help, retrying, wait_s
from trunkline.errors import DatabaseAwayError, DatabaseBusyError, DatabaseError, SchemaError, SourceError


class Failing:
    """Work that fails with each of *errors* in turn and then returns "done"."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.calls = 0

    def __call__(self):
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


@pytest.mark.parametrize(
    ("attempt", "drawn", "expected"),
    [
        (1, 0.0, 0.25),  # 0.5 * 2**0 = 0.5, half of it certain
        (1, 1.0, 0.5),
        (2, 0.5, 0.75),  # 1 * (0.5 + 0.25)
        (3, 1.0, 2.0),  # 0.5 * 2**2
        (4, 1.0, 4.0),  # 0.5 * 2**3
        (5, 1.0, 8.0),  # 0.5 * 2**4
        (6, 1.0, 8.0),  # 0.5 * 2**5 = 16, bounded by 8
        (50, 0.0, 4.0),
    ],
)
def test_waits_double_up_to_a_bound(attempt, drawn, expected):
    """Half of a wait is certain, half is drawn."""
    assert wait_s(attempt, draw=lambda: drawn) == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (DatabaseAwayError("gone"), True),
        (DatabaseBusyError("deadlock"), True),
        (psycopg2.InterfaceError("connection already closed"), True),
        (DatabaseError("wrong password"), False),
        (SchemaError("older"), False),
        (SourceError("no such file"), False),
        (KeyboardInterrupt(), False),
    ],
)
def test_only_errors_that_pass_are_tried_again(error, expected):
    """The class of an error says whether waiting can help."""
    assert can_help(error) is expected


def test_work_that_comes_back_is_done():
    """Two failures, two waits, then the result."""
    work = Failing(DatabaseAwayError("gone"), DatabaseBusyError("deadlock"))
    waits: list[float] = []

    assert retrying(sleep=waits.append)(work) == "done"
    assert work.calls == 3
    assert [0.25 <= waits[0] <= 0.5, 0.5 <= waits[1] <= 1.0] == [True, True]


def test_attempts_are_bounded():
    """After the last attempt its own error is raised."""
    work = Failing(*(DatabaseAwayError(f"gone {n}") for n in range(1, 10)))

    with pytest.raises(DatabaseAwayError, match="gone 4"):
        retrying(attempts=4, sleep=lambda _: None)(work)
    assert work.calls == 4


def test_time_is_bounded():
    """An attempt that could only start after the bound is not made: the first wait is at least 0.25 seconds."""
    work = Failing(DatabaseAwayError("gone"), DatabaseAwayError("gone"))

    with pytest.raises(DatabaseAwayError):
        retrying(seconds=0.2, sleep=lambda _: None)(work)
    assert work.calls == 1


def test_time_is_counted_from_the_first_failure():
    """What ran for an hour before it lost its connection is tried again, and so it is the next time."""
    now = 0.0
    errors = [DatabaseAwayError("gone after an hour"), DatabaseAwayError("gone after another")]

    def work():
        nonlocal now
        now += 3600
        if errors:
            raise errors.pop(0)
        return "done"

    assert retrying(seconds=60, sleep=lambda _: None, clock=lambda: now)(work) == "done"


@pytest.mark.parametrize("error", [DatabaseAwayError("gone"), DatabaseBusyError("locked")])
def test_time_in_trouble_is_bounded(error):
    """Each attempt fails after 25 seconds: the third ends 50 seconds after the first did, too late for a fourth."""
    now = made = 0

    def work():
        nonlocal now, made
        now, made = now + 25, made + 1
        raise error

    with pytest.raises(type(error)):
        retrying(seconds=50, sleep=lambda _: None, clock=lambda: now)(work)
    assert made == 3


def test_waiting_long_for_others_is_no_progress():
    """A lock that was not given in five minutes is asked for once more, not for as long as there are attempts."""
    now = made = 0

    def work():
        nonlocal now, made
        now, made = now + 300, made + 1
        raise DatabaseBusyError("locked")

    with pytest.raises(DatabaseBusyError):
        retrying(sleep=lambda _: None, clock=lambda: now)(work)
    assert made == 2


def test_what_cannot_help_is_raised_at_once():
    """A wrong password stays wrong."""
    work = Failing(DatabaseError("password authentication failed"))
    waits: list[float] = []

    with pytest.raises(DatabaseError, match="password"):
        retrying(sleep=waits.append)(work)
    assert (work.calls, waits) == (1, [])


def test_each_wait_is_told_with_its_reason():
    """Whoever watches learns why nothing moves."""
    told = []
    work = Failing(DatabaseAwayError("gone"), psycopg2.InterfaceError("connection already closed"))

    retrying(on_retry=lambda reason, seconds: told.append((reason, seconds > 0)), sleep=lambda _: None)(work)
    assert told == [("gone", True), ("connection already closed", True)]
