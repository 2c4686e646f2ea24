"""How each layout writes a call down, and all the ways a record of it can be damaged.  No I/O.

A layout is one entry of SAMPLE_LAYOUTS: its header, a function from calls to lines, and its damages.  Lines
are made as one byte matrix for many calls, padded with NUL bytes that are dropped when it is written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trunkline.framing.scanning import MAX_RECORD_BYTES
from trunkline.sample.traffic import DAY_S, DESTINATIONS, FIRST_DAY, Calls, Ints

Matrix = npt.NDArray[np.uint8]
Fields = list[bytes]


@dataclass(frozen=True, kw_only=True, slots=True)
class Damage:
    """
    One way to damage a record.

    Attributes:
        code: The reject code it must lead to.
        field: The layout's name of the field at fault, or None where the record as a whole is bad.
        spoil: Fields of a good record and any whole number, which chooses a variant, to fields of a bad one.
    """

    code: str
    field: str | None
    spoil: Callable[[Fields, int], Fields]


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleLayout:
    """
    What `sample` must know of a layout.

    Attributes:
        header: First line of the file, line end included; empty for a layout without one.
        render: Calls to a matrix with one line each, line end included, padded with NUL bytes.
        damages: All the ways to damage a record, each as likely as the others.
        conflict: What makes a record one of the same call that says something else.
        priced: Whether its records say what a call cost.
    """

    header: bytes
    render: Callable[[Calls], Matrix]
    damages: tuple[Damage, ...]
    conflict: Damage
    priced: bool = True


_NUMBERS = tuple(f"+2542{place:08}" for place in range(len(DESTINATIONS)))
_FIRST_SECOND = int(FIRST_DAY.astype("datetime64[s]").astype(np.int64)) - 3 * 3600  # in Nairobi
_PAIRS = np.frombuffer("".join(f"{n:02}" for n in range(100)).encode(), dtype=np.uint8).reshape(100, 2)


def _text(values: tuple[str, ...], picks: Ints) -> Matrix:
    """Return the UTF-8 text of ``values[pick]`` for every pick."""
    encoded = np.array([value.encode() for value in values])
    return encoded.view(np.uint8).reshape(len(values), -1)[picks]


def _number(values: Ints) -> Matrix:
    """Return whole numbers from 0 as decimal digits, without leading zeros."""
    width = len(str(int(values.max(initial=0))))
    powers = 10 ** np.arange(width - 1, -1, -1, dtype=np.int64)
    digits = (values[:, None] // powers % 10 + ord("0")).astype(np.uint8)
    leading = (values[:, None] < powers) & (powers > 1)
    digits[leading] = 0
    return digits


def _constant(text: bytes, count: int) -> Matrix:
    return np.broadcast_to(np.frombuffer(text, dtype=np.uint8), (count, len(text)))


def _clock_time(second: Ints) -> Matrix:
    """Return seconds (below 100 hours) as HH:MM:SS."""
    colon = _constant(b":", len(second))
    hours, minutes, seconds = second // 3600, second // 60 % 60, second % 60
    return np.hstack([_PAIRS[hours], colon, _PAIRS[minutes], colon, _PAIRS[seconds]])


def _date(day: Ints) -> Matrix:
    """Return days since FIRST_DAY as YYYY-MM-DD."""
    first, last = int(day.min(initial=0)), int(day.max(initial=0))
    dates = np.datetime_as_string(FIRST_DAY + np.arange(first, last + 1), unit="D").astype("S10")
    return dates.view(np.uint8).reshape(-1, 10)[day - first]


def _render_customer_call_logs(calls: Calls) -> Matrix:
    count = len(calls.customer)
    comma = _constant(b",", count)
    return np.hstack(
        [
            *(_number(calls.customer), comma),
            *(_constant(b"$", count), _number(calls.cents // 100), _constant(b".", count)),
            *(_PAIRS[calls.cents % 100], comma),
            *(_text(DESTINATIONS, calls.destination), comma),
            *(_date(calls.second // DAY_S), _constant(b" ", count), _clock_time(calls.second % DAY_S), comma),
            *(_clock_time(calls.duration_s), _constant(b"\n", count)),
        ]
    )


def _stamp(second: Ints) -> Matrix:
    """Return seconds since FIRST_DAY as YYYY-MM-DD HH:MM:SS."""
    blank = _constant(b" ", len(second))
    return np.hstack([_date(second // DAY_S), blank, _clock_time(second % DAY_S)])


def _render_asterisk_cdr_csv(calls: Calls) -> Matrix:
    """Write calls as Asterisk does with all 21 columns; an answer time that is missing has no quotes."""
    count = len(calls.customer)

    def text(between: bytes) -> Matrix:
        return _constant(between, count)

    answered = calls.duration_s > 0
    ring_s = np.minimum(calls.duration_s, 1 + calls.customer % 9)
    caller, number = _number(calls.customer), _number(calls.number)
    answer = np.hstack([text(b'"'), _stamp(calls.second + ring_s), text(b'"')]) * answered[:, None].astype(np.uint8)
    unique_id = np.hstack([_number(_FIRST_SECOND + calls.second), text(b"."), number])
    return np.hstack(
        [
            *(text(b'"","'), caller, text(b'","'), _text(_NUMBERS, calls.destination), text(b'","from-internal",')),
            *(text(b'"""Customer '), caller, text(b'"" <'), caller, text(b'>","PJSIP/'), caller, text(b"-"), number),
            *(text(b'","PJSIP/trunk-'), number, text(b'","Dial","PJSIP/trunk","'), _stamp(calls.second), text(b'",')),
            *(answer, text(b',"'), _stamp(calls.second + calls.duration_s), text(b'",')),
            *(_number(calls.duration_s), text(b","), _number(calls.duration_s - ring_s), text(b',"')),
            *(_text(("NO ANSWER", "ANSWERED"), answered.astype(np.int64)), text(b'","DOCUMENTATION","')),
            *(unique_id, text(b'","","","'), unique_id, text(b'",'), number, text(b"\n")),
        ]
    )


def _instead(column: int, *values: bytes) -> Callable[[Fields, int], Fields]:
    """Replace the field at *column* with one of *values*."""

    def spoil(fields: Fields, pick: int) -> Fields:
        return [*fields[:column], values[pick % len(values)], *fields[column + 1 :]]

    return spoil


def _inside(column: int, *inserts: bytes) -> Callable[[Fields, int], Fields]:
    """Insert one of *inserts* behind the second byte of the field at *column*."""

    def spoil(fields: Fields, pick: int) -> Fields:
        value = fields[column]
        spoiled = value[:2] + inserts[pick % len(inserts)] + value[2:]
        return [*fields[:column], spoiled, *fields[column + 1 :]]

    return spoil


def _quoted_badly(column: int) -> Callable[[Fields, int], Fields]:
    """Open a quote and never close it, close it too early, or put one into plain text."""

    def spoil(fields: Fields, pick: int) -> Fields:
        value = fields[column]
        variants = (b'"' + value, b'"' + value + b'"x', value[:2] + b'"' + value[2:])
        return [*fields[:column], variants[pick % len(variants)], *fields[column + 1 :]]

    return spoil


def _too_few(fields: Fields, pick: int) -> Fields:
    """Lose the last field, one in the middle, or the second half of the record."""
    return (fields[:-1], [*fields[:2], *fields[3:]], fields[: len(fields) // 2])[pick % 3]


def _too_many(fields: Fields, pick: int) -> Fields:
    """Gain an empty field at the end, a full one there, or run into the next record."""
    return ([*fields, b""], [*fields, fields[0]], [*fields, *fields])[pick % 3]


_RECORD_DAMAGES = (
    Damage(code="too_few_fields", field=None, spoil=_too_few),
    Damage(code="too_many_fields", field=None, spoil=_too_many),
)

# Not among the damages that any record may get: a file has one last line, and these lines are as long as 20,000 calls.
TORN = Damage(code="torn_record", field=None, spoil=lambda fields, _: fields[: len(fields) // 2])
TOO_LONG = Damage(code="too_long", field=None, spoil=_inside(2, b"x" * MAX_RECORD_BYTES))


def _dearer(fields: Fields, pick: int) -> Fields:
    """Put a digit before those of the cost."""
    return [fields[0], b"$%d%b" % (1 + pick % 9, fields[1][1:]), *fields[2:]]


_CUSTOMER_CALL_LOGS = SampleLayout(
    header=b"customer_id,call_cost,call_destination,call_date,call_duration\n",
    render=_render_customer_call_logs,
    damages=(
        Damage(code="missing_value", field="customer_id", spoil=_instead(0, b"")),
        Damage(code="missing_value", field="cost", spoil=_instead(1, b"")),
        Damage(code="missing_value", field="destination", spoil=_instead(2, b"")),
        Damage(code="missing_value", field="started_at", spoil=_instead(3, b"")),
        Damage(code="missing_value", field="duration_s", spoil=_instead(4, b"")),
        Damage(
            code="bad_integer",
            field="customer_id",
            spoil=_instead(
                0,
                b"10O1",
                b"+1001",
                b"01001",
                b"1_001",
                b"1001.0",
                b"NaN",
                "\u0661\u0660\u0660\u0661".encode(),
            ),
        ),
        Damage(
            code="bad_money",
            field="cost",
            spoil=_instead(1, b"free", b"$", b"$1.2.0", b"$1.2e3", b"$1.1234567", b'"$1,20"', b"$O.50"),
        ),
        Damage(
            code="bad_timestamp",
            field="started_at",
            spoil=_instead(
                3,
                b"2022-02-30 10:00:00",
                b"2022-01-01 25:00:00",
                b"01/02/2022 10:00",
                b"2022-01-01",
                b"0000-00-00 00:00:00",
                b"now",
                b"infinity",
            ),
        ),
        Damage(
            code="bad_duration",
            field="duration_s",
            spoil=_instead(4, b"-00:05:30", b"00:61:00", b"00:05:60", b"5m30s", b"00:05:3x", b"::"),
        ),
        Damage(code="bad_quote", field=None, spoil=_quoted_badly(2)),
        Damage(code="bad_encoding", field=None, spoil=_inside(2, b"\xa5", b"\xc3\x28", b"\xed\xa0\x80")),
        Damage(code="nul_byte", field=None, spoil=_inside(2, b"\x00", b"\x00\x00\x00")),
        *_RECORD_DAMAGES,
    ),
    conflict=Damage(code="conflict", field=None, spoil=_dearer),
)

# Fields are parted at each comma to be damaged, so no value may have one.
_ASTERISK_CDR_CSV = SampleLayout(
    header=b"",
    render=_render_asterisk_cdr_csv,
    damages=(
        Damage(code="missing_value", field="channel", spoil=_instead(5, b'""', b"")),
        Damage(code="missing_value", field="started_at", spoil=_instead(9, b'""', b"")),
        Damage(
            code="bad_timestamp",
            field="started_at",
            spoil=_instead(9, b'"2022-02-30 10:00:00"', b'"01/02/2022 10:00"', b'"2022-01-01"', b'"now"'),
        ),
        Damage(code="bad_duration", field="duration_s", spoil=_instead(12, b"-5", b"5m", b"00:05:30", b"1.5")),
        Damage(code="not_allowed", field="disposition", spoil=_instead(14, b'"8"', b'"answered"', b'"MAYBE"')),
        Damage(code="not_allowed", field="call_id", spoil=_instead(16, b'"a note"', b'"1641027600"')),
        Damage(code="bad_integer", field="sequence", spoil=_instead(20, b"01", b"+1", b"x", b"1.0")),
        Damage(code="bad_quote", field=None, spoil=_quoted_badly(3)),
        Damage(code="bad_encoding", field=None, spoil=_inside(3, b"\xa5", b"\xc3\x28")),
        Damage(code="nul_byte", field=None, spoil=_inside(3, b"\x00")),
        *_RECORD_DAMAGES,
    ),
    conflict=Damage(code="conflict", field=None, spoil=_instead(18, b'"other"', b'"peer"')),
    priced=False,
)

SAMPLE_LAYOUTS = {"customer_call_logs": _CUSTOMER_CALL_LOGS, "asterisk_cdr_csv": _ASTERISK_CDR_CSV}
