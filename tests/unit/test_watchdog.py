"""The watchdog calls what is late, once, and nothing else."""

import threading

import pytest

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


def test_an_error_within_goes_through():
    """What is watched may fail; it is not watched any more then."""
    dog, calls = Watchdog(), []
    with pytest.raises(KeyError), dog.watch(0.01, lambda: calls.append(1)):
        raise KeyError
    assert calls == []
