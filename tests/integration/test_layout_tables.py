"""Every built-in layout in a real table: its fixture is loaded once, with balanced books, and the queries of its page
give what they say."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg2
import pytest

from trunkline.runner import run
from trunkline.settings.model import Settings

FOLDER = Path(__file__).parents[1] / "fixtures/layouts"
FILES = [file for file in sorted(FOLDER.glob("*.csv")) if file.with_suffix(".json").is_file()]


def fetch(url, statement):
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()
    finally:
        connection.close()


def execute(url, statement):
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()


def load(url, files):
    """Load fixtures, each recognised by itself and as a system of its own; return what the JSON says and the books."""
    loaded = {}
    for file in files:
        wanted = json.loads(file.with_suffix(".json").read_text("utf-8"))
        overrides = wanted["overrides"] | {"system": file.stem}
        (books,) = run([str(file)], Settings(database_url=url, redis_url="none", workers=1, **overrides))
        loaded[file.stem] = (wanted, books)
    return loaded


@pytest.mark.filterwarnings("ignore:.*columns that layout .* does not know:RuntimeWarning")
def test_all_fixtures_are_loaded(database_url):
    """What the JSON says is in the tables, and the view unites it."""
    loaded = load(database_url, FILES)

    for stem, (wanted, books) in loaded.items():
        assert (books.status, books.layout) == ("loaded", stem.partition(".")[0]), books.reason
        assert (books.loaded, books.duplicates) == (len(wanted["calls"]), 0), stem
        assert (books.rejected, books.filtered) == (len(wanted["rejects"]), wanted["filtered"]), stem
    total = sum(books.loaded for _, books in loaded.values())
    assert fetch(database_url, "select count(*) from trunkline.calls") == [(total,)]
    assert fetch(database_url, "select distinct caller_ip, callee_ip from cucm_cdr order by callee_ip") == [
        ("192.168.18.188", "40.30.20.10"),
        ("192.168.18.188", None),
    ]


def test_what_holds_no_calls_is_refused(database_url):
    """Quality records are refused with their reason, and make no table."""
    file = FOLDER / "cucm_cmr.csv"
    (books,) = run([str(file)], Settings(database_url=database_url, redis_url="none"))

    assert books.status == "refused"
    assert "is 'cucm_cmr': call quality records" in str(books.reason)
    assert fetch(database_url, "select to_regclass('cucm_cmr')") == [(None,)]


DIALOGS = """
INVITE|a|b|caller-ends|200|OK|1709272800
INVITE|a|b|caller-ends|200|OK|1709272801
BYE|a|b|caller-ends|200|OK|1709272865
BYE|a|b|caller-ends|200|OK|1709272866
INVITE|c|d|callee-ends|200|OK|1709272800
BYE|d|c|callee-ends|481|Call/Transaction Does Not Exist|1709272810
INVITE|e|f|changed|407|Proxy Authentication Required|1709272800
INVITE|e|g|changed|200|OK|1709272801
INVITE|g|e|changed|200|OK|1709272830
INVITE|g|e|changed|488|Not Acceptable Here|1709272840
BYE|e|g|changed|401|Unauthorized|1709272860
BYE|e|g|changed|200|OK|1709272861
INVITE|h|i|no-bye|200|OK|1709272800
INVITE|j|k|at-once|202|Accepted|1709272800
BYE|j|k|at-once|200|OK|1709272800
INVITE|l||busy|486|Busy Here|1709272800
INVITE|l||busy|486|Busy Here|1709272802
INVITE|m|n|given-up|487|Request Terminated|1709272800
CANCEL|m||given-up|200|OK|1709272799
INVITE|o|p|second-try|503|Service Unavailable|1709272800
INVITE|o|q|second-try|200|OK|1709272805
BYE|q|o|second-try|200|OK|1709272806
BYE|r|s|without-invite|200|OK|1709272800
""".strip()
CALLS = """
select call_id, extract(epoch from answered_at)::bigint, duration_s::integer, disposition, ended_by
from kamailio_flatstore_calls
order by call_id
"""


def load_text(url, folder, text, **settings):
    (folder / "acc.log").write_text(text + "\n")
    settings = {"layout": "kamailio_flatstore", "redis_url": "none", "workers": 1, **settings}
    (books,) = run([str(folder / "acc.log")], Settings(database_url=url, **settings))
    assert books.status == "loaded", books.reason


def test_invite_and_bye_are_paired(database_url, tmp_path):
    """A dialog is one call, whoever hung up, changed or repeated it; what nobody answered is a call of no seconds."""
    load_text(database_url, tmp_path, DIALOGS)

    assert fetch(database_url, CALLS) == [
        ("at-once", 1709272800, 0, "answered", "caller"),
        ("busy", None, 0, "busy", None),
        ("callee-ends", 1709272800, 10, "answered", "callee"),
        ("caller-ends", 1709272800, 65, "answered", "caller"),
        ("changed", 1709272801, 60, "answered", "caller"),
        ("given-up", None, 0, "cancelled", None),
        ("no-bye", 1709272800, None, "answered", None),
        ("second-try", 1709272805, 1, "answered", "callee"),
    ]


def test_what_ends_a_call_may_come_in_a_later_file(database_url, tmp_path):
    """A call gets its end once the BYE is loaded; the same call id of another system is another call."""
    load_text(database_url, tmp_path, "INVITE|a|b|one|200|OK|1709272800", system="north")
    assert fetch(database_url, CALLS) == [("one", 1709272800, None, "answered", None)]

    load_text(database_url, tmp_path, "BYE|a|b|one|200|OK|1709272830", system="south")
    load_text(database_url, tmp_path, "BYE|a|b|one|200|OK|1709359200", system="north")

    assert fetch(database_url, CALLS) == [("one", 1709272800, 86400, "answered", "caller")]


def test_a_view_that_is_missing_is_made_by_the_next_load(database_url, tmp_path):
    """Also where the table is from before there was a view, or the view from another version."""
    load_text(database_url, tmp_path, "INVITE|a|b|one|200|OK|1709272800")
    for change in (
        "drop view kamailio_flatstore_calls",
        "comment on view kamailio_flatstore_calls is 'Made by trunkline: 0.'",
    ):
        execute(database_url, change)
        load_text(database_url, tmp_path, f"INVITE|a|b|{change}|200|OK|1709272800")

        assert fetch(database_url, "select obj_description('kamailio_flatstore_calls'::regclass)") == [
            ("Made by trunkline: sip_dialogs 1.",)
        ]


def test_a_view_of_somebody_else_stays(database_url, tmp_path):
    """A relation that has the view's name is left alone, and the load goes on without a view."""
    execute(database_url, "create table kamailio_flatstore_calls (note text)")

    load_text(database_url, tmp_path, "INVITE|a|b|one|200|OK|1709272800")

    assert fetch(database_url, "select note from kamailio_flatstore_calls") == []


def test_a_view_that_cannot_be_made_costs_no_load(database_url, tmp_path):
    """A view that cannot be replaced, since it has other columns, stays as it is, and the load is published."""
    load_text(database_url, tmp_path, "INVITE|a|b|one|200|OK|1709272800")
    execute(database_url, "drop view kamailio_flatstore_calls")
    execute(database_url, "create view kamailio_flatstore_calls as select 1 as other")
    execute(database_url, "comment on view kamailio_flatstore_calls is 'Made by trunkline: 0.'")

    load_text(database_url, tmp_path, "INVITE|a|b|two|200|OK|1709272800")

    assert fetch(database_url, "select * from kamailio_flatstore_calls") == [(1,)]
    assert fetch(database_url, "select count(*) from kamailio_flatstore") == [(2,)]
