"""A record is followed through every load that met it, by its place, its load, its reject or its key."""

from __future__ import annotations

import json
import re
from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest

from tests.call_logs import HEADER, execute, granted_roles, record, run_on, write_log
from trunkline import Settings, verify
from trunkline.books.reading import Which
from trunkline.books.settling import discard_rejects
from trunkline.cli.app import execute as command
from trunkline.database.connection import connect
from trunkline.errors import SourceError, UsageError
from trunkline.replaying import replay_rejects
from trunkline.servers import open_servers
from trunkline.tracing.explaining import explain_key, explain_line, explain_place, explain_reject

BAD = "1001,$1.2.0,Nairobi,2022-01-01 10:00:00,00:05:30"
DAY = "customer_call_logs_20220101"
STRICT = Path("src/trunkline/layouts/customer_call_logs.toml").read_text(encoding="utf-8")
STRICT = STRICT.replace('name = "destination"', 'name = "destination"\nallowed = ["Nairobi"]', 1)


class Explain:
    """Explains a record, and keeps its story."""

    def __init__(self, url):
        self._url = url
        self.story = None

    def __call__(self, how, *arguments, **settings):
        """Return load, became and detail of each chapter."""
        chosen = Settings(database_url=self._url, redis_url="none", **{"layout": "customer_call_logs"} | settings)
        with closing(connect(self._url)) as connection:
            told = how(connection, *arguments, chosen)
        (self.story,) = told if isinstance(told, list) else [told]
        return [(chapter.load_id, chapter.became, chapter.detail) for chapter in self.story.chapters]


@pytest.fixture
def explain(database_url):
    return Explain(database_url)


def own_layout(path, **lines):
    said = {"grammar": 1, "name": "own", "extends": "customer_call_logs", "key": ["started_at"]} | lines
    path.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in said.items()), encoding="utf-8")
    return str(path)


def test_a_loaded_call_has_one_life_however_it_is_named(explain, database_url, tmp_path):
    """By place, by load and line, and by key: the same story, with block, byte offset, partition and key."""
    path = write_log(tmp_path / "a.csv", [record(1), record(2)])
    run_on(database_url, path)
    ((key,),) = execute(database_url, "select record_key::text from customer_call_logs where source_line = 3")
    told = explain(explain_place, path, 3)
    story = explain.story
    offset = len(HEADER) + 1 + len(record(1)) + 1

    assert told == [(1, "loaded", f"into {DAY}")]
    assert (story.read_as, story.block, story.byte_offset, story.record_key) == ("call", 0, offset, key)
    assert explain(explain_line, 1, 3) == told
    assert explain.story == story
    assert explain(explain_key, UUID(key)) == told
    assert explain.story == story


def test_duplicates_lead_to_the_call_that_was_kept(explain, database_url, tmp_path):
    """Inside the file to its line, against an earlier load to load, line and source; also where it is both."""
    first = write_log(tmp_path / "a.csv", [record(1), record(2)])
    second = write_log(tmp_path / "b.csv", [record(3), record(2), record(3), record(2)])
    run_on(database_url, first, second)

    assert explain(explain_place, second, 4) == [(2, "duplicate", "of line 2 of the same source")]
    for line in (3, 5):
        assert explain(explain_place, second, line) == [(2, "duplicate", f"of load 1, line 3 ({first})")]
    (chapter,) = explain.story.chapters
    assert (chapter.kept_load_id, chapter.kept_source_line) == (1, 3)
    assert explain(explain_line, 2, 5) == [(2, "duplicate", f"of load 1, line 3 ({first})")]


def test_a_conflict_and_the_call_that_was_kept_point_at_each_other(explain, database_url, tmp_path):
    """From the reject to load and line, and from there to the rejects that it was kept against."""
    layout = own_layout(tmp_path / "own.toml")
    first = write_log(tmp_path / "a.csv", [record(1)])
    second = write_log(tmp_path / "b.csv", [record(1, cost="7"), record(2), record(2, cost="8")])
    run_on(database_url, first, second, layout=layout)

    ((load, became, detail),) = explain(explain_reject, 1, layout=layout)
    assert (load, became) == (2, "rejected")
    assert detail.startswith("reject 1, conflict: the call of load 1, line 2 has the same key and other values")
    assert detail.endswith("; open")
    (chapter,) = explain.story.chapters
    assert (chapter.kept_load_id, chapter.kept_source_line) == (1, 2)

    explain(explain_place, first, 2, layout=layout)
    assert explain.story.lost_against == ((1, 2, 2),)
    explain(explain_place, second, 3, layout=layout)
    assert explain.story.lost_against == ((2, 2, 4),)


def test_a_reject_is_followed_through_its_states(explain, database_url, tmp_path):
    """Open, discarded with its note, replayed into a load with the place of the call; its place is that of the book."""
    path = write_log(tmp_path / "a.csv", [record(1), record(2).replace("Nairobi", "Nakuru"), BAD])
    (tmp_path / "strict.toml").write_text(STRICT, encoding="utf-8")
    layout = str(tmp_path / "strict.toml")
    run_on(database_url, path, layout=layout)
    ((_, became, detail),) = explain(explain_place, path, 3, layout=layout)
    assert became == "rejected"
    assert detail.startswith("reject 1, destination: not_allowed: ")
    assert detail.endswith("; open")
    assert explain.story.read_as == "rejected"

    chosen = Settings(database_url=database_url, redis_url="none", layout="customer_call_logs")
    with open_servers(chosen, {}) as servers:
        replay_rejects(Which(ids=(1,)), chosen, servers)
    with closing(connect(database_url)) as connection:
        discard_rejects(connection, Which(ids=(2,)), "a test call")

    rejected, replayed = explain(explain_reject, 1)
    assert re.search(r"; replayed by load 2 at 2\d{3}-[-0-9]+ [:0-9]+\+00:00 by postgres$", rejected[2])
    assert replayed == (2, "loaded", f"into {DAY}, from line 3")
    assert explain(explain_line, 2, 3) == [rejected, replayed]
    ((_, _, discarded),) = explain(explain_reject, 2)
    assert re.search(r"; discarded at 2\d{3}-[-0-9]+ [:0-9]+\+00:00 by postgres \(a test call\)$", discarded)


def test_the_same_bytes_of_another_source_are_followed_too(explain, database_url, tmp_path):
    """One replay settles both; the call is found by its key, or the reject says whose bytes they are."""
    (tmp_path / "strict.toml").write_text(STRICT, encoding="utf-8")
    bad = record(2).replace("Nairobi", "Nakuru")
    paths = [write_log(tmp_path / f"{n}.csv", [record(n), *[record(9)] * n, bad]) for n in (1, 3)]
    run_on(database_url, *paths, layout=str(tmp_path / "strict.toml"))
    chosen = Settings(database_url=database_url, redis_url="none", layout="customer_call_logs")
    with open_servers(chosen, {}) as servers:
        replay_rejects(Which(load=1), chosen, servers)
    rejected, replayed = explain(explain_place, paths[1], 6)

    assert "; replayed by load 3 at " in rejected[2]
    assert rejected[2].endswith("; the same bytes as reject 1")
    assert replayed == (3, "loaded", f"into {DAY}, from line 4")
    Path(paths[1]).unlink()
    _, unread = explain(explain_reject, 2)
    assert unread[:2] == (3, "unknown")


@pytest.mark.parametrize(
    ("line", "became", "read_as"),
    [
        (1, "no record", "before the records"),
        (3, "no record", "blank line"),
        (4, "filtered", "filtered"),
        (6, "no record", "no line"),
    ],
)
def test_a_line_that_is_no_call_is_said_to_be_none(explain, database_url, tmp_path, line, became, read_as):
    """The header, a blank line, a record that the layout filters, and a line behind the end."""
    layout = tmp_path / "less.toml"
    layout.write_text(
        'grammar = 1\nname = "less"\nextends = "customer_call_logs"\n[[skip]]\ncolumn = "customer_id"\nin = ["1002"]\n'
    )
    path = write_log(tmp_path / "a.csv", [record(1), "", record(2), record(3)])
    run_on(database_url, path, layout=str(layout))
    ((_, found, _),) = explain(explain_place, path, line, layout=str(layout))

    assert (found, explain.story.read_as) == (became, read_as)


def test_refusals_and_reloads_are_chapters(explain, database_url, tmp_path):
    """In the order of loads: refused, loaded, and loaded anew; the calls of the one before were taken back."""
    path = write_log(tmp_path / "a.csv", [record(1), BAD])
    run_on(database_url, path, max_rejects="0")
    run_on(database_url, path)
    run_on(database_url, path, timezone="UTC", reload=True)
    told = explain(explain_place, path, 2, timezone="UTC")

    assert [each[:2] for each in told] == [(1, "nothing"), (2, "reloaded"), (3, "loaded")]
    assert told[0][2].startswith("refused: 1 of 2 records were rejected, allowed are 0")
    assert told[1][2] == "load 3 brought this content anew"
    assert [each[:2] for each in explain(explain_line, 2, 2, timezone="UTC")] == [each[:2] for each in told]


def test_a_replaced_call_leads_to_the_one_in_its_place(explain, database_url, tmp_path):
    """Where the layout lets later sources correct earlier ones."""
    layout = own_layout(tmp_path / "own.toml", on_conflict="replace")
    first = write_log(tmp_path / "a.csv", [record(1), record(2)])
    second = write_log(tmp_path / "b.csv", [record(1, cost="9")])
    run_on(database_url, first, second, layout=layout)

    assert explain(explain_place, first, 2, layout=layout) == [(1, "replaced", f"by load 2, line 2 ({second})")]


def test_what_was_changed_by_hand_is_said(explain, database_url, tmp_path):
    """Other values, and a call that is gone."""
    path = write_log(tmp_path / "a.csv", [record(1), record(2)])
    run_on(database_url, path)
    execute(database_url, "update customer_call_logs set cost = 7 where source_line = 2")
    execute(database_url, "delete from customer_call_logs where source_line = 3")

    assert explain(explain_place, path, 2) == [(1, "changed", f"into {DAY}; its values were changed since")]
    assert explain(explain_place, path, 3) == [
        (1, "missing", "no call has its key: it was deleted; run the source again")
    ]


def test_without_the_source_the_books_tell_what_they_can(explain, database_url, tmp_path):
    """A call and a reject are found; a duplicate is not, and it says why and what to do."""
    path = write_log(tmp_path / "a.csv", [record(1), record(1), BAD])
    run_on(database_url, path)
    Path(path).unlink()

    assert explain(explain_place, path, 2) == [(1, "loaded", f"into {DAY}")]
    assert explain.story.notes[0].startswith("told from the books alone: ")
    ((_, became, _),) = explain(explain_place, path, 4)
    assert became == "rejected"
    assert explain(explain_line, 1, 3)[0][1] == "unknown"
    assert explain.story.notes == (
        f"{path} is not a file that is here; 'trunkline explain SOURCE:3' reads it where it is now",
        "what is neither a call nor a reject is a duplicate, filtered, or no record: only the source can tell",
    )
    write_log(tmp_path / "b.csv", [record(1), record(1), BAD])
    assert explain(explain_place, str(tmp_path / "b.csv"), 3) == [(1, "duplicate", "of line 2 of the same source")]
    write_log(tmp_path / "a.csv", [record(7)])
    explain(explain_line, 1, 3)
    assert explain.story.notes[0].startswith(f"{path} has other bytes than load 1 brought; ")


def test_what_nobody_knows_is_an_error(explain, database_url, tmp_path):
    """A load, a reject, a key or a name that is in no book; a content that was never loaded is said to be new."""
    with pytest.raises(UsageError, match="the books have no load 7"):
        explain(explain_line, 7, 2)
    with pytest.raises(UsageError, match="the books have no reject 7"):
        explain(explain_reject, 7)
    with pytest.raises(UsageError, match="no call table has a call of the key"):
        explain(explain_key, UUID(int=7))
    with pytest.raises(SourceError):
        explain(explain_place, str(tmp_path / "none.csv"), 2)
    path = write_log(tmp_path / "a.csv", [record(1)])

    assert explain(explain_place, path, 2) == []
    assert explain.story.notes == ("no load has met this content; run it, or give the options of its run",)


def test_the_command_tells_the_story_without_values(database_url, tmp_path, capsys):
    """As facts and a table, and as JSON; no value of the record is shown."""
    path = write_log(tmp_path / "a.csv", [record(1).replace("Nairobi", "canary")])
    run_on(database_url, path)
    arguments = ["--layout", "customer_call_logs", "--database-url", database_url]

    assert command(["explain", f"{path}:2", *arguments]) == 0
    told = capsys.readouterr().out
    assert told.splitlines()[0].split() == ["record", f"{path}:2"]
    assert told.splitlines()[-1].split()[-3:] == ["loaded", "into", DAY]
    assert command(["explain", "--load", "1", "--line", "2", "--json", *arguments]) == 0
    text = capsys.readouterr().out
    (story,) = json.loads(text)["records"]
    assert (story["source_line"], story["chapters"][0]["became"]) == (2, "loaded")
    assert "canary" not in told + text


@pytest.mark.parametrize(
    "arguments",
    [[], ["a.csv:2", "--reject", "1"], ["--load", "1"], ["a.csv"], ["a.csv:0"], ["a.csv:x"], ["--key", "x"]],
    ids=" ".join,
)
def test_one_record_is_named_in_one_way(arguments, capsys):
    """Anything else is wrong usage."""
    assert command(["explain", *arguments]) == 2


def test_a_reader_may_explain(explain, database_url, tmp_path):
    """A role that only reads books and calls learns of calls, duplicates and rejects."""
    path = write_log(tmp_path / "a.csv", [record(1), record(1), BAD])
    run_on(database_url, path)
    with granted_roles(database_url) as (_, reader_url):
        reader = Explain(reader_url)
        told = [reader(explain_place, path, line)[0][1] for line in (2, 3, 4)]

    assert told == ["loaded", "duplicate", "rejected"]


def test_a_trailer_is_filtered_and_its_source_proved(explain, database_url, tmp_path):
    """A line that states how many calls the source holds is in its own place, though it is no record of the layout."""
    layout = tmp_path / "ended.toml"
    layout.write_text(
        'grammar = 1\nname = "ended"\nextends = "customer_call_logs"\n[trailer]\nfirst = ["TRAILER"]\ncount = 2\n'
    )
    path = write_log(tmp_path / "a.csv", [record(1), record(2), "TRAILER,2"])
    run_on(database_url, path, layout=str(layout))
    settings = Settings(database_url=database_url, redis_url="none", layout=str(layout))
    (proof,) = verify([path], settings)

    assert explain(explain_place, path, 4, layout=str(layout)) == [
        (1, "filtered", "the layout says that it is no call")
    ]
    assert (proof.status, proof.loaded, proof.filtered) == ("proved", 2, 1)
