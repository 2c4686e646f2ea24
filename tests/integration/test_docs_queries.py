"""The SQL that the documentation shows, on a database with calls, rejects and a refused source."""

import re
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from trunkline import Settings, run
from trunkline.sample.writer import write_sample

ROOT = Path(__file__).parents[2]
PAGES = sorted(ROOT.glob("docs/**/*.md"))


def shown_queries():
    """Yield page and statement of everything in a block of SQL; comments stay with what follows them."""
    for page in PAGES:
        for block in re.findall(r"^```sql\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
            yield from ((page.stem, statement.strip()) for statement in block.split(";") if statement.strip())


@pytest.fixture
def loaded(database_url, tmp_path):
    """A connection to a database in which the reference file and a dirty sample are loaded."""
    sample = tmp_path / "calls.csv"
    write_sample(sample, records=500, days=5, dirty=0.05, duplicates=0.05)
    settings = Settings(database_url=database_url, redis_url="none", layout="customer_call_logs")
    books = run([str(ROOT / "examples" / "customer_call_logs.csv"), str(sample)], settings)
    assert [each.status for each in books] == ["loaded", "loaded"]
    with closing(psycopg2.connect(database_url)) as connection:
        yield connection


def test_every_shown_query_is_one_that_postgresql_takes(loaded):
    """Tables and columns are named as they are, and types fit."""
    with loaded.cursor() as cursor:
        for page, statement in shown_queries():
            statement = statement.replace("customer_call_logs_20260101", "customer_call_logs_20220101")
            try:
                cursor.execute(statement)
            except psycopg2.Error as error:
                pytest.fail(f"{page}: {error}\n{statement}")
            loaded.rollback()
