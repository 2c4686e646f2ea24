"""Dialects: what is stated, what a sample shows, and what cannot be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import LayoutError, SourceError
from trunkline.framing import sniffing
from trunkline.framing.dialect import SAMPLE_BYTES, ResolvedDialect, resolve_dialect
from trunkline.framing.sniffing import sniff
from trunkline.layout.model import Dialect

CALLS = "1001,$1.20,Nairobi,2022-01-01 10:00:00,00:05:30\n"


@pytest.mark.parametrize(
    ("text", "delimiter", "quote"),
    [
        ("a,b,c\n" + CALLS, ",", '"'),
        (CALLS * 3, ",", '"'),
        (CALLS.replace(",", ";") * 3, ";", '"'),
        (CALLS.replace(",", "\t") * 3, "\t", '"'),
        (CALLS.replace(",", "|") * 3, "|", '"'),
        ("id;cost\n" + "1001;1,20\n" * 300, ";", '"'),
        ("1001;1,20;Nairobi\n" * 3, ";", '"'),
        ('"a,b";"c"\n"d,e";"f"\n', ";", '"'),
        ("'a','b'\n'c,d','e'\n", ",", "'"),
        ("name,town\nO'Brien,x\nD'Arcy,y\n", ",", '"'),
        ("10:00:00\n10:05:00\n", ":", '"'),
        ("a\nb\n", ",", '"'),
        ("", ",", '"'),
        ("\n\n", ",", '"'),
        ("a,b\n" * 20 + "a;b\n" + 'a",b\n', ",", '"'),
        ("a,b\r\na,b\r\n", ",", '"'),
        ("a;b\ra;b\r", ";", '"'),
    ],
)
def test_delimiter_and_quote_are_found(text, delimiter, quote):
    """What gives most lines one width is the separator; times, decimals and names do not mislead."""
    resolved = resolve_dialect(text.encode())

    assert (resolved.delimiter, resolved.quote) == (delimiter, quote)


@pytest.mark.parametrize(
    ("damaged", "delimiter"),
    [(CALLS.replace(",", "", 1), ","), (CALLS.replace(",", ",,", 1), ","), ("1001;1,20;a;b\n", ";")],
)
def test_much_damage_does_not_change_the_delimiter(damaged, delimiter):
    """Four of ten records are damaged; what is once in each of them, as in a time or an amount, is no separator."""
    good = CALLS if delimiter == "," else "1001;1,20;a\n"
    header = "a,b,c,d,e\n" if delimiter == "," else "a;b;c\n"

    assert resolve_dialect((header + good * 60 + damaged * 40).encode()).delimiter == delimiter


@pytest.mark.parametrize(
    ("line", "quote"),
    [
        ("'a','b'\n", "'"),
        ("1,'it's','b'\n", "'"),
        ("1,'b, c',d\n", "'"),
        ("1,'b',d\n", '"'),
        ("1,Murang'a,d\n", '"'),
        ('1,"it\'s",d\n', '"'),
        ('1,b"c,d\n', '"'),
    ],
)
def test_a_quote_must_be_one_in_most_lines_or_explain_more(line, quote):
    """Apostrophes of a name, or one field in them, are data: else every other name would be rejected."""
    others = {"'a','b'\n": "'c','d'\n", "1,'it's','b'\n": "'x','y','z'\n"}.get(line, "1,x,y\n")
    names = "2,O'Brien,y\n" * 3 if quote == '"' else ""

    assert resolve_dialect((others * 2 + line + names).encode()).quote == quote


@pytest.mark.parametrize(
    ("text", "blank_after"),
    [
        ("a, b, c\n1, 2, 3\n", True),
        ('a, "b"\n1, "x, y"\n2, "z"\n3,w\n', True),
        ("a; b\n1; 2\n", True),
        ("a, b\n1,2\n3,4\n", False),
        ("a,b\n1, 2\n3, 4\n", False),
        ("a,  b\n1,  2\n", False),
        ("a, b\n", False),
        ("City, Street\tnote\tmore\nVoi, 1\tx\ty\n", False),
        ('"1","x", "y"\n"2","x", "y"\n', True),
        ('"1","x", "y"\n"2","x","y"\n', False),
        ('"1","say, ""y"""\n"2","say, ""y"""\n', False),
    ],
)
def test_a_blank_after_each_delimiter_belongs_to_it(text, blank_after):
    """In the header and in most records, or else where only that makes records of them; other blanks are data."""
    assert resolve_dialect(text.encode()).blank_after == blank_after


def test_a_blank_can_be_data_all_the_same():
    """What is stated wins."""
    assert not resolve_dialect(b"a, b\n1, 2\n", Dialect(blank_after=False)).blank_after


@pytest.mark.parametrize(
    ("lines", "escape"),
    [
        (['1,"a\\"b"', '2,"c\\"d"'], "backslash"),
        (['1,"a\\"b"', "2,c"], "double"),
        (['1,"a\\"b"', '2,"c\\"d"', '3,"a""b"'], "double"),
        (['1,"a\\"b"', '2,"c\\"d"', '3,"C:\\"'], "double"),
        (['1,"C:\\"', '2,"D:\\"'], "double"),
    ],
)
def test_an_escape_is_found_where_nothing_else_explains_the_quotes(lines, escape):
    """Two records that only a backslash explains are enough, one may be damaged; a record against it is too many."""
    assert resolve_dialect("\n".join(["n,text", *lines, ""]).encode()).escape == escape


def test_a_line_cut_by_the_end_of_the_sample_does_not_count():
    """The last line of a full sample is usually torn; here it would look like another delimiter."""
    sample = (CALLS * 2 + "1;2;3;4;5;6;7;8;9")[:SAMPLE_BYTES].encode()

    assert resolve_dialect(sample).delimiter == ","


def test_what_is_stated_wins():
    """The layout knows better than the sample looks."""
    wanted = Dialect(
        delimiter=";",
        quote="'",
        escape="backslash",
        header=True,
        header_lines=2,
        skip_lines=3,
        encoding="latin1",
        multiline=True,
    )

    assert resolve_dialect(b"a,b\n" * 9, wanted) == ResolvedDialect(
        delimiter=";",
        quote="'",
        escape="backslash",
        header=True,
        header_lines=2,
        skip_lines=3,
        encoding="iso8859-1",
        multiline=True,
    )


def test_without_a_header_no_line_is_one():
    """header = false leaves no header lines."""
    assert resolve_dialect(b"1,2\n", Dialect(header=False)).header_lines == 0


def test_quoting_can_be_off():
    """An empty quote is kept, and the delimiter found without it."""
    resolved = resolve_dialect(b'"a;b\n"c;d\n', Dialect(quote=""))

    assert (resolved.delimiter, resolved.quote) == (";", "")


@pytest.mark.parametrize(
    ("codec", "encoding"),
    [
        ("utf-8-sig", "utf-8"),
        ("utf-16", "utf-16-le"),
        ("utf-32", "utf-32-le"),
    ],
)
def test_a_byte_order_mark_overrides_what_is_stated(codec, encoding):
    """The file itself says what it is."""
    sample = "a;b\nc;d\n".encode(codec)
    resolved = resolve_dialect(sample, Dialect(encoding="cp1252"))

    assert (resolved.encoding, resolved.delimiter) == (encoding, ";")


def test_big_endian_marks_are_known():
    """The other byte order has its marks too."""
    assert resolve_dialect(b"\xfe\xff\0a").encoding == "utf-16-be"
    assert resolve_dialect(b"\0\0\xfe\xff\0\0\0a").encoding == "utf-32-be"


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark_is_not_guessed(codec):
    """It is refused with what to state."""
    with pytest.raises(SourceError, match=r"found a NUL in every other byte.*state dialect\.encoding in the layout"):
        resolve_dialect("a,b\n1,2\n".encode(codec))


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        ({"encoding": "shift_jis"}, "found dialect.encoding 'shift_jis', expected UTF-8, UTF-16, UTF-32"),
        ({"encoding": "utf-16"}, "found dialect.encoding 'utf-16', expected UTF-8, UTF-16, UTF-32 with its byte order"),
        ({"encoding": "utf-7"}, "found dialect.encoding 'utf-7', expected"),
        ({"encoding": "cp037"}, "found dialect.encoding 'cp037', expected"),
        ({"encoding": "rot13"}, "found dialect.encoding 'rot13', expected"),
        ({"delimiter": '"'}, "expected different characters"),
        ({"delimiter": "\\", "escape": "backslash"}, "expected different characters"),
        ({"delimiter": " ", "blank_after": True}, "blank is delimiter or quote"),
    ],
)
def test_dialects_that_cannot_be_are_refused(wanted, problem):
    """With the key and what is expected instead."""
    with pytest.raises(LayoutError) as caught:
        resolve_dialect(b"a,b\n", Dialect.model_construct(**wanted))

    assert problem in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1", "cp1252", "cp850", "koi8-r", "utf-16-le"])
def test_encodings_that_can_be_framed(encoding):
    """Whatever has ASCII in single bytes, and the wide ones by transcoding."""
    assert resolve_dialect(b"a,b\n", Dialect(encoding=encoding)).header


_PIECES = st.sampled_from(["a", "1", "10:15", "O'Brien", '"x"', "'y'", '"', "'", "\\", " ", "", '"a, b"', '\\"z\\"'])
_LINES = st.lists(
    st.one_of(
        st.lists(_PIECES, min_size=1, max_size=5).flatmap(
            lambda pieces: st.sampled_from([",", ";", ":", ", ", "|"]).map(lambda mark: mark.join(pieces).encode())
        ),
        st.sampled_from([b"a,b,c", b"1,O'Brien,10:15", b"'1','b','c'"]),
    ).filter(bool),
    max_size=12,
)


@given(_LINES, st.sampled_from([None, ",", ":"]), st.sampled_from([None, True, False]))
def test_what_is_not_tried_could_not_have_won(lines, delimiter, blank_after):
    """Leaving out delimiters and quotes that cannot win finds the dialect that trying all of them finds."""

    def found():
        plain = ResolvedDialect()
        return sniff(lines, plain, delimiter=delimiter, quote=None, escape=None, blank_after=blank_after)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sniffing, "_may_be_better", lambda *_: True)
        patched.setattr(sniffing, "_may_speak", lambda *_: True)
        tried = found()

    assert found() == tried
