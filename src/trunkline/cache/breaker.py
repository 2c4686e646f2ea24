"""A circuit breaker: after a failure no more attempts for a while, so that a hang is seldom waited for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

# A server that restarts is back within half a minute.  One that hangs costs every worker one timeout at
# first, and then a single worker one after 0:30, 1:30, 3:30, 7:30 and so on.
FIRST_PAUSE_S = 30.0
LONGEST_PAUSE_S = 600.0


class Breaker:
    """
    Says whether an attempt is worth making.

    Closed at first: everybody may try.  A failure opens it: nobody may.  When the pause is over, one attempt
    may be made: its success closes the breaker, its failure opens it for twice as long.  Safe to use from
    several threads.
    """

    def __init__(
        self,
        *,
        first_pause_s: float = FIRST_PAUSE_S,
        longest_pause_s: float = LONGEST_PAUSE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make a closed breaker; *clock* gives seconds."""
        self._first_pause_s = first_pause_s
        self._longest_pause_s = longest_pause_s
        self._clock = clock
        self._lock = threading.Lock()
        self._pause_s = 0.0  # of the present pause; 0 while closed
        self._over_at = 0.0
        self._probing = False

    @property
    def blocked(self) -> bool:
        """Whether `allows` would say no, for those who want to know before they prepare anything."""
        with self._lock:
            return self._is_blocked()

    def allows(self) -> bool:
        """Return whether to try now; whoever is told to try calls `succeeded` or `failed` afterwards."""
        with self._lock:
            if self._is_blocked():
                return False
            self._probing = bool(self._pause_s)
            return True

    def succeeded(self) -> None:
        """Note that an attempt went well."""
        with self._lock:
            self._pause_s = 0.0
            self._probing = False

    def failed(self) -> None:
        """Note that an attempt failed; those that were under way when the breaker opened are one failure."""
        with self._lock:
            now = self._clock()
            if self._pause_s and not self._probing and now < self._over_at:
                return
            self._pause_s = min(self._pause_s * 2 or self._first_pause_s, self._longest_pause_s)
            self._over_at = now + self._pause_s
            self._probing = False

    def _is_blocked(self) -> bool:
        return bool(self._pause_s) and (self._probing or self._clock() < self._over_at)
