"""What sources are called: no secrets, nothing that a terminal, a log or PostgreSQL chokes on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.sources.naming import printable, redacted, shown, split_member

SECRET = "s3cret"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("calls.csv", "calls.csv"),
        ("odd?name@x.csv", "odd?name@x.csv"),
        ("C:/calls.csv", "C:/calls.csv"),
        ("s3://bucket/calls@noon.csv", "s3://bucket/calls@noon.csv"),
        ("sftp://me:s3cret@host:22/a.csv", "sftp://host:22/a.csv"),
        ("sftp://me:s3cret@[::1]:22/a.csv", "sftp://[::1]:22/a.csv"),
        ("https://h/a.csv?X-Amz-Signature=s3cret#s3cret", "https://h/a.csv"),
        ("https://h/a.csv?token=a::s3cret", "https://h/a.csv"),
        ("https://h/a.zip?X-Amz-Signature=s3cret::jan.csv", "https://h/a.zip::jan.csv"),
        ("https://me:s3c@ret@h/a.csv", "https://h/a.csv"),
        ("https://[s3cret@h/a.csv?s3cret", "https://h/a.csv"),
        ("simplecache::https://me:s3cret@h/a.csv", "simplecache::https://h/a.csv"),
        ("zip://a.csv::https://me:s3cret@h/a.zip?s3cret", "zip://a.csv::https://h/a.zip"),
        # A password that is not percent-encoded, and a slash too few: not URLs that can be read, but they are shown.
        ("https://me:s/3cret@h/a.csv", "https://***"),
        ("https://me:s?3cret@h/a.csv", "https://***"),
        ("https://me:s#3cret@h/a.csv", "https://***"),
        ("https:/me:s3cret@h/a.csv", "https://***"),
    ],
)
def test_names_hold_no_secrets(name, expected):
    """Users, passwords and queries do not get into books, messages or logs."""
    assert redacted(name) == expected


@given(st.text(min_size=1), st.sampled_from(["sftp", "s3", "https", "ftp"]))
def test_whatever_is_behind_a_question_mark_is_gone(text, scheme):
    """A query or fragment may hold anything, also what looks like another part of a URL or a member."""
    assert SECRET not in redacted(f"{scheme}://host/a.csv?{text}{SECRET}")


@given(st.text(st.characters(codec="utf-8")) | st.binary().map(lambda raw: raw.decode("utf-8", "surrogateescape")))
def test_any_name_becomes_one_printable_line(name):
    """Line ends, escape sequences and bytes that are not UTF-8 are escaped: no log is broken, no text refused."""
    assert printable(name).isprintable()
    assert printable(name).encode("utf-8", "strict").decode() == printable(name)
    assert printable(printable(name)) == printable(name)


def test_a_name_that_is_fine_stays_as_it_is():
    """Spaces, quotes, other scripts and a leading dash need no escape."""
    assert shown("-Звонки 2024's.csv") == "-Звонки 2024's.csv"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("calls.zip::a/b.csv", ("calls.zip", "a/b.csv")),
        ("a.zip::b.zip::c.csv", ("a.zip", "b.zip::c.csv")),
        ("calls.zip::", ("calls.zip::", None)),
        ("calls.csv::x", ("calls.csv::x", None)),
        ("s3://b/calls.Zip::jan.csv", ("s3://b/calls.Zip", "jan.csv")),
        ("x.zip::https://h/a.zip", ("x.zip::https://h/a.zip", None)),
    ],
)
def test_a_member_is_named_behind_its_archive(name, expected):
    """By ``::``, where what stands before it is called .zip, in letters of any case."""
    assert split_member(name) == expected
