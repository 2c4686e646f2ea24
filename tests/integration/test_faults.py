"""The proxy that other tests cut, hold and refuse connections with: it must do to real servers what it says."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Event

import psycopg2
import pytest
import redis

from tests.faults import (
    Answer,
    CutAfter,
    CutAt,
    DropCommitReply,
    Gate,
    HoldReplies,
    Messages,
    Proxy,
    Trigger,
    authority,
)


def query(url, statement, **options):
    with closing(psycopg2.connect(url, **options)) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        rows = cursor.fetchall() if cursor.description else []
        connection.commit()
        return rows


def test_everything_passes_without_a_fault(empty_database_url):
    """A large result and a large copy come through whole."""
    with Proxy.before_postgres(empty_database_url) as proxy:
        assert len(query(proxy.url, "select repeat('x', 100) from generate_series(1, 20000)")) == 20_000
        assert proxy.connections == 1


def test_a_refusing_port_listens_again_later(empty_database_url):
    """Nobody listens, and then somebody does."""
    with Proxy.before_postgres(empty_database_url) as proxy:
        with proxy.refusing(), pytest.raises(psycopg2.OperationalError, match="Connection refused"):
            query(proxy.url, "select 1")
        assert query(proxy.url, "select 1") == [(1,)]


def test_open_connections_can_be_cut(empty_database_url):
    """As when the server's machine dies."""
    with (
        Proxy.before_postgres(empty_database_url) as proxy,
        closing(psycopg2.connect(proxy.url)) as connection,
        connection.cursor() as cursor,
    ):
        proxy.cut_all()
        with pytest.raises(psycopg2.OperationalError, match="closed the connection"):
            cursor.execute("select 1")


def test_a_commit_happens_though_its_reply_is_lost(empty_database_url):
    """The client sees a broken connection, the table has the row."""
    query(empty_database_url, "create table t (a int)")
    once = Trigger()
    with Proxy.before_postgres(empty_database_url) as proxy:
        proxy.gate = lambda: DropCommitReply(once)
        with pytest.raises(psycopg2.OperationalError, match="closed the connection"):
            query(proxy.url, "insert into t values (1)")
        query(proxy.url, "insert into t values (2)")  # the trigger was for one

    assert query(empty_database_url, "select a from t order by a") == [(1,), (2,)]
    assert once.fired == 1


def test_the_reply_to_a_chosen_commit_is_lost(empty_database_url):
    """Only the commit that follows certain words."""
    query(empty_database_url, "create table t (a int)")
    once = Trigger()
    with Proxy.before_postgres(empty_database_url) as proxy:
        proxy.gate = lambda: DropCommitReply(once, after=b"values (2)")
        with closing(psycopg2.connect(proxy.url)) as connection, connection.cursor() as cursor:
            cursor.execute("insert into t values (1)")
            connection.commit()
            cursor.execute("insert into t values (2)")
            with pytest.raises(psycopg2.OperationalError):
                connection.commit()

    assert query(empty_database_url, "select a from t order by a") == [(1,), (2,)]


def test_a_connection_is_cut_before_a_statement(empty_database_url):
    """What the client said with these words never reaches the server."""
    once = Trigger()
    with Proxy.before_postgres(empty_database_url) as proxy:
        proxy.gate = lambda: CutAt(b"create table u", once)
        with pytest.raises(psycopg2.OperationalError):
            query(proxy.url, "create table u (a int)")

    assert query(empty_database_url, "select to_regclass('u')") == [(None,)]


@pytest.mark.parametrize("limit", [1, 100, 5000])
def test_a_connection_is_cut_after_so_many_bytes(empty_database_url, limit):
    """From greeting to the middle of a result."""
    with Proxy.before_postgres(empty_database_url) as proxy:
        proxy.gate = lambda: CutAfter(limit, "server")
        with pytest.raises(psycopg2.OperationalError):
            query(proxy.url, "select repeat('x', 100) from generate_series(1, 1000)")


def test_a_server_that_says_nothing_times_out(empty_database_url):
    """libpq's own bound on connecting holds; it is 2 seconds at least."""
    with Proxy.before_postgres(empty_database_url) as proxy:
        proxy.gate = lambda: HoldReplies(Event())
        with pytest.raises(psycopg2.OperationalError, match="timeout expired"):
            query(proxy.url, "select 1", connect_timeout=2)


def test_a_held_reply_comes_when_it_is_let_go(empty_database_url):
    """The server has answered, the client waits; held is not lost."""
    go_on = Event()
    done = "select count(*) from pg_stat_activity where query = 'select 42' and state = 'idle in transaction'"
    with Proxy.before_postgres(empty_database_url) as proxy, ThreadPoolExecutor() as pool:
        proxy.gate = lambda: HoldReplies(go_on, b"select 42")
        answer = pool.submit(query, proxy.url, "select 42")
        while query(empty_database_url, done) != [(1,)]:
            pass
        assert not answer.done()
        go_on.set()
        assert answer.result() == [(42,)]


def test_tls_is_verified_by_name_and_authority(empty_database_url, tmp_path):
    """sslmode=verify-full accepts the proxy's certificate with its authority and refuses it without."""
    context, ca_file = authority(tmp_path)
    with Proxy.before_postgres(empty_database_url, tls=context) as proxy:
        rows = query(proxy.url, "select repeat('x', 9) from generate_series(1, 9000)", **verified(ca_file))
        assert len(rows) == 9000
        other = authority(tmp_path / "other")[1]
        with pytest.raises(psycopg2.OperationalError, match="certificate verify failed"):
            query(proxy.url, "select 1", **verified(other))


def verified(ca_file):
    return {"sslmode": "verify-full", "sslrootcert": str(ca_file)}


def test_a_server_without_tls_says_so(empty_database_url):
    """sslmode=require fails instead of going on in the clear."""
    with (
        Proxy.before_postgres(empty_database_url) as proxy,
        pytest.raises(psycopg2.OperationalError, match="does not support SSL"),
    ):
        query(proxy.url, "select 1", sslmode="require")


def test_redis_passes_and_is_cut(redis_url):
    """The same proxy, without a protocol."""
    with Proxy.before_redis(redis_url) as proxy, closing(redis.Redis.from_url(proxy.url)) as client:
        client.set("a", b"x" * 1_000_000)
        assert client.get("a") == b"x" * 1_000_000
        proxy.gate = lambda: CutAt(b"GET", Trigger(times=100))
        proxy.cut_all()
        with pytest.raises(redis.ConnectionError):
            client.get("a")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"-OOM command not allowed when used memory > 'maxmemory'.\r\n", redis.exceptions.OutOfMemoryError),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", redis.RedisError),
    ],
)
def test_redis_answers_what_the_test_says(redis_url, answer, error):
    """A full server, and one that is no Redis at all."""
    with Proxy.before_redis(redis_url) as proxy, closing(redis.Redis.from_url(proxy.url)) as client:
        proxy.gate = lambda: Answer(answer, b"SET")
        with pytest.raises(error):
            client.set("a", b"x")


def test_redis_through_tls(redis_url, tmp_path):
    """rediss:// with a verified certificate, and a refusal of one that nobody vouches for."""
    context, ca_file = authority(tmp_path)
    with Proxy.before_redis(redis_url, tls=context) as proxy:
        assert proxy.url.startswith("rediss://")
        with closing(redis.Redis.from_url(proxy.url, ssl_ca_certs=str(ca_file))) as client:
            client.set("a", b"x" * 1_000_000)
            assert client.get("a") == b"x" * 1_000_000
        with closing(redis.Redis.from_url(proxy.url)) as client, pytest.raises(redis.ConnectionError, match="verify"):
            client.get("a")


def test_messages_are_split_wherever_they_arrive():
    """Type, length and content may come byte by byte, or several at once."""
    stream = b"Q\x00\x00\x00\x09abcd\x00" + b"S\x00\x00\x00\x04" + b"Q\x00\x00\x00\x05\x00"
    split = Messages()

    assert [message for byte in stream for message in split.feed(bytes([byte]))] == Messages().feed(stream)
    assert Messages().feed(stream) == [stream[:10], stream[10:15], stream[15:]]


def test_a_trigger_fires_after_what_it_skips():
    """Two questions skipped, two answered with yes."""
    trigger = Trigger(times=2, skip=2)

    assert [trigger.pull() for _ in range(6)] == [False, False, True, True, False, False]


def test_the_gate_of_the_base_passes_everything():
    """Nothing is changed on the way."""
    assert (Gate().from_client(b"a"), Gate().from_server(b"b")) == (b"a", b"b")
