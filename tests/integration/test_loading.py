"""The public load: once, balanced, all or nothing, in the caller's transaction, against a real PostgreSQL."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import date
from decimal import Decimal
from pathlib import Path

import psycopg2
import pytest
from psycopg2.extras import RealDictCursor

from trunkline import extract, extract_blocks, load, load_layout, transform
from trunkline.errors import RefusedError, ReloadNeededError, SchemaError, UsageError
from trunkline.framing.borders import BlockSizes
from trunkline.layout.files import parse_layout
from trunkline.loading import copy_format as copy_format_module
from trunkline.loading import staging
from trunkline.sample.writer import write_sample

REFERENCE = Path("examples/customer_call_logs.csv")
HEADER = "customer_id,call_cost,call_destination,call_date,call_duration"
FIRST = "1001,$1.20,Nairobi,2022-01-01 10:00:00,00:05:30"
SECOND = "1002,$2.50,Mombasa,2022-01-01 10:05:00,00:08:15"
THIRD = "1003,$0.50,Nakuru,2022-01-02 10:10:00,00:03:45"


@pytest.fixture
def layout():
    return load_layout("customer_call_logs")


@pytest.fixture
def connection(database_url):
    opened = psycopg2.connect(database_url)
    yield opened
    opened.close()


def load_text(connection, layout, *records, source="calls.csv"):
    """Load records through the public functions and commit; return the books."""
    data = "\n".join((HEADER, *records)).encode()
    frame = extract(io.BytesIO(data), layout)
    frame.attrs["source"] = source
    calls, rejects = transform(frame, layout)
    books = load(calls, connection, layout, rejects)
    connection.commit()
    return books


def fetch(connection, statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


def count_calls(connection):
    return fetch(connection, "select count(*) from customer_call_logs")[0][0]


def test_the_reference_file_loads_exactly(connection, layout):
    """Nine calls of three customers, 13.70 USD, 3,720 seconds: 1.20+2.50+0.50+1.80+1.25+1.00+0.75+3.20+1.50."""
    calls, rejects = transform(extract(REFERENCE, layout), layout)
    books = load(calls, connection, layout, rejects)
    connection.commit()

    assert (books.status, books.read, books.loaded, books.rejected) == ("loaded", 9, 9, 0)
    assert books.totals.to_dict() == {"duration_s": 3720, "cost": {"USD": "13.70"}}
    assert fetch(
        connection, "select sum(cost), sum(duration_s), count(distinct customer_id) from customer_call_logs"
    ) == [(Decimal("13.700000"), 3720, 3)]


def test_times_are_read_in_the_zone_of_the_layout(connection, layout):
    """Ten o'clock in Nairobi is seven in UTC, all year."""
    load_text(connection, layout, FIRST)

    assert fetch(connection, "select started_at at time zone 'UTC' from customer_call_logs")[0][0].hour == 7


def test_the_same_content_again_is_unchanged(connection, layout):
    """Under another name, too; no call and no load is added, and the earlier numbers are repeated."""
    first = load_text(connection, layout, FIRST, SECOND)
    again = load_text(connection, layout, FIRST, SECOND, source="copy.csv")

    assert (again.status, again.load_id, again.read, again.loaded) == ("unchanged", first.load_id, 2, 2)
    assert count_calls(connection) == 2
    assert fetch(connection, "select count(*) from trunkline.loads") == [(1,)]


def test_of_an_overlapping_source_only_new_calls_are_loaded(connection, layout):
    """What another source brought is counted as a duplicate; so are its sums."""
    load_text(connection, layout, FIRST, SECOND)
    books = load_text(connection, layout, SECOND, THIRD)

    assert (books.loaded, books.duplicates, books.duplicates_in_source, books.rejected) == (1, 1, 0, 0)
    assert count_calls(connection) == 3
    assert fetch(
        connection,
        f"select typed, loaded, duplicates from trunkline.totals where load_id = {books.load_id} and measure = 'cost'",
    ) == [(Decimal("3.00"), Decimal("0.50"), Decimal("2.50"))]


def test_of_identical_records_in_a_source_one_is_loaded(connection, layout):
    """The others are duplicates in the source."""
    books = load_text(connection, layout, FIRST, SECOND, FIRST, FIRST)

    assert (books.read, books.loaded, books.duplicates, books.duplicates_in_source) == (4, 2, 2, 2)


def test_the_same_key_with_other_values_is_a_conflict(connection, layout):
    """It is rejected with its original bytes, and the message names the load and the line that were kept."""
    first = load_text(connection, layout, SECOND, FIRST)
    corrected = FIRST.replace("$1.20", "$1.30")
    books = load_text(connection, layout, corrected, THIRD)

    assert (books.loaded, books.duplicates, books.rejected, books.conflicts) == (1, 0, 1, 1)
    assert books.rejected_by == {"conflict": 1}
    ((raw, line, message, kept_load, kept_line),) = fetch(
        connection, "select raw, source_line, message, kept_load_id, kept_source_line from trunkline.rejects"
    )
    assert (bytes(raw), line, kept_load, kept_line) == (corrected.encode(), 2, first.load_id, 3)
    assert f"load {first.load_id}, line 3" in message
    assert fetch(connection, "select cost from customer_call_logs where customer_id = 1001") == [(Decimal("1.20"),)]


@pytest.mark.parametrize(
    ("policy", "cost", "counts"),
    [("skip", "1.20", (1, 1, 0)), ("replace", "1.30", (2, 0, 0))],
)
def test_a_layout_may_settle_conflicts(connection, layout, policy, cost, counts):
    """skip keeps what is there and counts a duplicate; replace loads the new values in its place."""
    load_text(connection, layout, FIRST, SECOND)
    settled = layout.model_copy(update={"on_conflict": policy})
    books = load_text(connection, settled, FIRST.replace("$1.20", "$1.30"), THIRD)

    assert (books.loaded, books.duplicates, books.rejected) == counts
    assert books.conflicts == (1 if policy == "skip" else 0)
    assert fetch(connection, "select cost from customer_call_logs where customer_id = 1001") == [(Decimal(cost),)]


def test_a_record_that_came_twice_is_compared_with_the_call_that_is_there(connection, layout):
    """Of a corrected and an original record of a loaded call, the corrected one is the conflict."""
    load_text(connection, layout, FIRST)
    books = load_text(connection, layout, FIRST.replace("$1.20", "$9.99"), FIRST, SECOND)

    assert (books.loaded, books.duplicates, books.conflicts) == (1, 1, 1)
    assert fetch(connection, "select source_line from trunkline.rejects") == [(2,)]


@pytest.mark.parametrize(
    "harm",
    [
        "truncate customer_call_logs",
        "drop table customer_call_logs cascade",
        "delete from customer_call_logs where customer_id = 1001",
        "delete from customer_call_logs_20220101",
        "truncate customer_call_logs_20220101",
        "drop table customer_call_logs_20220101",
        "alter table customer_call_logs detach partition customer_call_logs_20220101",
    ],
)
def test_content_that_is_no_longer_there_is_not_unchanged(connection, layout, harm):
    """What was taken out by hand is loaded again."""
    load_text(connection, layout, FIRST, THIRD)
    fetch(connection, f"{harm}; select 1")
    connection.commit()
    books = load_text(connection, layout, FIRST, THIRD)

    assert books.status == "loaded"
    assert count_calls(connection) == 2


@pytest.mark.parametrize(
    "harm",
    [
        "delete from customer_call_logs where customer_id = 1001",
        "drop table customer_call_logs_20220101",
        "drop table customer_call_logs cascade",
    ],
)
def test_conflicts_alone_are_not_unchanged_when_the_call_that_was_kept_is_gone(connection, layout, harm):
    """Of a source of conflicts only nothing was loaded; it is looked at again, and now it is what is there."""
    load_text(connection, layout, FIRST, THIRD)
    corrected = FIRST.replace("$1.20", "$1.30")
    assert load_text(connection, layout, corrected).conflicts == 1
    assert load_text(connection, layout, corrected).status == "unchanged"
    fetch(connection, f"{harm}; select 1")
    connection.commit()
    books = load_text(connection, layout, corrected)

    assert (books.status, books.loaded, books.conflicts) == ("loaded", 1, 0)


@pytest.mark.parametrize("table", ["customer_call_logs", "customer_call_logs_20220101"])
def test_a_call_changed_by_hand_makes_its_load_changed(connection, layout, table):
    """What the source says and what the table says differ now, and the next load shows it as a conflict."""
    load_text(connection, layout, FIRST, THIRD)
    fetch(connection, f"update {table} set cost = 9 where customer_id = 1001 returning 1")
    connection.commit()
    books = load_text(connection, layout, FIRST, THIRD)

    assert (books.status, books.loaded, books.duplicates, books.conflicts) == ("loaded", 0, 1, 1)


def test_a_change_in_one_partition_leaves_loads_of_others_alone(connection, layout):
    """Only loads with calls in it are looked at again."""
    load_text(connection, layout, FIRST)
    load_text(connection, layout, THIRD)
    fetch(connection, "delete from customer_call_logs_20220102 returning 1")
    connection.commit()

    assert load_text(connection, layout, FIRST).status == "unchanged"
    assert load_text(connection, layout, THIRD).status == "loaded"


def test_what_the_caller_deletes_in_the_same_transaction_is_noticed(connection, layout):
    """Only the load's own changes are its own."""
    calls, rejects = transform(extract(REFERENCE, layout), layout)
    load(calls, connection, layout, rejects)
    fetch(connection, "delete from customer_call_logs where customer_id = 1001 returning 1")
    connection.commit()
    books = load(calls, connection, layout, rejects)

    assert (books.status, books.loaded) == ("loaded", 3)


@pytest.mark.parametrize("terms", [{"timezone": "Europe/Berlin"}, {"currency": "KES"}])
def test_the_same_content_on_other_terms_is_refused(connection, layout, terms):
    """Each call would get another time or amount and be there twice; the message names the way out."""
    load_text(connection, layout, FIRST)

    with pytest.raises(ReloadNeededError, match="--reload"):
        load_text(connection, layout.with_overrides(**terms), FIRST)


def test_nothing_stays_if_the_caller_rolls_back(connection, layout):
    """Calls, rejects, books and even the call table are the caller's to commit."""
    calls, rejects = transform(extract(REFERENCE, layout), layout)
    load(calls, connection, layout, rejects)
    connection.rollback()

    assert fetch(connection, "select to_regclass('customer_call_logs')") == [(None,)]
    assert fetch(connection, "select count(*) from trunkline.loads") == [(0,)]


def test_bad_records_are_kept_beside_good_ones(connection, layout):
    """Their bytes, place, field and code are in the books; their neighbours are in the table."""
    books = load_text(connection, layout, FIRST, "1002,free,Mombasa,2022-01-01 10:05:00,00:08:15", "x", THIRD)

    assert (books.read, books.loaded, books.rejected) == (4, 2, 2)
    rows = fetch(connection, "select source_line, byte_offset, field, code from trunkline.rejects order by 1")
    first_offset = len(HEADER) + 1 + len(FIRST) + 1
    assert rows == [
        (3, first_offset, "cost", "bad_money"),
        (4, first_offset + len("1002,free,Mombasa,2022-01-01 10:05:00,00:08:15") + 1, None, "too_few_fields"),
    ]


@pytest.mark.parametrize(
    "cheat",
    [
        "update trunkline.loads set loaded = loaded + 1",
        "update trunkline.totals set loaded = loaded + 0.01",
        "update trunkline.blocks set read = read + 1",
    ],
)
def test_the_database_refuses_books_that_do_not_balance(connection, layout, cheat):
    """The balance is a constraint, not a promise of this program."""
    load_text(connection, layout, FIRST)

    with pytest.raises(psycopg2.errors.CheckViolation):
        fetch(connection, cheat)


def test_calls_of_a_day_are_a_partition_and_nothing_stays_staged(connection, layout):
    """Two days, two partitions with bounds in UTC; the staging schema is empty."""
    load_text(connection, layout, FIRST, THIRD)

    assert fetch(
        connection,
        "select inhrelid::regclass::text from pg_inherits where inhparent = 'customer_call_logs'::regclass"
        " and inhrelid::regclass::text like 'customer%\\_2%' order by 1",
    ) == [("customer_call_logs_20220101",), ("customer_call_logs_20220102",)]
    assert fetch(connection, "select count(*) from pg_tables where schemaname = 'trunkline_staging'") == [(0,)]


def test_a_table_of_somebody_else_is_not_touched(connection, layout):
    """A table of that name that trunkline did not make is an error with the next step."""
    fetch(connection, "create table customer_call_logs (id int); select 1")
    connection.commit()

    with pytest.raises(SchemaError, match="was not made by trunkline"):
        load_text(connection, layout, FIRST)


def test_calls_without_a_column_of_the_layout_are_refused(connection, layout):
    """The message names the column."""
    calls, rejects = transform(extract(REFERENCE, layout), layout)

    with pytest.raises(UsageError, match="cost"):
        load(calls.drop(columns="cost"), connection, layout, rejects)


def test_a_connection_in_autocommit_mode_is_refused(connection, layout):
    """Without a transaction, calls and books would not become visible together."""
    calls, rejects = transform(extract(REFERENCE, layout), layout)
    connection.autocommit = True

    with pytest.raises(UsageError, match="autocommit"):
        load(calls, connection, layout, rejects)


def test_records_that_the_caller_took_out_are_filtered(connection, layout):
    """What was read and is neither a call nor a reject any more is accounted for."""
    calls, rejects = transform(extract(REFERENCE, layout), layout)
    books = load(calls[calls["customer_id"] == 1001], connection, layout, rejects)

    assert (books.read, books.loaded, books.filtered) == (9, 3, 6)


def test_calls_changed_by_the_caller_are_other_content(connection, layout):
    """Attrs outlive a change of rows: what is compared is what is there."""
    load_text(connection, layout, FIRST, SECOND)
    calls, rejects = transform(extract(io.BytesIO("\n".join((HEADER, FIRST, SECOND)).encode()), layout), layout)
    books = load(calls.iloc[:1], connection, layout, rejects)

    assert (books.status, books.loaded, books.duplicates, books.filtered) == ("loaded", 0, 1, 1)


@pytest.mark.parametrize("copy_format", ["binary", "csv"])
def test_every_type_arrives_as_it_was(connection, monkeypatch, copy_format):
    """All field types through both forms of COPY: the second is for platforms without a wheel of the encoder."""
    monkeypatch.setattr(copy_format_module.encode_copy, "__defaults__", (None, copy_format))
    monkeypatch.setattr(copy_format_module.copy_options, "__defaults__", (copy_format,))
    layout = parse_layout(ALL_TYPES, origin="all_types.toml")
    data = 'n,t,m,s,d,b,p,i,x\n-7,"a, ""b""",-1.50,12.5,2022-02-28,yes,0700123456,::1,0x\n,,,,,,,10.0.0.1,\n'
    calls, rejects = transform(extract(io.BytesIO(data.encode()), layout), layout)
    books = load(calls, connection, layout, rejects)

    assert (books.loaded, books.rejected) == (2, 0)
    first, second = fetch(
        connection, "select n, t, cost, s, d, b, p, p_e164, i::text, extra::text from all_types order by n nulls last"
    )
    assert first == (
        -7,
        'a, "b"',
        Decimal("-1.50"),
        Decimal("12.5"),
        date(2022, 2, 28),
        True,
        "0700123456",
        "+254700123456",
        "::1/128",
        '{"x": "0x"}',
    )
    assert second[:8] == (None,) * 8
    assert second[8] == "10.0.0.1/32"


ALL_TYPES = """
grammar = 1
name = "all_types"
table = "all_types"
extra = "keep"
key = ["n", "i"]
[defaults]
region = "KE"
[[fields]]
column = "n"
name = "n"
type = "integer"
[[fields]]
column = "t"
name = "t"
type = "text"
[[fields]]
column = "m"
name = "cost"
type = "money"
currency = "KES"
[[fields]]
column = "s"
name = "s"
type = "duration"
unit = "s"
scale = 1
[[fields]]
column = "d"
name = "d"
type = "date"
[[fields]]
column = "b"
name = "b"
type = "boolean"
[[fields]]
column = "p"
name = "p"
type = "phone"
[[fields]]
column = "i"
name = "i"
type = "ip"
"""


def test_blocks_can_be_loaded_one_by_one(connection, layout, monkeypatch):
    """Each is content of its own: none is taken for another of the same source, and each is unchanged by itself."""
    monkeypatch.setattr("trunkline.framing.borders.BLOCK_SIZES", BlockSizes(least=16_384, usual=32_768, most=65_536))
    out = io.BytesIO()
    write_sample(out, records=3_000)
    for status in ("loaded", "unchanged"):
        frames = list(extract_blocks(io.BytesIO(out.getvalue()), layout))
        assert len(frames) > 1
        for frame in frames:
            calls, rejects = transform(frame, layout)
            assert load(calls, connection, layout, rejects).status == status
        connection.commit()

    assert count_calls(connection) == 3_000


def test_the_view_of_all_calls_has_the_calls(connection, layout):
    """`trunkline.calls` unites call tables under canonical types."""
    load_text(connection, layout, FIRST)

    assert fetch(connection, "select customer_id, duration_s, cost, currency from trunkline.calls") == [
        ("1001", Decimal(330), Decimal("1.20"), "USD")
    ]


def test_a_load_that_another_session_was_quicker_with_is_unchanged(connection, layout, database_url):
    """Both looked before either had published; the second waits, finds it loaded, and leaves nothing behind."""
    load_text(connection, layout, SECOND)
    with closing(psycopg2.connect(database_url)) as other, ThreadPoolExecutor() as pool:
        calls, rejects = transform(extract(REFERENCE, layout), layout)
        first = load(calls, connection, layout, rejects)
        second = pool.submit(load, calls, other, layout, rejects)
        waits = "select count(*) from pg_locks where relation = 'customer_call_logs'::regclass and not granted"
        while fetch(connection, waits) == [(0,)]:
            pass
        connection.commit()
        books = second.result()
        other.commit()

    assert (books.status, books.load_id, books.loaded) == ("unchanged", first.load_id, 8)
    assert fetch(connection, "select status, count(*) from trunkline.loads group by 1") == [("loaded", 2)]
    assert fetch(connection, "select count(*) from pg_tables where schemaname = 'trunkline_staging'") == [(0,)]


def test_an_error_leaves_the_transaction_as_it_was(connection, layout):
    """The caller may go on with it: nothing of the load that failed is there, all of their own is."""
    fetch(connection, "create table own (a int); select 1")
    with pytest.raises(RefusedError, match="none of 1 records could be loaded"):
        load_text(connection, layout, "x")
    fetch(connection, "insert into own values (1) returning 1")
    books = load_text(connection, layout, FIRST)

    assert (books.status, books.loaded) == ("loaded", 1)
    assert fetch(connection, "select count(*) from own") == [(1,)]
    assert fetch(connection, "select count(*) from trunkline.loads") == [(1,)]


def test_any_kind_of_cursor_will_do(database_url, layout):
    """A connection whose rows are dictionaries is the caller's own business, and stays like that."""
    with closing(psycopg2.connect(database_url, cursor_factory=RealDictCursor)) as connection:
        books = load_text(connection, layout, FIRST, FIRST.replace("$1.20", "$1.30"))
        again = load_text(connection, layout, FIRST, FIRST.replace("$1.20", "$1.30"))

        assert (books.loaded, books.conflicts, again.status) == (1, 1, "unchanged")
        assert fetch(connection, "select count(*) as calls from customer_call_logs") == [{"calls": 1}]


def test_partitions_that_are_there_are_not_new(connection, layout, monkeypatch):
    """Only those to be made count towards the limit on wrong dates."""
    monkeypatch.setattr(staging, "MOST_NEW_PARTITIONS", 1)
    load_text(connection, layout, FIRST)
    load_text(connection, layout, THIRD)

    assert load_text(connection, layout, FIRST, SECOND, THIRD).duplicates == 2


def test_nothing_of_staging_is_left_on_a_partition(connection, layout):
    """It has no default, no check and no setting of its own: what is inserted by hand is not taken for this load's."""
    load_text(connection, layout, FIRST, THIRD)

    assert fetch(connection, "select count(*) from pg_inherits where inhparent = 'customer_call_logs'::regclass") == [
        (2,)
    ]
    assert not fetch(
        connection,
        "select c.relname, c.reloptions, d.adnum, k.conname from pg_inherits i join pg_class c on c.oid = i.inhrelid "
        "left join pg_attrdef d on d.adrelid = c.oid "
        "left join pg_constraint k on k.conrelid = c.oid and k.contype = 'c' "
        "where i.inhparent = 'customer_call_logs'::regclass "
        "and (c.reloptions is not null or d.adnum is not null or k.conname is not null)",
    )


MIXED = """
grammar = 1
name = "mixed"
table = "mixed"
key = ["call_id", "started_at"]
event_time = "started_at"

[defaults]
timezone = "UTC"

[[fields]]
column = "id"
name = "call_id"
type = "text"
required = true

[[fields]]
column = "time"
name = "started_at"
type = "timestamp"
required = true

[[fields]]
column = "cost"
name = "cost"
type = "money"
{currency}
"""


@pytest.mark.parametrize(
    ("currency", "records", "stored", "totals"),
    [
        ('currency = "USD"', ["1.20,", ",", "0.30,"], ["USD", None, "USD"], {"USD": "1.50"}),
        (
            'currency_from = "code"',
            ["1.20,USD", "2,KES", "0.30,USD"],
            ["USD", "KES", "USD"],
            {"KES": "2", "USD": "1.50"},
        ),
        ('currency_from = "code"', ["1.20,USD", "2,USD"], ["USD", "USD"], {"USD": "3.20"}),
    ],
    ids=["stated, and one without", "of each record", "of each record, all alike"],
)
def test_each_call_has_its_own_currency(connection, currency, records, stored, totals):
    """Whether the column is copied or filled in, and summed in groups or not: a call without an amount has none."""
    layout = parse_layout(MIXED.replace("{currency}", currency), origin="test")
    lines = [f"{number},2022-01-01 10:0{number}:00,{record}" for number, record in enumerate(records)]
    frame = extract(io.BytesIO("\n".join(("id,time,cost,code", *lines)).encode()), layout)
    calls, rejects = transform(frame, layout)
    books = load(calls, connection, layout, rejects)
    connection.commit()

    assert [code for (code,) in fetch(connection, "select currency from mixed order by call_id")] == stored
    found = {code: Decimal(cost) for code, cost in books.totals.to_dict()["cost"].items() if code}
    assert found == {code: Decimal(cost) for code, cost in totals.items()}
