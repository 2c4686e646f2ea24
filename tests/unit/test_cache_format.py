"""What is stored of a block reads back equal, or is told from what was stored."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.blocks import REJECT_SCHEMA, TextBlock, TypedBlock
from trunkline.cache.values import (
    DIGEST_BYTES,
    BadValueError,
    cache_key,
    mac_key,
    pack_text,
    pack_typed,
    seal,
    unpack_text,
    unpack_typed,
    unseal,
)
from trunkline.findings import Findings

GOLDEN = Path(__file__).parent / "golden"
KEY = cache_key("extract", "00ff")

TYPED_SCHEMA = pa.schema(
    [
        ("customer_id", pa.int64()),
        ("duration_s", pa.int32()),
        ("cost", pa.decimal128(18, 6)),
        ("currency", pa.string()),
        ("started_at", pa.timestamp("us", "UTC")),
        ("billed_on", pa.date32()),
        ("roaming", pa.bool_()),
        ("record_key", pa.binary(16)),
    ]
)
CALL = {
    "customer_id": 1001,
    "duration_s": 330,
    "cost": Decimal("1.200000"),
    "currency": "USD",
    "started_at": datetime(2022, 1, 1, 7, tzinfo=UTC),
    "billed_on": date(2022, 1, 31),
    "roaming": False,
    "record_key": bytes(range(16)),
}
MICROSECONDS = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
CALLS = st.fixed_dictionaries(
    {
        "customer_id": st.none() | st.integers(-(2**63), 2**63 - 1),
        "duration_s": st.none() | st.integers(-(2**31), 2**31 - 1),
        "cost": st.none() | st.decimals(Decimal(-(10**11)), Decimal(10**11), places=6),
        "currency": st.none() | st.text(),
        "started_at": st.none() | MICROSECONDS,
        "billed_on": st.none() | st.dates(),
        "roaming": st.none() | st.booleans(),
        "record_key": st.binary(min_size=16, max_size=16),
    }
)
REJECTS = st.lists(
    st.fixed_dictionaries(
        {
            "line": st.integers(0, 2**31),
            "field": st.none() | st.text(),
            "code": st.text(),
            "message": st.text(),
        }
    ),
    max_size=3,
).map(lambda rows: pa.RecordBatch.from_pylist(rows, schema=REJECT_SCHEMA))
GAPS = st.lists(st.integers(1, 2**20), max_size=20)


def rejects_batch(*lines: int) -> pa.RecordBatch:
    rows = [{"line": line, "field": None, "code": "bad_quote", "message": "a quote"} for line in lines]
    return pa.RecordBatch.from_pylist(rows, schema=REJECT_SCHEMA)


def text_block(**changes) -> TextBlock:
    batch = pa.record_batch([pa.array(["1001", "", "é"]), pa.array(["$1.20", "NULL", " "])], names=["a", "a"])
    values = {"batch": batch, "lines": np.array([0, 2, 3]), "rejects": rejects_batch(1), "read": 4}
    return TextBlock(**(values | changes))


def typed_block(**changes) -> TypedBlock:
    batch = pa.RecordBatch.from_pylist([CALL, dict.fromkeys(CALL, None) | {"record_key": b"k" * 16}], TYPED_SCHEMA)
    values = {"batch": batch, "lines": np.array([0, 5]), "rejects": rejects_batch(1, 2), "read": 5, "filtered": 1}
    return TypedBlock(**(values | changes))


def assert_same(got, block) -> None:
    """Batches and their schemas are equal, lines have the same values and type."""
    assert type(got) is type(block)
    assert got.batch.schema.equals(block.batch.schema, check_metadata=True)
    assert got.batch.equals(block.batch)
    assert got.rejects.equals(block.rejects)
    assert got.lines.dtype == np.int64
    assert got.lines.tolist() == block.lines.tolist()
    assert got.read == block.read


@pytest.mark.parametrize("compression", [None, "lz4"])
@given(data=st.data(), names=st.lists(st.text(), max_size=4), gaps=GAPS, rejects=REJECTS)
def test_text_reads_back_equal(data, names, gaps, rejects, compression):
    """Whatever the header and the text, names that repeat and blocks without a record included."""
    column = st.lists(st.text(), min_size=len(gaps), max_size=len(gaps))
    schema = pa.schema([pa.field(name, pa.string()) for name in names] or [pa.field("1", pa.string())])
    batch = pa.record_batch([pa.array(data.draw(column), pa.string()) for _ in schema], schema=schema)
    block = TextBlock(
        batch=batch,
        lines=np.cumsum(np.array(gaps, dtype=np.int64)) - 1,
        rejects=rejects,
        read=len(gaps) + len(rejects),
    )

    assert_same(unpack_text(pack_text(block, compression)[DIGEST_BYTES:]), block)


@pytest.mark.parametrize("compression", [None, "lz4"])
@given(calls=st.lists(CALLS, max_size=8), rejects=REJECTS, filtered=st.integers(0, 3))
def test_typed_calls_read_back_equal(calls, rejects, filtered, compression):
    """Nulls, decimals, times and keys included, to the last digit."""
    block = TypedBlock(
        batch=pa.RecordBatch.from_pylist(calls, schema=TYPED_SCHEMA),
        lines=np.arange(len(calls), dtype=np.int64),
        rejects=rejects,
        read=len(calls) + len(rejects) + filtered,
        filtered=filtered,
    )

    got = unpack_typed(pack_typed(block, compression)[DIGEST_BYTES:])

    assert_same(got, block)
    assert got.filtered == filtered


def test_findings_read_back_equal():
    """A warm run warns of what a cold one does."""
    block = typed_block(findings=Findings(traces=Counter({("started_at", "cut"): 2})))

    assert unpack_typed(pack_typed(block, None)[DIGEST_BYTES:]).findings == block.findings


def test_a_slice_of_a_batch_is_stored_alone():
    """Of a batch that is a window on a larger one, only the window is stored."""
    large = pa.record_batch([pa.array([str(n) for n in range(100_000)])], names=["n"])
    block = TextBlock(batch=large.slice(50_000, 2), lines=np.array([4, 7]), rejects=rejects_batch(), read=2)

    payload = pack_text(block, "lz4")[DIGEST_BYTES:]

    assert_same(unpack_text(payload), block)
    assert len(payload) < 4096


def test_what_lz4_cannot_shorten_is_stored_too():
    """The room for a value is made before it is known how long it gets."""
    numbers = np.random.default_rng(7).integers(-(2**63), 2**63 - 1, 200_000)
    keys = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), 100_000, [None, pa.py_buffer(numbers)])
    block = typed_block()
    calls = pa.record_batch([keys], names=["record_key"])
    block = replace(block, batch=calls, lines=np.arange(100_000), read=100_000 + len(block.rejects), filtered=0)

    payload = pack_typed(block, "lz4")[DIGEST_BYTES:]

    assert len(payload) > numbers.nbytes
    assert_same(unpack_typed(payload), block)


def test_what_pandas_knows_of_a_batch_is_not_stored():
    """Its metadata differs between versions of pandas: with it, equal blocks would not be equal values."""
    frame = pd.DataFrame({"a": ["1001"]}, dtype=pd.ArrowDtype(pa.string()))
    batch = pa.RecordBatch.from_pandas(frame)
    assert b"pandas" in batch.schema.metadata
    block = TextBlock(batch=batch, lines=np.array([0]), rejects=rejects_batch(), read=1)

    payload = pack_text(block, "lz4")[DIGEST_BYTES:]

    assert b"pandas" not in bytes(payload)
    assert unpack_text(payload).batch.schema.metadata is None


@pytest.mark.parametrize("name", ["text", "typed"])
def test_values_of_the_first_release_stay_readable(name):
    """Format version 1 is what these files are; a change that cannot read them needs a new version."""
    value = (GOLDEN / f"cache_value_v1_{name}.bin").read_bytes()
    unpack, block = {"text": (unpack_text, text_block()), "typed": (unpack_typed, typed_block())}[name]

    assert_same(unpack(unseal(value, key=KEY, mac=None)), block)


@pytest.mark.parametrize("mac", [None, mac_key("s3cret")], ids=["checksum", "mac"])
def test_every_flipped_byte_is_noticed(mac):
    """Wherever a value is damaged, it is not taken for a block."""
    value = bytes(seal(pack_text(text_block(), "lz4"), key=KEY, mac=mac))

    for place in range(len(value)):
        damaged = bytearray(value)
        damaged[place] ^= 1
        with pytest.raises(BadValueError):
            unseal(bytes(damaged), key=KEY, mac=mac)


def test_every_truncation_is_noticed():
    """However much of a value is there, it is not taken for a block unless all of it is, and no more."""
    value = bytes(seal(pack_text(text_block(), "lz4"), key=KEY, mac=None))

    for length in range(len(value)):
        with pytest.raises(BadValueError):
            unseal(value[:length], key=KEY, mac=None)
    with pytest.raises(BadValueError):
        unseal(value + b"\0", key=KEY, mac=None)


@pytest.mark.parametrize("value", [None, 1, "text", [b"list"], b""])
def test_another_reply_than_a_string_is_noticed(value):
    """A server that answers with something else holds no block."""
    with pytest.raises(BadValueError):
        unseal(value, key=KEY, mac=None)


def test_a_value_belongs_to_its_key():
    """A block copied to another block's key is not that block."""
    value = bytes(seal(pack_text(text_block(), "lz4"), key=KEY, mac=None))

    with pytest.raises(BadValueError):
        unseal(value, key=cache_key("extract", "00fe"), mac=None)


@pytest.mark.parametrize(("written", "read"), [(None, "a"), ("a", None), ("a", "b")])
def test_a_value_belongs_to_its_secret(written, read):
    """Who knows no secret, or another one, cannot write a value that is accepted."""
    macs = [mac_key(secret) if secret else None for secret in (written, read)]
    value = bytes(seal(memoryview(bytearray(DIGEST_BYTES) + b"payload"), key=KEY, mac=macs[0]))

    with pytest.raises(BadValueError):
        unseal(value, key=KEY, mac=macs[1])


def test_keys_hold_version_stage_and_hash():
    """The form is a contract: monitoring and access lists are written against it."""
    assert cache_key("transform", "ab12") == "trunkline:1:transform:ab12"


def stream(batch: pa.RecordBatch, copies: int = 1) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        for _ in range(copies):
            writer.write_batch(batch)
    return bytes(sink.getvalue())


def stored(*, steps=(1, 2, 1), metadata=None, columns=None) -> pa.RecordBatch:
    arrays = columns or [pa.array(["x", "y", "z"])]
    step = pa.field("line_step", pa.int32(), nullable=False)
    fields = [pa.field("a", array.type) for array in arrays]
    schema = pa.schema([*fields, step], metadata or {"read": "3", "filtered": "0"})
    return pa.RecordBatch.from_arrays([*arrays, pa.array(steps, pa.int32())], schema=schema)


NONE_REJECTED = stream(rejects_batch())
FOREIGN = {
    "not arrow": b"<html>",
    "nothing": b"",
    "no rejects": stream(stored()),
    "no batch": stream(stored(), copies=0) + NONE_REJECTED,
    "two batches": stream(stored(), copies=2) + NONE_REJECTED,
    "more behind": stream(stored()) + NONE_REJECTED + b"\0",
    "no counts": stream(stored(metadata={"x": "y"})) + NONE_REJECTED,
    "no numbers": stream(stored(metadata={"read": "three"})) + NONE_REJECTED,
    "other counts": stream(stored(metadata={"read": "4"})) + NONE_REJECTED,
    "no line numbers": stream(pa.record_batch([pa.array(["x"])], names=["a"])) + NONE_REJECTED,
    "lines that do not ascend": stream(stored(steps=(1, 0, 1))) + NONE_REJECTED,
    "other rejects": stream(stored()) + stream(pa.record_batch([pa.array([1])], names=["line"])),
    "numbers": stream(stored(columns=[pa.array([1, 2, 3])])) + NONE_REJECTED,
    "nulls": stream(stored(columns=[pa.array(["x", None, "z"])])) + NONE_REJECTED,
    "dictionary": stream(stored(columns=[pa.array(["x", "y", "x"]).dictionary_encode()])) + NONE_REJECTED,
}


def test_what_the_foreign_payloads_are_made_of_is_accepted():
    """The cases below differ from a good payload in one thing each."""
    assert unpack_text(memoryview(stream(stored()) + NONE_REJECTED)).read == 3


@pytest.mark.parametrize("payload", FOREIGN.values(), ids=FOREIGN.keys())
def test_foreign_payloads_are_noticed(payload):
    """A value with the right checksum and another schema, say of another program version, is not taken."""
    with pytest.raises(BadValueError):
        unpack_text(memoryview(payload))


KEYS = pa.array([b"0" * 16, b"1" * 16, b"2" * 16], pa.binary(16))
UNTYPED = {
    "text": stored(),
    "short keys": stored(columns=[pa.array([b"0", b"1", b"2"], pa.binary(1))]),
    "no key": stored(columns=[pa.array([b"0" * 16, None, b"2" * 16], pa.binary(16))]),
}


@pytest.mark.parametrize("batch", UNTYPED.values(), ids=UNTYPED.keys())
def test_typed_calls_without_a_key_are_noticed(batch):
    """Calls cannot be loaded without the 16 bytes that tell them apart."""
    renamed = batch.rename_columns(["record_key", "line_step"])

    with pytest.raises(BadValueError):
        unpack_typed(memoryview(stream(renamed) + NONE_REJECTED))


@pytest.mark.parametrize("counts", [{"read": "3"}, {"read": "2", "filtered": "-1"}, {"read": "3", "filtered": "1"}])
def test_typed_calls_that_do_not_add_up_are_noticed(counts):
    """Records read are calls, rejects and filtered ones: books built on anything else would not balance."""
    batch = stored(columns=[KEYS], metadata=counts).rename_columns(["record_key", "line_step"])

    with pytest.raises(BadValueError):
        unpack_typed(memoryview(stream(batch) + NONE_REJECTED))


@settings(max_examples=300)
@given(place=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_damage_behind_a_right_checksum_never_crashes(place, byte):
    """Without a secret, a stranger can compute the checksum: the worst that happens is another value or a miss."""
    payload = bytearray(pack_typed(typed_block(), "lz4")[DIGEST_BYTES:])
    payload[place % len(payload)] = byte

    try:
        block = unpack_typed(memoryview(bytes(payload)))
    except BadValueError:
        return
    block.batch.validate(full=True)
