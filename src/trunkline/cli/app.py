"""The command line: calls the command that is named (`cli.commands`), and turns every end into one exit code.

Modules of the command line import what a command needs inside its function: pandas, pyarrow, psycopg2 and
pydantic cost up to 1.4 seconds, which `--help`, a typing mistake or a list of loads must not pay.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a source was refused, 130 and 143 ended by SIGINT or SIGTERM.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException
from typer.main import get_command

from trunkline import __version__
from trunkline.cli.commands import ProgramGroup
from trunkline.cli.memory import collect_no_more, collect_rarely
from trunkline.cli.options import HELP_SETTINGS, Invocation
from trunkline.cli.report import error_line, print_line, render_json
from trunkline.errors import TrunklineError, UsageError

FAILED, USAGE = 1, 2
INTERRUPTED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM

app = typer.Typer(
    name="trunkline",
    cls=ProgramGroup,
    help="Load call logs from CSV files into PostgreSQL: every call once, with books that prove it.",
    epilog="Example: trunkline run calls.csv --layout customer_call_logs",
    add_completion=False,
    no_args_is_help=True,
    context_settings=HELP_SETTINGS,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"trunkline {__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Options that stand before a command."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line *arguments*, by default the process's own, and exit."""
    collect_rarely()
    # Arrow's own allocator keeps what it was given: a quarter of the memory of a large load (430 MB, not 330).
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    # To look for plugins, which these models have no use for, pydantic reads the metadata of all that is installed.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    code = execute(sys.argv[1:] if arguments is None else arguments)
    collect_no_more()
    sys.exit(code)


def execute(arguments: Sequence[str]) -> int:
    """Run one command, print what went wrong as one line per cause, and return the exit code."""
    invocation = Invocation()
    try:
        code = _outcome(arguments, invocation)
        if invocation.json and code != USAGE:
            print(render_json(invocation.document))
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has seen enough (`trunkline loads | head`).  Python would complain once
        # more while it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return code


def _outcome(arguments: Sequence[str], invocation: Invocation) -> int:
    try:
        with _sigterm_raises():
            return _call(arguments, invocation)
    except TyperException as error:
        return _wrong_usage(error)
    except TrunklineError as error:
        return _failed(error, invocation)
    except KeyboardInterrupt:
        return _stopped("interrupted", INTERRUPTED, invocation)
    except TerminatedError:
        return _stopped("terminated", TERMINATED, invocation)
    except BrokenPipeError:
        raise
    except Exception as error:
        return _broken(error, invocation)


def _call(arguments: Sequence[str], invocation: Invocation) -> int:
    """Call the command that *arguments* name.  Typer's own `main` would swallow interrupts on the way."""
    command = get_command(app)
    try:
        with command.make_context("trunkline", list(arguments), obj=invocation) as context:
            return int(command.invoke(context) or 0)
    except typer.Exit as end:
        return end.exit_code


class TerminatedError(BaseException):
    """SIGTERM arrived.  Like KeyboardInterrupt no Exception, so that nothing on the way out swallows it."""


@contextlib.contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Unwind on SIGTERM as on SIGINT: connections are closed and the embedded servers are let go."""

    def terminate(number: int, frame: FrameType | None) -> NoReturn:
        raise TerminatedError

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _wrong_usage(error: TyperException) -> int:
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "trunkline"
    message = error.format_message().rstrip(".")
    if message:
        print_line(error_line(f"{message[0].lower()}{message[1:]}; see '{command} --help'"))
    return USAGE


def _failed(error: TrunklineError, invocation: Invocation) -> int:
    for line in _lines(error):
        print_line(error_line(line))
    return _ended(error.exit_code, str(error), invocation)


def _lines(error: TrunklineError) -> Iterator[str]:
    """Yield a line for each thing that is wrong, then for what it came from.  Foreign causes may quote secrets."""
    if isinstance(error, UsageError) and len(error.problems) > 1:
        yield from (f"{error.where}: {problem}" if error.where else problem for problem in error.problems)
    else:
        yield str(error)
    cause = error.__cause__
    if isinstance(cause, TrunklineError) and cause.message not in error.message:
        yield from _lines(cause)


def _broken(error: Exception, invocation: Invocation) -> int:
    """Say that there is a bug, and where, without the foreign message: it may quote a record or a secret."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:  # of a report that goes to a file
        message = "cannot write: no space left on the device"
        print_line(error_line(message))
        return _ended(FAILED, message, invocation)
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else "trunkline"  # noqa: PTH119
    message = f"internal error: {type(error).__name__} at {place}; run it again with -v and report what it prints"
    print_line(error_line(message))
    return _ended(FAILED, message, invocation)


def _stopped(how: str, code: int, invocation: Invocation) -> int:
    message = f"{how}; what was not finished is not loaded, run the same command again to go on"
    print_line(error_line(message))
    return _ended(code, message, invocation)


def _ended(code: int, message: str, invocation: Invocation) -> int:
    invocation.document["error"] = message
    if invocation.verbose:
        traceback.print_exc()
    return code
