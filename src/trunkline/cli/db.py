"""`trunkline db`: the schema of the books, and a way into the database."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlencode

import typer

from trunkline.cli.options import HELP_SETTINGS, Config, DatabaseUrl, Json, Verbose, invocation, resolve, warn
from trunkline.cli.report import print_line
from trunkline.errors import TrunklineError

if TYPE_CHECKING:
    from trunkline.servers import Servers

# Parts of a URL that stand before its options, and passwords, which do not belong there at all.
_NOT_OPTIONS = {"user", "password", "host", "hostaddr", "port", "dbname", "sslpassword"}

db = typer.Typer(no_args_is_help=True, context_settings=HELP_SETTINGS)


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to *app*."""
    app.add_typer(db, name="db", epilog="Example: trunkline db migrate")


@db.callback()
def _db() -> None:
    """Look after the database: schema, access and roles."""


@db.command("migrate", epilog="Example: trunkline db migrate --database-url postgresql://admin@db.example.com/calls")
def migrate(
    context: typer.Context,
    sql: Annotated[bool, typer.Option("--sql", help="Print the SQL of all migrations; connect to nothing.")] = False,
    database_url: DatabaseUrl = None,
    config: Config = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Make or upgrade the schema of the books."""
    from trunkline.database import schema

    shared = invocation(context)
    if sql:
        shared.document["sql"] = schema.migrations_sql()
        if not shared.json:
            print(schema.migrations_sql())
        return
    from trunkline.servers import open_servers

    settings = resolve(database_url=database_url, config=config).settings
    with (
        open_servers(settings, os.environ, warn=warn, patient=False, check=False) as servers,
        closing(servers.connect()) as connection,
    ):
        applied = [f"{migration.version:04} {migration.name}" for migration in schema.migrate(connection)]
        shared.document |= {"database": servers.described, "applied": applied}
        print_line(f"database: {servers.described}")
        print_line(f"applied: {', '.join(applied)}" if applied else "the schema is current")


@db.command("url", epilog='Example: psql "$(trunkline db url)"')
def url(
    context: typer.Context,
    wait: Annotated[bool, typer.Option("--wait", help="Keep the embedded database running until Ctrl-C.")] = False,
    database_url: DatabaseUrl = None,
    config: Config = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Print the URL of the database, without its password."""
    from trunkline.servers import open_servers

    shared = invocation(context)
    settings = resolve(database_url=database_url, config=config).settings
    with open_servers(settings, os.environ, warn=warn, patient=False, check=False) as servers:
        address, _ = _access(servers)
        shared.document["database_url"] = address
        if not shared.json:
            print(address, flush=True)
        if servers.psql and wait:
            _wait(f"{servers.described} runs until Ctrl-C")
        elif servers.psql:
            print_line("the embedded PostgreSQL stops when no trunkline command uses it; '--wait' keeps it running")


@db.command(
    "psql",
    epilog="Example: trunkline db psql -- -c 'select * from customer_call_logs limit 5'",
)
def psql(
    context: typer.Context,
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="-- ARGS", help="Arguments of psql.", show_default=False)
    ] = None,
    database_url: DatabaseUrl = None,
    config: Config = None,
    verbose: Verbose = False,
) -> int:
    """Open psql on the database."""
    from trunkline.servers import open_servers

    settings = resolve(database_url=database_url, config=config).settings
    with open_servers(settings, os.environ, warn=warn, patient=False) as servers:
        program = servers.psql or shutil.which("psql")
        if program is None:
            raise TrunklineError("psql is not on PATH", hint="install the client programs of PostgreSQL")
        address, secrets = _access(servers)
        return _run_in_foreground([str(program), address, *(arguments or [])], secrets)


@db.command("grants", epilog="Example: trunkline db grants --loader trunkline_loader --reader analyst | psql")
def grants(
    context: typer.Context,
    loader: Annotated[str, typer.Option(metavar="ROLE", help="Role that loads.")],
    reader: Annotated[str, typer.Option(metavar="ROLE", help="Role that reads calls and books.")],
    schema: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Schema of call tables.")] = None,
    database_url: DatabaseUrl = None,
    config: Config = None,
    verbose: Verbose = False,
) -> None:
    """Print the SQL that gives roles what they need to load and to read."""
    from trunkline.database.grants import grants_sql
    from trunkline.servers import open_servers

    settings = resolve(database_url=database_url, config=config).settings
    with (
        open_servers(settings, os.environ, warn=warn, patient=False, check=False) as servers,
        closing(servers.connect()) as connection,
    ):
        print(grants_sql(connection, loader=loader, reader=reader, schemas=schema or ["public"]), end="")


def _access(servers: Servers) -> tuple[str, dict[str, str]]:
    """
    Return the URL of the database without its password, and the environment that hands the password to libpq.

    Everybody on a machine can read the arguments of a process, and terminals are recorded.
    """
    from psycopg2.extensions import parse_dsn

    parts = parse_dsn(servers.database_url or "")
    secrets = {"PGPASSWORD": parts["password"]} if "password" in parts else {}
    options = {name: value for name, value in parts.items() if name not in _NOT_OPTIONS}
    separator = "&" if "?" in servers.address else "?"
    return servers.address + (separator + urlencode(options) if options else ""), secrets


def _wait(message: str) -> None:
    print_line(message)
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()


def _run_in_foreground(command: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run *command* on this terminal and return its exit code.  Ctrl-C is its own: psql cancels a query with it."""
    before = signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        with subprocess.Popen(command, env=os.environ | environ) as process:  # noqa: S603 - no shell, and the user's own words
            try:
                return process.wait()
            except BaseException:
                process.terminate()
                raise
    finally:
        signal.signal(signal.SIGINT, before)
