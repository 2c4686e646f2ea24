"""`transform` with a real Redis: the second time it takes what is there, and nothing else changes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import redis

from trunkline import extract, transform
from trunkline.cache.store import cache_for

CALLS = b"""customer_id,call_cost,call_destination,call_date,call_duration
1001,$1.20,Nairobi,2022-01-01 10:00:00,00:05:30
1002,$x,Mombasa,2022-01-01 10:05:00,00:08:15
1003,$0.50,Nakuru,2022-01-01 10:10:00,00:03:45"""


@pytest.fixture
def client(redis_url: str):
    """A client of the user's own."""
    with redis.Redis.from_url(redis_url) as own:
        yield own


def test_the_second_time_comes_from_the_cache(client: redis.Redis):
    """Calls and rejects are the same, and neither was worked out again."""
    first = transform(extract(CALLS, "customer_call_logs", client), "customer_call_logs", client)
    before = cache_for(client).counts
    second = transform(extract(CALLS, "customer_call_logs", client), "customer_call_logs", client)

    assert (cache_for(client).counts - before).hits == 2
    pd.testing.assert_frame_equal(first[0], second[0])
    assert first[1].to_dict() == second[1].to_dict()


def test_a_changed_frame_is_transformed_again(client: redis.Redis):
    """What the user does to the text between the stages counts, though the attrs say where it came from."""
    frame = extract(CALLS, "customer_call_logs", client)
    transform(frame, "customer_call_logs", client)
    frame["call_cost"] = frame["call_cost"].str.replace("x", "2.50")
    calls, rejects = transform(frame, "customer_call_logs", client)

    assert len(rejects) == 0
    assert str(calls["cost"].sum()) == "4.200000"


def test_a_cache_that_is_away_changes_nothing(tmp_path: Path):
    """One warning, and the result of a run without."""
    away = redis.Redis(unix_socket_path=str(tmp_path / "nobody.sock"))
    frame = extract(CALLS, "customer_call_logs")
    with pytest.warns(RuntimeWarning, match="the work goes on without it"):
        calls, rejects = transform(frame, "customer_call_logs", away)

    pd.testing.assert_frame_equal(transform(frame, "customer_call_logs")[0], calls)
    assert len(rejects) == 1
