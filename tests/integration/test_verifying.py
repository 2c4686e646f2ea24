"""A source is proved against the tables, and each way in which a table can have been tampered with is found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import trunkline
from tests.call_logs import execute, granted_roles, record, run_on, write_log
from trunkline import Settings
from trunkline.books.reading import Which
from trunkline.cli.app import execute as command
from trunkline.progress import Watch
from trunkline.replaying import replay_rejects
from trunkline.sample.writer import write_sample
from trunkline.servers import open_servers
from trunkline.tracing.verifying import verify_sources

LAYOUT = Path("src/trunkline/layouts/customer_call_logs.toml").read_text(encoding="utf-8")
BAD = "1001,$1.2.0,Nairobi,2022-01-01 10:00:00,00:05:30"


def verify(url, *sources, **settings):
    chosen = Settings(database_url=url, redis_url="none", **{"layout": "customer_call_logs"} | settings)
    with open_servers(chosen, {}) as servers:
        return list(verify_sources(sources, chosen, servers, progress=Watch(visible=False)))


def own_layout(path, **lines):
    said = {"grammar": 1, "name": "own", "extends": "customer_call_logs"} | lines
    path.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in said.items()), encoding="utf-8")
    return str(path)


@pytest.fixture
def source(tmp_path):
    """Five calls, a duplicate in the source, a conflict in the source, a bad record, over two days."""
    conflict = record(1).replace("$1.20", "$7.00")
    calls = [record(1), record(2), BAD, record(3), record(2), record(4, day=2), conflict, record(5, day=2)]
    layout = own_layout(tmp_path / "own.toml", key=["customer_id", "started_at"])
    return write_log(tmp_path / "calls.csv", calls), {"layout": layout}


def test_what_was_loaded_is_proved(database_url, source):
    """Every record is counted in its place: loaded, a duplicate in the source, or a reject, conflicts among them."""
    path, options = source
    (books,) = run_on(database_url, path, **options)
    (proof,) = verify(database_url, path, **options)

    assert (proof.status, proof.disagreements, proof.load_id) == ("proved", {}, books.load_id), proof.reason
    counts = (proof.read, proof.loaded, proof.duplicates, proof.duplicates_in_source, proof.rejected, proof.filtered)
    assert counts == (8, 5, 1, 1, 2, 0)


@pytest.mark.parametrize("policy", ["reject", "skip", "replace"])
@pytest.mark.parametrize("seed", range(2))
def test_sources_that_overlap_are_proved(database_url, tmp_path, policy, seed):
    """Dirty files that share records, whatever the layout does with conflicts, are proved after all are loaded."""
    layout = own_layout(tmp_path / "own.toml", on_conflict=policy, key=["customer_id", "started_at"])
    sample = tmp_path / "sample.csv"
    write_sample(sample, records=2_000, seed=seed, dirty=0.05, duplicates=0.1, days=4)
    header, *lines = sample.read_bytes().splitlines(keepends=True)
    paths = []
    for number, part in enumerate((lines[:1200], lines[::-1][:1200], lines[600:1500])):
        path = tmp_path / f"{number}.csv"
        path.write_bytes(header + b"".join(part).replace(b"Nairobi", b"Nakuru" if number else b"Nairobi"))
        paths.append(str(path))
        run_on(database_url, str(path), layout=layout)

    for proof in verify(database_url, *paths, layout=layout):
        assert (proof.status, proof.disagreements) == ("proved", {}), proof.examples


@pytest.mark.parametrize(
    ("statement", "kinds", "line"),
    [
        ("delete from customer_call_logs where source_line = 5", {"missing": 1, "count": 1, "sum": 1}, 5),
        ("delete from customer_call_logs where source_line = 3", {"missing": 2, "count": 3, "sum": 2}, 6),
        ("update customer_call_logs set destination = 'x' where source_line = 5", {"values_differ": 1}, 5),
        (
            "update customer_call_logs set cost = 9 where source_line = 5",
            {"values_differ": 1, "sum": 1},
            5,
        ),
        (
            "update customer_call_logs set record_key = gen_random_uuid() where source_line = 5",
            {"extra_row": 1, "missing": 1, "count": 1},
            5,
        ),
        (
            "update customer_call_logs set load_id = 77, cost = 2 where source_line = 5",
            {"other_values": 1, "count": 1, "sum": 1},
            5,
        ),
        (
            "insert into customer_call_logs select customer_id, cost, currency, destination, started_at, duration_s, "
            "system, load_id, 4, gen_random_uuid() from customer_call_logs where source_line = 5",
            {"extra_row": 1, "sum": 1},
            4,
        ),
        ("delete from trunkline.rejects where source_line = 4", {"reject_missing": 1, "count": 2}, 4),
        ("update trunkline.rejects set raw = 'x' where source_line = 4", {"reject_bytes": 1}, 4),
        ("update trunkline.rejects set byte_offset = 1 where source_line = 4", {"reject_bytes": 1}, 4),
        ("update trunkline.rejects set code = 'nul_byte' where source_line = 4", {"reject_code": 1, "count": 1}, 4),
        (
            "delete from trunkline.rejects where source_line = 8",
            {"other_values": 1, "count": 2, "sum": 1},
            8,
        ),
        (
            "update trunkline.rejects set source_line = 9 where source_line = 4",
            {"reject_bytes": 1, "reject_extra": 1, "reject_missing": 1, "two_places": 1},
            9,
        ),
        ("update trunkline.totals set typed = typed + 1, loaded = loaded + 1", {"sum": 2}, None),
        ("update trunkline.loads set read = 9, filtered = 1", {"count": 2}, None),
    ],
)
def test_every_kind_of_tampering_is_found(database_url, source, statement, kinds, line):
    """A change by hand of calls, rejects or books is counted by its kind, with the line of the record."""
    path, options = source
    run_on(database_url, path, **options)
    execute(database_url, statement)
    (proof,) = verify(database_url, path, **options)

    assert (proof.status, proof.disagreements) == ("disagrees", kinds)
    assert line is None or line in [one.source_line for one in proof.examples]


def test_columns_that_differ_are_named_without_their_values(database_url, source):
    """The message says which columns of which line, and no value of either side."""
    path, options = source
    run_on(database_url, path, **options)
    execute(database_url, "update customer_call_logs set destination = 'canary', cost = 9.5 where source_line = 5")
    (proof,) = verify(database_url, path, **options)

    (example,) = (one for one in proof.examples if one.kind == "values_differ")
    assert example.detail == "the call that the load brought from this line has other values now: cost, destination"


def test_a_verification_writes_nothing(database_url, source):
    """Neither calls nor books change, and no table is left."""
    state = (
        "select (select array_agg(c order by source_line) from customer_call_logs c)::text,"
        " (select array_agg(l) from trunkline.loads l)::text,"
        " (select array_agg(relname order by relname) from pg_class)::text"
    )
    path, options = source
    run_on(database_url, path, **options)
    before = execute(database_url, state)
    verify(database_url, path, **options)

    assert execute(database_url, state) == before


def test_a_source_under_another_name_is_proved_by_its_content(database_url, tmp_path):
    """The load is found by what it brought."""
    run_on(database_url, write_log(tmp_path / "a.csv", [record(1)]))
    (proof,) = verify(database_url, write_log(tmp_path / "b.csv", [record(1)]))

    assert (proof.status, proof.load_id) == ("proved", 1)


def test_a_replayed_reject_is_still_in_its_place(database_url, tmp_path):
    """The record stays a reject of its load; what its replay brought is not an extra call, under either layout."""
    path = write_log(tmp_path / "a.csv", [record(1), record(2).replace("Nairobi", "Nowhere"), record(3)])
    strict = LAYOUT.replace('name = "destination"', 'name = "destination"\nallowed = ["Nairobi"]', 1)
    (tmp_path / "own.toml").write_text(strict, encoding="utf-8")
    run_on(database_url, path, layout=str(tmp_path / "own.toml"))
    chosen = Settings(database_url=database_url, redis_url="none", layout="customer_call_logs")
    with open_servers(chosen, {}) as servers:
        (replayed,) = replay_rejects(Which(), chosen, servers)
    (before,) = verify(database_url, path, layout=str(tmp_path / "own.toml"))
    (today,) = verify(database_url, path)

    assert replayed.books.loaded == 1
    assert (before.status, before.loaded, before.rejected) == ("proved", 2, 1)
    assert (today.status, today.loaded, today.rejected) == ("proved", 2, 1)
    assert "another version of the layout" in today.notes[0]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"system": "pbx"}, "load 1 brought this content under other terms (system none, not pbx)"),
        (
            {"timezone": "UTC"},
            "load 1 brought this content under other terms (timezone Africa/Nairobi, not UTC)",
        ),
    ],
)
def test_other_terms_are_named(database_url, tmp_path, options, reason):
    """Who verifies with other options than those of the run learns which."""
    path = write_log(tmp_path / "a.csv", [record(1)])
    run_on(database_url, path)
    (proof,) = verify(database_url, path, **options)

    assert (proof.status, proof.reason) == ("not_loaded", reason)


def test_what_is_not_loaded_is_said(database_url, tmp_path):
    """Never seen; refused; and changed since it was loaded."""
    path = write_log(tmp_path / "a.csv", [BAD])
    (unknown,) = verify(database_url, path)
    run_on(database_url, path)
    (refused,) = verify(database_url, path)
    run_on(database_url, write_log(tmp_path / "a.csv", [record(1)]))
    (changed,) = verify(database_url, write_log(tmp_path / "a.csv", [record(2)]))

    assert [one.status for one in (unknown, refused, changed)] == ["not_loaded"] * 3
    assert unknown.reason == "the books have no load of this content"
    assert str(refused.reason).startswith("load 1 of this content is refused: none of 1 records could be loaded")
    assert changed.reason == "the books have no load of this content; load 2 of this name brought other bytes"


def test_a_reload_is_what_is_proved(database_url, tmp_path):
    """The load that was replaced is not asked any more."""
    path = write_log(tmp_path / "a.csv", [record(1), record(2)])
    run_on(database_url, path)
    run_on(database_url, path, timezone="UTC", reload=True)
    (proof,) = verify(database_url, path, timezone="UTC")

    assert (proof.status, proof.load_id) == ("proved", 2)


def test_a_loader_may_verify_and_a_reader_is_told_why_not(database_url, source):
    """Reading the bytes of rejects is for loaders."""
    path, options = source
    run_on(database_url, path, **options)
    with granted_roles(database_url) as (loader, reader):
        (proof,) = verify(loader, path, **options)
        (denied,) = verify(reader, path, **options)

    assert (proof.status, proof.loaded) == ("proved", 5)
    assert denied.status == "failed"
    assert "permission denied for table rejects" in str(denied.reason)


def test_the_command_has_exit_codes_and_json(database_url, source, tmp_path, capsys):
    """0 proved, 3 not, 1 not readable; the JSON has what the table has, and the examples."""
    path, options = source
    run_on(database_url, path, **options)
    arguments = ["--layout", options["layout"], "--database-url", database_url, "--redis-url", "none"]
    assert command(["verify", path, *arguments]) == 0
    capsys.readouterr()
    execute(database_url, "delete from customer_call_logs where source_line = 5")

    assert command(["verify", path, *arguments]) == 3
    told = capsys.readouterr()
    assert told.out.splitlines()[1].split() == [path, "disagrees", "1", "8", "4", "1", "2", "0", "3"]
    assert f"{path}: 5: missing: is neither in the call table nor among the rejects" in told.err
    assert command(["verify", path, "--json", *arguments]) == 3
    (one,) = json.loads(capsys.readouterr().out)["sources"]
    assert (one["status"], one["disagreements"]["missing"]) == ("disagrees", 1)
    assert ("missing", 5) in [(each["kind"], each.get("source_line")) for each in one["examples"]]
    assert command(["verify", str(tmp_path / "none.csv"), *arguments]) == 1


def test_the_library_checks_runs_and_verifies(database_url, tmp_path):
    """The three functions take the same sources and settings."""
    settings = Settings(database_url=database_url, redis_url="none", layout="customer_call_logs")
    paths = [Path(write_log(tmp_path / f"{n}.csv", [record(n), record(9)])) for n in range(2)]
    checked, ran, proved = (do(paths, settings) for do in (trunkline.check, trunkline.run, trunkline.verify))

    assert [(one.loaded, one.duplicates) for one in checked] == [(2, 0), (1, 1)]
    assert [(one.loaded, one.duplicates) for one in ran] == [(2, 0), (1, 1)]
    assert [(one.status, one.loaded, one.duplicates) for one in proved] == [("proved", 2, 0), ("proved", 1, 1)]
