"""How long nothing is tried after a failure."""

import pytest

from trunkline.cache.breaker import Breaker


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock) -> Breaker:
    return Breaker(first_pause_s=30, longest_pause_s=100, clock=clock)


def test_everything_is_tried_while_it_works(breaker):
    """A closed breaker allows any number of attempts at once."""
    assert breaker.allows()
    assert breaker.allows()
    breaker.succeeded()
    assert breaker.allows()
    assert not breaker.blocked


def test_nothing_is_tried_in_the_pause_after_a_failure(breaker, clock):
    """The pause lasts its seconds, not fewer."""
    breaker.failed()

    clock.now += 29.9
    assert breaker.blocked
    assert not breaker.allows()


def test_one_attempt_is_made_after_the_pause(breaker, clock):
    """The others wait for its outcome: one thread at a time meets a server that may still hang."""
    breaker.failed()
    clock.now += 30

    assert not breaker.blocked
    assert breaker.allows()
    assert not breaker.allows()
    assert breaker.blocked


def test_success_after_the_pause_allows_everything_again(breaker, clock):
    """A server that is back is used as if nothing had been."""
    breaker.failed()
    clock.now += 30
    breaker.allows()

    breaker.succeeded()

    assert breaker.allows()
    assert breaker.allows()


def test_pauses_double_up_to_the_longest(breaker, clock):
    """30, 60, then 100 where 120 would be longer than the longest."""
    for pause in (30, 60, 100, 100):
        breaker.allows()
        breaker.failed()
        clock.now += pause - 0.1
        assert breaker.blocked
        clock.now += 0.1
        assert not breaker.blocked


def test_a_success_forgets_earlier_pauses(breaker, clock):
    """The next failure pauses as the first one did."""
    for pause in (30, 60):
        breaker.failed()
        clock.now += pause
        breaker.allows()
    breaker.succeeded()

    breaker.failed()
    clock.now += 30

    assert breaker.allows()


def test_failures_at_the_same_time_are_one(breaker, clock):
    """Workers that were waiting when the first of them gave up do not prolong the pause."""
    for _ in range(5):
        breaker.failed()

    clock.now += 30
    assert breaker.allows()


def test_a_failure_that_was_met_elsewhere_counts_as_the_attempt_after_the_pause(breaker, clock):
    """What reading has just found to hang, writing need not find out again."""
    breaker.failed()
    clock.now += 30

    breaker.failed()

    assert breaker.blocked
