"""`trunkline loads`: what the books say of loads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trunkline.cli.options import (
    HELP_SETTINGS,
    Config,
    DatabaseUrl,
    Json,
    ListsByDefault,
    Verbose,
    invocation,
    resolve,
    warn,
)
from trunkline.cli.report import print_facts, print_table

if TYPE_CHECKING:
    from trunkline.books.reading import LoadEntry
    from trunkline.database.connection import Connection

WHICH = "Which ones"
LIMIT = 50

Limit = Annotated[int, typer.Option("--limit", "-n", metavar="N", help="At most this many.", rich_help_panel=WHICH)]

_LOAD_COLUMNS = ("load", "started", "source", "layout", "system", "status", "read", "loaded", "duplicates", "rejected")

loads = typer.Typer(cls=ListsByDefault, context_settings=HELP_SETTINGS)


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to *app*."""
    app.add_typer(loads, name="loads", epilog="Example: trunkline loads")


@loads.callback()
def _loads() -> None:
    """Show what was loaded, when, and where every record went; alone it lists the last loads."""


@loads.command("list", epilog="Example: trunkline loads list --status refused")
def list_loads(
    context: typer.Context,
    status: Annotated[
        str | None,
        typer.Option(metavar="STATUS", help="running, loaded, refused or failed.", rich_help_panel=WHICH),
    ] = None,
    layout: Annotated[str | None, typer.Option(metavar="NAME", help="Of this layout.", rich_help_panel=WHICH)] = None,
    system: Annotated[str | None, typer.Option(metavar="NAME", help="Of this system.", rich_help_panel=WHICH)] = None,
    limit: Limit = LIMIT,
    database_url: DatabaseUrl = None,
    config: Config = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """List loads, the last one first."""
    from trunkline.books import reading as ledger

    with open_books(context, database_url, config) as connection:
        entries = ledger.list_loads(connection, status=status, layout=layout, system=system, limit=limit)
    shared = invocation(context)
    shared.document["loads"] = [_load_dict(entry) for entry in entries]
    if not shared.json:
        print_table(_LOAD_COLUMNS, (_load_row(entry) for entry in entries))


@loads.command("show", epilog="Example: trunkline loads show 41")
def show_load(
    context: typer.Context,
    load: Annotated[int, typer.Argument(metavar="ID", help="Number of the load.", show_default=False)],
    database_url: DatabaseUrl = None,
    config: Config = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Show all that the books know of one load."""
    from trunkline.books import reading as ledger

    with open_books(context, database_url, config) as connection:
        entry = ledger.show_load(connection, load)
    shared = invocation(context)
    shared.document["load"] = _load_dict(entry)
    if not shared.json:
        print_facts(_load_dict(entry))


@contextmanager
def open_books(context: typer.Context, database_url: str | None, config: str | None) -> Iterator[Connection]:
    """Yield a session on the database whose books are asked for; one that is away is not waited for."""
    from trunkline.servers import open_servers

    settings = resolve(database_url=database_url, config=config).settings
    with (
        open_servers(settings, os.environ, warn=warn, patient=False) as servers,
        closing(servers.connect()) as connection,
    ):
        invocation(context).document["database"] = servers.described
        yield connection


def _load_dict(entry: LoadEntry) -> dict[str, Any]:
    return entry.to_dict()


def _load_row(entry: LoadEntry) -> list[object]:
    books = entry.books
    place = [books.source, books.layout, entry.system, books.status]
    return [str(entry.id), entry.started_at, *place, books.read, books.loaded, books.duplicates, books.rejected]
