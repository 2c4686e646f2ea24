"""Amounts: exact, in the currency that is stated, or bad."""

from __future__ import annotations

import re
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.fields.money import MoneyStyle, parse_money
from trunkline.fields.money_marks import SYMBOLS
from trunkline.fields.text_bytes import text_bytes

USD = MoneyStyle(currency="USD")
EUROPEAN = MoneyStyle(scale=2, point=",", group=".", currency="EUR")


def money(texts: list[str], style: MoneyStyle = USD, codes: list[str | None] | None = None) -> list[object]:
    """Return each amount with its currency, or the code of its first fault."""
    currencies = None if codes is None else pa.array(codes, pa.string())
    parsed = parse_money(text_bytes(pa.array(texts, pa.string())), style, currencies)
    amounts = zip(*(column.to_pylist() for column in parsed.columns), strict=True)
    return [
        next((fault.code for fault in parsed.faults if fault.rows[row]), amount) for row, amount in enumerate(amounts)
    ]


def dollars(text: str) -> tuple[Decimal, str]:
    """Return an amount in USD."""
    return Decimal(text), "USD"


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("$1.20", "1.20"),
        ("1.20", "1.20"),
        ("0", "0"),
        ("$0.000001", "0.000001"),
        ("$1", "1"),
        ("$.50", "0.50"),
        ("$007.50", "7.50"),
        ("-$1.20", "-1.20"),
        ("$-1.20", "-1.20"),
        ("-1.20", "-1.20"),
        ("−1.20", "-1.20"),  # the typographic minus
        ("1.20-", "-1.20"),
        ("$1.20-", "-1.20"),
        ("(1.20)", "-1.20"),
        ("($1.20)", "-1.20"),
        ("+1.20", "1.20"),
        ("$ 1.20", "1.20"),
        ("$\u00a01.20", "1.20"),
        ("USD 1.20", "1.20"),
        ("USD1.20", "1.20"),
        ("1.20 USD", "1.20"),
        ("US$1.20", "1.20"),
        ("1.20$", "1.20"),
        ("$999999999999.999999", "999999999999.999999"),
        ("-999999999999.999999", "-999999999999.999999"),
    ],
)
def test_ways_of_writing_an_amount(text, amount):
    """Each alone, and beside others that are written otherwise."""
    assert money([text]) == [dollars(amount)]
    assert money(["$5.00", text, "x", "(7)"]) == [dollars("5"), dollars(amount), "bad_money", dollars("-7")]


@pytest.mark.parametrize(
    "text",
    [
        "", "$", "-", "()", ".", "$.", "$-", "1.", "$1.", "1..2", "1.2.3", "1,200.00", "1,20", "1 200", "--1", "-(1)",
        "(1", "1)", "(-1)", "-1-", "+-1", "$$1", "$1$", "$1 USD", "€1.20", "1.20 EUR", "KSh 1", "1e3", "0x1f", "1_000",
        "١.٢٠", "NaN", "inf", "1.20 dollars", "a long word 1.20", "1.20\t", " 1.20", "#1", "1/2", "12:30", "1%",
    ],
)  # fmt: skip
def test_what_is_no_amount_in_dollars(text):
    """Alone, and between good neighbours."""
    assert money([text]) == ["bad_money"]
    assert money(["$1.20", text, "$1.20"]) == [dollars("1.20"), "bad_money", dollars("1.20")]


def test_more_decimals_than_the_column_has():
    """Nothing is rounded, and zeros are decimals as well."""
    assert money(["$1.1234567", "$1.1000000"]) == ["bad_money", "bad_money"]
    assert money(["1.234", "1.23"], MoneyStyle(scale=2, currency="USD")) == ["bad_money", dollars("1.23")]


@pytest.mark.parametrize("text", ["$1000000000000", "-1000000000000.00", "9" * 19, "9" * 40, "18446744073709551616"])
def test_more_digits_than_the_column_has(text):
    """An amount that does not fit is not cut, and does not wrap around."""
    assert money([text]) == ["out_of_range"]


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("1,20", "1.20"),
        ("1.234,50 €", "1234.50"),
        ("1.234.567,00", "1234567"),
        ("1234567,00", "1234567"),
        ("999", "999"),
        ("-1.000", "-1000"),
        ("1.23", "bad_money"),
        ("12.34,00", "bad_money"),
        ("1234.567,00", "bad_money"),
        (".123,00", "bad_money"),
        ("1.234.56,00", "bad_money"),
        ("1,234.50", "bad_money"),
        ("1..234", "bad_money"),
    ],
)
def test_decimal_commas_and_thousands(text, amount):
    """Thousands are separated everywhere or nowhere, and only by what the layout says."""
    wanted = amount if amount == "bad_money" else (Decimal(amount), "EUR")

    assert money([text], EUROPEAN) == [wanted]
    assert money(["1,00", text], EUROPEAN)[1] == wanted


@pytest.mark.parametrize(
    ("text", "expected"),
    [("120", "1.20"), ("0", "0"), ("-5", "-0.05"), ("$120", "1.20"), ("1.20", "bad_money"), ("9" * 18, "out_of_range")],
)
def test_implied_decimals(text, expected):
    """120 is 1.20 where two decimals are not written."""
    style = MoneyStyle(scale=6, implied=2, currency="USD")

    assert money([text], style) == [dollars(expected) if expected[-1].isdigit() else expected]


def test_currencies_beside_the_amounts():
    """Each record states its own; a symbol or code must be able to mean it."""
    style = MoneyStyle()
    texts = ["1", "$1", "€1", "$1", "1 KES", "1", "1"]
    codes = ["KES", "CAD", "EUR", "EUR", "KES", "kes", None]

    assert money(texts, style, codes) == [
        (Decimal(1), "KES"),
        (Decimal(1), "CAD"),
        (Decimal(1), "EUR"),
        "bad_money",
        (Decimal(1), "KES"),
        "bad_money",
        "bad_money",
    ]


def test_a_currency_that_nobody_states_is_not_guessed():
    """A dollar may be many; a euro is one, and so is a code."""
    texts = ["$1", "€1", "1 KES", "1"]

    assert money(texts, MoneyStyle()) == [
        (Decimal(1), None),
        (Decimal(1), "EUR"),
        (Decimal(1), "KES"),
        (Decimal(1), None),
    ]


@pytest.mark.parametrize("symbol", sorted(SYMBOLS))
def test_symbols(symbol):
    """Every known symbol can stand before and behind an amount of each of its currencies."""
    for code in SYMBOLS[symbol]:
        wanted = (Decimal("1.20"), code)
        assert money([f"{symbol}1.20", f"-{symbol} 1.20"], MoneyStyle(currency=code)) == [wanted, (-wanted[0], code)]
        assert money([f"1.20 {symbol}"], MoneyStyle(currency=code)) == [wanted]


AMOUNT = re.compile(
    r"(?P<open>\()?(?P<minus>-)?(?:US?\$|\$|USD ?)?(?P<number>[0-9]{0,12}(?:\.[0-9]{1,6})?)(?P<close>\))?"
)


def reference(text: str) -> object:
    """Return what one amount of a simpler grammar is, None for what only the full one may know."""
    found = AMOUNT.fullmatch(text)
    if not found or not any(digit.isdigit() for digit in text):
        return None
    if bool(found["open"]) != bool(found["close"]) or (found["open"] and found["minus"]):
        return "bad_money"
    if found[0].startswith(("U$", "-U$", "(U$")):
        return "bad_money"
    amount = Decimal(f"0{found['number']}")
    return dollars(str(-amount if found["open"] or found["minus"] else amount))


@given(st.lists(st.from_regex(AMOUNT, fullmatch=True), max_size=20))
def test_amounts_are_those_of_the_reference(texts):
    """A column is read as each amount alone, with Python's decimals."""
    wanted = [reference(text) or "bad_money" for text in texts]

    assert money(texts) == wanted


@given(st.lists(st.text("019.,-+()$€ USDe\u00a0x٣", max_size=10), max_size=20))
def test_neighbours_do_not_matter(texts):
    """Whatever stands in the other records, an amount is what it is alone."""
    assert money(texts) == [amount for text in texts for amount in money([text])]


def test_a_column_without_values():
    """An empty block has no amounts."""
    assert money([]) == []
