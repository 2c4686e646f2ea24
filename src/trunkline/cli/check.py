"""`trunkline check`: what a run would do, printed as a run prints it, with the same exit code."""

from __future__ import annotations

import typer

from trunkline.cli.options import (
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
    WrongZone,
    invocation,
)
from trunkline.cli.report import print_line
from trunkline.cli.run import AllowEmpty, FeedName, MaxRejects, Reload, Sources, account_for, what_to_load


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to *app*."""
    app.command("check", epilog="Example: trunkline check calls.csv --layout customer_call_logs")(check)


def check(
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
    config: Config = None,
    max_rejects: MaxRejects = None,
    wrong_zone: WrongZone = None,
    reload: Reload = False,
    allow_empty: AllowEmpty = False,
    json: Json = False,
    verbose: Verbose = False,
) -> int:
    """Say exactly what a run would load, count as duplicates and reject; write nothing."""
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
        max_rejects=max_rejects,
        wrong_zone=wrong_zone,
        reload=reload or None,
        allow_empty=allow_empty or None,
    )
    invocation(context).document["checked"] = True
    code = account_for(context, wanted, settings, check=True)
    print_line("checked only: nothing was written")
    return code
