"""Batches as COPY streams: the bytes themselves.  That PostgreSQL reads them is shown in tests/integration."""

import pyarrow as pa

from trunkline.loading.copy_format import copy_options, encode_copy

BATCH = pa.record_batch(
    {
        "customer_id": pa.array([1001, None], pa.int64()),
        "destination": pa.array(["", None], pa.string()),
    }
)


def test_binary_starts_with_the_signature_and_ends_with_the_trailer():
    """PostgreSQL manual, COPY, Binary Format: 11-byte signature, 16-bit -1 at the end."""
    data = encode_copy(BATCH, copy_format="binary")

    assert data.startswith(b"PGCOPY\n\xff\r\n\0")
    assert data.endswith(b"\xff\xff")


def test_csv_tells_an_empty_text_from_null():
    """An empty text is quoted, NULL is nothing at all."""
    assert encode_copy(BATCH, copy_format="csv") == b'1001,""\n,\n'


def test_csv_writes_uuid_bytes_and_times_as_postgresql_reads_them():
    """Sixteen bytes of fixed size are a uuid in hex, other bytes are bytea, times carry their offset."""
    batch = pa.record_batch(
        {
            "record_key": pa.array([bytes(range(16))], pa.binary(16)),
            "raw": pa.array([bytes(range(16))], pa.binary()),
            "started_at": pa.array([0], pa.timestamp("us", "UTC")),
        }
    )

    assert encode_copy(batch, copy_format="csv") == (
        b'"000102030405060708090a0b0c0d0e0f","\\x000102030405060708090a0b0c0d0e0f","1970-01-01 00:00:00.000000+00"\n'
    )


def test_options_name_the_format():
    """The server is told which of the two it gets."""
    assert copy_options("binary") == "format binary"
    assert copy_options("csv").startswith("format csv")
