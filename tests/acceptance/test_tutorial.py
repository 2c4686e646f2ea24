"""The tutorial: every command is run, in order, and prints what the page shows."""

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from trunkline.embedded.pair import Embedded

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
BLOCK = re.compile(
    r'^```(?:text title="(?P<file>[\w.]+)"|(?P<console>console))\n(?P<text>.*?)^```$', re.DOTALL | re.MULTILINE
)


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """Run a command as the reader of the tutorial does; returns what the terminal shows."""
    home = tmp_path / "home"
    for name in [name for name in os.environ if name.startswith(("TRUNKLINE_", "PG"))]:
        monkeypatch.delenv(name)
    environ = {
        "TRUNKLINE_HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PAGER": "cat",
    }
    folder = tmp_path / "work"
    folder.mkdir()

    def run(command: str) -> str:
        done = subprocess.run(
            command,
            shell=True,
            cwd=folder,
            env=os.environ | environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.stdout

    with Embedded(home):  # so that not every command starts the servers and stops them again
        yield folder, run


def test_the_tutorial_shows_what_happens(shell):
    """Files are made and commands run as the page says, and their output is the one that it shows."""
    folder, run = shell
    same = doctest.OutputChecker().check_output
    for block in BLOCK.finditer(PAGE.read_text(encoding="utf-8")):
        if block["file"]:
            (folder / block["file"]).write_text(block["text"], encoding="utf-8")
            continue
        for command, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block["text"], re.MULTILINE):
            printed = run(command)
            assert same(expected, printed, doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE), f"{command}\n{printed}"
