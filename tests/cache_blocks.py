"""Small blocks to put into a cache."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from trunkline.blocks import NO_REJECTS, TextBlock, TypedBlock


def text_block(rows: int = 3) -> TextBlock:
    rng = np.random.default_rng(rows)
    words = pa.array([f"{n:016x}" for n in rng.integers(0, 2**62, rows)], pa.string())
    return TextBlock(batch=pa.record_batch([words], names=["a"]), lines=np.arange(rows), rejects=NO_REJECTS, read=rows)


def typed_block(rows: int = 3) -> TypedBlock:
    keys = pa.array([n.to_bytes(16) for n in range(rows)], pa.binary(16))
    return TypedBlock(
        batch=pa.record_batch([pa.array(range(rows)), keys], names=["customer_id", "record_key"]),
        lines=np.arange(rows),
        rejects=NO_REJECTS,
        read=rows,
        filtered=0,
    )
