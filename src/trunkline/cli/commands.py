"""The commands by name, and the modules that hold them: a module is imported when its command is called or listed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import typer
from typer.core import TyperGroup, TyperOption
from typer.main import get_group

from trunkline.cli.options import HELP_SETTINGS

if TYPE_CHECKING:
    from typer._click import Command, Context
    from typer._click.core import Parameter

MODULES: Final = {
    "run": "run",
    "check": "check",
    "verify": "verify",
    "explain": "explain",
    "inspect": "inspect",
    "gaps": "books",
    "config": "config",
    "sample": "sample",
    "layouts": "layouts",
    "loads": "books",
    "rejects": "rejects",
    "db": "db",
}
"""Each command, in the order of the help, and the module of `trunkline.cli` whose `add_to` adds it."""


class Commands(Mapping[str, "Command"]):
    """The commands, each made when it is first asked for: all of them take as long as 3 of `import psycopg2`."""

    def __init__(self) -> None:
        self._made: dict[str, Command] = {}

    def __getitem__(self, name: str) -> Command:
        if name not in self._made:
            part = typer.Typer()
            import_module(f"trunkline.cli.{MODULES[name]}").add_to(part)
            for command in get_group(part).commands.values():
                _prepare(command)
                self._made[str(command.name)] = command
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(MODULES)

    def __len__(self) -> int:
        return len(MODULES)


class ProgramGroup(TyperGroup):
    """The program itself, whose commands are `Commands`."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes | {"commands": Commands()})

    def get_params(self, ctx: Context) -> list[Parameter]:
        """Return the options that stand before a command."""
        return [_without_type(option) for option in super().get_params(ctx)]


def _prepare(command: Any) -> None:
    """Adapt the options of a command, and of those in it."""
    context = typer.Context(command, help_option_names=HELP_SETTINGS["help_option_names"])
    for option in command.get_params(context):
        _leave_absent(_without_type(option))
    for inner in getattr(command, "commands", {}).values():
        _prepare(inner)


def _leave_absent(option: Any) -> None:
    """Have an option stay None that is not given: typer makes a validator for each, 15 of them for a run."""
    if option.required or option.callback is not None or option.multiple or option.nargs != 1:
        return
    process = option.process_value

    def process_value(ctx: Context, value: Any) -> Any:
        return None if value is None else process(ctx, value)

    option.process_value = process_value


def _without_type(option: Parameter) -> Parameter:
    """Leave out the ``<bool>`` that typer's help writes beside an option which takes no value."""
    if isinstance(option, TyperOption) and option.is_flag:
        option.metavar = ""
    return option
