"""The errors that trunkline raises, by what the caller can do about them.

    TrunklineError
    ├── UsageError              fix the command or the call
    │   ├── SettingsError       fix a setting; names where it came from
    │   └── LayoutError         fix the layout file
    ├── SourceError             the source is missing or cannot be read
    │   └── NothingFoundError   a glob or folder stands for no file
    ├── RefusedError            the source was read and not loaded; the call table is as it was
    │   ├── SourceChangedError  it changed while it was read
    │   └── ReloadNeededError   loaded before under another key, zone or currency
    ├── DatabaseError           PostgreSQL said no; trying again does not help
    │   ├── DatabaseAwayError   not reachable or gone in the middle; trying again later helps
    │   ├── DatabaseBusyError   another session was in the way; trying again helps
    │   └── SchemaError         the schema is missing, older or newer than this program
    ├── EmbeddedError           the embedded servers cannot run here
    └── EngineError             the workers of another engine cannot be reached, or cannot do the work

A bad record is not an error but data: it becomes a reject.
"""

from collections.abc import Sequence
from typing import ClassVar, Self


class TrunklineError(Exception):
    """
    Base of all errors that trunkline raises on purpose.

    Attributes:
        message: What was found and what was expected, in one line, without secrets and without values of
            personal fields.
        hint: The next step for the user, or None where the message says it.
        where: What it is about (``calls.csv:17: cost``), or None.
        exit_code: What the command line ends with: 1 failed, 2 usage, 3 refused.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None, where: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.where = where

    def __str__(self) -> str:
        """Return the error in its one form: ``where: message; hint``."""
        return f"{self.where}: {self.reason}" if self.where else self.reason

    @property
    def reason(self) -> str:
        """The message and the next step, for where it is clear what they are about."""
        return f"{self.message}; {self.hint}" if self.hint else self.message


class UsageError(TrunklineError):
    """
    The command or the call cannot mean anything: fix it.

    Attributes:
        problems: All that is wrong, one line each, where there may be more than one thing; else the message alone.
    """

    exit_code = 2

    def __init__(
        self, message: str, *, hint: str | None = None, where: str | None = None, problems: Sequence[str] = ()
    ) -> None:
        super().__init__(message, hint=hint, where=where)
        self.problems = tuple(problems) or (message,)

    @classmethod
    def of(cls, problems: Sequence[str], *, where: str | None = None) -> Self:
        """Return an error that names all *problems*."""
        return cls("; ".join(problems), where=where, problems=problems)


class SettingsError(UsageError):
    """A setting has a value that cannot be used."""


class LayoutError(UsageError):
    """A layout is unknown, ambiguous or not well formed."""


class SourceError(TrunklineError):
    """A source is missing or cannot be read."""


class NothingFoundError(SourceError):
    """A glob or a folder stands for no file."""


class RefusedError(TrunklineError):
    """A source was read and not loaded; the call table is as it was before."""

    exit_code = 3


class SourceChangedError(RefusedError):
    """A source changed while it was being read."""


class ReloadNeededError(RefusedError):
    """The call table holds this content, or this system's calls, under another key, zone or currency."""


class DatabaseError(TrunklineError):
    """
    PostgreSQL refused something; the same again would be refused again.

    Attributes:
        sqlstate: PostgreSQL's error code (its manual, appendix A), or None where there was no reply.
        constraint: The constraint or unique index that was violated, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        where: str | None = None,
        sqlstate: str | None = None,
        constraint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, where=where)
        self.sqlstate = sqlstate
        self.constraint = constraint


class DatabaseAwayError(DatabaseError):
    """PostgreSQL cannot be reached, or went away in the middle."""


class DatabaseBusyError(DatabaseError):
    """Another session was in the way: a deadlock, a lock not given in time, too many connections."""


class SchemaError(DatabaseError):
    """The database schema is missing, or older or newer than this program."""


class EmbeddedError(TrunklineError):
    """The embedded servers are not installed or cannot run here."""


class EngineError(TrunklineError):
    """The workers that blocks were given to cannot be reached, or cannot do the work."""
