"""What was measured, as tables: the page of the documentation, and the summary at the end.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.goals import GOALS, MIB, ROUNDS, Goal
from benchmarks.measurements import START, ExperimentResult, Measurements

PAGE = Path(__file__).with_name("page.md")
CHARTED = "load"
NOT_CHARTED = ("stages_cold", "stages_warm", "import_pandas", "unchanged_nine")
GOAL_HEADINGS = ("goal", "what", "bound", "measured", "verdict", "runs")


def page(measured: Measurements) -> str:
    """Return the page of the documentation, as Markdown."""
    return PAGE.read_text(encoding="utf-8").format(
        summary=summary(measured, GOALS),
        goals=_table(GOAL_HEADINGS, goal_rows(measured, GOALS)),
        rounds=ROUNDS,
        experiments="\n\n".join(experiment_section(measured, name) for name in measured.experiments),
        conditions=_table(("what", "which"), ([name, text] for name, text in measured.conditions.items())),
    )


def summary(measured: Measurements, goals: Iterable[Goal]) -> str:
    """Return in a sentence or two how many goals are met, and which are not."""
    by_verdict: dict[str, list[Goal]] = {"met": [], "missed": [], "not measured": []}
    for goal in goals:
        by_verdict[goal.verdict(measured)].append(goal)
    met, missed, unmeasured = by_verdict.values()
    text = f"Met: {len(met)} of {len(met) + len(missed)} bounds that were measured."
    text += f" Missed: {_numbers(missed)}." if missed else ""
    doubtful = sum(goal.fewest_runs(measured) < ROUNDS for goal in (*met, *missed))
    text += f" Measured in fewer than {ROUNDS} runs: {doubtful}." if doubtful else ""
    return text + (f" Not measured: {_numbers(unmeasured)}." if unmeasured else "")


def goal_rows(measured: Measurements, goals: Iterable[Goal]) -> list[list[str]]:
    """Return a row per goal: number, what, bound, figure, verdict and the fewest runs behind it."""
    rows = []
    for goal in goals:
        figure = goal.figure(measured)
        runs = goal.fewest_runs(measured)
        mark = "" if figure is None or runs >= ROUNDS else " *"
        text = "" if figure is None else f"{_rounded(figure)}{goal.unit}"
        rows.append([goal.number, goal.what, goal.bound_text, text, goal.verdict(measured) + mark, str(runs)])
    return rows


def experiment_section(measured: Measurements, name: str) -> str:
    """Return a heading and a table of the ways of an experiment."""
    result = measured.experiments[name]
    lead = f"{result.records:,} records, {result.bytes / 1e6:,.1f} MB. " + " ".join(result.notes)
    lead = f"{lead.rstrip()} Measured {result.measured}." if result.measured else lead
    headings = (
        "way",
        "keeps",
        "median s",
        "min to max",
        "net s",
        "records/s",
        "CPU s",
        "server CPU s",
        "net CPU s",
        "peak MiB",
        "runs",
    )
    return f"### {result.title}\n\n{lead.rstrip()}\n\n{_table(headings, way_rows(measured, name), left=2)}"


def way_rows(measured: Measurements, name: str) -> list[list[str]]:
    """Return a row for each way that ran, without those that are start-up alone."""
    result = measured.experiments[name]
    return [
        _way_row(measured, result, name, way) for way, found in result.ways.items() if found.runs and not _is_start(way)
    ]


def _way_row(measured: Measurements, result: ExperimentResult, name: str, way: str) -> list[str]:
    found = result.ways[way]
    has_start = f"{way}{START}" in result.ways
    seconds = [run.seconds for run in found.runs]
    cpu = measured.net_cpu_s(name, way) if has_start else None
    server = [run.server_cpu_s for run in found.runs if run.server_cpu_s is not None]
    net = (measured.net_seconds(name, way) if has_start else None) or 0.0
    return [
        found.label,
        found.keeps,
        f"{median(seconds):.2f}",
        f"{min(seconds):.2f} to {max(seconds):.2f}",
        f"{net:.2f}" if net > 0 else "",  # noise can make start-up longer than the whole
        f"{result.records / net:,.0f}" if net > 0 else "",
        f"{median(run.cpu_s for run in found.runs):.2f}",
        f"{median(server):.2f}" if server else "",
        f"{cpu:.2f}" if cpu is not None else "",
        f"{max(run.peak_bytes for run in found.runs) / MIB:.0f}",
        str(len(found.runs)),
    ]


def chart(measured: Measurements) -> dict[str, Any]:
    """Return what `chart.py` draws: a title, and a label, seconds and whether it is trunkline for each way."""
    result = measured.experiments.get(CHARTED)
    if result is None:
        return {}
    ways = [name for name, way in result.ways.items() if way.runs and not _is_start(name) and name not in NOT_CHARTED]
    bars = [
        {
            "label": result.ways[name].label.replace("`", ""),
            "seconds": measured.seconds(CHARTED, name),
            "is_ours": result.ways[name].label.startswith("trunkline"),
        }
        for name in ways
    ]
    bars.sort(key=lambda bar: (bar["seconds"], bar["label"]))
    return {"title": f"{result.records:,} call records into PostgreSQL: seconds, whole command", "bars": bars}


def _is_start(way: str) -> bool:
    return way.endswith(START)


def _numbers(goals: Iterable[Goal]) -> str:
    return ", ".join(dict.fromkeys(goal.number for goal in goals))


def _rounded(figure: float) -> str:
    """Return a figure with two decimals below 10, one below 100, none above."""
    return f"{figure:.{2 if abs(figure) < 10 else 1 if abs(figure) < 100 else 0}f}"


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, left: int | None = None) -> str:
    """Return a table in Markdown; columns from *left* on are aligned to the right."""
    marks = ["---" if left is None or place < left else "---:" for place in range(len(headings))]
    lines = [headings, marks, *([cell.replace("|", r"\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
