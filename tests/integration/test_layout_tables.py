"""Every built-in layout in a real table: its fixture is loaded once, with balanced books, and the queries of its page
give what they say."""

from __future__ import annotations

import json
import re
from pathlib import Path

import psycopg2
import pytest

from trunkline.runner import run
from trunkline.settings.model import Settings

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests/fixtures/layouts"
FILES = [file for file in sorted(FOLDER.glob("*.csv")) if file.with_suffix(".json").is_file()]


def fetch(url, statement):
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()
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


def test_invite_and_bye_are_paired(database_url):
    """The query of the page makes a call of the events of its dialog, whoever hung up."""
    load(database_url, [FOLDER / "kamailio_flatstore.csv"])
    page = (ROOT / "docs/layouts/kamailio_flatstore.md").read_text("utf-8")
    (query,) = re.findall(r"```\w+\n(select .*?)```", page, re.DOTALL)

    calls = fetch(database_url, query)
    assert [(call_id, duration_s) for _, call_id, _, _, duration_s in calls] == [("call-1@10.0.0.1", 65)]
