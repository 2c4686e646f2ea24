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
                _hide_types_of_flags(command)
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


def _hide_types_of_flags(command: Any) -> None:
    """Leave out the ``<bool>`` that typer's help writes beside an option which takes no value."""
    context = typer.Context(command, help_option_names=HELP_SETTINGS["help_option_names"])
    for option in command.get_params(context):
        _without_type(option)
    for inner in getattr(command, "commands", {}).values():
        _hide_types_of_flags(inner)


def _without_type(option: Parameter) -> Parameter:
    if isinstance(option, TyperOption) and option.is_flag:
        option.metavar = ""
    return option
