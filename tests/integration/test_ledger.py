"""Reading the books back."""

from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from trunkline.books import reading as ledger
from trunkline.books.account import Books, CacheCounts, Seconds, Totals
from trunkline.database.connection import connect, transaction
from trunkline.errors import UsageError

BOOKS = """
insert into trunkline.loads (
    source, system, layout, layout_fingerprint, key_fingerprint, call_table, timezone, tz_source, currency,
    content_hash, bytes, status, read, loaded, duplicates, duplicates_in_source, rejected, filtered, conflicts,
    rejected_by, cache_hits, cache_misses, cache_bytes_read, cache_bytes_written, seconds, started_at, finished_at,
    published_seq, program_version
)
values
    ('monday.csv', 'pbx-1', 'customer_call_logs', 'f', 'k', 'public.calls', 'Africa/Nairobi', 'stated', 'USD', 'abc',
    512, 'loaded', 12, 9, 1, 1, 2, 0, 1, '{"bad_money": 1, "conflict": 1}', 3, 1, 7, 9,
    '{"extract": 0.5, "transform": 0.25, "load": 0.125, "total": 1}', '2024-01-01 00:00+00', '2024-01-01 00:01+00', 1,
    '0.1.0'),
    ('tuesday.csv', '', 'other', 'f', 'k', 'public.others', '', '', '', null, null, 'running', 0, 0, 0, 0, 0, 0, 0,
    '{}', 0, 0, 0, 0, '{}', '2024-01-02 00:00+00', null, null, '0.1.0');
insert into trunkline.totals (load_id, measure, currency, typed, loaded, duplicates, conflicts)
values
    (1, 'duration_s', '', 3720, 3600, 60, 60), (1, 'cost', 'USD', 13.70, 13.10, 0.30, 0.30),
    (1, 'cost', 'KES', 5, 5, 0, 0);
insert into trunkline.rejects (
    load_id, source_line, byte_offset, raw, field, code, message, kept_load_id, kept_source_line, created_at
)
values
    (1, 11, 500, '1,$5.x,a', 'cost', 'bad_money', 'expected an amount', null, null, '2024-01-01 00:00:30+00'),
    (1, 4, 200, '\\x00ff', null, 'conflict', 'the key is loaded', 1, 2, '2024-01-01 00:00:30+00');
update trunkline.rejects set state = 'discarded' where id = 2
"""


@pytest.fixture
def connection(database_url):
    with closing(connect(database_url)) as opened:
        with transaction(opened) as cursor:
            cursor.execute(BOOKS)
        yield opened


def test_loads_are_listed_newest_first(connection):
    """All of them, those in work included."""
    assert [(entry.id, entry.books.status) for entry in ledger.list_loads(connection)] == [
        (2, "running"),
        (1, "loaded"),
    ]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"status": "loaded"}, [1]),
        ({"layout": "other"}, [2]),
        ({"system": "pbx-1"}, [1]),
        ({"system": ""}, [2]),
        ({"source": "tuesday.csv"}, [2]),
        ({"status": "loaded", "layout": "other"}, []),
        ({"limit": 1}, [2]),
        ({"limit": None}, [2, 1]),
    ],
)
def test_filters_of_loads(connection, filters, expected):
    """Each one alone, and together."""
    assert [entry.id for entry in ledger.list_loads(connection, **filters)] == expected


def test_a_status_that_no_load_has_is_a_mistake(connection):
    """A list without entries would read like good news."""
    with pytest.raises(UsageError, match="never 'unchanged'; expected running, loaded, refused, failed"):
        ledger.list_loads(connection, status="unchanged")


def test_a_load_is_shown_whole(connection):
    """Exact sums, times with their zone."""
    assert ledger.show_load(connection, 1) == ledger.LoadEntry(
        id=1,
        books=Books(
            source="monday.csv",
            layout="customer_call_logs",
            status="loaded",
            load_id=1,
            read=12,
            loaded=9,
            duplicates=1,
            duplicates_in_source=1,
            rejected=2,
            rejected_by={"bad_money": 1, "conflict": 1},
            filtered=0,
            conflicts=1,
            totals=Totals(duration_s=Decimal(3600), cost={"USD": Decimal("13.10"), "KES": Decimal(5)}),
            cache=CacheCounts(hits=3, misses=1, bytes_read=7, bytes_written=9),
            seconds=Seconds(extract=0.5, transform=0.25, load=0.125, total=1),
            timezone="Africa/Nairobi",
            currency="USD",
            reason=None,
        ),
        system="pbx-1",
        call_table="public.calls",
        tz_source="stated",
        content_hash="abc",
        bytes=512,
        replaced=0,
        started_at=datetime(2024, 1, 1, tzinfo=UTC),
        finished_at=datetime(2024, 1, 1, 0, 1, tzinfo=UTC),
        published_seq=1,
        reloads=None,
        superseded_by=None,
        replays=None,
        replayed_by=[],
        program_version="0.1.0",
    )


def test_a_load_as_json_is_flat(connection):
    """The books' keys as everywhere, and the rest beside them."""
    entry = ledger.show_load(connection, 1).to_dict()

    assert (entry["load_id"], entry["totals"]["cost"], entry["system"]) == (1, {"KES": "5.00", "USD": "13.10"}, "pbx-1")
    assert "id" not in entry
    assert "books" not in entry


def test_a_load_that_is_not_there(connection):
    """The message says how to find those that are."""
    with pytest.raises(UsageError, match=r"^the books have no load 7; 'trunkline loads' lists them$"):
        ledger.show_load(connection, 7)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, [2, 1]),  # in the order of the source: line 4, then 11
        ({"load": 1}, [2, 1]),
        ({"load": 2}, []),
        ({"code": "conflict"}, [2]),
        ({"field": "cost"}, [1]),
        ({"state": "discarded"}, [2]),
        ({"load": 1, "code": "bad_money", "field": "cost", "state": "open"}, [1]),
    ],
)
def test_filters_of_rejects(connection, filters, expected):
    """The list and the count agree."""
    assert [entry.id for entry in ledger.list_rejects(connection, ledger.Which(**filters))] == expected
    assert ledger.count_rejects(connection, ledger.Which(**filters)) == len(expected)


def test_lists_of_rejects_are_bounded(connection):
    """And hold no bytes, which not every role may read."""
    (entry,) = ledger.list_rejects(connection, ledger.Which(), limit=1)

    assert (entry.id, entry.raw) == (2, None)


def test_a_reject_is_shown_with_its_bytes(connection):
    """As they were, whatever they are."""
    assert ledger.show_reject(connection, 2) == ledger.RejectEntry(
        id=2,
        load_id=1,
        source="monday.csv",
        source_line=4,
        byte_offset=200,
        field=None,
        code="conflict",
        message="the key is loaded",
        state="discarded",
        kept_load_id=1,
        kept_source_line=2,
        same_as=None,
        created_at=datetime(2024, 1, 1, 0, 0, 30, tzinfo=UTC),
        raw=b"\x00\xff",
    )


def test_a_reject_that_is_not_there(connection):
    """The message says how to find those that are."""
    with pytest.raises(UsageError, match=r"^the books have no reject 7; 'trunkline rejects list' lists them$"):
        ledger.show_reject(connection, 7)


def test_a_state_that_no_reject_has(connection):
    """A spelling mistake is not an empty list."""
    with pytest.raises(UsageError, match="never 'opne'; expected open, replayed, discarded"):
        ledger.Which(state="opne")  # type: ignore[arg-type]
