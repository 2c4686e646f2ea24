"""What a run makes of second clocks: the books say that a zone is proved, and a wrong one loads nothing."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import psycopg2
import pytest

from tests.faults import CutAt, Gate, Proxy, Trigger
from trunkline import Settings, extract, load, load_layout, run, runner, transform
from trunkline.books.reading import Which
from trunkline.database.retrying import retrying
from trunkline.errors import RefusedError
from trunkline.framing.borders import BlockSizes
from trunkline.progress import Watch
from trunkline.replaying import replay_rejects
from trunkline.runner import check_sources, run_sources
from trunkline.servers import open_servers

CUSTOM = 'grammar = 1\nname = "my_asterisk"\nextends = "asterisk_cdr_custom"\nwrong_zone = "report"\n'


def records(zone, numbers, caller="1001"):
    """Return calls of an Asterisk whose clock is in *zone*; *caller* is not part of the key."""
    lines = []
    for number in numbers:
        true = datetime(2024, 3, 1, 6, tzinfo=UTC) + timedelta(minutes=number)
        local = true.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M:%S")
        lines.append(
            f'"","{caller}","2002","internal","PJSIP/1-{number}","","Dial","","{local}","","{local}","0","0",'
            f'"NO ANSWER","DOCUMENTATION","","{int(true.timestamp())}.{number}","",{number}\n'
        )
    return lines


def write(path, zone, *, calls=50):
    path.write_text("".join(records(zone, range(calls))), encoding="utf-8")
    return str(path)


def settings(database_url, zone, layout="asterisk_cdr_custom"):
    return Settings(database_url=database_url, redis_url="none", layout=layout, timezone=zone, system="pbx")


def load_of(database_url, load_id):
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("select timezone, tz_source, status from trunkline.loads where id = %s", [load_id])
        return cursor.fetchone()


@pytest.mark.parametrize("zone", ["UTC", "Africa/Nairobi", "Europe/Berlin"])
def test_a_zone_that_the_records_prove_is_proved_in_the_books(zone, database_url, tmp_path):
    """The user's word is replaced by proof."""
    (books,) = run([write(tmp_path / "Master.csv", zone)], settings(database_url, zone))

    assert (books.status, books.loaded) == ("loaded", 50)
    assert load_of(database_url, books.load_id) == (zone, "proved", "loaded")


def test_a_source_in_another_zone_is_refused_with_the_numbers(database_url, tmp_path):
    """Nothing is loaded, a check says the same, and no value of a record is in the message."""
    source = write(tmp_path / "Master.csv", "Europe/Berlin")
    wrong = settings(database_url, "Africa/Nairobi")
    with open_servers(wrong, {}) as servers:
        (checked,) = check_sources([source], wrong, servers, progress=Watch(visible=False))
    (books,) = run([source], wrong)

    assert (checked.status, books.status, books.loaded) == ("refused", "refused", 0)
    assert checked.reason == books.reason
    reason = books.reason or ""
    assert "agrees with 0 of 50 calls; the local clock showed UTC+01:00 in 50" in reason
    assert "1001" not in reason
    assert load_of(database_url, books.load_id) == ("Africa/Nairobi", "configured", "refused")


def test_a_layout_can_have_a_wrong_zone_reported_only(database_url, tmp_path):
    """The source is loaded as it is, with a line that says so, and its zone is not proved."""
    layout = tmp_path / "my_asterisk.toml"
    layout.write_text(CUSTOM, encoding="utf-8")
    source = write(tmp_path / "Master.csv", "UTC")
    with pytest.warns(RuntimeWarning, match=r"Master.csv: started_at is read in Asia/Tokyo, .* 0 of 50 calls"):
        (books,) = run([source], settings(database_url, "Asia/Tokyo", str(layout)))

    assert books.loaded == 50
    assert load_of(database_url, books.load_id) == ("Asia/Tokyo", "configured", "loaded")


def test_a_zone_that_the_layout_states_is_stated_in_the_books(database_url):
    """Nobody gave another, and no second clock proves it."""
    (books,) = run(["examples/customer_call_logs.csv"], Settings(database_url=database_url, redis_url="none"))

    assert load_of(database_url, books.load_id) == ("Africa/Nairobi", "stated", "loaded")


def test_a_zone_that_the_user_gave_is_configured_in_the_books(database_url):
    """Without a second clock it stays the user's word."""
    given = Settings(database_url=database_url, redis_url="none", timezone="Europe/Berlin")
    (books,) = run(["examples/customer_call_logs.csv"], given)

    assert load_of(database_url, books.load_id) == ("Europe/Berlin", "configured", "loaded")


def test_after_a_crash_the_blocks_of_both_attempts_are_judged(database_url, tmp_path, monkeypatch):
    """
    Most clocks agree, those in the last blocks do not: that is doubtful, and no other zone is proved by it.

    Judged alone, the blocks after the crash would prove another zone.
    """
    monkeypatch.setattr("trunkline.framing.borders.BLOCK_SIZES", BlockSizes(least=1_024, usual=2_048, most=4_096))
    monkeypatch.setattr(runner, "retrying", lambda **options: retrying(**options | {"sleep": lambda _: None}))
    path = tmp_path / "Master.csv"
    path.write_text("".join(records("UTC", range(80)) + records("Europe/Berlin", range(80, 100))), encoding="utf-8")
    doubts: list[str] = []
    with Proxy.before_postgres(database_url) as proxy:
        wanted = settings(proxy.url, "UTC").model_copy(update={"workers": 1})
        with open_servers(wanted, {}, warn=doubts.append) as servers:
            servers.connect().close()  # the session that is open already does not know the gate
            proxy.gate = lambda: CutAt(b"insert into trunkline.blocks", crash)
            crash = Trigger(skip=4, times=1_000)
            (cut,) = run_sources([str(path)], wanted, servers, progress=Watch(visible=False))
            proxy.gate, doubts[:] = Gate, []
            (books,) = run_sources([str(path)], wanted, servers, progress=Watch(visible=False))

    assert (cut.status, books.status, books.loaded) == ("failed", "loaded", 100)
    (doubt,) = [one for one in doubts if "clock" in one]
    assert "agrees with 80 of 100 calls" in doubt
    assert load_of(database_url, books.load_id) == ("UTC", "configured", "loaded")


def test_the_user_can_have_a_wrong_zone_reported_only(database_url, tmp_path):
    """Before what the layout says, in both directions; the refusal names the option."""
    source = write(tmp_path / "Master.csv", "Europe/Berlin")
    layout = tmp_path / "my_asterisk.toml"
    layout.write_text(CUSTOM, encoding="utf-8")
    wrong = settings(database_url, "UTC", str(layout))
    (refused,) = run([source], wrong.model_copy(update={"wrong_zone": "refuse"}))
    wrong = settings(database_url, "UTC").model_copy(update={"wrong_zone": "report"})
    with pytest.warns(RuntimeWarning, match="agrees with 0 of 50 calls"):
        (reported,) = run([source], wrong)

    assert (refused.status, reported.status) == ("refused", "loaded")
    assert str(refused.reason).endswith("give the right '--timezone', or load it so with '--wrong-zone report'")


@pytest.fixture
def connection(database_url):
    with closing(psycopg2.connect(database_url)) as opened:
        yield opened


def typed(path, zone, layout="asterisk_cdr_custom"):
    read_as = load_layout(layout).with_overrides(timezone=zone, system="pbx")
    calls, rejects = transform(extract(path, read_as), read_as)
    return calls, read_as, rejects


def test_load_notes_a_proved_zone(connection, database_url, tmp_path):
    """The public load says it in the books as a run does."""
    calls, layout, rejects = typed(write(tmp_path / "Master.csv", "Europe/Berlin"), "Europe/Berlin")
    books = load(calls, connection, layout, rejects)
    connection.commit()

    assert load_of(database_url, books.load_id) == ("Europe/Berlin", "proved", "loaded")


def test_load_refuses_a_wrong_zone_and_changes_nothing(connection, tmp_path):
    """The caller's transaction can go on."""
    calls, layout, rejects = typed(write(tmp_path / "Master.csv", "Europe/Berlin"), "UTC")
    with pytest.raises(RefusedError, match=r"agrees with 0 of 50 calls; .* showed UTC\+01:00 in 50"):
        load(calls, connection, layout, rejects)

    with connection.cursor() as cursor:
        cursor.execute("select to_regclass('asterisk_cdr_custom'), count(*) from trunkline.loads")
        assert cursor.fetchone() == (None, 0)


def test_load_reports_a_wrong_zone_where_the_layout_says_so(connection, tmp_path):
    """As a warning of Python's, at the line that called it."""
    path = tmp_path / "my_asterisk.toml"
    path.write_text(CUSTOM, encoding="utf-8")
    calls, layout, rejects = typed(write(tmp_path / "Master.csv", "Europe/Berlin"), "UTC", str(path))
    with pytest.warns(RuntimeWarning, match="Master.csv: started_at is read in UTC") as told:
        books = load(calls, connection, layout, rejects)

    assert (books.loaded, {one.filename for one in told}) == (50, {__file__})
    assert all(f"Master.csv: {kept}" in str(one.message) for kept, one in zip(books.warnings, told, strict=True))


def replayed_after_conflicts(database_url, tmp_path, zone, layout):
    """Load calls and five conflicts with them, remove the calls, and replay the conflicts in the zone of their load."""
    source = tmp_path / "Master.csv"
    source.write_text("".join(records("Europe/Berlin", range(9)) + records("Europe/Berlin", range(5), caller="7")))
    wanted = settings(database_url, zone, layout)
    with open_servers(wanted, {}, warn=lambda _: None) as servers:
        (books,) = run_sources([str(source)], wanted, servers, progress=Watch(visible=False))
        assert (books.loaded, books.conflicts) == (9, 5)
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("delete from asterisk_cdr_custom")
        connection.commit()
    now = wanted.model_copy(update={"layout": "asterisk_cdr_custom", "timezone": None, "system": None})
    with open_servers(now, {}) as servers:
        (replayed,) = replay_rejects(Which(), now, servers)
    return replayed


def test_a_replay_proves_its_zone_which_is_that_of_the_first_load(database_url, tmp_path):
    """Nobody has to give it again."""
    replayed = replayed_after_conflicts(database_url, tmp_path, "Europe/Berlin", "asterisk_cdr_custom")

    assert (replayed.books.status, replayed.books.loaded) == ("loaded", 5), replayed.books.reason
    assert load_of(database_url, replayed.books.load_id) == ("Europe/Berlin", "proved", "loaded")


def test_a_replay_in_a_wrong_zone_is_refused(database_url, tmp_path):
    """What one layout let pass is not loaded by another that does not."""
    layout = tmp_path / "my_asterisk.toml"
    layout.write_text(CUSTOM, encoding="utf-8")
    replayed = replayed_after_conflicts(database_url, tmp_path, "UTC", str(layout))

    assert (replayed.books.status, replayed.settled) == ("refused", 0)
    assert "agrees with 0 of 5 calls" in str(replayed.books.reason)
