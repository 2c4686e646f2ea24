"""The installed command against real servers: what it loads, prints and ends with."""

import signal
from decimal import Decimal

import pytest

from tests.acceptance.conftest import REFERENCE

SENTENCE = "what was not finished is not loaded, run the same command again to go on"


def count(trunkline, table="customer_call_logs"):
    """Return the rows of a call table, asked through `db psql`."""
    return trunkline("db", "psql", "--", "-Atc", f"select count(*) from {table}").out.strip()


def test_a_fresh_machine_loads_the_reference_file(fresh_machine):
    """One command, no server anywhere: nine calls, 13.70 USD, 3,720 seconds; again nothing changes."""
    first = fresh_machine("run", REFERENCE, "--json")
    again = fresh_machine("run", REFERENCE, "--json")
    (source,), (same,) = first.json["sources"], again.json["sources"]

    assert (first.code, again.code) == (0, 0)
    assert first.err.splitlines()[0] == f"database: embedded PostgreSQL in {fresh_machine.environ['TRUNKLINE_HOME']}"
    assert first.json["database"] == first.err.splitlines()[0].removeprefix("database: ")
    assert (source["status"], source["read"], source["loaded"]) == ("loaded", 9, 9)
    assert source["totals"] == {"duration_s": 3720, "cost": {"USD": "13.70"}}
    assert (same["status"], same["load_id"], same["totals"]) == ("unchanged", source["load_id"], source["totals"])
    assert count(fresh_machine) == "9"
    assert [load["load_id"] for load in fresh_machine("loads", "--json").json["loads"]] == [source["load_id"]]


def test_the_same_content_under_another_name_is_unchanged(trunkline, tmp_path):
    """Content is known by its hash, not by its name."""
    (tmp_path / "copy.csv").write_bytes(REFERENCE.read_bytes())
    first = trunkline("run", REFERENCE, "--json").json["sources"][0]
    second = trunkline("run", "copy.csv", "--json").json["sources"][0]

    assert (second["status"], second["load_id"], second["source"]) == ("unchanged", first["load_id"], "copy.csv")


def test_people_read_a_table_on_stderr(trunkline):
    """Without --json stdout is empty, and stderr has database, table and no progress bar."""
    ended = trunkline("run", REFERENCE)
    lines = [line for line in ended.err.splitlines() if line.strip()]

    assert (ended.code, ended.out) == (0, "")
    assert lines[0].startswith("database: postgresql://")
    cells = lines[2].removeprefix(str(REFERENCE)).split()
    assert cells == ["loaded", "1", "9", "9", "0", "0", "0", "3,720", "13.70", "USD"]
    assert "\x1b" not in ended.err


def test_a_sample_ends_where_its_manifest_says(trunkline, tmp_path):
    """Every damaged record is rejected with its code, every repeat is a duplicate, and the sums agree."""
    wrote = trunkline(
        "sample", "--records", 5000, "--out", "calls.csv", "--dirty", 0.05, "--duplicates", 0.1, "--json"
    ).json
    ended = trunkline("run", "calls.csv", "--json")
    source = ended.json["sources"][0]

    assert ended.code == 0
    assert source["read"] == wrote["records"]
    assert source["rejected_by"] == wrote["rejected_by"]
    assert source["duplicates"] == source["duplicates_in_source"] == wrote["duplicates"]
    assert source["totals"] == wrote["totals"]


def test_rejects_are_listed_and_shown(trunkline, tmp_path):
    """A bad record is found again with place, code and its bytes; its neighbour is loaded."""
    bad = b"1001,$1.2.0,Nairobi,2022-01-01 10:00:00,00:05:30"
    good = b"1002,$2.50,Mombasa,2022-01-01 10:05:00,00:08:15"
    header = b"customer_id,call_cost,call_destination,call_date,call_duration\n"
    (tmp_path / "calls.csv").write_bytes(header + bad + b"\n" + good + b"\n")
    loaded = trunkline("run", "calls.csv", "--json").json["sources"][0]
    listed = trunkline("rejects", "list", "--load", loaded["load_id"], "--json").json
    shown = trunkline("rejects", "show", listed["rejects"][0]["id"], "--json").json["reject"]

    assert (loaded["loaded"], loaded["rejected_by"]) == (1, {"bad_money": 1})
    assert listed["count"] == 1
    assert (shown["source_line"], shown["byte_offset"], shown["field"]) == (2, len(header), "cost")
    assert (shown["code"], shown["state"], shown["raw"]) == ("bad_money", "open", bad.decode())


def test_rejects_are_exported_corrected_and_discarded(trunkline, tmp_path):
    """The way of the how-to: export, edit, run, discard; and a replay of what is left is refused."""
    bad = "1001,$1.2.0,Nairobi,2022-01-01 10:00:00,00:05:30\n"
    odd = "1002,$1.20\n"
    header, *good = REFERENCE.read_text().splitlines(keepends=True)
    (tmp_path / "calls.csv").write_text(header + bad + odd + "".join(good[1:]))
    trunkline("run", "calls.csv")
    exported = trunkline("rejects", "export", "--code", "bad_money", "--out", "fix.csv")
    again = trunkline("rejects", "export", "--out", "fix.csv")
    text = (tmp_path / "fix.csv").read_text()
    (tmp_path / "fixed.csv").write_text(text.replace("1.2.0", "1.20"))
    fixed = trunkline("run", "fixed.csv", "--json").json["sources"][0]
    discarded = trunkline("rejects", "discard", "--code", "bad_money", "--note", "corrected", "--json")
    replayed = trunkline("rejects", "replay", "--json")

    assert (exported.code, text, again.code) == (0, header + bad, 2)
    assert "load it: trunkline run fix.csv --layout customer_call_logs\n" in exported.err
    assert (fixed["loaded"], discarded.json["discarded"]) == (1, 1)
    assert (replayed.code, replayed.json["sources"][0]["stay_open_by"]) == (3, {"too_few_fields": 1})
    assert trunkline("rejects", "discard", "--note", "all").code == 2


def test_a_check_ends_as_the_run_after_it(trunkline):
    """The same object but for the number of the load, and nothing is written."""
    checked = trunkline("check", REFERENCE, "--json")
    loads = trunkline("loads", "--json").json["loads"]
    ran = trunkline("run", REFERENCE, "--json")
    (foreseen,), (found,) = checked.json["sources"], ran.json["sources"]

    assert (checked.code, checked.json["checked"], loads) == (0, True, [])
    assert {name for name in found if foreseen[name] != found[name]} <= {"load_id", "cache", "seconds"}


def test_a_refused_source_ends_with_3(trunkline, tmp_path):
    """Too many rejects: the call table is as it was, the books say why, and the line is in the one form."""
    trunkline("sample", "--records", 1000, "--out", "dirty.csv", "--dirty", 0.5)
    ended = trunkline("run", "dirty.csv", REFERENCE, "--max-rejects", "10", "--json")
    dirty, clean = ended.json["sources"]

    assert ended.code == 3
    assert (dirty["status"], clean["status"]) == ("refused", "loaded")
    assert [line for line in ended.err.splitlines() if line.startswith("trunkline: dirty.csv: ")]
    assert count(trunkline) == "9"


def test_a_missing_file_ends_with_1_and_the_others_are_loaded(trunkline):
    """All sources are tried, failed outranks refused, and JSON is written."""
    ended = trunkline("run", "missing.csv", REFERENCE, "--json")
    missing, clean = ended.json["sources"]

    assert ended.code == 1
    assert (missing["status"], clean["status"], clean["loaded"]) == ("failed", "loaded", 9)
    assert [line for line in ended.err.splitlines() if line.startswith("trunkline: missing.csv: ")]


@pytest.mark.parametrize("allowed", [True, False])
def test_a_glob_that_matches_nothing(trunkline, allowed):
    """It is a failure unless --allow-empty says that it is none."""
    ended = trunkline("run", "*.csv", "--json", *(["--allow-empty"] if allowed else []))

    assert ended.code == (0 if allowed else 1)


def test_no_source_is_wrong_usage(trunkline):
    """Without sources and feed there is nothing to do, which is a mistake."""
    ended = trunkline("run", "--json")

    assert (ended.code, ended.out) == (2, "")


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_signal_ends_a_run_with_its_code(trunkline, number, code, word):
    """While it still reads its source it is stopped: JSON is written and nothing is loaded."""
    process = trunkline.start("run", "-", "--layout", "customer_call_logs", "--json")
    assert process.stderr.readline().startswith("database: ")
    process.stdin.write("customer_id,call_cost\n")
    process.stdin.flush()
    process.send_signal(number)
    out, err = process.communicate(timeout=60)

    assert process.returncode == code
    assert err == f"trunkline: {word}; {SENTENCE}\n"
    assert '"sources": []' in out
    assert trunkline("loads", "--json").json["loads"] == []


def test_no_secret_is_printed(trunkline, tmp_path):
    """Passwords of both servers, right or wrong, show up nowhere, tracebacks included."""
    canary = "canary-" + "s3cret"
    urls = {
        "TRUNKLINE_DATABASE_URL": f"postgresql://user:{canary}@127.0.0.1:1/calls?connect_timeout=1",
        "TRUNKLINE_REDIS_URL": f"redis://user:{canary}@127.0.0.1:1/0",
        "TRUNKLINE_CACHE_SECRET": canary,
    }
    commands = (["loads", "-v"], ["config", "--json"], ["config"], ["db", "url", "-v"], ["db", "migrate", "-v"])
    ended = [trunkline(*command, **urls) for command in commands]
    ended.append(
        trunkline(
            "run",
            REFERENCE,
            "-v",
            "--json",
            **urls | {"TRUNKLINE_DATABASE_URL": trunkline.environ["TRUNKLINE_DATABASE_URL"]},
        )
    )

    assert [end for end in ended if canary in end.out + end.err] == []
    assert [end.code for end in ended] == [1, 0, 0, 1, 1, 0]


def test_a_cache_that_is_away_costs_a_warning(trunkline):
    """One line says that Redis is away; the result is the same."""
    ended = trunkline("run", REFERENCE, "--redis-url", "redis://127.0.0.1:1/0", "--json")
    source = ended.json["sources"][0]

    assert (ended.code, source["loaded"], source["cache"]["hits"]) == (0, 9, 0)
    assert len([line for line in ended.err.splitlines() if line.startswith("trunkline: cache at")]) == 1


def test_a_database_without_schema_is_refused_politely(on_empty_database):
    """A database of the user is never migrated in passing: the line names the command that does it."""
    ended = on_empty_database("run", REFERENCE, "--json")

    assert ended.code == 1
    assert ended.err == "trunkline: the database has no schema trunkline; run 'trunkline db migrate'\n"
    assert ended.json["error"] == "the database has no schema trunkline; run 'trunkline db migrate'"


def test_an_unchanged_source_costs_no_pandas(trunkline):
    """Whoever finds that there is nothing to do has not imported what would have done it, or drawn how far it is."""
    trunkline("run", REFERENCE)
    ended = trunkline("run", REFERENCE, PYTHONPROFILEIMPORTTIME="1")
    imported = {line.rpartition("|")[2].strip() for line in ended.err.splitlines() if line.startswith("import time:")}

    assert "psycopg2" in imported
    assert imported & {"pandas", "numpy", "pyarrow", "redis", "fsspec", "tenacity", "asyncio", "rich"} == set()


def test_totals_are_exact_in_the_table(trunkline):
    """What the books say is what SQL finds in the rows."""
    trunkline("run", REFERENCE)
    query = "select sum(cost), sum(duration_s), count(distinct customer_id) from customer_call_logs"
    cost, seconds, customers = trunkline("db", "psql", "--", "-Atc", query).out.strip().split("|")

    assert (Decimal(cost), seconds, customers) == (Decimal("13.70"), "3720", "3")
