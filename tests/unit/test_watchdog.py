"""The watchdog calls what is late, once, and nothing else."""

import threading
from types import SimpleNamespace

import pytest

from trunkline.cache import watchdog
from trunkline.cache.watchdog import Watchdog

LONG_S = 60.0


def test_what_is_late_is_called_once():
    """A deadline that passes is told to whoever asked; one that is far away does not hold it up."""
    dog, late = Watchdog(), threading.Event()
    calls = []

    def give_up():
        calls.append(1)
        late.set()

    with dog.watch(LONG_S, lambda: calls.append(2)), dog.watch(0.01, give_up):
        assert late.wait(LONG_S)

    assert calls == [1]


def test_a_nearer_deadline_is_not_waited_for_behind_a_far_one():
    """The thread that sleeps until a far deadline is woken for a nearer one that comes later."""
    dog, late = Watchdog(), threading.Event()
    with dog.watch(LONG_S, lambda: None), dog.watch(0.01, late.set):
        assert late.wait(LONG_S)


def test_what_was_in_time_is_never_called():
    """Whoever has left is not given up, although the deadline passes before the thread wakes."""
    dog, other = Watchdog(), threading.Event()
    calls = []
    with dog.watch(0.02, lambda: calls.append(1)):
        pass
    with dog.watch(0.05, other.set):
        assert other.wait(LONG_S)

    assert calls == []


def test_it_goes_on_after_its_thread_has_ended():
    """With nothing to watch the thread ends; the next one who asks is watched again."""
    dog = Watchdog()
    others = set(threading.enumerate())  # those of other watchdogs wait for as long as they were told
    for _ in range(3):
        late = threading.Event()
        with dog.watch(0.01, late.set):
            own = set(threading.enumerate()) - others
            assert late.wait(LONG_S)
        for thread in own:
            thread.join(LONG_S)
            assert not thread.is_alive()


def test_an_error_within_goes_through(monkeypatch):
    """What is watched may fail; it is not watched any more then."""
    now = [0.0]  # however long the test itself takes
    monkeypatch.setattr(watchdog, "time", SimpleNamespace(monotonic=lambda: now[0]))
    dog, calls, others, own = Watchdog(), [], set(threading.enumerate()), set()

    def fail():
        with dog.watch(0.01, lambda: calls.append(1)):
            own.update(threading.enumerate())
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    now[0] = 1.0
    for thread in own - others:
        thread.join(LONG_S)
    assert calls == []
