"""Phone numbers in E.164.

What is written in plain digits, and is a valid number when nothing or a fixed prefix is taken off, is decided by whole
columns, with the patterns of the phonenumbers library; all else by the library itself, number by number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trunkline.fields.parsed import Fault, Parsed
from trunkline.fields.spreadsheet import ERROR, FILLED, matching
from trunkline.fields.text_bytes import Mask, mask_of

if TYPE_CHECKING:
    from phonenumbers import PhoneMetadata, PhoneNumberDesc

DAMAGED: Final = re.compile(rf"[0-9](?:[.,][0-9]+)?[Ee]\+?[0-9]+|[0-9]{{6,}}\.0|{FILLED}|{ERROR}", re.ASCII)

_CHARACTERS: Final = re.compile(r"\+?[0-9][0-9 ().\-/]*|\(?[0-9][0-9 ().\-/]*", re.ASCII)
_PLAIN: Final = r"\+?[0-9]{6,17}"  # fewer are short codes, and of more the library takes none
_FEWEST_ALIKE: Final = 16  # numbers of a country; for fewer, compiling its patterns takes longer than the library

_Rows = npt.NDArray[np.intp]
_Decided = tuple[_Rows, pa.StringArray]


def parse_phones(text: pa.StringArray, *, region: str | None = None) -> Parsed:
    """
    Return phone numbers as written, and in E.164 where they are valid numbers.

    Args:
        text: Numbers in any writing; extensions, short codes, ``anonymous`` and ``sip:`` addresses have no
            E.164 form, which is then null.
        region: ISO 3166 code of the country where a number without "+" was dialled, or None.

    A number that a spreadsheet has rounded (``2.35E+11``), filled or made an error of has lost its digits and is bad,
    and so is one that was a float on its way (``254700123456.0``).
    """
    coded = text.dictionary_encode()
    words = coded.dictionary
    decided = list(_by_columns(words, region))
    is_left = np.ones(len(words), np.bool_)
    for rows, _ in decided:
        is_left[rows] = False
    rest = np.flatnonzero(is_left)
    read = [_read_phone(word, region) for word in words.take(pa.array(rest)).to_pylist()]
    damaged = np.zeros(len(words), np.bool_)
    damaged[rest] = [is_damaged for _, is_damaged in read]
    decided.append((rest, pa.array([number for number, _ in read], pa.string())))
    return Parsed(
        columns=(text, _in_order(decided).take(coded.indices)),
        faults=(
            Fault(
                code="bad_phone",
                rows=mask_of(pa.array(damaged).take(coded.indices)),
                expected="all digits of a number, and nothing else (a spreadsheet or a float changed this one)",
            ),
        ),
    )


def _in_order(pieces: list[_Decided]) -> pa.StringArray:
    rows = np.concatenate([rows for rows, _ in pieces])
    return pa.concat_arrays([numbers for _, numbers in pieces]).take(pa.array(np.argsort(rows)))


@lru_cache(maxsize=2**17)  # 50 to 60 us each, and the same numbers come again in every block
def _read_phone(word: str, region: str | None) -> tuple[str | None, bool]:
    """Return a number in E.164, if it has that form, and whether it lost digits on its way."""
    return e164(word, region), DAMAGED.fullmatch(word) is not None


def e164(word: str, region: str | None) -> str | None:
    """Return a number in E.164, if it has that form, as the phonenumbers library says."""
    if not _CHARACTERS.fullmatch(word):
        return None
    import phonenumbers  # 0.1 s to import, and most layouts have no phone field

    try:
        number = phonenumbers.parse(word, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


@dataclass(frozen=True, eq=False)
class _Plan:
    """
    What is known of the numbers of a region, as RE2 patterns.

    Attributes:
        code: Its country calling code.
        lengths: That its numbers may have.
        general: What all its national numbers are like.
        leading: How those begin that are told from others of the same code by that; None: they are not.
        prefix: What may be dialled before a national number; None: nothing.
        fixed_prefix: It is taken off as it is.
        international: What is dialled before numbers with a country calling code.
        kinds: Of each kind of number the lengths, if they are narrower, and what it is like.
    """

    code: int
    lengths: tuple[int, ...]
    general: str
    leading: str | None
    prefix: str | None
    fixed_prefix: bool
    international: str | None
    kinds: tuple[tuple[tuple[int, ...], str], ...]

    @classmethod
    def of(cls, code: int, metadata: PhoneMetadata, general: PhoneNumberDesc) -> _Plan:
        """Return the plan that the library knows."""
        prefix = metadata.national_prefix_for_parsing or None
        same = metadata.same_mobile_and_fixed_line_pattern
        kinds: tuple[PhoneNumberDesc | None, ...] = (
            *(metadata.fixed_line, None if same else metadata.mobile, metadata.toll_free, metadata.premium_rate),
            *(metadata.shared_cost, metadata.voip, metadata.personal_number, metadata.pager, metadata.uan),
            metadata.voicemail,
        )
        return cls(
            code=code,
            lengths=tuple(general.possible_length),
            general=general.national_number_pattern or "",
            leading=metadata.leading_digits,
            prefix=prefix,
            fixed_prefix=not (metadata.national_prefix_transform_rule or "(" in (prefix or "").replace("(?:", "")),
            international=metadata.international_prefix,
            kinds=tuple(
                (tuple(kind.possible_length), kind.national_number_pattern)
                for kind in kinds
                if kind is not None and kind.national_number_pattern
            ),
        )

    def is_re2(self) -> bool:
        """Tell whether RE2 understands all patterns; those of today are plain enough."""
        kinds = "|".join(kind for _, kind in self.kinds)
        patterns = (self.general, self.leading, self.prefix, self.international, kinds)
        try:
            for pattern in patterns:
                _begin(pa.array([""]), pattern or "")
        except pa.ArrowInvalid:
            return False
        return True

    def begin_with_code(self, digits: pa.StringArray) -> Mask:
        """Return which are no national numbers of the region, but are some without the country calling code."""
        numbers = _cut(digits, len(str(self.code)))
        told = matching(numbers, self.general) & ~matching(digits, self.general)
        return told if self.prefix is None else told & ~_begin(numbers, self.prefix)

    def are_valid(self, numbers: pa.StringArray) -> Mask:
        """Return which national numbers are of some kind that the region has."""
        valid = np.zeros(len(numbers), np.bool_)
        lengths = pc.utf8_length(numbers).to_numpy()
        for length in np.unique(lengths).tolist():
            kinds = [pattern for narrower, pattern in self.kinds if not narrower or length in narrower]
            if not kinds or not self.general or length not in self.lengths:
                continue
            rows = np.flatnonzero(lengths == length)
            some = numbers.take(pa.array(rows))
            valid[rows] = matching(some, "|".join(kinds)) & matching(some, self.general)
        return valid


@cache
def _plan(code: int, region: str) -> _Plan | None:
    """Return the plan of a region; None if there is none, or a pattern of it is more than RE2 knows."""
    import phonenumbers

    metadata = phonenumbers.PhoneMetadata.metadata_for_region_or_calling_code(code, region)
    if metadata is None or metadata.general_desc is None:
        return None
    plan = _Plan.of(code, metadata, metadata.general_desc)
    return plan if plan.is_re2() else None


@cache
def _code_lengths() -> npt.NDArray[np.int8]:
    """Return how many of three digits are a country calling code, by the number that they make; 0 for none."""
    import phonenumbers

    lengths = np.zeros(1000, np.int8)
    for digits in range(100, 1000):
        codes = (digits // 100, digits // 10, digits)
        found = [place for place, code in enumerate(codes, start=1) if code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE]
        lengths[digits] = found[0] if found else 0
    return lengths


def _by_columns(words: pa.StringArray, region: str | None) -> Iterator[_Decided]:
    """
    Yield the rows of valid numbers with their E.164 forms, as far as that can be told by columns.

    What `phonenumbers.parse` and `is_valid_number` do with a number of plain digits comes down to this: take off what
    is dialled before a country calling code, or else the national prefix, and match what is left.  Wherever one of
    their steps could do anything else, the number is left to them.
    """
    plain = np.flatnonzero(matching(words, _PLAIN))
    if len(plain) < _FEWEST_ALIKE:
        return
    import phonenumbers

    some = words.take(pa.array(plain))
    with_plus = mask_of(pc.starts_with(some, "+"))
    international = [_without(some, plain, with_plus, 1)]
    if region in phonenumbers.SUPPORTED_REGIONS and not with_plus.all():
        plan = _plan(phonenumbers.country_code_for_valid_region(region), region)
        if plan is not None:
            national, told = _as_dialled(*_without(some, plain, ~with_plus, 0), plan)
            international += told
            yield from _national(*national, plan)
    rows = np.concatenate([rows for rows, _ in international])
    yield from _international(rows, pa.concat_arrays([digits for _, digits in international]))


def _as_dialled(places: _Rows, words: pa.StringArray, plan: _Plan) -> tuple[_Decided, list[_Decided]]:
    """Return the words that may be national numbers, and those with a country calling code, from that code on."""
    dialled = np.ones(len(words), np.bool_)
    international = []
    if plan.international is not None:
        prefixed = _begin(words, plan.international)
        dialled &= ~prefixed
        if plan.international.isdigit():
            international.append(_without(words, places, prefixed, len(plan.international)))
    coded = dialled & mask_of(pc.starts_with(words, str(plan.code)))
    whole, digits = _without(words, places, coded, 0)
    told = plan.begin_with_code(digits)
    international.append((whole[told], digits.filter(pa.array(told))))
    return _without(words, places, dialled & ~coded, 0), international


def _without(words: pa.StringArray, places: _Rows, chosen: Mask, cut: int) -> _Decided:
    """Return the places of the chosen words, and these words without their first *cut* digits."""
    rows = np.flatnonzero(chosen)
    return places[rows], _cut(words.take(pa.array(rows)), cut)


def _cut(words: pa.StringArray, cut: int) -> pa.StringArray:
    return pc.utf8_slice_codeunits(words, cut) if cut else words


def _international(places: _Rows, digits: pa.StringArray) -> Iterator[_Decided]:
    """Yield what is a valid number when nothing but its country calling code is taken off."""
    heads = pc.utf8_slice_codeunits(pc.utf8_lpad(digits, 1, "0"), 0, 3).cast(pa.int32()).to_numpy()  # "" is no number
    lengths = _code_lengths()[heads]
    codes = heads // 10 ** (3 - lengths.astype(np.int64))
    import phonenumbers

    for code, rows in _alike(np.where(lengths > 0, codes, 0)):
        if code == 0:
            continue
        some = digits.take(pa.array(rows))
        numbers = _cut(some, len(str(code)))
        main = _plan(code, phonenumbers.region_code_for_country_code(code))
        if main is None:
            continue
        told = _are_valid(code, numbers)
        if main.prefix is not None:
            told &= ~_begin(numbers, main.prefix)
        yield _found(places[rows], "+", some, told)


def _national(places: _Rows, words: pa.StringArray, plan: _Plan) -> Iterator[_Decided]:
    """Yield what is a valid number of the region when nothing but a fixed national prefix is taken off."""
    cuts = np.zeros(len(words), np.intp)
    if plan.prefix is not None and plan.fixed_prefix:
        prefixes = pc.extract_regex(words, pattern=rf"\A(?P<prefix>{plan.prefix})")
        cuts = pc.utf8_length(pc.struct_field(prefixes, "prefix")).fill_null(0).to_numpy()
    elif plan.prefix is not None:
        cuts[_begin(words, plan.prefix)] = -1
    for cut, rows in _alike(cuts):
        if cut < 0:
            continue
        numbers = _cut(words.take(pa.array(rows)), cut)
        fitting = np.isin(pc.utf8_length(numbers).to_numpy(), plan.lengths)
        told = fitting & matching(numbers, plan.general) & _are_valid(plan.code, numbers)
        yield _found(places[rows], f"+{plan.code}", numbers, told)


def _alike(kinds: npt.NDArray[Any]) -> Iterator[tuple[int, _Rows]]:
    for kind, many in zip(*np.unique(kinds, return_counts=True), strict=True):
        if many >= _FEWEST_ALIKE:
            yield int(kind), np.flatnonzero(kinds == kind)


def _found(places: _Rows, before: str, digits: pa.StringArray, told: Mask) -> _Decided:
    rows = np.flatnonzero(told)
    return places[rows], pc.binary_join_element_wise(before, digits.take(pa.array(rows)), "")


def _are_valid(code: int, numbers: pa.StringArray) -> Mask:
    """Return which national numbers are valid in the region, of those that share the code, which they belong to."""
    import phonenumbers

    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE[code]
    valid = np.zeros(len(numbers), np.bool_)
    left = np.arange(len(numbers))
    for region in regions:
        plan = _plan(code, region)
        if plan is None:
            break
        some = numbers.take(pa.array(left))
        if plan.leading is None or len(regions) == 1:
            belong = fitting = plan.are_valid(some)
        else:
            belong = _begin(some, plan.leading)
            fitting = np.zeros(len(some), np.bool_)
            fitting[belong] = plan.are_valid(some.filter(pa.array(belong)))
        valid[left[fitting]] = True
        left = left[~belong]
        if not len(left):
            break
    return valid


def _begin(words: pa.StringArray, pattern: str) -> Mask:
    """Return which words begin with what matches a pattern (RE2)."""
    return mask_of(pc.match_substring_regex(words, pattern=rf"\A(?:{pattern})"))
