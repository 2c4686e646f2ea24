"""Batches as COPY streams: the bytes themselves.  That PostgreSQL reads them is shown in tests/integration."""

import pyarrow as pa
import pytest

from trunkline.loading import copy_format as copy_format_module
from trunkline.loading.copy_format import CopyStream, copy_options, encode_copy

BATCH = pa.record_batch(
    {
        "customer_id": pa.array([1001, None], pa.int64()),
        "destination": pa.array(["", None], pa.string()),
    }
)


def test_binary_starts_with_the_signature_and_ends_with_the_trailer():
    """PostgreSQL manual, COPY, Binary Format: 11-byte signature, 16-bit -1 at the end."""
    data = b"".join(encode_copy(BATCH, copy_format="binary"))

    assert data.startswith(b"PGCOPY\n\xff\r\n\0")
    assert data.endswith(b"\xff\xff")


def test_csv_tells_an_empty_text_from_null():
    """An empty text is quoted, NULL is nothing at all."""
    assert b"".join(encode_copy(BATCH, copy_format="csv")) == b'1001,""\n,\n'


def test_csv_writes_uuid_bytes_and_times_as_postgresql_reads_them():
    """Sixteen bytes of fixed size are a uuid in hex, other bytes are bytea, times carry their offset."""
    batch = pa.record_batch(
        {
            "record_key": pa.array([bytes(range(16))], pa.binary(16)),
            "raw": pa.array([bytes(range(16))], pa.binary()),
            "started_at": pa.array([0], pa.timestamp("us", "UTC")),
        }
    )

    assert b"".join(encode_copy(batch, copy_format="csv")) == (
        b'"000102030405060708090a0b0c0d0e0f","\\x000102030405060708090a0b0c0d0e0f","1970-01-01 00:00:00.000000+00"\n'
    )


def test_options_name_the_format():
    """The server is told which of the two it gets."""
    assert copy_options("binary") == "format binary"
    assert copy_options("csv").startswith("format csv")


@pytest.mark.parametrize("copy_format", ["binary", "csv"])
@pytest.mark.parametrize("rows", [0, 1, 3, 4])
def test_pieces_are_the_same_stream(monkeypatch, copy_format, rows):
    """However many rows a piece has, the bytes are those of one piece."""
    batch = pa.record_batch({"n": pa.array(range(rows), pa.int32()), "t": pa.array(["x"] * rows, pa.string())})
    whole = b"".join(encode_copy(batch, copy_format=copy_format))

    monkeypatch.setattr(copy_format_module, "ROWS_AT_ONCE", 2)

    assert b"".join(encode_copy(batch, copy_format=copy_format)) == whole


def test_a_stream_is_read_in_parts_of_the_size_asked_for():
    """psycopg2 wants no more bytes than it asked for, and none only at the end; empty pieces are no end."""
    stream = CopyStream(iter((b"", b"abcde", b"", b"f")))

    assert [stream.read(2) for _ in range(6)] == [b"ab", b"cd", b"e", b"f", b"", b""]
