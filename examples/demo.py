"""What `make demo` shows: call logs loaded once, with books, what PostgreSQL has then, and how to go on.

Everything happens in build/demo, on an embedded PostgreSQL and Valkey; no setting of yours can lead it elsewhere.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

from trunkline.embedded.pair import Embedded

HERE = Path(__file__).resolve().parent.parent
HOME = HERE / "build" / "demo"
REFERENCE = "examples/customer_call_logs.csv"
SAMPLE = "build/demo/calls.csv"
RECORDS = 300_000  # about 15 MB: several blocks

FIRST_CALLS = """
select customer_id, started_at, destination, duration_s, cost, currency
from customer_call_logs order by cost desc, started_at limit 5
"""
TOTALS = """
select count(*) as calls, count(distinct customer_id) as customers, sum(duration_s) as duration_s,
    sum(cost) as cost, min(currency) as currency
from customer_call_logs
"""

NEXT_STEPS = f"""
How to go on
  source .venv/bin/activate
  trunkline inspect YOUR.csv      which layout fits your file, and its first records typed
  trunkline run YOUR.csv          load it, into an embedded database of your own
  trunkline loads                 the books of every load

  The database of this demo:
    TRUNKLINE_HOME={shlex.quote(str(HOME))} trunkline db psql

  Your own servers instead of the embedded ones:
    export TRUNKLINE_DATABASE_URL=postgresql://USER@HOST/DATABASE TRUNKLINE_REDIS_URL=rediss://HOST
    trunkline db migrate && trunkline run YOUR.csv

  Run 'make demo' again: nothing is loaded twice.  'make clean' removes all of it.
"""


def main() -> int:
    """Run the commands of the demo and return the exit code of the first that fails."""
    HOME.mkdir(parents=True, exist_ok=True)
    with Embedded(HOME) as pair:  # otherwise each command would start the servers and stop them again
        code = show_all()
    if code == 0:
        print(NEXT_STEPS, flush=True)
    pair.wait_for_end(timeout_s=60)
    return code


def show_all() -> int:
    """Run all steps, up to the first command that fails, and return the exit code."""
    try:
        show()
    except subprocess.CalledProcessError as failed:
        return failed.returncode
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


def show() -> None:
    """Run the commands of the demo; raises CalledProcessError where one fails."""
    title("The reference file: nine calls")
    trunkline("run", REFERENCE)

    title("A day's work: some hundred thousand calls, a few of them damaged or repeated")
    if not (HERE / SAMPLE).exists():
        trunkline("sample", "--records", str(RECORDS), "--dirty", "0.0001", "--duplicates", "0.001", "--out", SAMPLE)
    trunkline("run", SAMPLE)

    title("Most of these calls once more, as another file: all are duplicates, and their blocks come from the cache")
    lines = RECORDS - int(time.time()) % 1000  # another file each time, which the books do not know yet
    with (HERE / SAMPLE).open("rb") as calls:
        part = b"".join(islice(calls, lines))
    trunkline("run", "-", before=f"head -n {lines} {SAMPLE} | ", stdin=part)

    title("What PostgreSQL has now")
    trunkline("db", "psql", "--", "-c", FIRST_CALLS)
    trunkline("db", "psql", "--", "-c", TOTALS)


def title(text: str) -> None:
    """Print the title of a step."""
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}", flush=True)


def trunkline(*arguments: str, before: str = "", stdin: bytes | None = None) -> None:
    """Show a command as one would type it, and run it."""
    typed = shlex.join(" ".join(argument.split()) for argument in arguments)
    print(f"$ {before}trunkline {typed}", flush=True)
    command = [sys.executable, "-m", "trunkline", *arguments]
    # Books are for stderr; here they belong between the titles, in a pipe too.
    subprocess.run(command, cwd=HERE, env=environment(), input=stdin, stderr=subprocess.STDOUT, check=True)  # noqa: S603


def environment() -> dict[str, str]:
    """Return the environment without settings of trunkline, but for those of the demo."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("TRUNKLINE_")}
    ours = {"TRUNKLINE_HOME": str(HOME), "TRUNKLINE_DATABASE_URL": "embedded", "PSQL_PAGER": "", "PAGER": "cat"}
    return others | ours


if __name__ == "__main__":
    sys.exit(main())
