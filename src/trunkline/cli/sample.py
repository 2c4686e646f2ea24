"""`trunkline sample`: write realistic call logs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from trunkline.cli.options import OUTPUT, Json, Verbose, invocation
from trunkline.cli.report import print_line
from trunkline.errors import UsageError

DIRT = "What is wrong with it"


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to *app*."""
    app.command("sample", epilog="Example: trunkline sample --records 1000000 --out calls.csv --dirty 0.01")(sample)


def sample(
    context: typer.Context,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="File to write; - is stdout.")],
    records: Annotated[int, typer.Option("--records", "-n", metavar="N", help="Lines after the header.")] = 1_000,
    layout: Annotated[str, typer.Option(metavar="NAME", help="Layout to write.")] = "customer_call_logs",
    days: Annotated[int, typer.Option(metavar="N", help="Days over which the calls spread.")] = 90,
    seed: Annotated[int, typer.Option(metavar="N", help="Another seed gives other calls.")] = 1,
    dirty: Annotated[
        float, typer.Option(metavar="P", help="Share of records to damage, 0 to 1.", rich_help_panel=DIRT)
    ] = 0.0,
    duplicates: Annotated[
        float, typer.Option(metavar="P", help="Share of exact repeats, 0 to 1.", rich_help_panel=DIRT)
    ] = 0.0,
    conflicts: Annotated[
        float,
        typer.Option(metavar="P", help="Share of repeats in which a value differs, 0 to 1.", rich_help_panel=DIRT),
    ] = 0.0,
    too_long: Annotated[
        int, typer.Option("--too-long", metavar="N", help="Records to make longer than 1 MiB.", rich_help_panel=DIRT)
    ] = 0,
    torn: Annotated[bool, typer.Option("--torn", help="Break off in the last record.", rich_help_panel=DIRT)] = False,
    manifest: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write here which line was damaged how.", rich_help_panel=OUTPUT),
    ] = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Write realistic call logs of any size, the same ones for the same seed."""
    from trunkline.sample.writer import write_sample

    shared = invocation(context)
    to_stdout = str(out) == "-"
    if to_stdout and shared.json:
        raise UsageError("--json and --out - both write to stdout", hint="write the sample to a file")
    written = write_sample(
        sys.stdout.buffer if to_stdout else out,
        records=records,
        seed=seed,
        layout=layout,
        dirty=dirty,
        duplicates=duplicates,
        conflicts=conflicts,
        too_long=too_long,
        torn=torn,
        days=days,
        manifest=manifest,
    )
    shared.document |= {"out": str(out), "layout": layout} | written.to_dict()
    bad = f"{written.rejected_by.total():,} damaged, {written.duplicates:,} repeated"
    print_line(f"{out}: {written.records:,} records, {written.bytes / 1e6:,.1f} MB, {bad}")
