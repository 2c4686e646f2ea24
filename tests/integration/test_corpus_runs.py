"""Hostile files through a whole run: the books say what the corpus says."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from trunkline.runner import run
from trunkline.settings.resolution import Settings

CORPUS = Path(__file__).parents[1] / "corpus"
CASES = {case["file"]: case for case in tomllib.loads((CORPUS / "manifest.toml").read_text(encoding="utf-8"))["case"]}


@pytest.mark.parametrize(
    "name",
    [
        "mixed_ends.csv",
        "utf_16_le.csv",
        "bad_utf8_split.csv",
        "nul_tail.csv",
        "torn_field.csv",
        "header_again_bom.csv",
        "stray_quotes_pair.csv",
        "copy_end.csv",
        "null_words.csv",
        "sql.csv",
        "path_member.zip",
    ],
)
def test_a_run_accounts_for_every_record(database_url, name):
    """Nothing is lost on the way to PostgreSQL, and the books balance."""
    case = CASES[name]
    settings = Settings(layout="customer_call_logs", database_url=database_url, redis_url="none")
    (books,) = run([str(CORPUS / name)], settings)

    assert (books.status, books.is_balanced) == ("loaded", True)
    rejected = list(case.get("rejected", {}).values())
    assert (books.loaded, books.filtered) == (len(case["loaded"]), case.get("filtered", 0))
    assert books.rejected_by == {code: rejected.count(code) for code in rejected}


@pytest.mark.parametrize("name", ["truncated.csv.gz", "bad_checksum.csv.gz", "truncated.zip", "endless_line.csv.gz"])
def test_a_run_loads_nothing_of_a_damaged_source(database_url, name):
    """Not even what could be read before the damage showed."""
    settings = Settings(layout="customer_call_logs", database_url=database_url, redis_url="none")
    (books,) = run([str(CORPUS / name)], settings)

    assert (books.status, books.loaded) == ("failed", 0)
    assert CASES[name]["message"] in str(books.reason)


def test_a_run_says_which_lines_it_left_out(database_url):
    """What stands before a header is no record, and nothing is left out in silence."""
    settings = Settings(layout="customer_call_logs", database_url=database_url, redis_url="none")
    with pytest.warns(RuntimeWarning, match="left out 2 lines before the header"):
        (books,) = run([str(CORPUS / "preamble.csv")], settings)

    assert (books.status, books.read, books.loaded) == ("loaded", 1, 1)
    assert [warning.startswith("left out 2 lines before the header") for warning in books.warnings] == [True]
