"""Which cache is used for what the user gives."""

import pytest
import redis
import redis.asyncio

from trunkline.cache.store import Cache, NullCache, cache_for, connect_cache
from trunkline.errors import UsageError


@pytest.mark.parametrize("url", [None, "none"])
def test_no_url_means_no_cache(url):
    """Nothing is kept, nothing is counted, nobody is warned."""
    cache = connect_cache(url, warn=pytest.fail)

    assert isinstance(cache, NullCache)
    assert cache.get_text("00ff") is None
    assert cache.get_typed("00ff") is None
    assert cache.counts.misses == 0


def test_a_client_of_the_user_gets_the_same_cache_every_time():
    """So that a failure is met and warned of once, not once for every block."""
    theirs, others = redis.Redis(), redis.Redis()

    assert isinstance(cache_for(theirs), Cache)
    assert cache_for(theirs) is cache_for(theirs)
    assert cache_for(theirs) is not cache_for(others)


def test_a_cache_is_used_as_it_is():
    """The pipeline hands its own to the functions that users hand their client to."""
    cache = NullCache()

    assert cache_for(cache) is cache
    assert isinstance(cache_for(None), NullCache)


@pytest.mark.parametrize("wrong", ["redis://host", {}, redis.asyncio.Redis()])
def test_something_else_than_a_client_is_an_error(wrong):
    """Said before anything is read, with the name of what was found."""
    with pytest.raises(UsageError, match=r"found a .*, expected a redis\.Redis"):
        cache_for(wrong)
