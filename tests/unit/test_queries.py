"""Queries by name: what a file of queries must look like, and how parts are filled in."""

import pytest
from psycopg2.sql import SQL

from trunkline.database.queries import Queries, parse_queries


def test_queries_are_split_at_their_names():
    """Heading and comment are taken off; what is left is the query."""
    one = "-- name: one\n-- Say one.\nselect 1\n\n"
    two = "-- name: two\n-- Say two,\n-- at length.\nselect\n    2\n"

    assert list(parse_queries(f"-- About the file.\n\n{one}{two}")) == [
        ("one", "select 1"),
        ("two", "select\n    2"),
    ]


def test_a_query_without_a_comment_is_refused():
    """Every query says what it is for."""
    with pytest.raises(ValueError, match="query one has no comment"):
        list(parse_queries("-- name: one\nselect 1\n"))


def test_a_query_without_text_is_refused():
    """A heading alone is a mistake in the file."""
    with pytest.raises(ValueError, match="query one has no text"):
        list(parse_queries("-- name: one\n-- Say one.\n"))


def test_a_name_is_used_once():
    """Reading the same file twice would let one query hide another."""
    with pytest.raises(ValueError, match="is used twice"):
        Queries("loading", "loading")


def test_parts_take_the_place_of_braces():
    """What cannot be a parameter is filled in, and nothing else is touched."""
    query = Queries("loading")

    assert query("drop_relations", relations=SQL("x")).as_string(None) == "drop table if exists x"  # type: ignore[arg-type]


def test_a_missing_part_is_an_error():
    """A query is never sent with its braces in it."""
    with pytest.raises(KeyError, match="relation"):
        Queries("loading")("drop_relations")
