"""The benchmarks' own arithmetic: medians and ratios, verdicts, tables, rounds, and the cutting of files."""

import os
from pathlib import Path

import pytest

import benchmarks.files
from benchmarks.files import cut, every_second, line_offsets, offset_of_day, split
from benchmarks.goals import GOALS, divided, goals_of
from benchmarks.measurements import START, ExperimentResult, Measurements, Run, WayResult
from benchmarks.process import BenchError, run_program
from benchmarks.report import chart, goal_rows, page, summary, way_rows
from benchmarks.rounds import Experiment, Way, measure
from benchmarks.servers import cpu_of_children_s

MIB = 1 << 20


def way(*seconds, peak_bytes=0, label="trunkline", **figures):
    """Return what was measured of a way in as many runs as there are times."""
    runs = tuple(Run(seconds=each, peak_bytes=peak_bytes, figures=figures) for each in seconds)
    return WayResult(label=label, keeps="", runs=runs)


def measured(**experiments):
    """Return measurements from ways by experiment and name."""
    results = {
        name: ExperimentResult(title=name, records=1_000, bytes=2_000_000, ways=ways)
        for name, ways in experiments.items()
    }
    return Measurements(conditions={"PostgreSQL": "18.6"}, experiments=results)


def goal(number, place=0):
    """Return a goal by its number; *place* tells those apart that share one."""
    return [each for each in GOALS if each.number == number][place]


def test_a_net_time_is_that_of_medians():
    """Start-up is the median of the same command on nine records, taken off the median of the whole."""
    found = measured(load={"cold": way(9, 5, 4), f"cold{START}": way(1, 2, 30)})

    assert found.seconds("load", "cold") == 5
    assert found.net_seconds("load", "cold") == 3


def test_the_net_cpu_is_that_of_the_way_and_the_server():
    """Both take part, and start-up is taken off both."""

    def took(cpu_s, server_cpu_s):
        return WayResult(label="", keeps="", runs=(Run(seconds=9, cpu_s=cpu_s, server_cpu_s=server_cpu_s),))

    found = measured(load={"cold": took(3.0, 2.0), "cold_start": took(1.0, 0.5), "warm": took(1.0, None)})

    assert found.net_cpu_s("load", "cold") == 3.5
    assert found.net_cpu_s("load", "warm") is None


def test_what_was_not_measured_is_nothing():
    """Neither an experiment nor a way that is not there has a time, a figure or a peak."""
    found = measured(load={})

    assert found.net_seconds("load", "cold") is None
    assert found.seconds("long", "cold") is None
    assert found.figure("load", "cold", "blocks") is None
    assert found.peak_bytes("load", "cold") is None


def test_measurements_survive_their_file(tmp_path):
    """What was saved is read back as it was."""
    found = measured(load={"cold": way(2.5, 3.5, peak_bytes=7, blocks=3.0)})

    found.save(tmp_path / "results.json")

    assert Measurements.load(tmp_path / "results.json") == found


@pytest.mark.parametrize(("part", "by"), [(None, 1.0), (1.0, None), (1.0, 0.0), (-0.1, 1.0), (1.0, -0.1)])
def test_no_ratio_of_times_that_are_missing_or_too_short(part, by):
    """A time that start-up hides gives no ratio, rather than a wonderful one."""
    assert divided(part, by) is None


@pytest.mark.parametrize(
    ("number", "place", "experiments", "figure", "verdict"),
    [
        # (3 - 1) / (5.5 - 0.5) = 0.4
        (
            "P1",
            0,
            {"load": {"cold": way(3), "cold_start": way(1), "copy_keyed": way(5.5), "copy_keyed_start": way(0.5)}},
            0.4,
            "met",
        ),
        # 5.5 / 5 = 1.1, the bound itself
        ("P1b", 0, {"load": {"cold": way(5.5), "copy_bare": way(5)}}, 1.1, "met"),
        # 0.5 / 2 = 0.25
        (
            "P6",
            0,
            {"load": {"stages_warm": way(9, stage_cpu_s=0.5), "stages_cold": way(9, stage_cpu_s=2.0)}},
            0.25,
            "missed",
        ),
        # whole commands: start-up stays
        ("P8", 0, {"long": {"grown": way(2), "cold": way(10), "cold_start": way(5)}}, 0.2, "missed"),
        # 3 of 40 blocks
        ("P9", 1, {"long": {"rolling": way(1, blocks=40.0, blocks_parsed=3.0)}}, 7.5, "met"),
        # none parsed at all
        ("P9", 1, {"long": {"rolling": way(1, blocks=40.0, blocks_parsed=0.0)}}, 0, "met"),
        ("P10", 0, {"load": {"cold": way(1, 1, peak_bytes=400 * MIB)}}, 400, "missed"),
        # 327 / 300 = 1.09, whichever is larger
        (
            "P10",
            2,
            {"load": {"cold": way(1, peak_bytes=327 * MIB)}, "long": {"cold": way(1, peak_bytes=300 * MIB)}},
            9,
            "met",
        ),
        # (4.5 - 1) / (4 - 1) = 1.1667
        (
            "P12",
            0,
            {"load": {"cold": way(4.5), "cold_start": way(1), "uncached": way(4), "uncached_start": way(1)}},
            16.667,
            "missed",
        ),
        # of the same bytes, so MB/s divide as times do, the other way round: 4 / 5
        ("P13", 0, {"asterisk": {"copy_text": way(4), "trunkline": way(5)}}, 0.8, "met"),
    ],
)
def test_goals_divide_what_they_say(number, place, experiments, figure, verdict):
    """The figure of a goal is that of the arithmetic by hand, and its verdict that of its bound."""
    found = measured(**experiments)

    assert goal(number, place).figure(found) == pytest.approx(figure, rel=1e-3)
    assert goal(number, place).verdict(found) == verdict


def test_a_verdict_does_not_round():
    """0.501 is shown as 0.50 and misses a bound of 0.5."""
    found = measured(load={"cold": way(0.501), "copy_keyed": way(1)})

    assert goal_rows(found, [goal("P1")]) == [
        ["P1", "cold load ÷ `\\copy` into the same keyed table", "≤ 0.5", "0.50", "missed *", "1"]
    ]


def test_five_runs_take_the_mark_away():
    """A verdict on fewer than five runs of any of its ways is marked as doubtful."""
    found = measured(load={"cold": way(1, 1, 1, 1, 1), "copy_keyed": way(4, 4, 4, 4, 4), "copy_bare": way(1)})

    assert [row[-2:] for row in goal_rows(found, [goal("P1"), goal("P1b")])] == [["met", "5"], ["met *", "1"]]


def test_the_summary_counts_what_was_not_measured_apart():
    """Met, missed and not measured are three things."""
    five = [2] * 5
    found = measured(load={"cold": way(*five), "copy_bare": way(1), "copy_keyed": way(*[10] * 5)})

    assert summary(found, [goal("P1"), goal("P1b"), goal("P3"), goal("P4")]) == (
        "Met: 1 of 2 bounds that were measured. Missed: P1b. Measured in fewer than 5 runs: 1. Not measured: P3, P4."
    )


def test_goals_by_number():
    """Numbers are found whatever their case, with every goal that shares one; an unknown one is named."""
    assert [each.number for each in goals_of(["p2", " P1B"])] == ["P1b", "P2", "P2"]
    with pytest.raises(ValueError, match="found p15, expected some of P1, P1b, "):
        goals_of(["P15"])


def test_start_up_alone_has_no_row():
    """A way's table shows whole and net, and what only measures start-up not at all."""
    found = measured(load={"cold": way(3, 5), "cold_start": way(2), "copy_text": way(1, label=r"`\copy`")})

    assert [row[:6] for row in way_rows(found, "load")] == [
        ["trunkline", "", "4.00", "3.00 to 5.00", "2.00", "500"],
        [r"`\copy`", "", "1.00", "1.00 to 1.00", "", ""],
    ]


def test_the_page_has_every_part():
    """Goals, ways and conditions are on the page, and no placeholder is left."""
    text = page(measured(load={"cold": way(3)}))

    assert "| P14 | 200 files" in text
    assert "### load" in text
    assert "| PostgreSQL | 18.6 |" in text
    assert not {"{summary}", "{goals}", "{rounds}", "{experiments}", "{conditions}"} & set(text.split())


def test_the_chart_begins_with_the_quickest():
    """Bars are in the order of their length, and say which are trunkline's."""
    found = measured(load={"cold": way(3), "cold_start": way(1), "copy_text": way(2, label=r"psql `\copy`")})

    assert chart(found)["bars"] == [
        {"label": r"psql \copy", "seconds": 2, "is_ours": False},
        {"label": "trunkline", "seconds": 3, "is_ours": True},
    ]


def test_the_cpu_of_the_server_is_that_of_the_run():
    """What the server took before and after a run is subtracted, and shown beside the command's own."""
    taken = iter([1.0, 1.5, 4.0, 6.0])
    track = Track()

    result = track.measure([track.way("a")], rounds=1, server_cpu_s=lambda: next(taken))

    assert [run.server_cpu_s for run in result.ways["a"].runs] == [2.0]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="Linux alone tells it")
def test_the_cpu_of_children_that_ended():
    """A child that worked and ended has left its CPU behind."""
    before = cpu_of_children_s(os.getpid())

    run_program(["/bin/sh", "-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"], {})

    assert cpu_of_children_s(os.getpid()) > before


class Track:
    """A way's calls, in order."""

    def __init__(self):
        self.calls = []

    def way(self, name, **more):
        """Return a way that notes when it is run."""

        def run(number):
            self.calls.append((name, number))
            return Run(seconds=1)

        return Way(name=name, label=name, run=run, **more)

    def measure(self, ways, **options):
        """Measure the ways, with options over those that do not matter."""
        experiment = Experiment(name="x", title="x", records=1, bytes=1, ways=ways)
        options = {"wanted": None, "rounds": 2, "limit_s": 60, "say": lambda _: None} | options
        return measure(experiment, **options)


def test_ways_take_turns_and_the_first_round_does_not_count():
    """Round 0 warms up; a slow way may have fewer counted rounds."""
    track = Track()

    result = track.measure([track.way("a"), track.way("b", at_most=1)])

    assert track.calls == [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2)]
    assert [len(result.ways[name].runs) for name in "ab"] == [2, 1]


def test_only_wanted_ways_run_with_their_start_up():
    """What no wanted goal needs is not run."""
    track = Track()

    track.measure([track.way("a"), track.way(f"a{START}"), track.way("b")], wanted={"a"}, rounds=0)

    assert track.calls == [("a", 0), (f"a{START}", 0)]


def test_out_of_time_after_a_counted_round():
    """However little time there is, one round counts."""
    track = Track()

    result = track.measure([track.way("a")], rounds=5, limit_s=0)

    assert len(result.ways["a"].runs) == 1


def test_a_wrong_result_ends_the_benchmarks():
    """A time is worth nothing when the result is wrong."""

    def check(_):
        raise BenchError("found 8, expected 9")

    track = Track()
    with pytest.raises(BenchError, match="found 8, expected 9"):
        track.measure([track.way("a", check=check)])


def test_a_program_that_fails_says_why(tmp_path):
    """The end of what it said is in the error."""
    program = tmp_path / "fails.sh"
    program.write_text("echo no such table >&2\nexit 4\n")

    with pytest.raises(BenchError, match=r"fails\.sh ended with 4:\nno such table"):
        run_program(["/bin/sh", program], {})


def test_a_program_is_measured(tmp_path):
    """Time, CPU and memory are the kernel's, and the output is what it wrote."""
    finished = run_program(["/bin/sh", "-c", "cat; echo said"], {"PATH": "/bin:/usr/bin"}, stdin=log(tmp_path, days=1))

    assert finished.output.startswith("id,date\n0,2022-01-01")
    assert finished.output.endswith("said\n")
    assert finished.seconds > 0
    assert finished.peak_bytes > MIB // 4


def log(folder: Path, days: int = 3, a_day: int = 4) -> Path:
    """Return a call log in the order of time."""
    lines = [f"{day * a_day + call},2022-01-{day + 1:02} 10:00:00\n" for day in range(days) for call in range(a_day)]
    file = folder / "log.csv"
    file.write_text("id,date\n" + "".join(lines))
    return file


@pytest.mark.parametrize("chunk_bytes", [1, 7, 50, 1 << 20])
def test_offsets_of_lines(tmp_path, monkeypatch, chunk_bytes):
    """Every line begins where it begins, whatever is read at once; the last offset is the end of the file."""
    monkeypatch.setattr(benchmarks.files, "CHUNK_BYTES", chunk_bytes)
    file = log(tmp_path)
    lines = file.read_bytes().splitlines(keepends=True)

    assert line_offsets(file, range(14)) == [sum(map(len, lines[:number])) for number in range(14)]
    with pytest.raises(ValueError, match=r"log\.csv has 13 lines, expected 20"):
        line_offsets(file, [20])


def test_a_part_keeps_the_header(tmp_path):
    """A cut file has the header and the lines asked for."""
    file, part = log(tmp_path), tmp_path / "part.csv"

    cut(file, part, *line_offsets(file, [2, 4]))

    assert part.read_text().split() == ["id,date", "1,2022-01-01", "10:00:00", "2,2022-01-01", "10:00:00"]


@pytest.mark.parametrize(
    ("day", "line"), [("2021-12-31", 1), ("2022-01-01", 1), ("2022-01-02", 5), ("2022-01-03", 9), ("2022-01-04", 13)]
)
def test_the_first_record_of_a_day(tmp_path, day, line):
    """A day begins at its first record, or at the end if it never comes."""
    file = log(tmp_path)

    assert [offset_of_day(file, day, 1)] == line_offsets(file, [line])


def test_parts_are_the_whole(tmp_path):
    """Split files hold every record once."""
    file, folder = log(tmp_path), tmp_path / "parts"

    split(file, folder, records=12, parts=5)

    parts = [part.read_text().splitlines() for part in sorted(folder.iterdir())]
    assert {part[0] for part in parts} == {"id,date"}
    assert [line for part in parts for line in part[1:]] == file.read_text().splitlines()[1:]


def test_every_second_record(tmp_path):
    """Half of the records stay, spread over the whole file."""
    half = tmp_path / "half.csv"

    every_second(log(tmp_path), half)

    assert [line.split(",")[0] for line in half.read_text().splitlines()] == ["id", "1", "3", "5", "7", "9", "11"]
