"""What people read: tables of books, loads and rejects, and the one form of error lines.  No I/O but printing.

JSON is for programs and goes to stdout alone; `render_json` makes it.  Everything else here is for people.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, TextIO

from trunkline.books.account import Books, Totals
from trunkline.cli.plain_table import plain_lines

if TYPE_CHECKING:
    from rich.table import Table

    from trunkline.errors import TrunklineError

_COLUMNS_TOLD = 5  # that a line of a run names; JSON has all
_SENTENCE_COLUMNS = 16  # narrower, and a message is a word a line


def render_json(document: Mapping[str, Any]) -> str:
    """Return *document* as JSON on one line; exact numbers become text, times ISO 8601, bytes escaped text."""
    return json.dumps(document, default=_plain, ensure_ascii=False)


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, bytes | memoryview):
        return readable(bytes(value))
    if isinstance(value, timedelta):
        return value.total_seconds()
    return str(value)


def readable(raw: bytes) -> str:
    r"""
    Return *raw* as text in which every byte can still be told: what is not printable UTF-8 is escaped.

    >>> readable(b"Nai\xa5robi\x00")
    'Nai\\xa5robi\\x00'
    """
    return _printable(raw.decode("utf-8", "backslashreplace"))


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def error_line(error: TrunklineError | str) -> str:
    """Return *error* as the one line that people and log collectors see: ``trunkline: where: message; hint``."""
    return f"trunkline: {' '.join(str(error).split())}"


def print_line(text: str) -> None:
    """Print one line for people to stderr."""
    print(text, file=sys.stderr, flush=True)


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, file: TextIO | None = None, header: bool = True
) -> None:
    """
    Print rows under *columns* to *file*, stdout by default.

    Numbers are set to the right.  In a pipe each row is a line of its own, and nothing is cut.  On a terminal sentences
    wrap; where it is too narrow even so, each row is printed as a block, a column a line, as psql's expanded display
    does.
    """
    stream = file or sys.stdout
    cells = [list(row) for row in rows]
    if stream.isatty():
        _draw(columns, cells, stream, header=header)
        return
    texts = [[_printable(cell(value)) for value in row] for row in cells]
    right = _numeric(columns, cells) if header else ()
    for line in plain_lines([columns, *texts] if header else texts, right=right):
        print(line, file=stream)


def _draw(columns: Sequence[str], cells: Sequence[Sequence[object]], terminal: TextIO, *, header: bool) -> None:
    """Draw a table on a terminal."""
    from rich.console import Console

    console = Console(file=terminal, highlight=False)
    if not (header and cells and _least_width(columns, cells) > console.width):
        console.print(_table(columns, cells, ruled=header, header=header))
        return
    for row in cells:
        known = [(name, value) for name, value in zip(columns, row, strict=True) if cell(value)]
        console.print(_table(("column", "value"), known, ruled=False, header=False))
        console.print()


def _numeric(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> set[int]:
    """Return the places of the columns that hold nothing but numbers."""
    numbers = int | float | Decimal | None
    return {place for place in range(len(columns)) if rows and all(isinstance(row[place], numbers) for row in rows)}


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, ruled: bool, header: bool) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    look = {"box": box.SIMPLE_HEAD, "padding": (0, 1, 0, 0)} if ruled else {"box": None}
    table = Table(pad_edge=False, show_header=header, **look)
    numeric = _numeric(columns, rows) if header else set()
    for place, column in enumerate(columns):
        justify: Literal["left", "right"] = "right" if place in numeric else "left"
        table.add_column(column, justify=justify, overflow="fold", no_wrap=place in numeric)
    for row in rows:
        table.add_row(*(Text(cell(value)) for value in row))  # Text: a name like "[red]" is not markup
    return table


def _least_width(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> int:
    """Return the characters a ruled table needs if only sentences wrap, and not in the middle of a short word."""
    from rich.cells import cell_len

    def least(text: str) -> int:
        words = text.split()
        longest = max((cell_len(word) for word in words), default=0)
        return min(longest, _SENTENCE_COLUMNS) if len(words) > 1 else longest

    widths = [
        max(cell_len(column), *(least(cell(row[number])) for row in rows)) for number, column in enumerate(columns)
    ]
    return sum(widths) + 2 * len(columns)


def print_facts(facts: Mapping[str, object]) -> None:
    """Print one thing to stdout, a fact a line; what is not known is left out."""
    known = [(name, value) for name, value in facts.items() if value not in (None, "")]
    print_table(("fact", "value"), known, header=False)


def cell(value: object) -> str:
    """
    Return *value* as a person reads it.

    >>> cell(2000000), cell(None), cell({"USD": "13.70"})
    ('2,000,000', '', '13.70 USD')
    """
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.2f}"
        case Decimal():
            return f"{value:,f}"
        case datetime():
            return value.isoformat(sep=" ", timespec="seconds")
        case bytes() | memoryview():
            return readable(bytes(value))
        case Mapping():
            return ", ".join(f"{cell(part)} {name}".strip() for name, part in value.items())
    return str(value)


BOOKS_COLUMNS = (
    "source",
    "status",
    "load",
    "read",
    "loaded",
    "duplicates",
    "rejected",
    "filtered",
    "duration_s",
    "cost",
)


def print_books(books: Sequence[Books]) -> None:
    """Print the books of a run as a table to stderr, with a line of sums where there are several sources to add up."""
    entries = [entry.to_dict() for entry in books]
    rows = [_books_row(entry) for entry in entries]
    summed = len(books) > 1 and any(entry.status != "unchanged" for entry in books)
    print_table(BOOKS_COLUMNS, [*rows, *([_sums(books)] if summed else [])], file=sys.stderr)
    begun = (entry for entry in books if entry.layout is not None and (entry.load_id is not None or entry.read))
    for line in dict.fromkeys(read_as(str(entry.layout), entry.timezone, entry.currency) for entry in begun):
        print_line(line)
    for line in dict.fromkeys(_not_loaded(entry) for entry in books if entry.unknown_columns):
        print_line(line)
    for entry in books:
        if entry.trailer is not None and entry.trailer["agrees"]:
            print_line(f"{entry.source}: its trailer agrees: {_stated(entry.trailer)}")
    hits, misses = (sum(entry["cache"][name] for entry in entries) for name in ("hits", "misses"))
    if hits or misses:
        print_line(f"cache: {_counted(hits, 'hit')}, {_counted(misses, 'miss', 'misses')}")
    rejected = sum((entry["rejected"] for entry in entries), 0)
    if rejected:
        loads = [str(entry["load_id"]) for entry in entries if entry["rejected"] and entry["load_id"] is not None]
        hint = f"; see 'trunkline rejects list --load {loads[0]}'" if loads else ""
        print_line(f"{rejected:,} rejected: {_by_code(entries)}{hint}")


def read_as(layout: str, timezone: str, currency: str) -> str:
    """
    Return what a source is read as: no zone and no currency is assumed in silence.

    >>> read_as("customer_call_logs", "Africa/Nairobi", "USD")
    'read as customer_call_logs: times in Africa/Nairobi, amounts in USD'
    >>> read_as("twilio", "", "")
    'read as twilio'
    """
    stated = (("times in", timezone), ("amounts in", currency))
    said = ", ".join(f"{what} {value}" for what, value in stated if value)
    return f"read as {layout}" + (f": {said}" if said else "")


def _stated(trailer: Mapping[str, Any]) -> str:
    stated = ", ".join(f"{name} {one['stated']}" for name, one in trailer.items() if name != "agrees")
    return stated or "nothing to compare"


def _not_loaded(books: Books) -> str:
    """Return which columns were not loaded as calls: nobody should find out a year later."""
    names = ", ".join(name or "one without a name" for name in books.unknown_columns[:_COLUMNS_TOLD])
    rest = len(books.unknown_columns) - _COLUMNS_TOLD
    more = f" and {rest} more" if rest > 0 else ""
    return f"columns that {books.layout} does not know are not loaded: {names}{more}"


def _counted(count: int, one: str, more: str | None = None) -> str:
    return f"{count:,} {one if count == 1 else more or one + 's'}"


def _books_row(entry: Mapping[str, Any]) -> list[object]:
    counts = [entry[name] for name in ("read", "loaded", "duplicates", "rejected", "filtered")]
    totals = entry["totals"]
    cost = {currency: Decimal(amount) for currency, amount in totals["cost"].items()}
    return [entry["source"], entry["status"], entry["load_id"], *counts, totals["duration_s"], cost]


def _sums(books: Sequence[Books]) -> list[object]:
    """Return a row that adds up what this run did: a source that is unchanged was loaded before."""
    done = [entry for entry in books if entry.status != "unchanged"]
    names = ("read", "loaded", "duplicates", "rejected", "filtered")
    cost: dict[str, Decimal] = {}
    for entry in done:
        for currency, amount in entry.totals.cost.items():
            cost[currency] = cost.get(currency, Decimal(0)) + amount
    totals = Totals(duration_s=sum((entry.totals.duration_s for entry in done), Decimal(0)), cost=cost)
    sums = {name: sum(getattr(entry, name) for entry in done) for name in names}
    return _books_row({"source": "this run", "status": "", "load_id": None, "totals": totals.to_dict()} | sums)


def _by_code(entries: Iterable[Mapping[str, Any]]) -> str:
    sums: dict[str, int] = {}
    for entry in entries:
        for code, count in entry["rejected_by"].items():
            sums[code] = sums.get(code, 0) + count
    return ", ".join(f"{count:,} {code}" for code, count in sorted(sums.items()))
