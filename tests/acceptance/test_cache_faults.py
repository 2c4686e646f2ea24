"""A run whose Redis fails in every way known: one warning, and the same calls, rejects and sums as without it."""

import os
from contextlib import closing, contextmanager
from itertools import cycle
from threading import Event, Thread

import psycopg2
import pytest
import redis

from tests.acceptance.conftest import Command
from tests.cache_servers import answering, listening, running_valkey, silent, trickling
from tests.call_logs import execute
from tests.faults import CutAfter, HoldReplies, Proxy, authority

PASSWORD = "canary-71c9"
FEW = 30_000  # 1.4 MB: a block
RECORDS = 150_000  # 7 MB: more blocks than one
COUNTS = ("status", "read", "loaded", "duplicates", "rejected", "rejected_by", "filtered", "totals")
DIGESTS = """
    select (select md5(string_agg((to_jsonb(calls) - 'load_id')::text, ',' order by record_key))
              from customer_call_logs calls),
           (select md5(string_agg(concat_ws(',', source_line, byte_offset, raw, field, code, message), ','
                                  order by source_line))
              from trunkline.rejects)
"""


def sample(folder, records):
    """Write a file in which a record of a hundred is damaged."""
    program = Command({"PATH": os.environ["PATH"]}, folder)
    assert program("sample", "--records", records, "--days", 3, "--dirty", 0.01, "--out", "calls.csv").code == 0
    return folder / "calls.csv"


@pytest.fixture(scope="module")
def few_calls(tmp_path_factory):
    """A file of one block."""
    return sample(tmp_path_factory.mktemp("few"), FEW)


@pytest.fixture(scope="module")
def calls(tmp_path_factory):
    """A file of several blocks."""
    return sample(tmp_path_factory.mktemp("calls"), RECORDS)


_expected: dict[object, object] = {}


FORGET = "drop table customer_call_logs cascade; truncate trunkline.loads, trunkline.call_tables cascade"


def expected_of(command, calls):
    """What a run without Redis comes to; worked out for the first test that asks."""
    if calls not in _expected:
        command("db", "migrate")
        _, _expected[calls] = run(command, calls, "none")
        execute(command.environ["TRUNKLINE_DATABASE_URL"], FORGET)  # the test may load into it as well
    return _expected[calls]


@pytest.fixture
def expected_of_few(on_empty_database, few_calls):
    """What a run of the file of one block comes to."""
    return expected_of(on_empty_database, few_calls)


@pytest.fixture
def expected(on_empty_database, calls):
    """What a run of the file of several blocks comes to."""
    return expected_of(on_empty_database, calls)


def run(trunkline, calls, redis_url, **environ):
    """Run with that Redis, and return how it ended and what it came to: counts, sums, all calls and all rejects."""
    ended = trunkline("run", calls, "--json", TRUNKLINE_REDIS_URL=redis_url, **environ)
    assert ended.code == 0, ended.err
    (source,) = ended.json["sources"]
    with (
        closing(psycopg2.connect(trunkline.environ["TRUNKLINE_DATABASE_URL"])) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(DIGESTS)
        return ended, [*(source[name] for name in COUNTS), cursor.fetchone()]


def warnings_of(ended):
    """Return what was said of the cache."""
    return [line for line in ended.err.splitlines() if "cache at" in line]


def cache_of(ended):
    """Return hits and misses."""
    return {name: ended.json["sources"][0]["cache"][name] for name in ("hits", "misses")}


def bytes_of(ended):
    """Return the bytes of values that were read and written."""
    return [ended.json["sources"][0]["cache"][name] for name in ("bytes_read", "bytes_written")]


@contextmanager
def nobody_there():
    with listening(silent) as port:
        pass
    yield f"redis://:{PASSWORD}@127.0.0.1:{port}/0"


@contextmanager
def wrong_password():
    with running_valkey("--requirepass", "another") as server:
        yield server.url.replace("://", f"://:{PASSWORD}@")


@contextmanager
def full():
    with running_valkey("--maxmemory-policy", "noeviction", "--maxmemory", "2mb") as server:
        yield server.url


@contextmanager
def hanging():
    with running_valkey() as server:
        server.hang()
        yield server.url


@contextmanager
def hanging_while_written_to():
    with running_valkey() as server, Proxy.before_redis(server.url) as proxy:
        proxy.gate = lambda: HoldReplies(Event(), b"SET")
        yield proxy.url


@contextmanager
def cut_while_written_to():
    with running_valkey() as server, Proxy.before_redis(server.url) as proxy:
        proxy.gate = lambda: CutAfter(500_000, "client")
        yield proxy.url


@contextmanager
def impostor(talk):
    with listening(talk) as port:
        yield f"redis://loader:{PASSWORD}@127.0.0.1:{port}/0"


FAULTS = {
    "nobody there": (nobody_there, "ECONNREFUSED"),
    "wrong password": (wrong_password, "WRONGPASS"),
    "full": (full, "OOM"),
    "hanging": (hanging, "no answer in time"),
    "hanging while written to": (hanging_while_written_to, "no answer in time"),
    "cut while written to": (cut_while_written_to, ""),
    "a web server": (
        lambda: impostor(answering(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
        "does not speak the Redis protocol",
    ),
    "trickling": (lambda: impostor(trickling), "no answer in time"),
    "repeating what it hears": (lambda: impostor(lambda there: there.sendall(b"-" + there.recv(9999))), ""),
}


@pytest.mark.parametrize(("fault", "said"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_is_one_warning_and_the_result_is_the_same(fault, said, trunkline, few_calls, expected_of_few):
    """It names the cause and what it means, and no secret."""
    with fault() as url:
        ended, result = run(trunkline, few_calls, url)

    assert result == expected_of_few
    (warning,) = warnings_of(ended)
    assert said in warning
    assert warning.endswith("the work goes on without it, slower, with the same result")
    assert PASSWORD not in ended.out + ended.err
    assert cache_of(ended)["hits"] == 0


def test_a_certificate_that_cannot_be_verified_is_one_warning(trunkline, few_calls, expected_of_few, tmp_path):
    """The work goes on without the cache, never without the check."""
    context, _ = authority(tmp_path / "tls")
    with running_valkey() as server, Proxy.before_redis(server.url, tls=context) as proxy:
        ended, result = run(trunkline, few_calls, proxy.url)

    assert result == expected_of_few
    (warning,) = warnings_of(ended)
    assert "its certificate cannot be trusted" in warning


def other_runner(on_empty_database):
    """The command on another database: what it finds in Redis, the first one put there."""
    on_empty_database("db", "migrate")
    return on_empty_database


def test_another_database_gets_the_same_from_the_cache(trunkline, on_empty_database, calls, redis_url, expected):
    """Without any fault: all blocks are found, and none is worked out again."""
    cold, _ = run(trunkline, calls, redis_url)
    warm, result = run(other_runner(on_empty_database), calls, redis_url)

    assert result == expected
    blocks = cache_of(cold)["misses"] // 2  # two stages each
    assert blocks >= 2
    assert cache_of(warm) == {"hits": blocks, "misses": 0}
    assert bytes_of(cold)[0] == bytes_of(warm)[1] == 0
    assert 0 < bytes_of(warm)[0] < bytes_of(cold)[1]  # of the two values of each block, the typed one
    assert warnings_of(cold) + warnings_of(warm) == []


def test_other_rules_parse_nothing_again(trunkline, on_empty_database, calls, redis_url):
    """Where the layout is another, the text of each block is found, and only transform works it out again."""
    cold, _ = run(trunkline, calls, redis_url)
    command = other_runner(on_empty_database)
    ended = command("run", calls, "--json", "--timezone", "Africa/Kampala", TRUNKLINE_REDIS_URL=redis_url)

    blocks = cache_of(cold)["misses"] // 2
    assert cache_of(ended) == {"hits": blocks, "misses": blocks}
    assert ended.json["sources"][0]["loaded"] == cold.json["sources"][0]["loaded"]


DAMAGES = (
    lambda value: b"rubbish",
    lambda value: b"",
    lambda value: value[: len(value) // 2],
    lambda value: value[:100_000] + bytes([value[100_000] ^ 1]) + value[100_001:],
)


def test_damaged_values_are_one_warning(trunkline, on_empty_database, calls, redis_url, expected):
    """However many values are damaged, and how: each is a miss, and the calls are those of the file."""
    run(trunkline, calls, redis_url)
    with closing(redis.Redis.from_url(redis_url)) as client:
        keys = list(client.scan_iter("trunkline:*"))
        for key, damage in zip(keys, cycle(DAMAGES), strict=False):
            client.set(key, damage(client.get(key)))

    ended, result = run(other_runner(on_empty_database), calls, redis_url)

    assert result == expected
    assert cache_of(ended) == {"hits": 0, "misses": len(keys)}
    (warning,) = warnings_of(ended)
    assert warning.endswith(
        "a value is not what was written there (checksum); it is worked out again, slower, with the same result"
    )


def test_values_of_a_stranger_are_one_warning(trunkline, on_empty_database, calls, redis_url, expected):
    """With a secret, what was written without it is not taken, and the secret is not printed."""
    run(trunkline, calls, redis_url)

    ours = other_runner(on_empty_database)
    ended, result = run(ours, calls, redis_url, TRUNKLINE_CACHE_SECRET=PASSWORD)

    assert result == expected
    assert cache_of(ended)["hits"] == 0
    assert len(warnings_of(ended)) == 1
    assert PASSWORD not in ended.out + ended.err


def test_flushing_all_the_time_changes_nothing(trunkline, on_empty_database, calls, redis_url, expected):
    """What is gone is worked out again, and nobody is warned."""
    run(trunkline, calls, redis_url)
    done = Event()

    def flush() -> None:
        with closing(redis.Redis.from_url(redis_url)) as client:
            while not done.wait(0.005):
                client.flushdb()

    flushing = Thread(target=flush)
    flushing.start()
    try:
        ended, result = run(other_runner(on_empty_database), calls, redis_url)
    finally:
        done.set()
        flushing.join()

    assert result == expected
    assert warnings_of(ended) == []


def test_eviction_changes_nothing(trunkline, on_empty_database, calls, expected):
    """A server too small for all blocks, and not for one, forgets some of them, and nobody is warned."""
    with running_valkey("--maxmemory", "16mb", "--maxmemory-policy", "allkeys-lru") as server:
        cold, _ = run(trunkline, calls, server.url, TRUNKLINE_WORKERS="1")
        again, result = run(other_runner(on_empty_database), calls, server.url, TRUNKLINE_WORKERS="1")
        with server.client() as client:
            evicted = client.info("stats")["evicted_keys"]

    assert evicted > 0
    assert result == expected
    assert warnings_of(cold) + warnings_of(again) == []
