"""`trunkline explain`: the life of one record, named by its place in a source, its load, its reject or its key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from trunkline.cli.books import WHICH, open_books_of
from trunkline.cli.options import (
    Config,
    Currency,
    DatabaseUrl,
    Encoding,
    Json,
    LayoutName,
    SystemName,
    Timezone,
    Verbose,
    invocation,
    resolve,
)
from trunkline.cli.report import print_facts, print_line, print_table
from trunkline.errors import UsageError

if TYPE_CHECKING:
    from trunkline.database.connection import Connection
    from trunkline.settings.resolution import Settings
    from trunkline.tracing.story import Story

_MOST_DIGITS = 18  # of a bigint, with room
_COLUMNS = ("load", "at", "source", "became", "detail")

Place = Annotated[
    str | None,
    typer.Argument(metavar="SOURCE:LINE", help="A source and a line in it, from 1.", show_default=False),
]
Load = Annotated[int | None, typer.Option(metavar="ID", help="A load, with --line.", rich_help_panel=WHICH)]
Line = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="A line of the source of --load.", rich_help_panel=WHICH)
]
Reject = Annotated[int | None, typer.Option(metavar="ID", help="A reject.", rich_help_panel=WHICH)]
Key = Annotated[UUID | None, typer.Option(metavar="UUID", help="The record_key of a call.", rich_help_panel=WHICH)]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to *app*."""
    app.command("explain", epilog="Example: trunkline explain calls.csv:17 --layout customer_call_logs")(explain)


def explain(
    context: typer.Context,
    place: Place = None,
    load: Load = None,
    line: Line = None,
    reject: Reject = None,
    key: Key = None,
    layout: LayoutName = None,
    system: SystemName = None,
    timezone: Timezone = None,
    currency: Currency = None,
    encoding: Encoding = None,
    database_url: DatabaseUrl = None,
    config: Config = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Show what became of one record in every load that met it, without any of its values."""
    _check_choice(place=place, load=load, line=line, reject=reject, key=key)
    named = None if place is None else _split(place)
    settings = resolve(
        layout=layout,
        system=system,
        timezone=timezone,
        currency=currency,
        encoding=encoding,
        database_url=database_url,
        config=config,
    ).settings
    with open_books_of(context, settings) as connection:
        stories = _stories(connection, settings, place=named, load=load, line=line, reject=reject, key=key)
    shared = invocation(context)
    shared.document["records"] = [story.to_dict() for story in stories]
    for story in stories:
        if not shared.json:
            _print_story(story)
        for note in story.notes:
            print_line(note)


def _check_choice(**named: object) -> None:
    """
    Make sure that one record is named, in one way.

    Raises:
        UsageError: With the ways there are.
    """
    given = {name for name, value in named.items() if value is not None}
    if given not in ({"place"}, {"load", "line"}, {"reject"}, {"key"}):
        raise UsageError(
            "name one record",
            hint="SOURCE:LINE, or --load ID --line N, or --reject ID, or --key UUID",
        )


def _stories(
    connection: Connection,
    settings: Settings,
    *,
    place: tuple[str, int] | None,
    load: int | None,
    line: int | None,
    reject: int | None,
    key: UUID | None,
) -> list[Story]:
    from trunkline.tracing import explaining

    if place is not None:
        source, number = place
        return [explaining.explain_place(connection, source, number, settings)]
    if load is not None and line is not None:
        return [explaining.explain_line(connection, load, line, settings)]
    if reject is not None:
        return [explaining.explain_reject(connection, reject, settings)]
    return explaining.explain_key(connection, key, settings) if key else []


def _split(place: str) -> tuple[str, int]:
    source, _, line = place.rpartition(":")
    if not source or not (
        line.isascii() and line.isdecimal() and int(line[:_MOST_DIGITS]) > 0 and len(line) <= _MOST_DIGITS
    ):
        raise UsageError(f"found {place!r}, expected a source and a line, such as calls.csv:17")
    return source, int(line)


def _print_story(story: Story) -> None:
    facts = {
        "record": f"{story.source}:{story.source_line}",
        "block": story.block,
        "byte offset": story.byte_offset,
        "read as": story.read_as,
        "record_key": story.record_key,
        "kept against": ", ".join(
            f"reject {reject} (load {load}, line {line})" for reject, load, line in story.lost_against
        ),
    }
    print_facts(facts)
    print_table(_COLUMNS, [[str(one.load_id), one.at, one.source, one.became, one.detail] for one in story.chapters])
