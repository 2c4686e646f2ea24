"""Blocks as the books remember them."""

from __future__ import annotations

from trunkline.blocks import Block
from trunkline.framing.cutting import EarlierBlock


def as_earlier(block: Block, identity: str) -> EarlierBlock:
    """Return what is known of a block when its source is loaded again."""
    return EarlierBlock(
        position=block.position,
        first_byte=block.first_byte,
        first_line=block.first_line,
        size=block.size,
        lines=block.lines,
        identity=identity,
    )
