"""Options that several commands share, and what a command hands back to `cli`.  Imports nothing heavy.

Environment names are shown in the help but read by `settings`, which knows where each value came from.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from trunkline.cli.report import error_line, print_line

if TYPE_CHECKING:
    from typer._click import Context

    from trunkline.settings.resolution import Resolved

HELP_SETTINGS = {"help_option_names": ["-h", "--help"]}

WHAT = "What the source is"
WHERE = "Where calls go"
LIMITS = "What is accepted"
OUTPUT = "What is printed"


@dataclass(kw_only=True, slots=True)
class Invocation:
    """
    One run of the program, shared between a command and `cli.execute`.

    Attributes:
        verbose: Show tracebacks.
        json: Write *document* to stdout at the end, whatever the end is, usage errors apart.
        document: What a program reads: the command fills it, a failure adds ``error``.
    """

    verbose: bool = False
    json: bool = False
    document: dict[str, Any] = field(default_factory=lambda: {"version": 1})


def invocation(context: typer.Context) -> Invocation:
    """Return what this run of the program shares."""
    found = context.find_root().obj
    return found if isinstance(found, Invocation) else Invocation()


def _be_verbose(context: typer.Context, value: bool) -> bool:
    invocation(context).verbose |= value
    return value


def _write_json(context: typer.Context, value: bool) -> bool:
    invocation(context).json |= value
    return value


class ListsByDefault(TyperGroup):
    """A group whose `list` need not be said: `trunkline loads --json` is `trunkline loads list --json`."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Put `list` before options that stand alone."""
        has_command = bool(args) and (not args[0].startswith("-") or args[0] in ctx.help_option_names)
        return super().parse_args(ctx, args if has_command else ["list", *args])


Verbose = Annotated[
    bool,
    typer.Option("-v", "--verbose", help="Show tracebacks of errors.", rich_help_panel=OUTPUT, callback=_be_verbose),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json", help="Write one JSON object to stdout, alone.", rich_help_panel=OUTPUT, callback=_write_json
    ),
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL|embedded",
        help="PostgreSQL to use. Without one: PGHOST, PGSERVICE or PGDATABASE if set, else the embedded one."
        " (env: TRUNKLINE_DATABASE_URL)",
        rich_help_panel=WHERE,
    ),
]
RedisUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL|none",
        help="Redis to use as cache: redis://, rediss:// or unix://. (env: TRUNKLINE_REDIS_URL)",
        rich_help_panel=WHERE,
    ),
]
Engine = Annotated[
    str | None,
    typer.Option(
        metavar="threads|dask|dask://HOST:PORT",
        help="Where blocks are worked on: on threads of the run, or by Dask workers. (env: TRUNKLINE_ENGINE)",
        rich_help_panel=WHERE,
    ),
]
Config = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Configuration to read instead of trunkline.toml here or in your configuration folder."
        " (env: TRUNKLINE_CONFIG)",
        rich_help_panel=WHERE,
    ),
]
LayoutName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FILE",
        help="Layout of the sources: a name of 'trunkline layouts', or your own file. Detected if not given."
        " (env: TRUNKLINE_LAYOUT)",
        rich_help_panel=WHAT,
    ),
]
Timezone = Annotated[
    str | None,
    typer.Option(
        metavar="TZ",
        help="Zone of times without one, such as Africa/Nairobi, instead of the layout's. (env: TRUNKLINE_TIMEZONE)",
        rich_help_panel=WHAT,
    ),
]
Currency = Annotated[
    str | None,
    typer.Option(
        metavar="CODE",
        help="ISO 4217 currency of amounts without one, instead of the layout's. (env: TRUNKLINE_CURRENCY)",
        rich_help_panel=WHAT,
    ),
]
Encoding = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Encoding of sources without a byte order mark, such as cp1252, instead of the layout's."
        " (env: TRUNKLINE_ENCODING)",
        rich_help_panel=WHAT,
    ),
]
WrongZone = Annotated[
    str | None,
    typer.Option(
        metavar="refuse|report",
        help="What becomes of a source whose second clocks show that its times are read in a wrong zone, instead of"
        " what the layout says. (env: TRUNKLINE_WRONG_ZONE)",
        rich_help_panel=LIMITS,
    ),
]
SystemName = Annotated[
    str | None,
    typer.Option(
        "--system",
        metavar="NAME",
        help="Switch, PBX or portal that wrote the sources. (env: TRUNKLINE_SYSTEM)",
        rich_help_panel=WHAT,
    ),
]


def resolve(**flags: object) -> Resolved:
    """Return all settings with where each came from, with *flags* before the environment and the file."""
    from trunkline.settings.resolution import resolve_settings

    given = {name: value for name, value in flags.items() if value is not None}
    return resolve_settings(given, os.environ, Path.cwd())


def warn(message: str) -> None:
    """Print what went wrong without ending the work."""
    print_line(error_line(message))
