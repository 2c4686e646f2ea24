"""`trunkline verify`: proves where every record of a source is, or that the books agree with the call tables."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from trunkline.cli.books import open_books
from trunkline.cli.options import (
    WHAT,
    Config,
    Currency,
    DatabaseUrl,
    Encoding,
    Json,
    LayoutName,
    RedisUrl,
    SystemName,
    Timezone,
    Verbose,
    invocation,
    warn,
)
from trunkline.cli.report import error_line, print_line, print_table
from trunkline.cli.run import FAILED, LOADED, REFUSED, AllowEmpty, FeedName, Sources, what_to_load
from trunkline.errors import UsageError

if TYPE_CHECKING:
    from trunkline.settings.resolution import Settings
    from trunkline.tracing.findings import Disagreement, Verified

_COLUMNS = ("source", "status", "load", "read", "loaded", "duplicates", "rejected", "filtered", "disagreements")
_TABLE_COLUMNS = ("call_table", "loads", "calls")

OfBooks = Annotated[
    bool,
    typer.Option(
        "--books", help="Compare the books with the call tables instead, without sources.", rich_help_panel=WHAT
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to *app*."""
    app.command("verify", epilog="Example: trunkline verify calls.csv --layout customer_call_logs")(verify)


def verify(
    context: typer.Context,
    sources: Sources = None,
    books: OfBooks = False,
    feed: FeedName = None,
    layout: LayoutName = None,
    system: SystemName = None,
    timezone: Timezone = None,
    currency: Currency = None,
    encoding: Encoding = None,
    database_url: DatabaseUrl = None,
    redis_url: RedisUrl = None,
    config: Config = None,
    allow_empty: AllowEmpty = False,
    json: Json = False,
    verbose: Verbose = False,
) -> int:
    """Read sources again and prove where every record of them is: loaded, a duplicate, a reject or filtered."""
    if books:
        if sources or feed:
            raise UsageError("--books compares the books with the tables", hint="leave the sources out")
        return _verify_books(context, database_url, config)
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
        config=config,
        allow_empty=allow_empty or None,
    )
    return _verify_sources(context, wanted, settings)


def _verify_sources(context: typer.Context, wanted: Sequence[str], settings: Settings) -> int:
    """Verify sources; whatever ends it, what was found of those that were finished is printed."""
    from trunkline.progress import Watch
    from trunkline.servers import open_servers
    from trunkline.tracing.verifying import verify_sources

    shared = invocation(context)
    finished: list[Verified] = []
    try:
        with open_servers(settings, os.environ, warn=warn) as servers:
            shared.document["database"] = servers.described
            print_line(f"database: {servers.described}")
            with Watch() as watch:
                finished.extend(verify_sources(wanted, settings, servers, progress=watch))
            if not finished:
                print_line("nothing to verify: no file matches")
    finally:
        shared.document["sources"] = [one.to_dict() for one in finished]
        if not shared.json and finished:
            print_table(_COLUMNS, map(_row, finished))
        for one in finished:
            _tell(one)
    return _exit_code(finished)


def _row(one: Verified) -> list[object]:
    counts = [one.read, one.loaded, one.duplicates, one.rejected, one.filtered]
    return [one.source, one.status.replace("_", " "), one.load_id, *counts, sum(one.disagreements.values())]


def _tell(one: Verified) -> None:
    for note in one.notes:
        print_line(f"{one.source}: {note}")
    if one.reason:
        print_line(error_line(one.reason if one.reason.startswith(one.source) else f"{one.source}: {one.reason}"))
    _tell_examples(one.source, one.examples, one.disagreements)


def _tell_examples(where: str, examples: Iterable[Disagreement], counts: dict[str, int]) -> None:
    """Print the first disagreements of each kind, and how many more there are."""
    told: dict[str, int] = {}
    for one in examples:
        told[one.kind] = told.get(one.kind, 0) + 1
        parts = (one.call_table or where, one.source_line, f"load {one.load_id}" if one.load_id else None, one.kind)
        place = ": ".join(str(part) for part in parts if part is not None)
        print_line(error_line(f"{place}: {one.detail}"))
    for kind, count in sorted(counts.items()):
        if count > told.get(kind, 0):
            print_line(error_line(f"{where}: {kind}: {count - told.get(kind, 0):,} more"))


def _exit_code(finished: Iterable[Verified]) -> int:
    """Return 0 if every source is proved, 1 if one could not be read, else 3."""
    ends = {one.status for one in finished}
    if "failed" in ends:
        return FAILED
    return LOADED if ends <= {"proved"} else REFUSED


def _verify_books(context: typer.Context, database_url: str | None, config: str | None) -> int:
    from trunkline.tracing.auditing import verify_books

    shared = invocation(context)
    with open_books(context, database_url, config) as connection:
        print_line(f"database: {shared.document['database']}")
        audit = verify_books(connection, warn)
    shared.document["books"] = audit.to_dict()
    if not shared.json:
        print_table(_TABLE_COLUMNS, ([one.call_table, one.loads, one.calls] for one in audit.tables))
    counts = dict(audit.findings.by_kind)
    _tell_examples("books", audit.findings.in_order(), counts)
    print_line(f"the books disagree in {sum(counts.values()):,} places" if counts else "the books are proved")
    return REFUSED if counts else LOADED
