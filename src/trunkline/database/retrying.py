"""When work on PostgreSQL is tried again, and how long it waits: only where waiting can help, never forever.

tenacity is imported when something failed: most work succeeds at once.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar

import psycopg2

from trunkline.database.errors import translate
from trunkline.errors import DatabaseAwayError, DatabaseBusyError, TrunklineError

if TYPE_CHECKING:
    from tenacity import RetryCallState, Retrying

ATTEMPTS = 7
LONGEST_S = 60.0
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 8.0

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

OnRetry = Callable[[str, float], None]
"""Told why an attempt failed, in one line without secrets, and how many seconds it waits for the next."""


class Policy(Protocol):
    """Calls a function until it succeeds or there is no hope."""

    def __call__(
        self, work: Callable[Parameters, Result], /, *arguments: Parameters.args, **named: Parameters.kwargs
    ) -> Result:
        """Return what *work* returns."""


def retrying(
    *,
    attempts: int = ATTEMPTS,
    seconds: float = LONGEST_S,
    on_retry: OnRetry | None = None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Policy:
    """
    Return a policy that calls a function again where waiting can help; after the last attempt its error is raised.

        books = retrying(on_retry=warn)(load_source, source)

    Tried again: PostgreSQL away, starting up, shutting down or full, a deadlock, a serialization failure, a lock not
    given in time.  Not tried again: whatever the same call would meet again, such as a wrong password, a missing
    database or a constraint.  The function has to open a new connection where the old one may be gone, and must be
    safe to repeat: a COMMIT whose reply was lost may have happened.

    Args:
        attempts: Calls in all.
        seconds: No attempt starts later than this after the first one failed; one that has started is not cut short.
            An attempt that lost its connection after more than this got somewhere: then it is counted from its end.
        on_retry: Told before each wait.
    """

    def policy(
        work: Callable[Parameters, Result], /, *arguments: Parameters.args, **named: Parameters.kwargs
    ) -> Result:
        failed: list[Exception] = []
        try:
            return work(*arguments, **named)
        except Exception as error:
            if attempts == 1 or not can_help(error):
                raise
            failed.append(error)

        def attempt() -> Result:
            if failed:
                raise failed.pop()  # that was the first attempt
            return work(*arguments, **named)

        return _retrying(attempts, seconds, on_retry, sleep, clock)(attempt)

    return policy


def _retrying(
    attempts: int,
    seconds: float,
    on_retry: OnRetry | None,
    sleep: Callable[[float], None],
    clock: Callable[[], float],
) -> Retrying:
    from tenacity import Retrying, retry_if_exception

    began = first_failed = clock()

    def begin(_: RetryCallState) -> None:
        nonlocal began
        began = clock()

    def is_hopeless(state: RetryCallState) -> bool:
        nonlocal first_failed
        now, error = clock(), state.outcome and state.outcome.exception()
        if state.attempt_number == 1 or (now - began > seconds and not isinstance(error, DatabaseBusyError)):
            first_failed = now
        return now + state.upcoming_sleep > first_failed + seconds

    def tell(state: RetryCallState) -> None:
        if on_retry and state.outcome and state.next_action:
            on_retry(_reason(state.outcome.exception()), state.next_action.sleep)

    return Retrying(
        retry=retry_if_exception(can_help),
        before=begin,
        stop=lambda state: state.attempt_number >= attempts or is_hopeless(state),
        wait=lambda state: wait_s(state.attempt_number),
        before_sleep=tell,
        sleep=sleep,
        reraise=True,
    )


def can_help(error: BaseException) -> bool:
    """Whether the same again may succeed after *error*, psycopg2's own or translated."""
    if isinstance(error, psycopg2.Error):
        error = translate(error)
    return isinstance(error, DatabaseAwayError | DatabaseBusyError)


def wait_s(attempt: int, draw: Callable[[], float] = random.random) -> float:
    """
    Return how many seconds to wait after the failed *attempt*, counted from 1: 0.5, 1, 2, 4, then 8, of which the
    second half is drawn at random, so that clients cut off together do not come back together.
    """
    longest: float = min(_FIRST_WAIT_S * 2 ** (attempt - 1), _LONGEST_WAIT_S)
    return longest * (0.5 + 0.5 * draw())


def _reason(error: BaseException | None) -> str:
    if isinstance(error, psycopg2.Error):
        error = translate(error)
    return error.message if isinstance(error, TrunklineError) else str(error)
