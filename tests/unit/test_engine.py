"""Work on several blocks at a time: how much of it there is at most, and how it ends."""

from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from time import sleep

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trunkline.engine import each
from trunkline.framing.borders import BLOCK_SIZES

USUAL = BLOCK_SIZES.usual


@given(sizes=st.lists(st.integers(0, 3 * USUAL), max_size=12), in_work=st.integers(1, 4))
@example(sizes=[USUAL * 2] * 8, in_work=4)
@example(sizes=[0] * 8, in_work=2)
@example(sizes=[USUAL * 9, USUAL * 9, 1], in_work=2)
def test_what_is_in_work_is_bounded(sizes, in_work):
    """By number and by bytes, though there are threads for more; one that is too long is worked on alone."""
    lock, working, seen = Lock(), [], []

    def work(size):
        with lock:
            working.append(size)
            seen.append(list(working))
        sleep(0.001)  # long enough for others to begin, were they let
        with lock:
            working.remove(size)
        return size

    with ThreadPoolExecutor(8) as executor:
        found = list(each(executor, work, sizes, in_work=in_work, size=int))

    assert sorted(found) == sorted(sizes)
    assert all(len(some) <= in_work for some in seen)
    assert all(len(some) == 1 or sum(some) <= in_work * USUAL for some in seen)


def test_the_first_error_stops_the_rest():
    """What was begun is waited for, and nothing else is begun or asked for."""
    asked, begun = [], []

    def items():
        for number in range(100):
            asked.append(number)
            yield number

    def work(number):
        begun.append(number)
        if number == 3:
            raise ValueError(number)

    with ThreadPoolExecutor(2) as executor, pytest.raises(ValueError, match="3"):
        list(each(executor, work, items(), in_work=3, size=lambda _: 1))

    assert max(asked) < 3 + 3
    assert sorted(begun) == list(range(len(begun)))
