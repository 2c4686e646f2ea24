"""The command line as a whole: help, exit codes, error lines and what it imports."""

import json
import re
import subprocess
import sys

import pytest
from typer.main import get_command

from trunkline import cli
from trunkline.errors import RefusedError, SchemaError, SourceError

HEAVY = {"pandas", "numpy", "pyarrow", "psycopg2", "redis", "pydantic"}
SAMPLE = ["sample", "--records", "3", "--out"]


def run(capsys, *arguments):
    """Return exit code, stdout and stderr of one command."""
    code = cli.execute(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def ends_with(error):
    """Return a stand-in for `write_sample` that raises *error*."""

    def fail(*arguments, **options):
        raise error

    return fail


def commands(command, path=()):
    """Yield the path and the command object of every command that can be called, groups included."""
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, (*path, name))


COMMANDS = [
    pytest.param(path, command, id=" ".join(path) or "trunkline") for path, command in commands(get_command(cli.app))
]


@pytest.mark.parametrize(("path", "command"), COMMANDS)
def test_every_command_has_a_sentence_and_a_real_example(path, command):
    """Help is one plain sentence, and an example that calls this very command."""
    example = (command.epilog or "").removeprefix("Example: ")

    assert re.fullmatch(r"[A-Z][^\n]*\.", command.help or "")
    assert f"trunkline {' '.join(path)}".strip() in example
    assert command.epilog.startswith("Example: ")


@pytest.mark.parametrize(("path", "command"), COMMANDS)
def test_every_option_is_explained(path, command):
    """No option or argument is left without a help text."""
    mute = [option.name for option in command.params if not getattr(option, "help", None)]

    assert mute == []


@pytest.mark.parametrize(("path", "command"), COMMANDS)
def test_every_command_shows_its_help(capsys, path, command):
    """`--help` of every command ends with 0 and says nothing on stderr."""
    code, out, err = run(capsys, *path, "--help")

    assert (code, err) == (0, "")
    assert "Example: " in out


def test_help_names_the_environment(capsys):
    """Whoever configures a service finds the names of the variables in the help."""
    _, out, _ = run(capsys, "run", "--help")

    for name in ("DATABASE_URL", "REDIS_URL", "LAYOUT", "SYSTEM", "TIMEZONE", "CURRENCY", "MAX_REJECTS", "CONFIG"):
        assert f"TRUNKLINE_{name}" in out


def test_help_imports_nothing_heavy():
    """`trunkline --help` pays for none of the libraries that do the work."""
    script = (
        "import sys; from trunkline.cli import execute; code = execute(['--help']);"
        f"print(code, sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stderr == "0 []\n"


def test_the_module_is_the_command_line():
    """`python -m trunkline` does what `trunkline` does."""
    command = [sys.executable, "-m", "trunkline", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert re.fullmatch(r"trunkline \d+\.\d+\.\d+\S*\n", done.stdout)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["sample"], "trunkline: missing option '--out' / '-o'; see 'trunkline sample --help'"),
        (["nope"], "trunkline: no such command 'nope'; see 'trunkline --help'"),
        (["sample", "--nope"], "trunkline: no such option: --nope; see 'trunkline sample --help'"),
        (
            [*SAMPLE, "calls.csv", "--dirty", "2"],
            "trunkline: found shares 2 dirty and 0 duplicates, expected 0 to 1 and no more than 1 together",
        ),
        (
            [*SAMPLE, "-", "--json"],
            "trunkline: --json and --out - both write to stdout; write the sample to a file",
        ),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(capsys, tmp_path, monkeypatch, arguments, line):
    """A mistake in the command ends with 2 and one line, and writes no JSON."""
    monkeypatch.chdir(tmp_path)

    assert run(capsys, *arguments) == (2, "", line + "\n")


def test_an_error_is_one_line_a_cause(capsys, monkeypatch):
    """Each cause has its line, in the one form, with place and next step."""
    error = SourceError("cannot be read", where="calls.csv", hint="give it to me")
    error.__cause__ = SchemaError("the schema is\nmissing", hint="run 'trunkline db migrate'")
    monkeypatch.setattr("trunkline.sample.write_sample", ends_with(error))

    assert run(capsys, *SAMPLE, "x.csv") == (
        1,
        "",
        "trunkline: calls.csv: cannot be read; give it to me\n"
        "trunkline: the schema is missing; run 'trunkline db migrate'\n",
    )


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (SourceError("is missing", where="calls.csv"), 1, "calls.csv: is missing"),
        (RefusedError("too many rejects"), 3, "too many rejects"),
        (
            KeyboardInterrupt(),
            130,
            "interrupted; what was not finished is not loaded, run the same command again to go on",
        ),
        (
            cli.TerminatedError(),
            143,
            "terminated; what was not finished is not loaded, run the same command again to go on",
        ),
    ],
)
def test_json_is_written_however_it_ends(capsys, monkeypatch, error, code, line):
    """A program that reads stdout finds one object there, with the error, on every exit but 2."""
    monkeypatch.setattr("trunkline.sample.write_sample", ends_with(error))
    got, out, err = run(capsys, *SAMPLE, "x.csv", "--json")

    assert (got, err) == (code, f"trunkline: {line}\n")
    assert json.loads(out) == {"version": 1, "error": line}


def test_a_bug_is_a_line_without_its_words(capsys, monkeypatch):
    """What a foreign error quotes may be a record or a secret: only its type and place are shown."""
    monkeypatch.setattr("trunkline.sample.write_sample", ends_with(ValueError("canary 0700123456")))
    code, out, err = run(capsys, *SAMPLE, "x.csv")

    assert (code, out) == (1, "")
    assert re.fullmatch(
        r"trunkline: internal error: ValueError at test_cli\.py:\d+; run it again with -v and report what it prints\n",
        err,
    )


def test_verbose_shows_the_traceback(capsys, monkeypatch):
    """With -v the line is followed by where it happened."""
    monkeypatch.setattr("trunkline.sample.write_sample", ends_with(SourceError("is missing")))
    _, _, err = run(capsys, *SAMPLE, "x.csv", "-v")

    assert err.startswith("trunkline: is missing\nTraceback (most recent call last):\n")


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path):
    """`trunkline sample --out - | head -1` ends without a complaint."""
    command = f"{sys.executable} -m trunkline sample --records 200000 --out - | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)

    assert done.stdout.startswith("customer_id,")
    assert done.stderr == ""


def test_sample_says_what_it_wrote(capsys, tmp_path):
    """The file is there, its counts are in the JSON, and a sentence for people is on stderr."""
    out = tmp_path / "calls.csv"
    code, json_text, err = run(capsys, *SAMPLE, str(out), "--duplicates", "1", "--json")
    document = json.loads(json_text)

    assert code == 0
    assert len(out.read_bytes().splitlines()) == 4
    assert (document["records"], document["duplicates"], document["rejected"]) == (3, 2, 0)
    assert err == f"{out}: 3 records, 0.0 MB, 0 damaged, 2 repeated\n"
