"""A slow reader of one record, written for the tests from RFC 4180 section 2, byte by byte.

It shares no code with the package, so that the two can be held against each other.
"""

from __future__ import annotations


def physical_lines(data: bytes) -> list[tuple[int, int]]:
    """Return start and end, without the line end, of each physical line; line ends are LF, CRLF and CR."""
    lines, start, at = [], 0, 0
    while at < len(data):
        if data[at] in b"\r\n":
            lines.append((start, at))
            at += 2 if data[at : at + 2] == b"\r\n" else 1
            start = at
        else:
            at += 1
    if start < len(data):
        lines.append((start, len(data)))
    return lines


def fields_of(record: bytes, delimiter: str = ",", quote: str = '"') -> list[bytes] | None:
    """Return the fields of a record, or None where a quote breaks the grammar."""
    d, q = ord(delimiter), ord(quote)
    fields: list[bytes] = []
    field = bytearray()
    state = "start"  # of a field; plain, quoted; or after a quote inside quotes: closed, unless it is doubled
    for byte in record:
        if state == "quoted":
            if byte == q:
                state = "closed"
            else:
                field.append(byte)
        elif byte == d:
            fields.append(bytes(field))
            field.clear()
            state = "start"
        elif byte == q:
            if state == "plain":
                return None
            if state == "closed":
                field.append(q)
            state = "quoted"
        elif state == "closed":
            return None
        else:
            field.append(byte)
            state = "plain"
    if state == "quoted":
        return None
    return [*fields, bytes(field)]


def outcomes_of(data: bytes, width: int, delimiter: str = ",", quote: str = '"') -> list[str]:
    """Return what must become of each physical line of UTF-8."""
    return [
        outcome_of(data[start:end], width, delimiter, quote, ended=end < len(data))
        for start, end in physical_lines(data)
    ]


def outcome_of(record: bytes, width: int, delimiter: str = ",", quote: str = '"', *, ended: bool = True) -> str:
    """Return what must become of a physical line of UTF-8, which may lack its line end."""
    if not record:
        return "blank"
    if b"\0" in record:
        return "nul_byte"
    try:
        record.decode()
    except UnicodeDecodeError:
        return "bad_encoding"
    fields = fields_of(record, delimiter, quote)
    if fields is None:
        is_open = fields_of(record + quote.encode(), delimiter, quote) is not None
        return "torn_record" if is_open and not ended else "bad_quote"
    if len(fields) == width:
        return "ok"
    if len(fields) > width:
        return "too_many_fields"
    return "too_few_fields" if ended else "torn_record"
