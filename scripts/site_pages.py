"""A hook of mkdocs: writes the pages and excerpts that come from the code, so that they cannot be out of date.

- `reference/cli.md` is made from the commands themselves, `reference/modules.md` from what each module says of itself.
- A line ``<!-- code: trunkline.publishing.publish -->`` in a page is replaced by that function or class as it is in the
  source, a line ``<!-- query: loading.close_loaded -->`` by that named query, and a line
  ``<!-- file: examples/first_pipeline.py -->`` by that file.  What is not found fails the build.
"""

from __future__ import annotations

import ast
import re
import textwrap
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "trunkline"

_EXCERPT = re.compile(r"^<!-- (code|query|file): (\S+?) -->$", re.MULTILINE)


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are made from code."""
    files.append(File.generated(config, "reference/cli.md", content=command_line_page()))
    files.append(File.generated(config, "reference/modules.md", content=modules_page()))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put excerpts of the code in place of the lines that ask for them."""
    return _EXCERPT.sub(lambda found: _EXCERPTS[found[1]](found[2]), markdown)


def code_excerpt(name: str) -> str:
    """Return a function, class or method of the package, as written, named by its dotted path."""
    parts = name.removeprefix("trunkline.").split(".")
    depth = next((depth for depth in range(1, len(parts)) if _module(parts[:depth]).is_file()), None)
    if depth is None:
        raise PluginError(f"no module for the excerpt {name}")
    file = _module(parts[:depth])
    text = file.read_text(encoding="utf-8")
    node: ast.AST = ast.parse(text)
    for part in parts[depth:]:
        node = _member(node, part, name)
    lines = text.splitlines()[_first_line(node) - 1 : node.end_lineno]  # type: ignore[attr-defined]
    return _fenced("python", file, textwrap.dedent("\n".join(lines)))


def _module(parts: list[str]) -> Path:
    return PACKAGE.joinpath(*parts[:-1], f"{parts[-1]}.py")


def query_excerpt(name: str) -> str:
    """Return a named query with its comment, as written."""
    stem, _, query = name.partition(".")
    file = PACKAGE / "sql" / f"{stem}.sql"
    parts = re.split(r"^(?=-- name: )", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = [part for part in parts if part.startswith(f"-- name: {query}\n")]
    if not found:
        raise PluginError(f"no query for the excerpt {name}")
    return _fenced("sql", file, found[0].strip())


def file_excerpt(name: str) -> str:
    """Return a whole file of the repository."""
    file = ROOT / name
    if not file.is_file():
        raise PluginError(f"no file for the excerpt {name}")
    return _fenced(file.suffix[1:].replace("py", "python"), file, file.read_text(encoding="utf-8").rstrip())


_EXCERPTS = {"code": code_excerpt, "query": query_excerpt, "file": file_excerpt}


def _member(node: ast.AST, part: str, name: str) -> ast.AST:
    for child in ast.iter_child_nodes(node):
        if getattr(child, "name", None) == part:
            return child
        targets = child.targets if isinstance(child, ast.Assign) else [getattr(child, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == part for target in targets):
            return child
    raise PluginError(f"{part} of the excerpt {name} is not there any more")


def _first_line(node: Any) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))])


def _fenced(language: str, file: Path, text: str) -> str:
    return f'```{language} title="{file.relative_to(ROOT).as_posix()}"\n{text}\n```'


def modules_page() -> str:
    """Return what every module says of itself, as Markdown."""
    parts = [
        "# Modules",
        "What each module of the package says it is for. [Architecture](../architecture.md) orders them.",
    ]
    for file in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(file.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        if name.startswith("__"):
            continue
        job = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
        # The errors draw a tree, the guard describes its input in columns: both only read well as they are written.
        text = f"```text\n{job}\n```" if re.search("├──|^    ", job, re.MULTILINE) else job
        parts += [f"## `{name}`", text]
    return "\n\n".join(parts) + "\n"


def command_line_page() -> str:
    """Return the reference of all commands as Markdown."""
    from typer.main import get_command

    from trunkline.cli.app import app

    parts = [
        "# Command line",
        "This page is made from the commands themselves. `trunkline COMMAND --help` says the same. "
        "An option that shows an environment variable can also stand in `trunkline.toml`: see [settings](settings.md).",
        "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a source was refused, 130 and 143 ended by SIGINT or SIGTERM. "
        "Failed outranks refused.",
        *_command(get_command(app), "trunkline", level=1),
    ]
    return "\n\n".join(parts) + "\n"


def _command(command: Any, path: str, *, level: int) -> list[str]:
    parts = []
    if level > 1:
        parts.append(f"{'#' * level} {path}")
    if command.help:
        parts.append(" ".join(command.help.split()))
    if level > 1:
        arguments = [_metavar(param) for param in command.params if param.param_type_name == "argument"]
        parts.append("```text\n" + " ".join([path, "[OPTIONS]", *arguments]) + "\n```")
    if command.epilog:
        title, _, example = command.epilog.partition(": ")
        parts.append(f"{title}:\n\n```console\n$ {example}\n```")
    rows = [_row(param) for param in command.params if param.name != "help" and not getattr(param, "hidden", False)]
    if rows:
        parts.append("\n".join(("| | |", "|---|---|", *rows)))
    for name, child in getattr(command, "commands", {}).items():
        parts += _command(child, f"{path} {name}", level=min(level + 1, 3))
    return parts


def _metavar(param: Any) -> str:
    return param.metavar or param.name.upper()


def _row(param: Any) -> str:
    text = _cell(getattr(param, "help", None) or "")
    if param.param_type_name == "argument":
        return f"| `{_cell(_metavar(param))}` | {text} |"
    names = ", ".join(f"`{name}`" for name in param.opts)
    value = "" if param.is_flag else f" `{_cell(_metavar(param))}`"
    shown = isinstance(param.default, int | float | str) and not isinstance(param.default, bool)
    default = f" Default: {param.default}." if shown and param.default != "" else ""
    required = " Required." if param.required else ""
    return f"| {names}{value} | {text}{default}{required} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
