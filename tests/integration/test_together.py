"""Many small sources in one run: each has the books and calls that it would have alone, at the cost of one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import pytest

from tests.call_logs import LEFT_BEHIND, check_books, execute, record, run_on, write_log
from tests.faults import CutAt, DropCommitReply, Proxy, Trigger
from trunkline import engine, runner, together
from trunkline.database.connection import connect
from trunkline.database.retrying import retrying
from trunkline.database.schema import migrate
from trunkline.engine import work_each
from trunkline.errors import EngineError
from trunkline.loading import sealing, stage
from trunkline.progress import Watch
from trunkline.servers import open_servers
from trunkline.settings.resolution import Settings
from trunkline.sources.source import Source

TWILIO = Path(__file__).parents[1] / "fixtures" / "layouts" / "twilio.csv"

SKIPPING = """
grammar = 1
name = "skipping"
table = "skipping"

[[skip]]
column = "id"
not_in = ["call"]

[[fields]]
column = "id"
name = "call_id"
type = "text"
required = true
"""

# All that a load leaves, but for numbers, clocks and costs, load by load in the order of their sources.
LEFT = {
    "loads": """
        select to_jsonb(l)
            - array['id', 'token', 'seconds', 'started_at', 'finished_at', 'published_seq', 'resume_key', 'reason'],
            regexp_replace(reason, 'load \\d+', 'load')
        from trunkline.loads l order by source""",
    "calls": """
        select to_jsonb(c) - 'load_id', l.source
        from customer_call_logs c join trunkline.loads l on l.id = c.load_id order by l.source, c.source_line""",
    "blocks": """
        select to_jsonb(b) - 'load_id', source
        from trunkline.blocks b join trunkline.loads l on l.id = load_id order by source""",
    "rejects": """
        select source_line, byte_offset, raw::text, field, code, regexp_replace(message, 'load \\d+', 'load'), source
        from trunkline.rejects r join trunkline.loads l on l.id = load_id order by source, source_line""",
    "totals": """
        select measure, t.currency, typed, t.loaded, t.duplicates, t.conflicts, source
        from trunkline.totals t join trunkline.loads l on l.id = load_id order by source, measure""",
    "readings": """
        select preamble::text, header, dialect, source
        from trunkline.readings r join trunkline.loads l on l.id = load_id order by source""",
    "partitions": """
        select relation::regclass::text, source
        from trunkline.load_partitions p join trunkline.loads l on l.id = load_id order by source, 1""",
}


def left_by(url):
    """Return what loads left, by kind."""
    return {kind: execute(url, query) for kind, query in LEFT.items()}


@pytest.fixture
def logs(tmp_path):
    """Ten logs of some calls each, over several days; two have a record that is rejected."""
    bad = {3: ["x,$1.20,Nairobi,2022-01-01 08:00:00,00:01:00"], 7: ["7,$1"]}
    return [
        write_log(
            tmp_path / f"{n}.csv", [*bad.get(n, []), *(record(10 * n + i, day=1 + (n + i) % 3) for i in range(4))]
        )
        for n in range(10)
    ]


@pytest.fixture
def other_url(empty_database_url):
    """A second database with the schema of the books."""
    with closing(connect(empty_database_url)) as connection:
        migrate(connection)
    return empty_database_url


@pytest.fixture
def joint(monkeypatch):
    """How many sources were loaded together, each time that it was tried."""
    counts: list[int] = []
    load_together = together.load_together

    def count(jobs, attempts):
        books = load_together(jobs, attempts)
        counts.append(sum(each is not None for each in books))
        return books

    monkeypatch.setattr(together, "load_together", count)
    return counts


def account(books):
    """Return what two runs of the same sources have in common."""
    return [(each.source, each.status, each.read, each.loaded, each.rejected_by, each.totals) for each in books]


def test_each_is_loaded_as_it_would_be_alone(database_url, other_url, logs, joint):
    """Calls, books, rejects and where all of it is: the same as after as many runs of one source each."""
    books = run_on(database_url, *logs)
    alone = [each for log in logs for each in run_on(other_url, log)]

    assert joint == [10]
    assert account(books) == account(alone)
    assert left_by(database_url) == left_by(other_url)
    check_books(database_url)


def test_what_cannot_be_worked_on_with_others_is_by_itself(database_url, logs, monkeypatch, joint):
    """Where the work on several sources at once fails, it is tried on each, and one that fails is loaded alone."""
    bad = Path(logs[2]).read_bytes().partition(b"\n")[2]

    def fail(tasks, cache):
        if len(tasks) > 1 or tasks[0].block.data == bad:
            raise EngineError("no")
        return work_each(tasks, cache)

    monkeypatch.setattr(engine, "work_each", fail)
    books = run_on(database_url, *logs)

    assert joint == [9]
    assert [each.status for each in books] == ["loaded"] * 10
    check_books(database_url)


def test_days_that_come_back_are_opened_again(database_url, other_url, tmp_path, monkeypatch, joint):
    """Days are sealed when the sources have passed them; calls that come late for one are as if they had come early."""
    monkeypatch.setattr(together, "SOURCES_AT_ONCE", 1)
    opened: list[str] = []

    def note_and_reopen(cursor, load_id, staged):
        opened.append(staged.relation)
        sealing.reopen(cursor, load_id, staged)

    monkeypatch.setattr(stage, "reopen", note_and_reopen)
    days = [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 2, 2, 2, 2, 6, 6]
    logs = [
        write_log(tmp_path / f"{n:02}.csv", [record(10 * n + i, day=day) for i in range(4)])
        for n, day in enumerate(days)
    ]
    books = run_on(database_url, *logs)
    alone = [each for log in logs for each in run_on(other_url, log)]

    assert joint == [16]
    assert len(opened) == 1
    assert account(books) == account(alone)
    assert left_by(database_url) == left_by(other_url)
    check_books(database_url)


def test_they_are_merged_into_partitions_that_exist(database_url, tmp_path, logs, joint):
    """New calls of days that are there already."""
    run_on(database_url, write_log(tmp_path / "before.csv", [record(500, day=day) for day in (1, 2)]))
    books = run_on(database_url, *logs)

    assert joint == [10]
    assert [each.loaded for each in books] == [4] * 10
    assert execute(database_url, "select count(*) from customer_call_logs") == [(42,)]
    check_books(database_url)


@pytest.mark.parametrize(
    ("records", "status", "counts"),
    [
        ([record(0), record(200)], "loaded", (1, 1)),  # its first call is in another of the files
        ([record(200), record(200)], "loaded", (1, 1)),
        ([record(0, cost="7.00"), record(200)], "loaded", (1, 0)),  # a conflict
        (["x", "y"], "refused", (0, 0)),
        ([], "loaded", (0, 0)),
    ],
)
def test_what_is_not_new_is_loaded_alone(database_url, other_url, tmp_path, logs, records, status, counts):
    """Duplicates, conflicts and refusals end as in runs of one source each, whoever else is in the run."""
    logs.append(write_log(tmp_path / "z.csv", records))
    books = run_on(database_url, *logs)
    alone = [each for log in logs for each in run_on(other_url, log)]

    assert account(books) == account(alone)
    assert (books[-1].status, (books[-1].loaded, books[-1].duplicates)) == (status, counts)
    left, expected = left_by(database_url), left_by(other_url)
    assert left == expected
    check_books(database_url)


def test_the_same_content_twice_is_unchanged(database_url, tmp_path, logs, joint):
    """Whether it came in this run or in one before."""
    (tmp_path / "again.csv").write_text((tmp_path / "2.csv").read_text())
    first = run_on(database_url, *logs, str(tmp_path / "again.csv"))
    second = run_on(database_url, *logs)

    assert [each.status for each in first] == ["loaded"] * 10 + ["unchanged"]
    assert first[-1].load_id == first[2].load_id
    assert [(each.status, each.load_id) for each in second] == [("unchanged", each.load_id) for each in first[:10]]
    assert joint == [10]
    check_books(database_url)


def test_a_source_that_is_written_anew_after_its_hash_was_taken_is_not_unchanged(database_url, logs, monkeypatch):
    """The hash was of what it was; it is looked at again, by itself, and said."""
    run_on(database_url, *logs)
    hashed, left = Source.content_hash, [logs[-1]]

    def hash_and_write(source, **arguments):
        content_hash = hashed(source, **arguments)
        if source.name in left:
            left.remove(source.name)
            write_log(Path(source.name), [record(90_000)])
        return content_hash

    monkeypatch.setattr(Source, "content_hash", hash_and_write)
    books = run_on(database_url, *logs)

    assert [each.status for each in books] == ["unchanged"] * (len(logs) - 1) + ["refused"]
    assert "while it was read; load it again" in str(books[-1].reason)


def test_too_many_rejects_refuse_one_source(database_url, logs, joint):
    """The others are loaded, together."""
    books = run_on(database_url, *logs, max_rejects="0")

    assert [each.status for each in books] == ["refused" if n in (3, 7) else "loaded" for n in range(10)]
    assert joint == [8]
    check_books(database_url)


def test_a_source_that_is_not_there_costs_the_others_nothing(database_url, tmp_path, logs):
    """It has its place among the accounts."""
    books = run_on(database_url, *logs[:5], str(tmp_path / "nowhere.csv"), *logs[5:])

    assert [each.status for each in books] == ["loaded"] * 5 + ["failed"] + ["loaded"] * 5
    check_books(database_url)


def test_few_sources_are_loaded_alone(database_url, logs, joint):
    """Where it saves little, nothing is done together, and each source is there as soon as it is loaded."""
    books = run_on(database_url, *logs[:4])

    assert (len(books), joint) == (4, [])


@contextmanager
def run_behind(url, gate, logs):
    """Run through a proxy that *gate* rules."""
    with Proxy.before_postgres(url) as proxy:
        settings = Settings(database_url=proxy.url, redis_url="none", layout="customer_call_logs", workers=2)
        with open_servers(settings, {}, warn=lambda _: None) as servers:
            servers.connect().close()  # the session that is open already does not know the gate
            proxy.gate = gate
            yield runner.run_sources(logs, settings, servers, progress=Watch(visible=False))


@pytest.mark.parametrize(
    "words", [b"insert into trunkline.readings", b"copy ", b"create unique index", b"attach partition"]
)
def test_a_connection_that_is_lost_costs_nothing(database_url, logs, monkeypatch, words):
    """Nothing is half there, and the sources are loaded after all."""
    monkeypatch.setattr(runner, "retrying", partial(retrying, sleep=lambda _: None))
    with run_behind(database_url, partial(CutAt, words, Trigger()), logs) as books:
        assert [(each.status, each.loaded) for each in books] == [("loaded", 4)] * 10
    check_books(database_url)


@pytest.mark.parametrize(
    "words",
    [
        b"insert into trunkline.loads",
        b"create table if not exists",
        b"copy ",
        b"create unique index",
        b"attach partition",
    ],
)
def test_a_lost_reply_to_the_commit_doubles_nothing(database_url, logs, monkeypatch, words):
    """The COMMIT of what is opened, made, staged, sealed or published happens without its reply."""
    monkeypatch.setattr(runner, "retrying", partial(retrying, sleep=lambda _: None))
    trigger = Trigger()
    with run_behind(database_url, partial(DropCommitReply, trigger, words), logs) as books:
        assert [(each.status, each.loaded) for each in books] == [("loaded", 4)] * 10
    assert trigger.fired
    check_books(database_url)


def test_two_runs_of_the_same_load_each_source_once(database_url, logs):
    """Whichever publishes first: what the other staged is given up, and its sources are unchanged."""
    with ThreadPoolExecutor(2) as executor:
        runs = [executor.submit(run_on, database_url, *logs) for _ in range(2)]
        both = zip(*(run.result() for run in runs), strict=True)

    assert [sorted(each.status for each in pair) for pair in both] == [["loaded", "unchanged"]] * 10
    check_books(database_url)


def interrupt(monkeypatch, url, logs):
    """Run until all is staged; then the run ends as if it were killed, and nobody clears up."""
    with monkeypatch.context() as patch:
        patch.setattr(together, "publish_joint", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run_on(url, *logs)


@pytest.mark.parametrize("again", [10, 1])
def test_what_a_killed_run_left_is_dropped(database_url, logs, monkeypatch, again):
    """The next run of these sources begins anew, together or alone, and of those that it has nothing else is left."""
    interrupt(monkeypatch, database_url, logs)
    assert execute(database_url, "select count(*) from trunkline.loads where status = 'running'") == [(10,)]
    assert execute(database_url, "select count(*) > 0 from trunkline.staged") == [(True,)]

    books = run_on(database_url, *logs[:again])

    assert [each.status for each in books] == ["loaded"] * again
    left = execute(database_url, "select source from trunkline.loads where status = 'running' order by id")
    assert left == [(log,) for log in logs[again:]]
    assert execute(database_url, "select count(*) from trunkline.staged") == [(0,)]
    run_on(database_url, *logs[again:])
    check_books(database_url)


def test_what_nobody_goes_on_with_is_given_up(database_url, logs, monkeypatch):
    """After a week the loads of a killed run are closed as failed, by whatever run comes."""
    interrupt(monkeypatch, database_url, logs)
    execute(database_url, "update trunkline.loads set started_at = started_at - interval '8 days'")

    run_on(database_url, logs[0])

    assert execute(database_url, "select status, count(*) from trunkline.loads group by 1 order by 1") == [
        ("failed", 10),
        ("loaded", 1),
    ]
    check_books(database_url)


@pytest.mark.parametrize("currencies", [("USD", "USD"), ("USD", "KES")])
def test_sums_are_kept_by_currency(database_url, tmp_path, joint, currencies):
    """Whether the calls of a day are in one, which is summed quickly, or in several."""
    head, call = TWILIO.read_text().splitlines()[:2]
    logs = [tmp_path / f"{n}.csv" for n in range(9)]
    for n, log in enumerate(logs):
        calls = (call.replace("01,,", f"{n}{i},,").replace("USD", code) for i, code in enumerate(currencies))
        log.write_text("\n".join([head, *calls, ""]))

    books = run_on(database_url, *map(str, logs), layout="twilio")

    assert joint == [9]
    amount = Decimal("-0.0085")
    expected = {code: amount * currencies.count(code) for code in currencies}
    assert [each.totals.cost for each in books] == [expected] * 9


def test_sources_that_are_all_refused_leave_nothing(database_url, tmp_path, joint):
    """Where none can be loaded together, what was made for all of them is dropped, too."""
    logs = [write_log(tmp_path / f"{n}.csv", [f"x{n}", f"y{n}"]) for n in range(9)]

    assert [each.status for each in run_on(database_url, *logs)] == ["refused"] * 9
    assert joint == [0]
    check_books(database_url)


def test_sources_without_a_call_need_no_table(database_url, tmp_path, joint):
    """Where all records of a table that is not partitioned are left out, nothing is staged, and the books say so."""
    layout = tmp_path / "skipping.toml"
    layout.write_text(SKIPPING)
    logs = [tmp_path / f"{n}.csv" for n in range(9)]
    for n, log in enumerate(logs):
        log.write_text(f"id\nskip{n}\n")

    books = run_on(database_url, *map(str, logs), layout=str(layout))

    assert [(each.status, each.read, each.loaded, each.filtered) for each in books] == [("loaded", 1, 0, 1)] * 9
    assert joint == [9]
    assert execute(database_url, LEFT_BEHIND) == []
