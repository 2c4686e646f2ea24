"""The command line: make the data, run the experiments, print what is met and what is missed, write the page.

python -m benchmarks [--quick] [--only P1,P5] [--records N] [--scale S] [--rounds N] [--keep DIR]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.conditions import conditions, now
from benchmarks.experiments.catalogue import ORDER
from benchmarks.goals import GOALS, ROUNDS, Goal, goals_of
from benchmarks.measurements import Measurements
from benchmarks.process import BenchError, run_program
from benchmarks.report import GOAL_HEADINGS, chart, goal_rows, page, summary
from benchmarks.rounds import measure
from benchmarks.servers import open_servers
from benchmarks.workbench import Sizes, Workbench

ROOT = Path(__file__).parents[1]
PEERS_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
PAGE, CHART = ROOT / "docs" / "benchmarks.md", ROOT / "docs" / "img" / "benchmarks.svg"
RESULTS, PUBLISHED = ROOT / "build" / "benchmarks.json", ROOT / "docs" / "benchmarks.json"
"""What was measured last, and what the page was made of."""
RECORDS, LONG_RECORDS = 2_000_000, 20_000_000
QUICK_GOALS, QUICK_RECORDS = "P1,P1b,P2,P6,P7", 500_000
MINUTES, QUICK_MINUTES = 60, 1.5
MET, FAILED, USAGE, MISSED = 0, 1, 2, 3
CHOOSING = ("TRUNKLINE_", "PG", "REDIS_URL", "PYTHONPATH")
"""Variables that begin so would choose servers, or other code."""
HINDERING = ("PYTHONDONTWRITEBYTECODE",)
"""An installed program is compiled; with this, each run would compile anew what was edited since."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks and return the exit status."""
    options = _options(arguments)
    goals = goals_of(options.only.split(",")) if options.only else tuple(GOALS)
    if options.render:
        measured = _last()
        _write(measured)
    else:
        try:
            measured = _measure(options, goals)
        except BenchError as error:
            _say(str(error))
            return FAILED
    _print(measured, goals)
    return MISSED if any(goal.verdict(measured) == "missed" for goal in goals) else MET


def _measure(options: argparse.Namespace, goals: Sequence[Goal]) -> Measurements:
    wanted = {need for goal in goals for need in goal.needs} if options.only else None
    measured = Measurements()
    results = dict(_last().experiments) if options.add else {}
    with _folder(options.keep) as folder:
        environ = _environ(folder)
        with open_servers(folder / "servers", environ, options.database_url) as servers:
            bench = Workbench(
                servers=servers,
                folder=folder,
                sizes=Sizes(
                    records=options.records,
                    long_records=round(LONG_RECORDS * options.scale),
                    rounds=options.rounds,
                ),
                peers_python=PEERS_PYTHON,
                say=_say,
            )
            facts = conditions(bench, note=options.note)
            for name, make in ORDER.items():
                if options.experiments and name not in options.experiments.split(","):
                    continue
                ways = {way for experiment, way in wanted if experiment == name} if wanted is not None else None
                if ways is not None and not ways:
                    continue
                results[name] = measure(
                    make(bench),
                    wanted=ways,
                    rounds=options.rounds,
                    limit_s=options.minutes * 60,
                    measured=now(ROOT),
                    say=_say,
                    server_cpu_s=servers.server_cpu_s,
                )
                in_order = {each: results[each] for each in ORDER if each in results}
                measured = Measurements(conditions=facts, experiments=in_order)
                RESULTS.parent.mkdir(exist_ok=True)
                measured.save(RESULTS)  # after each experiment: what was measured stays, whatever comes
    if options.write:
        _write(measured)
    return measured


def _last() -> Measurements:
    """Return what was measured last in this checkout, or else what is published."""
    for results in (RESULTS, PUBLISHED):
        if results.exists():
            return Measurements.load(results)
    return Measurements()


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_GOALS} with {QUICK_RECORDS:,} records")
    parser.add_argument("--only", metavar="GOALS", help="goals to measure, such as P1,P5; without it, everything")
    parser.add_argument("--experiments", metavar="NAMES", help=f"some of {', '.join(ORDER)}")
    parser.add_argument("--add", action="store_true", help="keep what was measured before of other experiments")
    parser.add_argument("--records", type=int, help=f"of the usual file (default: {RECORDS:,})")
    parser.add_argument("--scale", type=float, default=1.0, help=f"of the long file: 1 is {LONG_RECORDS:,} records")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="counted rounds (default: %(default)s)")
    parser.add_argument(
        "--minutes",
        type=float,
        help=f"after which an experiment begins no round (default: {MINUTES}; {QUICK_MINUTES} if quick)",
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where data and servers stay for the next time")
    parser.add_argument("--database-url", metavar="URL", help="another PostgreSQL, as a user who may make databases")
    parser.add_argument("--note", default="", help="what else was going on; written to the page")
    parser.add_argument("--write", action="store_true", default=None, help=f"write {PAGE.relative_to(ROOT)}")
    parser.add_argument("--no-write", action="store_false", dest="write", help="do not write it")
    parser.add_argument("--render", action="store_true", help="write the page from the last results, measure nothing")
    options = parser.parse_args(arguments)
    try:
        goals_of((options.only or "P1").split(","))
    except ValueError as error:
        parser.error(str(error))
    if unknown := set((options.experiments or "load").split(",")) - ORDER.keys():
        parser.error(f"found {', '.join(sorted(unknown))}, expected some of {', '.join(ORDER)}")
    if options.quick:
        options.only = options.only or QUICK_GOALS
    options.minutes = options.minutes or (QUICK_MINUTES if options.quick else MINUTES)
    options.records = options.records or (QUICK_RECORDS if options.quick else RECORDS)
    if options.write is None:
        options.write = not arguments and not sys.argv[1:]
    return options


def _environ(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith((*CHOOSING, *HINDERING))}
    return {**kept, "TRUNKLINE_HOME": str(folder / "servers"), "PYTHONPATH": str(ROOT)}


@contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    if kept:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="trunkline-bench-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _write(measured: Measurements) -> None:
    """Write the page, its chart, and the values of all runs."""
    PAGE.write_text(page(measured), encoding="utf-8")
    measured.save(PUBLISHED)
    bars = chart(measured)
    if bars:
        RESULTS.parent.mkdir(exist_ok=True)
        data = RESULTS.with_name("chart.json")
        data.write_text(json.dumps(bars), encoding="utf-8")
        run_program([PEERS_PYTHON, ROOT / "benchmarks" / "chart.py", CHART], os.environ, stdin=data)
    _say(f"wrote {PAGE.relative_to(ROOT)}")


def _print(measured: Measurements, goals: Sequence[Goal]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for heading in GOAL_HEADINGS:
        table.add_column(heading)
    for row in goal_rows(measured, goals):
        table.add_row(*row)
    console = Console()
    console.print(table)
    console.print(summary(measured, goals))
    for name, text in measured.conditions.items():
        console.print(f"{name}: {text}", soft_wrap=True)


def _say(message: str) -> None:
    print(f"benchmarks: {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
