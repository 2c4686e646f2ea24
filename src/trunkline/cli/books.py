"""`trunkline loads` and `trunkline gaps`: what the books say of loads, and of what is missing between them."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import islice
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
from trunkline.cli.report import print_facts, print_line, print_table

if TYPE_CHECKING:
    from trunkline.books.gaps import Count, Gap
    from trunkline.books.reading import LoadEntry
    from trunkline.database.connection import Connection
    from trunkline.settings.resolution import Settings

WHICH = "Which ones"
LIMIT = 50

Limit = Annotated[
    int, typer.Option("--limit", "-n", metavar="N", min=1, help="At most this many.", rich_help_panel=WHICH)
]

_LOAD_COLUMNS = ("load", "started", "source", "layout", "system", "status", "read", "loaded", "duplicates", "rejected")
_GAP_COLUMNS = ("system", "layout", "stream", "run", "finding", "first", "last", "count", "loads")

loads = typer.Typer(cls=ListsByDefault, context_settings=HELP_SETTINGS)


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to *app*."""
    app.add_typer(loads, name="loads", epilog="Example: trunkline loads")
    app.command("gaps", epilog="Example: trunkline gaps --system pbx-1")(list_gaps)


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
    from trunkline.books.gaps import gap_sums

    with open_books(context, database_url, config) as connection:
        entries = ledger.list_loads(connection, status=status, layout=layout, system=system, limit=limit)
        counts = ledger.list_counts(connection, layout=layout, system=system)
    shown = {(entry.system, entry.books.layout) for entry in entries}
    sums = [entry for entry in gap_sums(counts) if (entry["system"], entry["layout"]) in shown]
    shared = invocation(context)
    shared.document |= {"loads": [_load_dict(entry) for entry in entries], "gaps": sums}
    if not shared.json:
        print_table(_LOAD_COLUMNS, (_load_row(entry) for entry in entries))
        for entry in sums:
            print_line(_sum_words(entry))


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
    from trunkline.books.gaps import gap_sums

    with open_books(context, database_url, config) as connection:
        entry = ledger.show_load(connection, load)
        counts = ledger.list_counts(connection, layout=entry.books.layout, system=entry.system)
    shown = _load_dict(entry) | {"gaps": [_gap_dict(count, gap) for count, gap in _gaps(counts) if load in gap.loads]}
    sums = gap_sums(counts)
    shared = invocation(context)
    shared.document |= {"load": shown, "gaps": sums}
    if not shared.json:
        print_facts(shown | {"gaps": "; ".join(_gap_words(gap) for gap in shown["gaps"])})
        for each in sums:
            print_line(_sum_words(each))


def list_gaps(
    context: typer.Context,
    system: Annotated[str | None, typer.Option(metavar="NAME", help="Of this system.", rich_help_panel=WHICH)] = None,
    layout: Annotated[str | None, typer.Option(metavar="NAME", help="Of this layout.", rich_help_panel=WHICH)] = None,
    limit: Limit = LIMIT,
    database_url: DatabaseUrl = None,
    config: Config = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """List sequence numbers of switches that are missing or there more than once, with the loads around them."""
    from trunkline.books import reading as ledger

    with open_books(context, database_url, config) as connection:
        counts = ledger.list_counts(connection, layout=layout, system=system)
    there = sum(len(count.gaps) for count in counts)
    shared = invocation(context)
    shared.document |= {"count": there, "counts": _first_gaps(counts, limit)}
    if not shared.json:
        print_table(_GAP_COLUMNS, (_gap_row(count, gap) for count, gap in islice(_gaps(counts), limit)))
    missing, repeated = (sum(count.total(kind) for count in counts) for kind in ("missing", "repeated"))
    print_line(f"{missing:,} missing and {repeated:,} repeated numbers in {len(counts):,} counts")
    if there > limit:
        print_line(f"{limit:,} of {there:,} gaps; '--limit {there}' lists all")


@contextmanager
def open_books(context: typer.Context, database_url: str | None, config: str | None) -> Iterator[Connection]:
    """Yield a session on the database whose books are asked for; one that is away is not waited for."""
    with open_books_of(context, resolve(database_url=database_url, config=config).settings) as connection:
        yield connection


@contextmanager
def open_books_of(context: typer.Context, settings: Settings) -> Iterator[Connection]:
    """Yield a session on the database that *settings* choose, as `open_books` does."""
    from trunkline.servers import open_servers

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


def _gaps(counts: Iterable[Count]) -> Iterator[tuple[Count, Gap]]:
    return ((count, gap) for count in counts for gap in count.gaps)


def _first_gaps(counts: Iterable[Count], limit: int) -> list[dict[str, Any]]:
    """Return all counts with what they sum to, but only the first *limit* gaps of all together."""
    told = []
    for count in counts:
        shown = count.to_dict()
        shown["gaps"] = shown["gaps"][:limit]
        limit -= len(shown["gaps"])
        told.append(shown)
    return told


def _sum_words(entry: dict[str, Any]) -> str:
    whose = f"system {entry['system']}, layout {entry['layout']}" if entry["system"] else f"layout {entry['layout']}"
    choice = f" --system {shlex.quote(entry['system'])}" if entry["system"] else ""
    numbers = f"{entry['missing']:,} missing and {entry['repeated']:,} repeated sequence numbers"
    return f"{whose}: {numbers}; see 'trunkline gaps{choice} --layout {entry['layout']}'"


def _gap_row(count: Count, gap: Gap) -> list[object]:
    loads = ", ".join(str(load) for load in gap.loads)
    place = [count.system, count.layout, count.stream, str(count.run)]
    return [*place, gap.kind, str(gap.first), str(gap.last), gap.count, loads]


def _gap_dict(count: Count, gap: Gap) -> dict[str, Any]:
    place = {"stream": count.stream, "run": count.run}
    return place | {"kind": gap.kind, "first": gap.first, "last": gap.last, "loads": list(gap.loads)}


def _gap_words(gap: dict[str, Any]) -> str:
    numbers = f"{gap['first']}" if gap["first"] == gap["last"] else f"{gap['first']} to {gap['last']}"
    return f"{numbers} {gap['kind']}" + (f" in {gap['stream']}" if gap["stream"] else "")
