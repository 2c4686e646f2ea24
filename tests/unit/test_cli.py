"""The command line as a whole: help, exit codes, error lines and what it imports."""

import errno
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib

import pytest
from typer.main import get_command

from trunkline.cli import app as cli
from trunkline.cli.commands import Commands
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
    assert "<bool>" not in out  # a flag takes no value


def test_help_names_the_environment(capsys):
    """Whoever configures a service finds the names of the variables in the help."""
    _, out, _ = run(capsys, "run", "--help")

    for name in ("DATABASE_URL", "REDIS_URL", "LAYOUT", "SYSTEM", "TIMEZONE", "CURRENCY", "MAX_REJECTS", "CONFIG"):
        assert f"TRUNKLINE_{name}" in out


def test_help_imports_nothing_heavy():
    """`trunkline --help` pays for none of the libraries that do the work."""
    script = (
        "import sys; from trunkline.cli.app import execute; code = execute(['--help']);"
        f"print(code, sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stderr == "0 []\n"


def test_a_command_imports_no_other_command():
    """Whoever calls one command does not pay for the rest."""
    script = (
        "import sys; from trunkline.cli.app import execute; execute(['layouts', 'list', '--help']);"
        "print(sorted(name for name in sys.modules if name.startswith('trunkline.cli.')), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    modules = ["app", "commands", "layouts", "memory", "options", "plain_table", "report"]

    assert done.stderr == f"{[f'trunkline.cli.{name}' for name in modules]}\n"


def test_recognising_a_layout_imports_nothing_that_proposes_one():
    """Nor the reckoning of gaps: a source that is unchanged needs neither."""
    script = (
        "import sys, trunkline.runner; from pathlib import Path; from trunkline.detect.recognition import layout_of;"
        "layout_of(Path('examples/customer_call_logs.csv').read_bytes());"
        "unneeded = {'trunkline.detect.proposal', 'trunkline.detect.proposed_types', 'trunkline.books.gaps'};"
        "print(sorted(unneeded & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def test_only_options_that_are_given_get_validators():
    """Typer makes one by pydantic for each option that it converts."""
    command = Commands()["run"]
    context = command.make_context("run", ["calls.csv", "--system", "pbx"])
    made = {option.name for option in command.params if getattr(option, "_runtime_param", None) is not None}

    assert context.params["system"] == "pbx"
    assert context.params["layout"] is None
    assert made == {"sources", "system"}


def test_no_plugins_of_pydantic_are_looked_for():
    """It would read the metadata of all that is installed."""
    script = (
        "import sys; from trunkline.cli.app import main\n"
        "try: main(['layouts', 'list'])\n"
        "except SystemExit: import pydantic.plugin._loader as loader; print(loader._plugins)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "None"


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
            "trunkline: found shares 2 dirty, 0 duplicates, 0 conflicts, expected 0 to 1 and no more than 1 together",
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
    monkeypatch.setattr("trunkline.sample.writer.write_sample", ends_with(error))

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
    monkeypatch.setattr("trunkline.sample.writer.write_sample", ends_with(error))
    got, out, err = run(capsys, *SAMPLE, "x.csv", "--json")

    assert (got, err) == (code, f"trunkline: {line}\n")
    assert json.loads(out) == {"version": 1, "error": line}


def test_a_bug_is_a_line_without_its_words(capsys, monkeypatch):
    """What a foreign error quotes may be a record or a secret: only its type and place are shown."""
    monkeypatch.setattr("trunkline.sample.writer.write_sample", ends_with(ValueError("canary 0700123456")))
    code, out, err = run(capsys, *SAMPLE, "x.csv")

    assert (code, out) == (1, "")
    assert re.fullmatch(
        r"trunkline: internal error: ValueError at test_cli\.py:\d+; run it again with -v and report what it prints\n",
        err,
    )


def test_a_full_device_is_no_bug(capsys, monkeypatch):
    """A report that goes to a file on a full disk ends with what to do about it."""
    monkeypatch.setattr("trunkline.sample.writer.write_sample", ends_with(OSError(errno.ENOSPC, "No space left")))

    assert run(capsys, *SAMPLE, "x.csv")[::2] == (1, "trunkline: cannot write: no space left on the device\n")


def test_verbose_shows_the_traceback(capsys, monkeypatch):
    """With -v the line is followed by where it happened."""
    monkeypatch.setattr("trunkline.sample.writer.write_sample", ends_with(SourceError("is missing")))
    _, _, err = run(capsys, *SAMPLE, "x.csv", "-v")

    assert err.startswith("trunkline: is missing\nTraceback (most recent call last):\n")


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path):
    """`trunkline sample --out - | head -1` ends without a complaint."""
    command = f"{shlex.quote(sys.executable)} -m trunkline sample --records 200000 --out - | head -n 1"
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


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    """A working folder without any configuration, and no settings in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("TRUNKLINE_", "PG", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_config_says_what_counts_and_why(capsys, in_folder, monkeypatch):
    """A flag comes before the environment, that before the file; secrets are masked."""
    (in_folder / "trunkline.toml").write_text('timezone = "UTC"\nsystem = "pbx1"\n')
    monkeypatch.setenv("TRUNKLINE_SYSTEM", "pbx2")
    monkeypatch.setenv("TRUNKLINE_DATABASE_URL", "postgresql://u:canary@db.example/calls")
    code, out, _ = run(capsys, "config", "--currency", "KES", "--json")
    document = json.loads(out)
    settings = document["settings"]

    assert code == 0
    assert settings["currency"] == {"value": "KES", "origin": "flag --currency"}
    assert settings["system"] == {"value": "pbx2", "origin": "environment TRUNKLINE_SYSTEM"}
    assert settings["timezone"] == {"value": "UTC", "origin": str(in_folder / "trunkline.toml")}
    assert document["configuration"] == str(in_folder / "trunkline.toml")
    assert document["database"] == "postgresql://u:***@db.example/calls"
    assert "canary" not in out


def test_config_is_a_table_for_people(capsys, in_folder):
    """Each setting has a line, then come the servers that would be used."""
    code, out, err = run(capsys, "config")
    lines = [line.split() for line in out.splitlines()]

    assert (code, err) == (0, "")
    assert ["reload", "False", "default"] in lines
    assert ["database", "embedded", "PostgreSQL"] in lines


def test_all_wrong_settings_are_named_at_once(capsys, in_folder, monkeypatch):
    """Each has its line, so that one run shows all there is to fix."""
    monkeypatch.setenv("TRUNKLINE_TIMEZONE", "Nairobi/Africa")
    monkeypatch.setenv("TRUNKLINE_WORKERS", "0")
    code, out, err = run(capsys, "config", "--json")

    assert (code, out) == (2, "")
    assert sorted(line.split(": ")[1] for line in err.splitlines()) == ["TRUNKLINE_TIMEZONE", "TRUNKLINE_WORKERS"]


def test_layouts_are_listed_and_printed(capsys):
    """The reference layout is there, and what is shown is TOML to start from."""
    _, listed, _ = run(capsys, "layouts", "--json")
    _, shown, _ = run(capsys, "layouts", "show", "customer_call_logs")
    names = [layout["name"] for layout in json.loads(listed)["layouts"]]

    assert "customer_call_logs" in names
    assert tomllib.loads(shown)["name"] == "customer_call_logs"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["run"], "no source is named; name files, folders, globs or URLs, or '--feed NAME'"),
        (["run", "x", "--feed", "pbx"], '--feed: found no feed "pbx", expected [feeds.pbx] in trunkline.toml'),
        (["run", "x", "--config", "none.toml"], "--config: found no file none.toml, expected a configuration"),
    ],
)
def test_a_run_that_cannot_begin_is_wrong_usage(capsys, in_folder, arguments, line):
    """No server is started for a command that cannot mean anything."""
    assert run(capsys, *arguments, "--json") == (2, "", f"trunkline: {line}\n")


def test_an_unknown_layout_is_wrong_usage(capsys, in_folder):
    """It is found before any server is started, and close names are suggested."""
    code, out, err = run(capsys, "run", "x.csv", "--layout", "customer_calls_logs", "--json")

    assert (code, out) == (2, "")
    assert err.startswith("trunkline: found no layout 'customer_calls_logs', did you mean")


def test_a_layout_of_a_file_is_checked_with_what_is_stated(capsys, in_folder):
    """What is wrong in a layout file is one line each, with the file and the place in it."""
    (in_folder / "own.toml").write_text('grammar = 1\nname = "own"\nfeilds = []\n')
    code, _, err = run(capsys, "run", "x.csv", "--layout", "own.toml")

    assert code == 2
    assert all(line.startswith("trunkline: own.toml: ") for line in err.splitlines())
    assert len(err.splitlines()) > 1
