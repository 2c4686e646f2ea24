"""A table of calls polluted in the ways that CSV files are, with exactly known damage.

The ways are those that Vitagliano et al. found in open data (Pollock: A Data Loading Benchmark, PVLDB 16, 2023): of
whole files, such as another delimiter, quote or line end, a title, a second header or table; and of one record, in each
place, such as a separator too few or too many, a stray quote, another delimiter.
"""

from __future__ import annotations

from collections.abc import Iterator

Row = tuple[str, ...]

HEADER: Row = ("id", "customer", "started", "note", "remark", "cost")
ROWS: tuple[Row, ...] = tuple(
    (
        str(1001 + number),
        ("Murang'a", "Thika Rd, West", 'Homa "B" Bay', "Voi", "8'9\" East")[number % 5],
        f"2022-01-{1 + number:02} 10:00:{number:02}",
        ("", "asked, twice; then left", "ok")[number % 3],
        "" if number % 4 else "a|b",
        f"{number}.50",
    )
    for number in range(16)
)
_QUOTED = frozenset({3})  # columns that are always in quotes, as programs do with texts


def field(text: str, *, always: bool, delimiter: str = ",", quote: str = '"', escape: str = "double") -> str:
    """Return a field as a program writes it that quotes no more than it must."""
    if not always and not any(mark in text for mark in (delimiter.strip() or delimiter, quote)):
        return text
    inside = {"double": text.replace(quote, quote * 2), "backslash": text.replace(quote, "\\" + quote), "none": text}
    return quote + inside[escape] + quote


def fields(row: Row, **dialect: str) -> list[str]:
    """Return the fields of a record, as they are written."""
    return [field(text, always=place in _QUOTED, **dialect) for place, text in enumerate(row)]


def lines(delimiter: str = ",", **dialect: str) -> list[str]:
    """Return the lines of the table, the header's first."""
    return [delimiter.join(fields(row, delimiter=delimiter, **dialect)) for row in (HEADER, *ROWS)]


def source(written: list[str], end: str = "\r\n") -> bytes:
    """Return a file of these lines."""
    return "".join(line + end for line in written).encode()


def polluted_records(row: Row) -> Iterator[tuple[str, str]]:
    """Yield each way to damage a record in one place: its name, and the line."""
    good = fields(row)
    for place, text in enumerate(good):
        before, behind = good[:place], good[place + 1 :]
        if behind:
            yield f"separator lost behind {place}", ",".join([*before, text + behind[0], *behind[1:]])
        yield f"separator too many before {place}", ",".join([*before, "", text, *behind])
        stray = f'""{text[1:]}' if text.startswith('"') else f'"{text}'
        yield f"stray quote before {place}", ",".join([*before, stray, *behind])
    yield "separator too many at the end", ",".join([*good, ""])
    for delimiter in " ;\t|":
        yield f"delimiter {delimiter!r}", delimiter.join(good)
    yield "all in one field", field(",".join(good), always=True)


def polluted_files() -> Iterator[tuple[str, bytes]]:
    """Yield each way to pollute a file as a whole in which all of its records can be told: its name, and the file."""
    good = lines()
    less = [",".join(fields(row)[:-1]) for row in (HEADER, *ROWS)]
    more = [",".join([*fields(row), "x"]) for row in (HEADER, *ROWS)]
    yield "clean", source(good)
    yield "no final line end", source(good)[:-2]
    yield "line end twice at the end", source(good) + b"\r\n"
    for end in ("\n", "\r"):
        yield f"line end {end!r}", source(good, end)
    for delimiter in ";\t|^~":
        yield f"delimiter {delimiter!r}", source(lines(delimiter))
    yield "delimiter and blank", source(lines(", "))
    yield "quote '", source(lines(quote="'"))
    yield "escape \\", source(lines(escape="backslash"))
    for times in (1, 2):
        yield f"header {1 + times} times", source([*good[:1] * times, *good])
    yield "title", source(["Calls of January", "", *good])
    yield "title with separators", source(["Calls of January" + "," * 5, "," * 5, *good])
    yield "second table with fewer columns", source(good + less)
    yield "second table with more columns", source(good + more)
    yield "byte order mark", b"\xef\xbb\xbf" + source(good)
    for encoding in ("utf-16", "utf-32"):
        yield encoding, source(good).decode().encode(encoding)


def unreadable_files() -> Iterator[tuple[str, bytes]]:
    """Yield each way to pollute a file after which some or none of its records can be told."""
    good = lines()
    yield "no header", source(good[1:])
    yield "records before the header", source([good[1], good[0], *good[2:]])
    yield "escape lost", source(lines(escape="none"))
    for delimiter in (" ", "::", ",  "):
        yield f"delimiter {delimiter!r}", source(lines(delimiter))
    for name, line in polluted_records(HEADER):
        yield f"header: {name}", source([line, *good[1:]])
