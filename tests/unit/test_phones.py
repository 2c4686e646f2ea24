"""Phone numbers: as written, and in E.164 as the phonenumbers library says, one by one or by columns."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import phonenumbers
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.fields import phones
from trunkline.fields.parsed import Parsed
from trunkline.fields.phones import e164, parse_phones

REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)
# A prefix that is rewritten, that may be empty, that has a carrier in it; codes that regions share; zeros that stay;
# national numbers that begin with the country's code, or with what is dialled before other countries'.
PECULIAR = ("AR", "AU", "BR", "CA", "CC", "GB", "ID", "IL", "IT", "KE", "KZ", "MX", "RU", "SM", "US", "UY", "XK")


def told(parsed: Parsed) -> list[Any]:
    """Return each number in E.164, or the code of its fault."""
    (fault,) = parsed.faults
    return [fault.code if bad else value for bad, value in zip(fault.rows, parsed.columns[1].to_pylist(), strict=True)]


def _changed(number: str, places: int, rng: random.Random) -> str:
    digits = list(number)
    for _ in range(places):
        digits[rng.randrange(len(digits))] = str(rng.randrange(10))
    return "".join(digits)


@st.composite
def dialled(draw):
    """Return a region, and many numbers somewhat like its own, in a few writings of plain digits."""
    region = draw(st.sampled_from(REGIONS) | st.sampled_from(PECULIAR))
    rng = draw(st.randoms(use_true_random=False))
    code = str(phonenumbers.country_code_for_region(region))
    metadata = phonenumbers.PhoneMetadata.metadata_for_region(region)
    assert metadata is not None
    national, out = metadata.national_prefix or "0", metadata.international_prefix
    out = out if out and out.isdigit() else "00"
    writings = ("", national, f"+{code}", f"+{code}{national}", code, out + code, f"{out}0{code}", "00" + code, "+")
    examples = [phonenumbers.example_number_for_type(region, kind) for kind in range(11)]
    numbers = [phonenumbers.national_significant_number(example) for example in examples if example is not None]
    chosen = [draw(st.sampled_from(numbers)) for _ in range(2)]
    words = [
        writing + _changed(number, rng.randrange(4), rng)[: None if rng.random() < 0.9 else -1]
        for writing in rng.sample(writings, 3)
        for number in chosen
        for _ in range(20)
    ]
    return region, words


@given(dialled(), st.booleans())
def test_columns_say_what_the_library_says(numbers, is_said):
    """Number by number; those that are no numbers included."""
    region, words = numbers
    where = region if is_said else None

    assert told(parse_phones(pa.array(words), region=where)) == [e164(word, where) for word in words]


@pytest.mark.parametrize(
    ("before", "region", "after"),
    [
        ("07", "KE", "+2547"),
        ("2547", "KE", "+2547"),
        ("0002547", "KE", "+2547"),
        ("+2547", None, "+2547"),
        ("+2547", "US", "+2547"),
        ("212", "US", "+1212"),
        ("1613", "CA", "+1613"),
        ("+1613", "KE", "+1613"),
        ("+3906", None, "+3906"),
        ("+8001", None, "+8001"),
    ],
)
def test_plain_numbers_are_told_by_columns(before, region, after, monkeypatch):
    """The library is not asked for any of them."""
    ends = [str(end) for end in range(2_345_678, 2_345_778)]
    if after == "+2547":
        ends = [f"{end}0" for end in ends]
    with monkeypatch.context() as patch:
        patch.setattr(phones, "_read_phone", None)
        found = told(parse_phones(pa.array([before + end for end in ends]), region=region))

    assert found == [after + end for end in ends]
    assert found[0] == e164(before + ends[0], region)


@pytest.mark.parametrize("changed", [{"prefix": "7"}, {"general": "8[0-9]{8}"}, {"lengths": (8,)}, {"kinds": ()}])
def test_what_a_step_of_the_library_may_change_is_left_to_it(changed, monkeypatch):
    """A prefix that would be taken off, and numbers that are none."""
    found = phones._plan(254, "KE")
    assert found is not None
    plan = replace(found, **changed)
    monkeypatch.setattr(phones, "_plan", lambda *_: plan)
    asked = []

    def ask(word: str, _: str | None) -> tuple[None, bool]:
        asked.append(word)
        return None, False

    monkeypatch.setattr(phones, "_read_phone", ask)
    words = [f"+2547{end}" for end in range(81_345_000, 81_345_050)]
    parse_phones(pa.array(words))

    assert asked == words


@pytest.mark.parametrize("code", phonenumbers.COUNTRY_CODE_TO_REGION_CODE)
def test_arrow_understands_the_patterns_of_the_library(code):
    """Else all numbers of the country would be looked at one by one."""
    assert None not in [phones._plan(code, region) for region in phonenumbers.COUNTRY_CODE_TO_REGION_CODE[code]]


def test_numbers_of_a_plan_that_arrow_does_not_understand_are_left_to_the_library(monkeypatch):
    """As a look-ahead, which RE2 does not have."""
    plan = phones._plan(254, "KE")
    assert plan is not None
    assert not replace(plan, prefix="0(?!1)").is_re2()
    monkeypatch.setattr(phones, "_plan", lambda *_: None)
    words = [f"{before}7{end}" for before in ("0", "+254", "254", "000254") for end in range(12_345_000, 12_345_050)]

    assert told(parse_phones(pa.array(words), region="KE")) == [e164(word, "KE") for word in words]


def test_numbers_of_many_kinds_keep_their_places():
    """Those that are told by columns, those that are not, damaged ones, equal ones and ones that are missing."""
    plain = [f"07{end}" for end in range(12_345_000, 12_345_050)]
    words = [*plain, None, "sip:alice@example.com", "2.35E+11", "+1 212 736 5000", *reversed(plain)]
    expected = [f"+254{word[1:]}" for word in plain]

    assert told(parse_phones(pa.array(words), region="KE")) == [
        *expected,
        None,
        None,
        "bad_phone",
        "+12127365000",
        *reversed(expected),
    ]


@pytest.mark.parametrize(
    ("text", "e164"),
    [
        ("0712345678", "+254712345678"),
        ("+254712345678", "+254712345678"),
        ("254712345678", "+254712345678"),
        ("000254712345678", "+254712345678"),  # 000 is the way out of Kenya
        ("0712 345-678", "+254712345678"),
        ("(0712) 345678", "+254712345678"),
        ("+1 212 736 5000", "+12127365000"),
        ("101", None),
        ("*60", None),
        ("s", None),
        ("anonymous", None),
        ("sip:alice@example.com", None),
        ("+999123", None),
        ("1-800-FLOWERS", None),
    ],
)
def test_phone_numbers(text, e164):
    """Kept as written; in E.164 where they are numbers that can be, dialled in Kenya."""
    parsed = parse_phones(pa.array([text, text]), region="KE")

    assert [column.to_pylist() for column in parsed.columns] == [[text, text], [e164, e164]]
    assert not parsed.faults[0].rows.any()


def test_without_a_region_only_international_numbers_are_normalised():
    """Nobody guesses a country."""
    parsed = parse_phones(pa.array(["0712345678", "+254712345678"]))

    assert parsed.columns[1].to_pylist() == [None, "+254712345678"]


@pytest.mark.parametrize("text", ["2.35E+11", "2,54712E+11", "2e11"])
def test_a_number_that_a_spreadsheet_rounded_is_bad(text):
    """Its digits are gone, so it is no number to call."""
    assert told(parse_phones(pa.array([text]), region="KE")) == ["bad_phone"]
