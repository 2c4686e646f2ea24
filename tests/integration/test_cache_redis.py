"""The cache with a real server, and with servers that fail in every way known."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from time import sleep

import pytest
import redis

from tests.cache_blocks import text_block, typed_block
from tests.cache_servers import Valkey, answering, listening, running_valkey, silent, trickling
from trunkline.cache.breaker import Breaker
from trunkline.cache.client import client_from_url
from trunkline.cache.port import BlockCache
from trunkline.cache.store import Cache, cache_for, connect_cache

PASSWORD = "hunter2"


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    with running_valkey() as server:
        yield server


@pytest.fixture
def cache(valkey, warnings) -> Iterator[Cache]:
    cache = Cache(client_from_url(f"{valkey.url}?socket_timeout=0.3"), ttl_s=60, warn=warnings.append)
    yield cache
    cache.close()


def impatient(port: int, warnings: list[str]) -> Cache:
    return Cache(client_from_url(f"redis://127.0.0.1:{port}?socket_timeout=0.3"), warn=warnings.append)


def use(cache: BlockCache) -> None:
    """Do what a run does with a block that is not there."""
    assert cache.get_typed("00") is None
    assert cache.get_text("00") is None
    cache.put_text("00", text_block())
    cache.put_typed("00", typed_block())


def test_blocks_come_back_as_they_were_put(cache, warnings):
    """Both kinds, under one key each, and counted in hits and bytes."""
    cache.put_text("00ff", text_block())
    cache.put_typed("00ff", typed_block())

    text, typed = cache.get_text("00ff"), cache.get_typed("00ff")

    assert text is not None
    assert text.batch.equals(text_block().batch)
    assert typed is not None
    assert typed.batch.equals(typed_block().batch)
    assert (cache.counts.hits, cache.counts.misses, cache.counts.stored) == (2, 0, 2)
    assert cache.counts.bytes_read == cache.counts.bytes_written > 0
    assert warnings == []


def test_a_block_that_is_not_there_is_a_miss(cache, warnings):
    """Nothing to warn of."""
    assert cache.get_text("00ff") is None
    assert (cache.counts.hits, cache.counts.misses, cache.counts.errors) == (0, 1, 0)
    assert warnings == []


def test_values_expire(cache, valkey):
    """The time to live comes with the value, in one command: no crash leaves personal data for ever."""
    cache.put_text("00ff", text_block())

    with valkey.client() as client:
        assert 0 < client.ttl("trunkline:1:extract:00ff") <= 60


def test_only_commands_of_redis_7_0_are_sent(valkey, warnings):
    """No CLIENT SETINFO and CLIENT MAINT_NOTIFICATIONS, which redis-py sends on its own."""
    with valkey.client() as client:
        client.config_resetstat()
        cache = connect_cache(f"{valkey.url}?db=3", warn=warnings.append)
        use(cache)
        cache.close()
        sent = {name.removeprefix("cmdstat_") for name in client.info("commandstats")}

    assert sent == {"config|resetstat", "hello", "select", "get", "set"}


def test_a_block_is_worked_on_once(valkey, warnings):
    """Who asks for what another worker is working out waits for it, and so has it without a miss."""
    with (
        closing(connect_cache(valkey.url, warn=warnings.append)) as one,
        closing(connect_cache(valkey.url, warn=warnings.append)) as other,
        valkey.client() as client,
        ThreadPoolExecutor(1) as executor,
    ):
        assert one.get_typed("00") is None
        asked = executor.submit(other.get_typed, "00")
        while client.info("commandstats")["cmdstat_set"]["calls"] < 2:  # both have claimed it
            sleep(0.001)
        one.put_typed("00", typed_block())
        found = asked.result()

    assert found is not None
    assert found.batch.equals(typed_block().batch)
    assert (other.counts.hits, other.counts.misses) == (1, 0)
    assert warnings == []


def test_a_worker_that_died_is_not_waited_for_long(cache, valkey, monkeypatch):
    """What nobody brings is worked out after all."""
    monkeypatch.setattr("trunkline.cache.store.CLAIM_S", 0.05)
    with closing(connect_cache(valkey.url, warn=lambda _: None)) as dead:
        assert dead.get_text("00") is None

    assert cache.get_text("00") is None
    cache.put_text("00", text_block())
    assert cache.get_text("00") is not None


def test_one_worker_never_waits_for_itself(cache, valkey):
    """It may ask again for what it did not bring, as after an error; a claim ends with the value."""
    assert cache.get_text("00") is None
    assert cache.get_text("00") is None
    with valkey.client() as client:
        (claim,) = client.scan_iter("trunkline:*")
        cache.put_text("00", text_block())
        while client.exists(claim):
            sleep(0.001)

    assert cache.counts.misses == 2


def test_flushing_in_the_middle_is_a_miss(cache, valkey, warnings):
    """The next put brings the block back."""
    cache.put_text("00ff", text_block())
    with valkey.client() as client:
        client.flushall()

    assert cache.get_text("00ff") is None
    cache.put_text("00ff", text_block())
    assert cache.get_text("00ff") is not None
    assert warnings == []


def test_evicted_values_are_misses(warnings):
    """A small server keeps what fits; what is there is right, and nobody is warned."""
    with running_valkey("--maxmemory", "8mb", "--maxmemory-policy", "allkeys-lru") as server:
        cache = connect_cache(server.url, warn=warnings.append)
        blocks = {f"{n:02x}": text_block(40_000 + n) for n in range(40)}
        for key, block in blocks.items():
            cache.put_text(key, block)
        found = {key: cache.get_text(key) for key in blocks}
        cache.close()

    assert cache.counts.stored == 40
    assert 0 < cache.counts.hits < 40
    assert all(got is None or got.batch.equals(blocks[key].batch) for key, got in found.items())
    assert warnings == []


def test_a_full_server_is_still_read(warnings):
    """Without eviction it refuses writes: they stop, hits go on."""
    with running_valkey("--maxmemory-policy", "noeviction") as server:
        cache = connect_cache(server.url, warn=warnings.append)
        cache.put_text("00", text_block())
        with server.client() as client:
            client.config_set("maxmemory", 1)
        for key in ("01", "02", "03"):
            cache.put_text(key, text_block())
        found = cache.get_text("00")
        cache.close()

    assert found is not None
    assert (cache.counts.stored, cache.counts.errors) == (1, 1)
    assert warnings == [
        f"cache at {server.url}: its memory is full; give it more, or set maxmemory-policy allkeys-lru (OOM); "
        "the work goes on without it, slower, with the same result"
    ]


def test_a_replica_is_still_read(warnings):
    """It refuses writes: they stop, hits go on."""
    with running_valkey() as server:
        cache = connect_cache(server.url, warn=warnings.append)
        cache.put_text("00", text_block())
        with server.client() as client:
            client.replicaof("127.0.0.1", 1)
        cache.put_text("01", text_block())
        found = cache.get_text("00")
        cache.close()

    assert found is not None
    assert cache.counts.errors == 1
    assert len(warnings) == 1
    assert "(READONLY)" in warnings[0]


@pytest.mark.parametrize(
    ("login", "code"), [("", "NOAUTH"), (":wrong@", "WRONGPASS"), (f"nobody:{PASSWORD}@", "WRONGPASS")]
)
def test_a_refused_login_is_one_warning(login, code, warnings):
    """It names the cause, and no password."""
    with running_valkey("--requirepass", PASSWORD) as server:
        cache = connect_cache(server.url.replace("://", f"://{login}"), warn=warnings.append)
        use(cache)
        use(cache)
        cache.close()

    assert len(warnings) == 1
    assert f"({code})" in warnings[0]
    assert PASSWORD not in warnings[0]
    assert "wrong" not in warnings[0]
    assert cache.counts.errors == 1


def test_the_password_of_the_url_is_used(warnings):
    """Without a user name it is that of the user "default"."""
    with running_valkey("--requirepass", PASSWORD) as server:
        cache = connect_cache(server.url.replace("://", f"://:{PASSWORD}@"), warn=warnings.append)
        use(cache)
        cache.close()

    assert cache.counts.stored == 2
    assert warnings == []


MINIMAL_ACL = "resetchannels -@all +get +set ~trunkline:*"
GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "redis.md"


def with_user(server: Valkey, rights: str) -> str:
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "loader", "on", f">{PASSWORD}", *rights.split())
    return server.url.replace("://", f"://loader:{PASSWORD}@")


def test_the_least_rights_are_enough(valkey, warnings):
    """A user who may get and set keys of trunkline, and nothing else, makes a full cache without a refusal."""
    cache = connect_cache(with_user(valkey, MINIMAL_ACL), warn=warnings.append)
    use(cache)
    assert cache.get_text("00") is not None
    cache.close()

    with valkey.client() as client:
        assert client.execute_command("ACL", "LOG") == []
    assert cache.counts.stored == 2
    assert warnings == []
    assert MINIMAL_ACL in GUIDE.read_text("utf-8")


@pytest.mark.parametrize("rights", ["-@all +get ~trunkline:*", "+@all ~other:*", "+@all %R~trunkline:*"])
def test_missing_rights_are_one_warning(rights, valkey, warnings):
    """Whether commands or keys are out of reach."""
    cache = connect_cache(with_user(valkey, rights), warn=warnings.append)
    use(cache)
    use(cache)
    cache.close()

    assert cache.counts.stored == 0
    assert len(warnings) == 1
    assert "(NOPERM)" in warnings[0]


def test_who_may_only_read_still_hits(valkey, warnings):
    """A second machine may use the cache without being able to change it."""
    writer = connect_cache(valkey.url, warn=warnings.append)
    writer.put_text("00ff", text_block())
    reader = connect_cache(with_user(valkey, "-@all +get ~trunkline:*"), warn=warnings.append)

    reader.put_text("01", text_block())
    reader.put_text("02", text_block())

    assert reader.get_text("00ff") is not None
    assert (reader.counts.hits, reader.counts.errors) == (1, 1)
    writer.close()
    reader.close()


def test_a_server_that_hangs_is_asked_once(cache, valkey, warnings):
    """After the first timeout nothing is tried, for a while."""
    use(cache)
    valkey.hang()

    for _ in range(50):
        assert cache.get_text("00") is None
        cache.put_text("01", text_block())

    assert cache.counts.errors == 1
    assert warnings == [
        f"cache at {valkey.url}: no answer in time; the work goes on without it, slower, with the same result"
    ]


def test_workers_that_hang_together_are_one_warning(cache, valkey, warnings):
    """Each may be waiting when the server stops answering."""
    valkey.hang()

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(cache.get_text, ["00"] * 200)) == [None] * 200

    assert 1 <= cache.counts.errors <= 8
    assert cache.counts.misses == 200
    assert len(warnings) == 1


def test_a_server_that_answers_again_is_used_again(valkey, warnings):
    """When the pause is over; nobody is warned a second time when it fails once more."""
    client = client_from_url(f"{valkey.url}?socket_timeout=0.3")
    cache = Cache(client, warn=warnings.append, breaker=lambda: Breaker(first_pause_s=0.0))
    cache.put_text("00ff", text_block())
    valkey.hang()
    assert cache.get_text("00ff") is None

    valkey.go_on()
    assert cache.get_text("00ff") is not None
    valkey.end()
    assert cache.get_text("00ff") is None
    assert len(warnings) == 1
    cache.close()


def test_a_server_that_ends_in_the_middle_is_one_warning(cache, valkey, warnings):
    """The connections that were open are of no use."""
    use(cache)
    valkey.end()

    use(cache)

    assert len(warnings) == 1
    assert cache.counts.errors == 1


def test_a_socket_that_is_not_there_is_one_warning(tmp_path, warnings):
    """With its path, for whoever mistyped it."""
    cache = connect_cache(f"unix://{tmp_path}/none.sock", warn=warnings.append)

    use(cache)

    assert warnings == [
        f"cache at unix://{tmp_path}/none.sock: No such file or directory (ENOENT); "
        "the work goes on without it, slower, with the same result"
    ]


def test_a_refused_connection_is_one_warning(warnings):
    """Nobody listens at the port."""
    with listening(silent) as port:
        pass
    cache = impatient(port, warnings)

    use(cache)

    assert len(warnings) == 1
    assert "Connection refused (ECONNREFUSED)" in warnings[0]


RUBBISH = {
    "http": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "zeros": b"\0" * 100,
    "status": b"+PONG\r\n",
    "number": b":42\r\n",
    "list": b"*2\r\n$1\r\na\r\n$1\r\nb\r\n",
    "nonsense": b"$9\r\nnonsense!\r\n",
    "too much": b"$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n",
    "half": b"$1000\r\nhalf",
    "loading": b"-LOADING Redis is loading the dataset in memory\r\n",
    "busy": b"-BUSY Redis is busy running a script\r\n",
    "misconf": b"-MISCONF Redis is configured to save RDB snapshots\r\n",
    "moved": b"-MOVED 3999 127.0.0.1:6381\r\n",
    "moved badly": b"-MOVED\r\n",
    "error": b"-\r\n",
    "not utf-8": b"-ERR \xff\xfe\r\n",
    "goodbye": b"-ERR max number of clients reached\r\n",
    "push": b">2\r\n$1\r\na\r\n$1\r\nb\r\n",
}


@pytest.mark.parametrize("reply", RUBBISH.values(), ids=RUBBISH.keys())
def test_rubbish_is_one_warning(reply, warnings):
    """Whatever a server answers: a miss, and no exception."""
    with listening(answering(reply)) as port:
        cache = impatient(port, warnings)
        use(cache)
        use(cache)
        cache.close()

    assert cache.counts.hits == cache.counts.stored == 0
    assert cache.counts.misses == 4
    assert len(warnings) == 1
    assert warnings[0].isprintable()


@pytest.mark.parametrize("talk", [silent, trickling, lambda connection: None], ids=["silent", "trickling", "closing"])
def test_a_value_that_does_not_come_is_one_warning(talk, warnings):
    """Also if a byte of it comes now and then: the command as a whole has its time."""
    with listening(talk) as port:
        cache = impatient(port, warnings)
        use(cache)
        use(cache)
        cache.close()

    assert cache.counts.errors == 1
    assert len(warnings) == 1


@pytest.mark.parametrize("rubbish", [b"", b"rubbish", b"\0" * 5000])
def test_a_damaged_value_is_a_miss_and_is_replaced(rubbish, cache, valkey, warnings):
    """It is counted, said once, and worked out again."""
    with valkey.client() as client:
        for key in ("00", "01"):
            client.set(f"trunkline:1:extract:{key}", rubbish)

    assert cache.get_text("00") is None
    assert cache.get_text("01") is None
    cache.put_text("00", text_block())
    assert cache.get_text("00") is not None
    assert (cache.counts.hits, cache.counts.misses, cache.counts.rejected, cache.counts.errors) == (1, 2, 2, 0)
    assert warnings == [
        f"cache at {valkey.url}: a value is not what was written there (checksum); "
        "it is worked out again, slower, with the same result"
    ]


def test_something_else_than_a_string_is_a_miss_and_is_replaced(cache, valkey, warnings):
    """A list at one of our keys."""
    with valkey.client() as client:
        client.rpush("trunkline:1:extract:00", "a", "b")

    assert cache.get_text("00") is None
    cache.put_text("00", text_block())
    assert cache.get_text("00") is not None
    assert (cache.counts.rejected, cache.counts.errors) == (1, 0)
    assert len(warnings) == 1


@pytest.mark.parametrize(("planter", "owner"), [(None, "s3cret"), ("guess", "s3cret"), ("s3cret", None)])
def test_a_planted_value_is_a_miss(planter, owner, valkey, warnings):
    """Who does not know the secret cannot make a value that is taken, whatever they know of the format."""
    stranger = connect_cache(valkey.url, secret=planter, warn=warnings.append)
    stranger.put_text("00ff", text_block(5))
    ours = connect_cache(valkey.url, secret=owner, warn=warnings.append)

    assert ours.get_text("00ff") is None
    assert ours.counts.rejected == 1
    ours.put_text("00ff", text_block())
    assert ours.get_text("00ff") is not None
    stranger.close()
    ours.close()


def test_a_value_moved_to_another_key_is_a_miss(valkey, warnings):
    """With a secret, a stranger cannot even use values that are ours."""
    cache = connect_cache(valkey.url, secret="s3cret", warn=warnings.append)
    cache.put_text("00", text_block())
    with valkey.client() as client:
        client.copy("trunkline:1:extract:00", "trunkline:1:extract:01")

    assert cache.get_text("00") is not None
    assert cache.get_text("01") is None
    assert cache.counts.rejected == 1
    cache.close()


def test_a_value_that_is_too_big_is_not_stored(valkey, warnings):
    """It is counted; a smaller one is stored."""
    cache = Cache(client_from_url(valkey.url), max_value_bytes=10_000, warn=warnings.append)

    cache.put_text("00", text_block(10_000))
    cache.put_text("01", text_block(1))

    assert (cache.counts.too_big, cache.counts.stored) == (1, 1)
    assert cache.get_text("00") is None
    assert cache.get_text("01") is not None
    assert warnings == []
    cache.close()


def test_many_threads_share_a_cache(cache, warnings):
    """Every look-up is counted, and each gets its own block."""
    keys = [f"{n:02x}" for n in range(40)]

    def work(key: str) -> bool:
        cache.put_text(key, text_block(int(key, 16) + 1))
        found = cache.get_text(key)
        return found is not None and found.batch.equals(text_block(int(key, 16) + 1).batch)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, keys * 5))

    assert (cache.counts.hits, cache.counts.misses, cache.counts.stored) == (200, 0, 200)
    assert warnings == []


@pytest.mark.parametrize("options", [{}, {"decode_responses": True}, {"protocol": 3}, {"max_connections": 1}])
def test_clients_of_the_user_work_as_they_are(options, valkey):
    """Also those that decode what they read: blocks are bytes to us."""
    with redis.Redis.from_url(valkey.url, **options) as client:
        cache = cache_for(client)
        cache.put_text("00ff", text_block())
        found = cache.get_text("00ff")
        cache.close()

    assert found is not None
    assert found.batch.equals(text_block().batch)


def test_a_client_of_the_user_is_not_waited_for_long(valkey):
    """redis-py would try eleven times eleven times; here it is one attempt, and one warning."""
    client = redis.Redis.from_url(valkey.url, socket_timeout=0.3)
    cache = cache_for(client)
    valkey.hang()

    with pytest.warns(RuntimeWarning, match="no answer in time") as caught:
        found = [cache_for(client).get_text("00ff") for _ in range(5)]

    assert found == [None] * 5
    assert cache.counts.errors == 1
    assert len(caught) == 1
    cache.close()
