"""SQL by name: queries live in `sql/*.sql`, where an editor, a linter and a DBA can read them.

A query starts with a line ``-- name: some_name``, followed by comment lines that say what it is for.
Values are psycopg2 parameters, ``%(load_id)s``; what cannot be a parameter (names of tables and columns)
stands in braces, ``{table}``, and is filled through psycopg2.sql, which quotes it.  A literal brace is
written twice, and so is a literal percent sign in a query that has parameters.
"""

import re
from collections.abc import Iterator, Mapping
from importlib.resources import files

from psycopg2.sql import SQL, Composable, Composed

_HEADING = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


class Queries(Mapping[str, str]):
    """
    The named queries of one or more files of `sql/`.

    As a mapping it holds the text of each query as written; called, it returns a query that can be executed:

        query = Queries("loading")
        cursor.execute(query("drop_relations", relations=Identifier("trunkline_staging", name)))
    """

    def __init__(self, *stems: str) -> None:
        """
        Read `sql/{stem}.sql` for every stem.

        Raises:
            ValueError: If a name is used twice, or a query has no comment or no text.
        """
        self._texts: dict[str, str] = {}
        for stem in stems:
            for name, text in parse_queries(read_sql(stem)):
                if name in self._texts:
                    raise ValueError(f"{stem}.sql: the name {name} is used twice")
                self._texts[name] = text

    def __call__(self, name: str, /, **parts: Composable) -> Composed:
        """Return the query *name* with *parts* in place of its braces.  A missing part is a KeyError."""
        return SQL(self._texts[name]).format(**parts)

    def __getitem__(self, name: str) -> str:
        return self._texts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)


def read_sql(stem: str) -> str:
    """Return the text of `sql/{stem}.sql`."""
    return files("trunkline").joinpath("sql", f"{stem}.sql").read_text(encoding="utf-8")


def parse_queries(text: str) -> Iterator[tuple[str, str]]:
    """
    Yield name and text of each query in *text*; comments between the heading and the query are left out.

    Raises:
        ValueError: If a query has no comment or no text.
    """
    _, *parts = _HEADING.split(text)
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        comment = re.match(r"(?:--[^\n]*\n)+", body)
        if comment is None:
            raise ValueError(f"query {name} has no comment that says what it is for")
        statement = body[comment.end() :].strip()
        if not statement:
            raise ValueError(f"query {name} has no text")
        yield name, statement
