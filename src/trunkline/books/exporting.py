"""Export rejects: as a file that can be edited and loaded, or as a safe table for a spreadsheet, not to be loaded."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

from trunkline.books.reading import Which
from trunkline.books.settling import Origin, Rejected, form_of, origins, rejects_to_export
from trunkline.errors import UsageError
from trunkline.framing.cutting import SourceForm
from trunkline.framing.records import Damage, split_record
from trunkline.layout.files import builtin_names

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

# What a spreadsheet takes for the beginning of a formula, or drops before one (OWASP, "CSV Injection"); the last
# four are the full-width forms that some take for it too.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_SHOWN_LOADS = 10
_FACTS = ("reject", "load", "line", "code", "field", "message")


def export_records(cursor: Cursor, which: Which) -> Iterator[bytes]:
    """
    Yield a file of rejects as its source had them: what stood before its first record, then the records.

    The bytes are the original ones, in the order of load and line; a line ends as the source's header did, with LF
    where there was none.  A source in UTF-16 or UTF-32 comes in UTF-8, with a byte order mark.

    Raises:
        UsageError: If no reject passes, or they are of sources that cannot be loaded as one: their headers differ, or
            they were read by another layout, or for another system, in another zone or currency.
    """
    found = _found(cursor, which)
    form = _one_form(found)
    end = line_end(form.preamble)
    preamble = form.preamble
    if form.dialect.wide:
        preamble = codecs.BOM_UTF8 + preamble.removeprefix(codecs.BOM_UTF8)
    if form.header and preamble.strip(codecs.BOM_UTF8) and not preamble.endswith((b"\n", b"\r")):
        preamble += end
    yield preamble
    for origin, _ in found:
        for page in rejects_to_export(cursor, origin.load_id, which):
            yield b"".join(reject.raw + end for reject in page)


def export_spreadsheet(cursor: Cursor, which: Which) -> Iterator[bytes]:
    """
    Yield a CSV file for people who look at rejects in a spreadsheet; it cannot be loaded.

    UTF-8 with a byte order mark, commas, CRLF, every field in quotes; a field that a spreadsheet would take for a
    formula begins with an apostrophe.  The columns are called ``text of NAME``, so that no layout takes them for the
    source's.  A record that cannot be split stands whole in the first of them.

    Raises:
        UsageError: If no reject passes.
    """
    found = _found(cursor, which)
    yield codecs.BOM_UTF8
    header: tuple[str, ...] | None = None
    for origin, form in found:
        if form.header != header:
            header = form.header
            yield _row([*_FACTS, *(f"text of {name}" for name in header)])
        for page in rejects_to_export(cursor, origin.load_id, which):
            yield b"".join(_row([*_facts(reject, origin), *_values(reject.raw, form)]) for reject in page)


def loading_options(cursor: Cursor, which: Which) -> list[str]:
    """Return what a run has to be told, beside the name of the exported file, to read it as its source was read."""
    origin = origins(cursor, which)[0]
    dialect = form_of(cursor, origin.load_id).dialect
    is_own = origin.layout not in builtin_names()
    options = ["--layout", f"{origin.layout}.toml" if is_own else origin.layout]
    if origin.system:
        options += ["--system", origin.system]
    if origin.given_timezone:
        options += ["--timezone", origin.given_timezone]
    if not dialect.wide and dialect.encoding != "utf-8":
        options += ["--encoding", dialect.encoding]
    return options


def line_end(preamble: bytes) -> bytes:
    r"""
    Return how the lines of a source end, as its header shows; LF without one.

    >>> line_end(b"a,b\r\n"), line_end(b"")
    (b'\r\n', b'\n')
    """
    if preamble.endswith(b"\r\n"):
        return b"\r\n"
    return b"\r" if preamble.endswith(b"\r") else b"\n"


def safe_cell(text: str) -> str:
    """
    Return *text* as a spreadsheet shows it and calculates nothing.

    >>> safe_cell("=1+1"), safe_cell("+254700123456"), safe_cell("Nairobi")
    ("'=1+1", "'+254700123456", 'Nairobi')
    """
    return f"'{text}" if text.lstrip(" \0\ufeff").startswith(_FORMULA) else text


def _found(cursor: Cursor, which: Which) -> list[tuple[Origin, SourceForm]]:
    found = origins(cursor, which)
    if not found:
        raise UsageError("no reject is like that", hint="'trunkline rejects list' lists them; exported are open ones")
    return [(origin, form_of(cursor, origin.load_id)) for origin in found]


def _one_form(found: list[tuple[Origin, SourceForm]]) -> SourceForm:
    """Return how all of these sources were read, if that is one way."""
    _, form = found[0]
    what = "headers" if len({(form.preamble, form.header, form.dialect) for _, form in found}) > 1 else ""
    for name in ("layout", "system", "timezone", "currency"):
        if not what and len({getattr(origin, name) for origin, _ in found}) > 1:
            what = f"a {name}"
    if what:
        loads = [str(origin.load_id) for origin, _ in found]
        more = f" and {len(loads) - _SHOWN_LOADS} more" if len(loads) > _SHOWN_LOADS else ""
        raise UsageError(
            f"these rejects are of loads whose sources do not have {what} in common "
            f"(loads {', '.join(loads[:_SHOWN_LOADS])}{more})",
            hint="export them one by one, with '--load'",
        )
    return form


def _facts(reject: Rejected, origin: Origin) -> list[str]:
    numbers = (reject.id, origin.load_id, reject.source_line)
    return [*map(str, numbers), reject.code, reject.field or "", reject.message]


def _values(raw: bytes, form: SourceForm) -> list[str]:
    fields = split_record(raw, form.dialect)
    parts = [raw] if isinstance(fields, Damage) else fields
    return [part.decode(form.dialect.block_encoding, "replace") for part in parts]


def _row(values: list[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerow([safe_cell(value) for value in values])
    return text.getvalue().encode("utf-8", "replace")
