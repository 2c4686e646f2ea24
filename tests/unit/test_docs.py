"""The documentation names what is there: commands and options, tables and columns, codes and modules."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from trunkline.cli.app import app
from trunkline.framing.scanning import Outcome
from trunkline.layout.files import parse_layout
from trunkline.settings.resolution import resolve_settings

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
SOURCES = sorted(ROOT.glob("src/trunkline/**/*.py"))
ROOMS = sorted({file.relative_to(ROOT / "src/trunkline").parts[0].removesuffix(".py") for file in SOURCES})
MIGRATIONS = sorted(ROOT.glob("src/trunkline/migrations/*.sql"))


def shown_commands() -> Iterator[tuple[str, str]]:
    """Yield page and command line of every call of trunkline that a page shows."""
    for page in PAGES:
        for block in re.findall(r"^```(?:console|text)\n(.*?)^```", page.read_text(encoding="utf-8"), re.S | re.M):
            for line in re.findall(r"^(?:\$ |\*/15 .*?)(.*)$", block, re.M):
                for part in re.split(r"\||&&|>|\$\(|\s#\s", line):
                    if part.strip().startswith("trunkline "):
                        yield str(page.relative_to(ROOT)), part.strip().removesuffix(')"')


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """Return the command that *words* name, and what follows."""
    command: Any = get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    return command, words


@pytest.mark.parametrize(("page", "line"), sorted(set(shown_commands())))
def test_a_shown_command_exists(page, line):
    """A command that a page shows has that name, and the options that it is shown with."""
    command, words = command_of(shlex.split(line)[1:])

    known = {name for param in command.params for name in param.opts} | {"--help"}
    used = {word.partition("=")[0] for word in words[: words.index("--") if "--" in words else None]}
    assert {word for word in used if re.match(r"--?[a-z]", word)} <= known, page
    assert not hasattr(command, "commands") or not words or words[0].startswith("-"), f"{page}: no command {words[0]}"


def blocks_of(language: str) -> list[tuple[str, str]]:
    """Return page and text of every block in *language*."""
    pattern = re.compile(rf"^```{language}\n(.*?)^```", re.DOTALL | re.MULTILINE)
    return [(page.stem, text) for page in PAGES for text in pattern.findall(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize(("page", "text"), blocks_of("python"))
def test_shown_python_is_python(page, text):
    """A block of Python compiles."""
    compile(text, page, "exec")


@pytest.mark.parametrize(("page", "text"), blocks_of("toml"))
def test_a_shown_file_is_well_formed(page, text, tmp_path):
    """A block of TOML is a whole layout, or a configuration."""
    if text.startswith("grammar"):
        assert parse_layout(text, origin=page).fields
        return
    (tmp_path / "trunkline.toml").write_text(text, encoding="utf-8")

    assert resolve_settings({}, {}, tmp_path).config


def table_columns() -> Iterator[tuple[str, str]]:
    """Yield every table of the schema with each of its columns."""
    for migration in MIGRATIONS:
        text = migration.read_text(encoding="utf-8")
        for table, body in re.findall(r"^create table trunkline\.(\w+) \(\n(.*?)^\);", text, re.S | re.M):
            for column in re.findall(r"^    (\w+) ", body, re.M):
                if column not in ("constraint", "primary", "check", "unique", "foreign"):
                    yield table, column


@pytest.mark.parametrize(("table", "column"), sorted(table_columns()))
def test_a_column_of_the_books_is_described(table, column):
    """The reference of the books has every table, and beneath it every column."""
    page = (ROOT / "docs/reference/books.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", page, re.S | re.M))

    section = sections.get(table) or sections["For the program"]
    assert f"`{column}`" in section


def reject_codes() -> set[str]:
    """Return every reject code that the source has."""
    text = "\n".join(file.read_text(encoding="utf-8") for file in SOURCES)
    of_lines = {outcome.code for outcome in Outcome if outcome > Outcome.CONTINUED}
    return set(re.findall(r'\bcode="(\w+)"', text)) | of_lines | {"conflict"}


@pytest.mark.parametrize("code", sorted(reject_codes()))
def test_a_reject_code_is_described(code):
    """The reference has every reject code."""
    assert f"| `{code}` |" in (ROOT / "docs/reference/reject-codes.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("room", [room for room in ROOMS if not room.startswith("__")])
def test_a_room_has_its_place_in_the_architecture(room):
    """The page on architecture says which ring every room is in, and every module between them."""
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"`(\w+)`", page.partition("## Three rings")[2].partition("\n## ")[0])

    assert room in named
