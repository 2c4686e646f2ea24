"""`trunkline run` around a pipeline that only pretends: exit codes, books, error lines and JSON."""

import contextlib
import json
import os
from dataclasses import replace
from decimal import Decimal
from types import SimpleNamespace

import pytest

from trunkline.books.account import Books, Totals
from trunkline.cli import app as cli
from trunkline.errors import DatabaseAwayError

LOADED = Books(
    source="a.csv",
    layout="customer_call_logs",
    status="loaded",
    load_id=1,
    read=10,
    loaded=9,
    rejected=1,
    rejected_by={"bad_money": 1},
    totals=Totals(duration_s=Decimal(60), cost={"USD": Decimal("1.20")}),
)
UNCHANGED = replace(LOADED, source="b.csv", status="unchanged")
REFUSED = Books(source="c.csv", layout=None, status="refused", load_id=2, read=5, rejected=5, reason="5 rejects; look")
FAILED = Books(source="d.csv", layout=None, status="failed", reason="d.csv: not found, expected a file")


@pytest.fixture
def pretend(monkeypatch, tmp_path):
    """Let a run yield these books, and then perhaps raise; returns what it was called with."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith(("TRUNKLINE_", "XDG_"))]:
        monkeypatch.delenv(name)
    called = SimpleNamespace(sources=None, settings=None)

    @contextlib.contextmanager
    def open_servers(settings, environ, **options):
        yield SimpleNamespace(described="a database")

    def install(*books, then=None):
        def run_sources(sources, settings, servers, *, progress):
            called.sources, called.settings = list(sources), settings
            for entry in books:
                progress.start(entry.source, 100)
                progress.finish(entry)
            if then:
                raise then
            return list(books)

        monkeypatch.setattr("trunkline.runner.run_sources", run_sources)
        return called

    monkeypatch.setattr("trunkline.servers.open_servers", open_servers)
    return install


def run(capsys, *arguments):
    """Return exit code, stdout and stderr of `trunkline run`."""
    code = cli.execute(["run", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize(
    ("books", "code"),
    [
        ([LOADED], 0),
        ([LOADED, UNCHANGED], 0),
        ([], 0),
        ([LOADED, REFUSED], 3),
        ([FAILED, LOADED], 1),
        ([REFUSED, FAILED], 1),
    ],
)
def test_the_worst_end_decides_the_exit_code(capsys, pretend, books, code):
    """Loaded and unchanged are success, refused is 3, and failed outranks it."""
    pretend(*books)

    assert run(capsys, "x.csv")[0] == code


def test_a_source_that_was_not_loaded_has_its_line(capsys, pretend):
    """In the one form, with the source said once."""
    pretend(LOADED, REFUSED, FAILED)
    lines = [line for line in run(capsys, "x.csv")[2].splitlines() if line.startswith("trunkline: ")]

    assert lines == ["trunkline: c.csv: 5 rejects; look", "trunkline: d.csv: not found, expected a file"]


def test_the_first_line_names_the_database(capsys, pretend):
    """So that nobody loads into the wrong one without seeing it."""
    pretend(LOADED)

    assert run(capsys, "x.csv")[2].splitlines()[0] == "database: a database"


def test_several_sources_have_a_sum(capsys, pretend):
    """The last row of the table adds up what this run did, not what was there already."""
    pretend(LOADED, replace(LOADED, source="e.csv"), UNCHANGED)
    rows = [line.split() for line in run(capsys, "x.csv")[2].splitlines() if line.startswith("this run")]

    assert rows == [["this", "run", "20", "18", "0", "2", "0", "120", "2.40", "USD"]]


def test_json_has_the_contract_keys(capsys, pretend):
    """Version, database and sources, each with its books."""
    pretend(LOADED)
    document = json.loads(run(capsys, "x.csv", "--json")[1])

    assert document == {"version": 1, "database": "a database", "sources": [LOADED.to_dict()]}


def test_json_names_a_database_that_cannot_be_reached(capsys, pretend, monkeypatch):
    """Where nothing could begin, a program still reads where it would have; without the password."""
    pretend()
    monkeypatch.setattr("trunkline.servers.open_servers", _away)
    code, out, _ = run(capsys, "x.csv", "--json", "--database-url", "postgresql://me:s3cret@h/calls")

    assert code == 1
    assert json.loads(out) == {
        "version": 1,
        "database": "postgresql://me:***@h/calls",
        "sources": [],
        "error": "the server is gone",
    }


def _away(*_, **__):
    raise DatabaseAwayError("the server is gone")


def test_a_run_without_sources_says_so(capsys, pretend):
    """With --allow-empty a glob may match nothing; silence would read like a load."""
    pretend()
    code, _, err = run(capsys, "*.csv", "--allow-empty")

    assert (code, err.splitlines()[-1]) == (0, "nothing to load: no file matches")


def test_json_keeps_what_was_finished_before_an_error(capsys, pretend):
    """What ended the run does not hide what it did."""
    pretend(LOADED, then=DatabaseAwayError("the server is gone", hint="try again later"))
    code, out, err = run(capsys, "x.csv", "--json")
    document = json.loads(out)

    assert code == 1
    assert [source["source"] for source in document["sources"]] == ["a.csv"]
    assert document["error"] == "the server is gone; try again later"
    assert err.splitlines()[-1] == "trunkline: the server is gone; try again later"


def test_a_feed_names_its_sources(capsys, pretend, tmp_path):
    """Its paths are loaded under its settings, and a flag still counts more."""
    feed = '[feeds.pbx]\npaths = ["in/*.csv"]\nsystem = "pbx1"\ntimezone = "UTC"\n'
    (tmp_path / "trunkline.toml").write_text(feed)
    called = pretend(LOADED)
    run(capsys, "--feed", "pbx", "--timezone", "Africa/Nairobi")

    assert called.sources == [str(tmp_path / "in/*.csv")]
    assert (called.settings.system, called.settings.timezone) == ("pbx1", "Africa/Nairobi")


def test_flags_reach_the_settings(capsys, pretend):
    """Every option of the command counts."""
    called = pretend(LOADED)
    run(
        capsys, "x.csv", "--reload", "--allow-empty", "--max-rejects", "1%", "--currency", "KES", "--encoding", "cp1252"
    )
    settings = called.settings

    assert called.sources == ["x.csv"]
    assert (settings.reload, settings.allow_empty, str(settings.max_rejects)) == (True, True, "1%")
    assert (settings.currency, settings.encoding) == ("KES", "cp1252")
