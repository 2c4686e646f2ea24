"""What a run makes of second clocks: the books say that a zone is proved, and a wrong one loads nothing."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import psycopg2
import pytest

from trunkline import Settings, run
from trunkline.progress import Watch
from trunkline.runner import check_sources
from trunkline.servers import open_servers

CUSTOM = 'grammar = 1\nname = "my_asterisk"\nextends = "asterisk_cdr_custom"\nwrong_zone = "report"\n'


def write(path, zone, *, calls=50):
    """Write calls of an Asterisk whose clock is in *zone*."""
    lines = []
    for number in range(calls):
        true = datetime(2024, 3, 1, 6, tzinfo=UTC) + timedelta(minutes=number)
        local = true.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M:%S")
        lines.append(
            f'"","1001","2002","internal","PJSIP/1-{number}","","Dial","","{local}","","{local}","0","0","NO ANSWER",'
            f'"DOCUMENTATION","","{int(true.timestamp())}.{number}","",{number}'
        )
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
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
