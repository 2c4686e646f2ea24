"""`trunkline run`: load sources, print their books, and choose the exit code."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from trunkline.cli.memory import bound_memory
from trunkline.cli.options import (
    LIMITS,
    WHAT,
    Config,
    Currency,
    DatabaseUrl,
    Encoding,
    Engine,
    Json,
    LayoutName,
    RedisUrl,
    SystemName,
    Timezone,
    Verbose,
    WrongZone,
    invocation,
    resolve,
    warn,
)
from trunkline.cli.report import error_line, print_books, print_line
from trunkline.errors import UsageError
from trunkline.progress import Watch

if TYPE_CHECKING:
    from trunkline.books.account import Books
    from trunkline.settings.resolution import Settings

LOADED, FAILED, REFUSED = 0, 1, 3

Sources = Annotated[
    list[str] | None,
    typer.Argument(metavar="SOURCE", help="Files, folders, globs or URLs; - is stdin.", show_default=False),
]
FeedName = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The sources of a feed of trunkline.toml.", rich_help_panel=WHAT),
]
MaxRejects = Annotated[
    str | None,
    typer.Option(
        metavar="N|N%",
        help="Refuse a source with more rejects than this; no limit without it. (env: TRUNKLINE_MAX_REJECTS)",
        rich_help_panel=LIMITS,
    ),
]
Reload = Annotated[
    bool,
    typer.Option(
        "--reload",
        help="Replace what the same content brought under another key, zone or currency.",
        rich_help_panel=LIMITS,
    ),
]
AllowEmpty = Annotated[
    bool, typer.Option("--allow-empty", help="Accept a glob that matches nothing.", rich_help_panel=LIMITS)
]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to *app*."""
    app.command("run", epilog="Example: trunkline run calls.csv --layout customer_call_logs")(run)


def run(
    context: typer.Context,
    sources: Sources = None,
    feed: FeedName = None,
    layout: LayoutName = None,
    system: SystemName = None,
    timezone: Timezone = None,
    currency: Currency = None,
    encoding: Encoding = None,
    database_url: DatabaseUrl = None,
    redis_url: RedisUrl = None,
    engine: Engine = None,
    config: Config = None,
    max_rejects: MaxRejects = None,
    wrong_zone: WrongZone = None,
    reload: Reload = False,
    allow_empty: AllowEmpty = False,
    json: Json = False,
    verbose: Verbose = False,
) -> int:
    """Load call logs into PostgreSQL, every call once."""
    wanted, settings = what_to_load(
        sources,
        feed=feed,
        layout=layout,
        system=system,
        timezone=timezone,
        currency=currency,
        encoding=encoding,
        database_url=database_url,
        redis_url=redis_url,
        engine=engine,
        config=config,
        max_rejects=max_rejects,
        wrong_zone=wrong_zone,
        reload=reload or None,
        allow_empty=allow_empty or None,
    )
    return account_for(context, wanted, settings, check=False)


def what_to_load(sources: Sequence[str] | None, **flags: object) -> tuple[Sequence[str], Settings]:
    """
    Return the sources and the settings that *flags* ask for.

    Raises:
        UsageError: If no source is named, or the settings cannot be used.
    """
    resolved = resolve(**flags)
    wanted = sources or resolved.paths
    if not wanted:
        raise UsageError("no source is named", hint="name files, folders, globs or URLs, or '--feed NAME'")
    if list(wanted).count("-") > 1:
        raise UsageError("standard input (-) is named twice, and can be read once")
    check_layout(resolved.settings)
    return wanted, resolved.settings


def check_layout(settings: Settings) -> None:
    """
    Make sure that the layout which is named is there and fits the zone and the currency, before any server starts.

    Raises:
        LayoutError: If it is unknown, not well formed, or has no use for what is stated.
    """
    from trunkline.layout.files import load_layout

    if settings.layout:
        layout = load_layout(settings.layout)
        layout.with_overrides(
            timezone=settings.timezone,
            currency=settings.currency,
            system=settings.system,
            encoding=settings.encoding,
            wrong_zone=settings.wrong_zone,
        )


def account_for(context: typer.Context, sources: Sequence[str], settings: Settings, *, check: bool) -> int:
    """Load or only check *sources*; whatever ends it, the books of those that were finished are printed."""
    bound_memory()
    from trunkline.runner import check_sources, run_sources
    from trunkline.servers import open_servers
    from trunkline.settings.server_choice import choose_database

    document = invocation(context).document
    document |= {"database": choose_database(settings, os.environ).described, "sources": []}
    watch = Watch()
    try:
        with open_servers(settings, os.environ, warn=warn) as servers:
            document["database"] = servers.described
            print_line(f"database: {servers.described}")
            with watch:
                (check_sources if check else run_sources)(sources, settings, servers, progress=watch)
            if not watch.finished:
                print_line("nothing to load: no file matches")
    finally:
        document["sources"] = [books.to_dict() for books in watch.finished]
        _account(watch.finished)
    return exit_code(watch.finished)


def _account(finished: Sequence[Books]) -> None:
    """Print the books, then a line for each source that was not loaded."""
    if finished:
        print_books(finished)
    for books in finished:
        if books.status in ("refused", "failed"):
            reason = books.reason or books.status
            print_line(error_line(reason if reason.startswith(books.source) else f"{books.source}: {reason}"))


def exit_code(finished: Sequence[Books]) -> int:
    """Return 0 if every source is loaded or unchanged, 1 if one failed, else 3 as one was refused."""
    ends = {books.status for books in finished}
    if "failed" in ends:
        return FAILED
    return REFUSED if "refused" in ends else LOADED
