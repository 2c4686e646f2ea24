"""`trunkline rejects`: records that were not loaded, listed, exported, sent again, given up."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trunkline.cli.books import LIMIT, WHICH, Limit, open_books
from trunkline.cli.options import (
    HELP_SETTINGS,
    OUTPUT,
    Config,
    Currency,
    DatabaseUrl,
    Encoding,
    Json,
    LayoutName,
    ListsByDefault,
    SystemName,
    Timezone,
    Verbose,
    WrongZone,
    invocation,
    resolve,
    warn,
)
from trunkline.cli.report import error_line, print_books, print_facts, print_line, print_table
from trunkline.errors import UsageError

if TYPE_CHECKING:
    from trunkline.books.reading import RejectEntry, Which
    from trunkline.replaying import Replayed

_LEGEND = "digits are shown as 9, letters as a; 'trunkline rejects show ID' shows the record itself"
_COLUMNS = ("reject", "load", "place", "field", "code", "message", "state")
_AGE = re.compile(r"([0-9]{1,6})(m|h|d|w)")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

Ids = Annotated[list[int] | None, typer.Argument(metavar="ID", help="Numbers of rejects.", show_default=False)]
Load = Annotated[int | None, typer.Option(metavar="ID", help="Of this load.", rich_help_panel=WHICH)]
Code = Annotated[str | None, typer.Option(metavar="CODE", help="With this code.", rich_help_panel=WHICH)]
FieldName = Annotated[str | None, typer.Option(metavar="FIELD", help="In this field.", rich_help_panel=WHICH)]
StateName = Annotated[
    str | None, typer.Option(metavar="STATE", help="open, replayed or discarded.", rich_help_panel=WHICH)
]
OlderThan = Annotated[
    str | None,
    typer.Option(metavar="AGE", help="Rejected longer ago than this: 30m, 12h, 7d, 4w.", rich_help_panel=WHICH),
]
NewerThan = Annotated[str | None, typer.Option(metavar="AGE", help="Rejected within this time.", rich_help_panel=WHICH)]

rejects = typer.Typer(cls=ListsByDefault, context_settings=HELP_SETTINGS)


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to *app*."""
    app.add_typer(rejects, name="rejects", epilog="Example: trunkline rejects list --load 41")


@rejects.callback()
def _rejects() -> None:
    """Show, export, replay or discard records that were not loaded; alone it lists the last ones."""


@rejects.command("list", epilog="Example: trunkline rejects list --load 41 --code bad_money")
def list_rejects(
    context: typer.Context,
    load: Load = None,
    code: Code = None,
    field: FieldName = None,
    state: StateName = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    limit: Limit = LIMIT,
    database_url: DatabaseUrl = None,
    config: Config = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """List rejects with place, code and message, those of the last load first."""
    from trunkline.books import reading as ledger

    which = _which(load=load, code=code, field=field, state=state, older_than=older_than, newer_than=newer_than)
    with open_books(context, database_url, config) as connection:
        entries = ledger.list_rejects(connection, which, limit=limit)
        count = ledger.count_rejects(connection, which)
    shared = invocation(context)
    shared.document |= {"count": count, "rejects": [_reject_dict(entry) for entry in entries]}
    if not shared.json:
        print_table(_COLUMNS, (_reject_row(entry) for entry in entries))
        if any(entry.field for entry in entries):
            print_line(_LEGEND)
        elif not entries:
            print_line("no rejects")
    if count > len(entries):
        print_line(f"{len(entries):,} of {count:,} rejects; '--limit {count}' lists all")


@rejects.command("show", epilog="Example: trunkline rejects show 1207")
def show_reject(
    context: typer.Context,
    reject: Annotated[int, typer.Argument(metavar="ID", help="Number of the reject.", show_default=False)],
    database_url: DatabaseUrl = None,
    config: Config = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Show one reject with its original bytes, personal values included."""
    from trunkline.books import reading as ledger

    with open_books(context, database_url, config) as connection:
        entry = ledger.show_reject(connection, reject)
    shared = invocation(context)
    shared.document["reject"] = _reject_dict(entry)
    if not shared.json:
        print_facts(_reject_dict(entry))


@rejects.command("export", epilog="Example: trunkline rejects export --load 41 --out to-correct.csv")
def export_rejects(
    context: typer.Context,
    ids: Ids = None,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="FILE", help="New file to write; - is stdout.", rich_help_panel=OUTPUT),
    ] = Path("-"),
    for_spreadsheet: Annotated[
        bool,
        typer.Option(
            "--for-spreadsheet",
            help="Write a table to look at in a spreadsheet, formulas escaped; it cannot be loaded.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    load: Load = None,
    code: Code = None,
    field: FieldName = None,
    state: StateName = "open",
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    database_url: DatabaseUrl = None,
    config: Config = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Write rejects as their source had them, header and original bytes, to be edited and loaded."""
    from trunkline.books.exporting import export_records, export_spreadsheet, loading_options
    from trunkline.database.errors import translated

    shared = invocation(context)
    if str(out) == "-" and shared.json:
        raise UsageError("--json and --out - both write to stdout", hint="write the rejects to a file")
    which = _which(
        ids=ids, load=load, code=code, field=field, state=state, older_than=older_than, newer_than=newer_than
    )
    with open_books(context, database_url, config) as connection, translated(), connection.cursor() as cursor:
        cursor.execute("set transaction isolation level repeatable read, read only")
        written = _write(out, (export_spreadsheet if for_spreadsheet else export_records)(cursor, which))
        options = loading_options(cursor, which)
    shared.document |= {"out": str(out), "bytes": written}
    if str(out) != "-":
        command = shlex.join(["trunkline", "run", str(out), *options])
        next_step = "not for loading" if for_spreadsheet else f"correct it and load it: {command}"
        print_line(f"{out}: {written:,} bytes; {next_step}")


@rejects.command("replay", epilog="Example: trunkline rejects replay --load 41 --code bad_money")
def replay_rejects(
    context: typer.Context,
    ids: Ids = None,
    load: Load = None,
    code: Code = None,
    field: FieldName = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    layout: LayoutName = None,
    system: SystemName = None,
    timezone: Timezone = None,
    currency: Currency = None,
    encoding: Encoding = None,
    wrong_zone: WrongZone = None,
    database_url: DatabaseUrl = None,
    config: Config = None,
    json: Json = False,
    verbose: Verbose = False,
) -> int:
    """Send open rejects through the pipeline again, with today's layout; what is loaded is settled."""
    from trunkline.cli.run import check_layout, exit_code
    from trunkline.replaying import replay_rejects as replay
    from trunkline.servers import open_servers

    which = _which(ids=ids, load=load, code=code, field=field, older_than=older_than, newer_than=newer_than)
    settings = resolve(
        layout=layout,
        system=system,
        timezone=timezone,
        currency=currency,
        encoding=encoding,
        wrong_zone=wrong_zone,
        database_url=database_url,
        config=config,
    ).settings
    check_layout(settings)
    shared = invocation(context)
    shared.document |= {"database": None, "sources": []}
    with open_servers(settings, os.environ, warn=warn) as servers:
        shared.document["database"] = servers.described
        print_line(f"database: {servers.described}")
        replayed = replay(which, settings, servers)
    shared.document["sources"] = [one.to_dict() for one in replayed]
    _account(replayed)
    return exit_code([one.books for one in replayed])


@rejects.command("discard", epilog='Example: trunkline rejects discard --load 41 --code bad_quote --note "test calls"')
def discard_rejects(
    context: typer.Context,
    note: Annotated[str, typer.Option(metavar="TEXT", help="Why they are given up; kept in the books.")],
    ids: Ids = None,
    load: Load = None,
    code: Code = None,
    field: FieldName = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    database_url: DatabaseUrl = None,
    config: Config = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Give open rejects up, with a reason; their bytes are kept, and they are not replayed."""
    from trunkline.books.settling import discard_rejects as discard

    which = _which(ids=ids, load=load, code=code, field=field, older_than=older_than, newer_than=newer_than)
    if which.is_all:
        raise UsageError(
            "nothing says which rejects to discard", hint="name them, or filter by --load, --code, --field"
        )
    if not note.strip():
        raise UsageError("the note is empty, expected a reason")
    with open_books(context, database_url, config) as connection:
        count = discard(connection, which, note.strip())
    invocation(context).document["discarded"] = count
    print_line(f"{count:,} rejects discarded")


def _which(
    *,
    ids: list[int] | None = None,
    older_than: str | None = None,
    newer_than: str | None = None,
    **filters: Any,
) -> Which:
    from trunkline.books.reading import Which

    return Which(
        ids=tuple(ids) if ids else None, older_than=parse_age(older_than), newer_than=parse_age(newer_than), **filters
    )


def parse_age(text: str | None) -> timedelta | None:
    """
    Return how long *text* says.

    Raises:
        UsageError: If it is not a whole number with a unit.

    >>> parse_age("36h")
    datetime.timedelta(days=1, seconds=43200)
    """
    if text is None:
        return None
    found = _AGE.fullmatch(text)
    if not found:
        raise UsageError(f"found an age of {text!r}, expected such as 30m, 12h, 7d or 4w")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _write(out: Path, parts: Iterable[bytes]) -> int:
    """Write to stdout or to a new file that only its owner may read: it holds personal data."""
    if str(out) == "-":
        return sum(sys.stdout.buffer.write(part) for part in parts)
    first, rest = next(iterator := iter(parts)), iterator  # before the file is made: this may fail
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    except FileExistsError:
        raise UsageError("exists already", where=str(out), hint="name another file") from None
    except OSError as error:
        raise UsageError(f"cannot be written: {error.strerror}", where=str(out)) from error
    with os.fdopen(descriptor, "wb") as file:
        return file.write(first) + sum(file.write(part) for part in rest)


def _account(replayed: list[Replayed]) -> None:
    if not replayed:
        print_line("no open reject is like that: nothing was replayed")
        return
    print_books([one.books for one in replayed])
    for one in replayed:
        if one.books.reason:
            print_line(error_line(f"{one.books.source}: {one.books.reason}"))
        print_line(f"load {one.replays}: {one.sent:,} sent, {one.settled:,} settled, {_stay_open(one)}")


def _stay_open(one: Replayed) -> str:
    by_code = ", ".join(f"{count:,} {code}" for code, count in sorted(one.stay_open_by.items()))
    return f"{sum(one.stay_open_by.values()):,} stay open{f': {by_code}' if by_code else ''}"


def _reject_dict(entry: RejectEntry) -> dict[str, Any]:
    return {name: value for name, value in entry.to_dict().items() if name != "raw" or value is not None}


def _reject_row(entry: RejectEntry) -> list[object]:
    place = f"{entry.source}:{entry.source_line}"
    return [str(entry.id), str(entry.load_id), place, entry.field, entry.code, entry.message, entry.state]
