"""`trunkline config`: every setting with its value and where it came from."""

from __future__ import annotations

import os

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
    invocation,
    resolve,
)
from trunkline.cli.report import print_facts, print_table


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to *app*."""
    app.command("config", epilog="Example: trunkline config --json")(config_)


def config_(
    context: typer.Context,
    layout: LayoutName = None,
    system: SystemName = None,
    timezone: Timezone = None,
    currency: Currency = None,
    encoding: Encoding = None,
    database_url: DatabaseUrl = None,
    redis_url: RedisUrl = None,
    config: Config = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Show every setting and where it came from, secrets masked."""
    resolved = resolve(
        layout=layout,
        system=system,
        timezone=timezone,
        currency=currency,
        encoding=encoding,
        database_url=database_url,
        redis_url=redis_url,
        config=config,
    )
    from trunkline.settings.server_choice import choose_database, choose_redis

    database = choose_database(resolved.settings, os.environ)
    chosen = {
        "configuration": str(resolved.config) if resolved.config else None,
        "database": database.described,
        "cache": choose_redis(resolved.settings, database).described,
    }
    values = resolved.shown()
    shared = invocation(context)
    shared.document |= chosen
    shared.document["settings"] = {name: {"value": value, "origin": origin} for name, value, origin in values}
    if not shared.json:
        print_table(
            ("setting", "value", "from"), ((name, _as_written(value), origin) for name, value, origin in values)
        )
        print_facts(chosen)


def _as_written(value: object) -> str:
    """Return a value as a configuration file has it, a number without separators."""
    return "" if value is None else str(value)
