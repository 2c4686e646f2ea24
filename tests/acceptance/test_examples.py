"""The examples that the documentation shows, run as a user runs them."""

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psycopg2

FIRST_PIPELINE = Path(__file__).parents[2] / "examples" / "first_pipeline.py"


def run_first_pipeline(database_url: str, redis_url: str) -> str:
    """Run the example and return what it prints."""
    environ = os.environ | {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(FIRST_PIPELINE)], env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_first_pipeline_loads_the_reference_file(database_url, redis_url):
    """Three steps and a commit of one's own bring nine calls and their books into PostgreSQL."""
    printed = run_first_pipeline(database_url, redis_url)

    assert "loaded: 9 of 9 records, 13.70 USD for 3720 s" in printed
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("select count(*), sum(cost)::text, sum(duration_s) from customer_call_logs")
        assert cursor.fetchone() == (9, "13.700000", 3720)
        cursor.execute("select status, read, loaded from trunkline.loads")
        assert cursor.fetchall() == [("loaded", 9, 9)]


def test_the_first_pipeline_twice_loads_once(database_url, redis_url):
    """The second time the content is in the table already."""
    run_first_pipeline(database_url, redis_url)

    assert "unchanged: 9 of 9 records" in run_first_pipeline(database_url, redis_url)


def test_the_first_pipeline_is_short():
    """An example that one reads at once has fewer than 30 lines."""
    assert len(FIRST_PIPELINE.read_text(encoding="utf-8").splitlines()) < 30
