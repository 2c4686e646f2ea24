"""Delimiters, quotes and encodings of all kinds through a whole run: text arrives as it was written."""

from __future__ import annotations

import contextlib

import pytest

from trunkline.database.connection import connect
from trunkline.runner import run
from trunkline.settings.resolution import Settings

LAYOUT = """
grammar = 1
name = "any"
table = "calls_any"
key = ["call_id"]

[dialect]
{dialect}

[[fields]]
column = "id"
name = "call_id"
type = "text"
required = true

[[fields]]
column = "whom"
name = "callee"
type = "text"
"""


def loaded(database_url, folder, data, dialect="", **settings):
    """Return the calls of a file under a layout with that dialect, by id."""
    (folder / "any.toml").write_text(LAYOUT.format(dialect=dialect), encoding="utf-8")
    (folder / "calls.csv").write_bytes(data)
    resolved = Settings(layout=str(folder / "any.toml"), database_url=database_url, redis_url="none", **settings)
    (books,) = run([str(folder / "calls.csv")], resolved)
    assert (books.status, books.rejected) == ("loaded", 0), books.reason
    with contextlib.closing(connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("select call_id, callee from calls_any order by call_id")
        return dict(cursor.fetchall())


@pytest.mark.parametrize("delimiter", ["\x01", "\x1f", "\t", "|", ";", ":", "~", "^", " ", "\x7f"])
def test_any_delimiter_of_one_byte_can_be_stated(database_url, tmp_path, delimiter):
    """Control characters, too; a field in quotes may hold it."""
    data = f'id{delimiter}whom\n1{delimiter}"a{delimiter}b"\n2{delimiter}c\n'.encode()
    stated = f'delimiter = "\\u{ord(delimiter):04x}"'

    assert loaded(database_url, tmp_path, data, stated) == {"1": f"a{delimiter}b", "2": "c"}


@pytest.mark.parametrize("delimiter", ["\x01", "\x1f", "\t", "|", ";", "~", "^", ":"])
def test_a_delimiter_is_found(database_url, tmp_path, delimiter):
    """Nobody needs to state one that call logs use."""
    data = "".join(f"{one}{delimiter}{other}\n" for one, other in [("id", "whom"), ("1", "a,"), ("2", "b")]).encode()

    assert loaded(database_url, tmp_path, data) == {"1": "a,", "2": "b"}


@pytest.mark.parametrize(
    ("dialect", "record", "text"),
    [
        ('quote = "\'"', "1,'a,\"b'", 'a,"b'),
        ('quote = "\'"', "1,'it''s'", "it's"),
        ("", '1,"say ""hi"""', 'say "hi"'),
        ('escape = "backslash"', r'1,"say \"hi\""', 'say "hi"'),
        ('quote = ""', '1,say "hi"', 'say "hi"'),
    ],
)
def test_quotes_are_read_as_stated(database_url, tmp_path, dialect, record, text):
    """Apostrophes around fields, quotes doubled or escaped, or none at all."""
    assert loaded(database_url, tmp_path, f"id,whom\n{record}\n".encode(), dialect) == {"1": text}


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "cp437", "utf-16-le", "utf-16-be", "utf-32-le"])
def test_an_encoding_can_be_stated_for_a_run(database_url, tmp_path, encoding):
    """Bytes that are no UTF-8 become the characters that were meant."""
    data = "id,whom\n1,Zoë\n".encode(encoding)

    assert loaded(database_url, tmp_path, data, 'encoding = "utf-8"', encoding=encoding) == {"1": "Zoë"}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_a_byte_order_mark_says_more_than_who_runs_it(database_url, tmp_path, encoding):
    """The file itself says what it is."""
    data = "id,whom\n1,Zoë\n".encode(encoding)

    assert loaded(database_url, tmp_path, data, encoding="latin-1") == {"1": "Zoë"}
