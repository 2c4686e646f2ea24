"""`trunkline inspect`: a first look at a file, and a layout to edit."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trunkline.cli.options import (
    OUTPUT,
    Config,
    Currency,
    Encoding,
    Json,
    LayoutName,
    SystemName,
    Timezone,
    Verbose,
    invocation,
    resolve,
)
from trunkline.cli.report import error_line, print_line, print_table, read_as
from trunkline.errors import SourceError, UsageError
from trunkline.sources.naming import shown

if TYPE_CHECKING:
    from trunkline.detect.inspection import FirstCalls, Inspection
    from trunkline.settings.resolution import Settings

_SHOWN = 5  # candidates that people see; JSON has all
_LIKELY = 0.1  # confidence from which a layout is worth a line


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to *app*."""
    app.command("inspect", epilog="Example: trunkline inspect calls.csv --write my_calls.toml")(inspect)


def inspect(
    context: typer.Context,
    source: Annotated[
        str, typer.Argument(metavar="FILE", help="File or URL to look at; - is stdin.", show_default=False)
    ],
    layout: LayoutName = None,
    system: SystemName = None,
    timezone: Timezone = None,
    currency: Currency = None,
    encoding: Encoding = None,
    config: Config = None,
    rows: Annotated[
        int, typer.Option("--rows", "-n", metavar="N", min=0, help="First calls to show.", rich_help_panel=OUTPUT)
    ] = 5,
    write: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a layout for it to this new file, to edit.", rich_help_panel=OUTPUT),
    ] = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Show which layout a file is, why, and what its first records become; nothing is loaded."""
    from trunkline.detect.inspection import inspect_source

    settings = resolve(
        layout=layout, system=system, timezone=timezone, currency=currency, encoding=encoding, config=config
    ).settings
    if write is not None:
        _write_layout(write, source, settings)
        settings = settings.model_copy(update={"layout": str(write.absolute())})
    found = inspect_source(source, settings, rows=rows)
    shared = invocation(context)
    shared.document |= _to_dict(found)
    if not shared.json:
        _print(found)
    if found.reason:
        print_line(error_line(f"{found.source}: {found.reason}"))
    if found.layout is None:
        print_line(f"a layout to edit: trunkline inspect {quote(found.source)} --write my_layout.toml")


def _write_layout(path: Path, source: str, settings: Settings) -> None:
    """
    Write a proposed layout to a file that is not there yet.

    Raises:
        UsageError: If it is there: what somebody edited is not overwritten.
        SourceError: If it cannot be written.
    """
    from trunkline.detect.inspection import propose_for

    if path.suffix != ".toml":
        raise UsageError(f'the layout would be written to {path}, expected a name that ends in ".toml"')
    text = propose_for(source, settings, layout_name=path.stem)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{path} is there already", hint="name a new file, or remove it") from None
    except OSError as error:
        raise SourceError(f"cannot be written: {error.strerror}", where=str(path)) from error
    print_line(f"{path}: a layout to edit; load with: trunkline run {quote(shown(source))} --layout {quote(str(path))}")


def _to_dict(found: Inspection) -> dict[str, Any]:
    return {
        "source": found.source,
        "layout": found.layout.name if found.layout else None,
        "reason": found.reason,
        "dialect": asdict(found.dialect),
        "candidates": [
            {"layout": each.layout.name, "confidence": each.confidence, "reasons": list(each.reasons)}
            for each in found.candidates
        ],
        **({} if found.first is None else asdict(found.first)),
    }


def _print(found: Inspection) -> None:
    dialect = found.dialect
    quote = f"quote {dialect.quote}" if dialect.quote else "no quotes"
    header = "header" if dialect.header else "no header"
    delimiter = f"delimiter {dialect.delimiter + ' ' * dialect.blank_after!r}"
    print(f"{found.source}: {dialect.encoding}, {delimiter}, {quote}, {header}\n")
    likely = [each for each in found.candidates if each.confidence >= _LIKELY][:_SHOWN] or found.candidates[:1]
    rows = ((each.layout.name, f"{each.confidence:.2f}", "; ".join(each.reasons)) for each in likely)
    print_table(("layout", "confidence", "why"), rows)
    others = len(found.candidates) - len(likely)
    if others:
        print(f"{others} other layouts fit less; '--json' says why")
    if found.layout is not None:
        print(f"\n{read_as(found.layout.name, found.layout.zones, found.layout.currencies)}")
    if found.first is not None:
        _print_first(found.first)


def _print_first(first: FirstCalls) -> None:
    for rows in (first.calls, first.rejects):
        if rows:
            print()
            print_table(tuple(rows[0]), ([_as_written(value) for value in row.values()] for row in rows))
    by_code = ", ".join(f"{count:,} {code}" for code, count in first.rejected_by.items())
    rejected = f"{sum(first.rejected_by.values()):,} rejects" + (f": {by_code}" if by_code else "")
    print(f"\nin its first 64 KiB: {first.typed:,} calls, {rejected}")
    for warning in first.warnings:
        print(warning)
    for name, found in first.clocks.items():
        print(f"zone of {name}: {found.verdict.replace('_', ' ')}: {found.message}")


def _as_written(value: object) -> object:
    """Return numbers as PostgreSQL would print them: an id has no thousands."""
    return value if value is None else str(value)
