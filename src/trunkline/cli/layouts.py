"""`trunkline layouts`: the layouts that come with the program."""

from __future__ import annotations

from typing import Annotated

import typer

from trunkline.cli.options import HELP_SETTINGS, Json, ListsByDefault, Verbose, invocation
from trunkline.cli.report import print_table

layouts = typer.Typer(cls=ListsByDefault, context_settings=HELP_SETTINGS)


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to *app*."""
    app.add_typer(layouts, name="layouts", epilog="Example: trunkline layouts")


@layouts.callback()
def _layouts() -> None:
    """Show the layouts that come with trunkline; alone it lists them."""


@layouts.command("list", epilog="Example: trunkline layouts list --json")
def list_layouts(context: typer.Context, json: Json = False, verbose: Verbose = False) -> None:
    """List the built-in layouts."""
    from trunkline.layout.files import builtin_layouts

    known = builtin_layouts()
    shared = invocation(context)
    shared.document["layouts"] = [
        {"name": layout.name, "status": layout.status, "table": layout.table, "key": list(layout.key)}
        for layout in known
    ]
    if not shared.json:
        rows = ((layout.name, layout.status, layout.table, ", ".join(layout.key)) for layout in known)
        print_table(("layout", "status", "table", "key"), rows)


@layouts.command("show", epilog="Example: trunkline layouts show customer_call_logs > my_layout.toml")
def show_layout(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME|FILE", help="Layout to show.", show_default=False)],
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Print a layout as TOML, to read or as a start for your own."""
    from trunkline.layout.files import layout_text

    shared = invocation(context)
    shared.document |= {"toml": layout_text(name)}
    if not shared.json:
        print(shared.document["toml"], end="")
