"""Formats that a layout may name, and those that would guess."""

from __future__ import annotations

import pytest

from trunkline.fields.time_formats import ISO_DATES, ISO_TIMESTAMPS, Literally, check_format, steps_of


@pytest.mark.parametrize(
    "pattern", [*ISO_TIMESTAMPS, *ISO_DATES, "%-d/%-m/%y %I:%M %p", "%a %b %d %T %Y", "%D", "%F%R%z"]
)
def test_a_whole_date_is_enough(pattern):
    """Time, offset and names of days are optional."""
    check_format(pattern)


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("%H:%M:%S", "format '%H:%M:%S' has no year, month, day, expected a whole date"),
        ("%Y-%m", "format '%Y-%m' has no day, expected a whole date"),
        ("%F %d", "format '%F %d' has day twice, expected it once"),
        ("%F %H %I %p", "format '%F %H %I %p' has hour twice, expected it once"),
        ("%F %I:%M", "format '%F %I:%M' has one of %I and %p, expected both or %H"),
        ("%F %H:%M %p", "format '%F %H:%M %p' has one of %I and %p, expected both or %H"),
        ("%F %q", "format '%F %q' has '%q', expected one of %Y %y %m %d "),
        ("%F %", "format '%F %' has '%', expected one of %Y %y %m %d "),
        ("%Z %F", "format '%Z %F' has '%Z', expected one of %Y %y %m %d "),
    ],
)
def test_what_does_not_say_one_day_and_one_time(pattern, problem):
    """The message says what is wrong with the format."""
    with pytest.raises(ValueError, match="format") as caught:
        check_format(pattern)

    assert str(caught.value).startswith(problem)


def test_text_between_directives_is_itself():
    """Letters that are also names of directives, and the percent sign."""
    assert steps_of("Yd%%T") == (Literally(data=b"Yd"), Literally(data=b"%"), Literally(data=b"T"))
