"""The books as a value and as JSON."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.books.account import Books, CacheCounts, Seconds, Totals, format_amount, whole_or_text


def test_the_json_of_a_loaded_source():
    """Its keys are a contract; exact amounts are text, whole seconds a number."""
    books = Books(
        source="calls.csv",
        layout="customer_call_logs",
        status="loaded",
        load_id=1,
        read=12,
        loaded=9,
        duplicates=1,
        duplicates_in_source=1,
        rejected=2,
        rejected_by={"bad_money": 1, "bad_date": 1},
        totals=Totals(duration_s=Decimal(3720), cost={"USD": Decimal("13.700000")}),
        cache=CacheCounts(hits=1, misses=1, bytes_read=7, bytes_written=9),
        seconds=Seconds(extract=0.12345, transform=0.2, load=0.3, total=1.0),
    )

    assert books.to_dict() == {
        "source": "calls.csv",
        "layout": "customer_call_logs",
        "status": "loaded",
        "load_id": 1,
        "read": 12,
        "loaded": 9,
        "duplicates": 1,
        "duplicates_in_source": 1,
        "rejected": 2,
        "rejected_by": {"bad_date": 1, "bad_money": 1},
        "filtered": 0,
        "conflicts": 0,
        "totals": {"duration_s": 3720, "cost": {"USD": "13.70"}},
        "cache": {"hits": 1, "misses": 1, "bytes_read": 7, "bytes_written": 9},
        "seconds": {"extract": 0.123, "transform": 0.2, "load": 0.3, "total": 1.0},
        "timezone": "",
        "currency": "",
        "warnings": [],
        "unknown_columns": [],
        "trailer": None,
        "reason": None,
    }


@pytest.mark.parametrize(
    ("amount", "currency", "expected"),
    [
        ("13.700000", "USD", "13.70"),
        ("13", "USD", "13.00"),
        ("13.705000", "USD", "13.705"),
        ("0.000001", "KES", "0.000001"),
        ("-0.5", "EUR", "-0.50"),
        ("700.000000", "UGX", "700"),
        ("700.100000", "JPY", "700.1"),
        ("1.5", "KWD", "1.500"),
        ("1E+3", "USD", "1000.00"),
        ("2.5", "", "2.50"),
    ],
)
def test_amounts_keep_the_usual_decimals_of_their_currency(amount, currency, expected):
    """Zeros beyond the minor unit go, digits never."""
    assert format_amount(Decimal(amount), currency) == expected


@given(
    st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**12), max_value=10**12),
    st.sampled_from(["USD", "JPY", "KWD", "CLF", ""]),
)
def test_amounts_are_never_rounded(amount, currency):
    """Read back, the text is the same number."""
    assert Decimal(format_amount(amount, currency)) == amount


@pytest.mark.parametrize(("number", "expected"), [("3720", 3720), ("3720.000", 3720), ("12.50", "12.5"), ("0", 0)])
def test_whole_seconds_are_numbers(number, expected):
    """A fraction is text: a JSON number would become a float."""
    assert whole_or_text(Decimal(number)) == expected


@pytest.mark.parametrize(("loaded", "balanced"), [(4, True), (3, False), (5, False)])
def test_books_balance_when_every_record_is_in_one_place(loaded, balanced):
    """10 = 4 + 3 + 2 + 1."""
    books = Books(
        source="a.csv", layout="x", status="loaded", read=10, loaded=loaded, duplicates=3, rejected=2, filtered=1
    )

    assert books.is_balanced is balanced
