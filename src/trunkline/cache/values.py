"""What a cached block looks like: Arrow IPC behind a checksum, and the name of its key.  No I/O.

A value is ``digest (32 bytes) | calls (IPC stream) | rejects (IPC stream)``.  The digest is BLAKE3 over key
and value, keyed where a secret is configured, so that a value that was damaged, cut off, moved to another key
or, with a secret, written by a stranger is told from one of ours.

Source: the Arrow columnar format, section "IPC Streaming Format"; the BLAKE3 paper, section 2.3 (keyed mode).
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import numpy as np
import pyarrow as pa
from blake3 import blake3

from trunkline.blocks import REJECT_SCHEMA, Lines, TextBlock, TypedBlock
from trunkline.findings import Findings

# Part of every key: raise it when keys or values change, and old values are not found any more.
FORMAT_VERSION = 1

DIGEST_BYTES = 32  # a multiple of 8, so that Arrow's buffers behind it stay aligned

# To another machine lz4, not zstd; within this one nothing.  Measured on a 4.1 MiB block of call logs (one core; text /
# typed value):
#   lz4     writing 6.9 / 6.8 ms, reading 1.5 / 1.7 ms, 3.1 / 3.4 MiB
#   zstd 1  writing 10.6 / 12.2 ms, reading 5.2 / 4.8 ms, 1.9 / 2.6 MiB
#   none    writing 0.7 / 0.7 ms, reading 0.0 / 0.0 ms, 5.3 / 5.7 MiB
# A cold load pays the writing in CPU that it has no idle time for, and a warm one lives off the reading.  Both kinds of
# value are read, whoever wrote them.
Compression = Literal["lz4"] | None

_KEY_CONTEXT = "trunkline cache, value authentication, version 1"
_STEP = pa.field("line_step", pa.int32(), nullable=False)


class BadValueError(ValueError):
    """A cached value is not what was written there: damaged, foreign, or of another schema."""


def cache_key(stage: str, block_hash: str) -> str:
    """Return the key of a value; *block_hash*, hexadecimal, covers all that the value depends on."""
    return f"trunkline:{FORMAT_VERSION}:{stage}:{block_hash}"


def claim_key(key: str) -> str:
    """Return the key that is there while somebody works on the value of *key*."""
    prefix, version, stage, block_hash = key.split(":")
    return f"{prefix}:{version}:claim-{stage}:{block_hash}"


def mac_key(secret: str) -> bytes:
    """Return the BLAKE3 key that a configured secret of any length stands for."""
    return blake3(secret.encode(), derive_key_context=_KEY_CONTEXT).digest()


def seal(value: memoryview, *, key: str, mac: bytes | None) -> memoryview:
    """Write the checksum, keyed if *mac* is given, into the room before the payload, and return the value to store."""
    value[:DIGEST_BYTES] = _digest(value[DIGEST_BYTES:], key, mac)
    return value


def unseal(value: object, *, key: str, mac: bytes | None) -> memoryview:
    """
    Return the payload of a stored value, without copying it.

    Raises:
        BadValueError: If it is not what `seal` made under the same key and secret.
    """
    if not isinstance(value, bytes):
        raise BadValueError("no string")
    payload = memoryview(value)[DIGEST_BYTES:]
    if not hmac.compare_digest(value[:DIGEST_BYTES], _digest(payload, key, mac)):
        raise BadValueError("checksum")
    return payload


def _digest(payload: bytes | memoryview, key: str, mac: bytes | None) -> bytes:
    hasher = blake3(key=mac) if mac else blake3()
    return hasher.update(key.encode() + b"\0").update(payload).digest()


def pack_text(block: TextBlock, compression: Compression) -> memoryview:
    """Return the value of what extraction made of a block, with room for its checksum before the payload."""
    return _pack(block.batch, block.lines, block.rejects, {"read": block.read}, compression)


def unpack_text(payload: memoryview) -> TextBlock:
    """
    Return the block that `pack_text` was given, from the payload of its value.

    Raises:
        BadValueError: If the payload is of another schema or contradicts itself.
    """
    with _foreign_is_bad():
        batch, lines, rejects, facts = _unpack(payload)
        read = int(facts["read"])
        _require(all(_is_text(column.type) for column in batch.columns), "columns that are not text")
        _require(not any(column.null_count for column in batch.columns), "nulls in text")
        _require(read == len(batch) + len(rejects), "records that do not add up")
    return TextBlock(batch=batch, lines=lines, rejects=rejects, read=read)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def pack_typed(block: TypedBlock, compression: Compression) -> memoryview:
    """Return the value of what transformation made of a block, with room for its checksum before the payload."""
    facts = {"read": block.read, "filtered": block.filtered, "findings": block.findings.to_json()}
    return _pack(block.batch, block.lines, block.rejects, facts, compression)


def unpack_typed(payload: memoryview) -> TypedBlock:
    """
    Return the block that `pack_typed` was given, from the payload of its value.

    Raises:
        BadValueError: If the payload is of another schema or contradicts itself.
    """
    with _foreign_is_bad():
        batch, lines, rejects, facts = _unpack(payload)
        read, filtered = int(facts["read"]), int(facts["filtered"])
        findings = Findings.of(json.loads(facts.get("findings", "{}")))
        _require(batch.schema.names[-1:] == ["record_key"], "no record_key at the end")
        _require(batch.columns[-1].type == pa.binary(16), "a record_key of another type")
        _require(batch.columns[-1].null_count == 0, "calls without a key")
        _require(filtered >= 0 and read == len(batch) + len(rejects) + filtered, "records that do not add up")
    return TypedBlock(batch=batch, lines=lines, rejects=rejects, read=read, filtered=filtered, findings=findings)


def _pack(
    calls: pa.RecordBatch, lines: Lines, rejects: pa.RecordBatch, facts: Mapping[str, object], compression: Compression
) -> memoryview:
    steps = np.diff(lines, prepend=np.int64(-1)).astype(np.int32)  # nearly all 1: compresses to nothing
    # Only names and types: what pandas leaves in the metadata differs by version and is nobody's business.
    fields = [field.remove_metadata() for field in calls.schema]
    schema = pa.schema([*fields, _STEP], {name: str(fact) for name, fact in facts.items()})
    stored = pa.RecordBatch.from_arrays([*calls.columns, pa.array(steps)], schema=schema)
    # One place for all of it from the beginning: a stream that grows copies what it has, and so does joining.
    room = pa.allocate_buffer(DIGEST_BYTES + _most_bytes(stored) + _most_bytes(rejects))
    with pa.FixedSizeBufferWriter(room) as sink:
        sink.write(bytes(DIGEST_BYTES))
        _write(sink, stored, compression)
        _write(sink, rejects, compression)
        size = sink.tell()
    return memoryview(room).cast("B")[:size]


def _most_bytes(batch: pa.RecordBatch) -> int:
    """Return how long the stream of a batch can be: lz4 lengthens what it cannot shorten, by a 255th at most."""
    plain = batch.schema.serialize().size + pa.ipc.get_record_batch_size(batch)
    buffers = 3 * batch.num_columns + 2
    return int(plain + plain // 128 + 64 * buffers)  # of each buffer the frame, a prefix, and padding


def _write(sink: pa.NativeFile, batch: pa.RecordBatch, compression: Compression) -> None:
    # Blocks are worked on in parallel already: threads within one only get in the way.
    options = pa.ipc.IpcWriteOptions(compression=compression, use_threads=False)
    with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
        writer.write_batch(batch)


def _unpack(payload: memoryview) -> tuple[pa.RecordBatch, Lines, pa.RecordBatch, dict[str, str]]:
    source = pa.BufferReader(pa.py_buffer(payload))
    stored, rejects = _read(source), _read(source)
    facts = {name.decode(): fact.decode() for name, fact in (stored.schema.metadata or {}).items()}
    _require(source.tell() == source.size(), "more than was written")
    _require(stored.schema.field(-1).equals(_STEP), "no line numbers")
    _require(rejects.schema.equals(REJECT_SCHEMA), "rejects of another schema")
    steps = stored.column(-1).to_numpy()
    _require(bool((steps > 0).all()), "line numbers that do not ascend")
    calls = stored.remove_column(stored.num_columns - 1).replace_schema_metadata(None)
    return calls, np.cumsum(steps, dtype=np.int64) - 1, rejects, facts


def _read(source: pa.NativeFile) -> pa.RecordBatch:
    with pa.ipc.open_stream(source, options=pa.ipc.IpcReadOptions(use_threads=False)) as reader:
        batch = reader.read_next_batch()
        for _ in reader:  # up to the end mark, behind which the next stream begins
            raise BadValueError("more batches than were written")
    batch.validate(full=True)  # without a secret, a stranger may have written it: offsets must stay inside
    return batch


@contextmanager
def _foreign_is_bad() -> Iterator[None]:
    """Turn what pyarrow raises for bytes that it cannot make sense of into BadValueError."""
    try:
        yield
    except BadValueError:
        raise
    except (pa.ArrowException, OSError, LookupError, TypeError, ValueError, StopIteration) as exc:
        raise BadValueError("not the Arrow IPC streams that were expected") from exc


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise BadValueError(otherwise)
