"""Where a block ends: at a line end that the line before it chooses, so that the same records make the same blocks
wherever in a file they stand.  No I/O.

This is content-defined chunking (as in LBFS, Muthitacharoen et al. 2001, section 3.1) on line ends.  A file whose
head was cut off, or a later one that overlaps it, is cut like the first one again after a block or so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Places = npt.NDArray[np.int64]

_LF, _CR = 10, 13
_WORD_BYTES = 8
_LONG_LINE_BYTES = 4 * 1024  # longer ones count as this long, so that a line's chance depends on few bytes only
_STEP_BYTES = 512 * 1024

# Odd 64-bit constants of the SplitMix64 generator; anything that mixes all bits upwards will do.
_MULTIPLIERS = tuple(np.uint64(value) for value in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockSizes:
    """
    How long blocks are, in bytes: small enough to work on several at once in little memory, large enough that what is
    done once per block does not count.

    Attributes:
        least: No block but the last is shorter, unless the next line is very long.
        usual: Length on average.
        most: No block is longer; nor can a line be.
    """

    least: int = 2 * 1024 * 1024
    usual: int = 4 * 1024 * 1024
    most: int = 8 * 1024 * 1024


BLOCK_SIZES = BlockSizes()


def find_border(window: memoryview, sizes: BlockSizes, allowed: Places | None = None) -> int | None:
    """
    Return where the block that begins *window* ends, or None if no line ends within ``sizes.most`` bytes.

    Args:
        window: More than ``sizes.most`` bytes of the source, or all that is left of it.
        sizes: The lengths allowed.
        allowed: The offsets that may be chosen, where not every line end may.

    A line of n bytes is chosen with probability n / (usual - least), so that the length of records does not matter.
    Where none is chosen the one that came nearest to it is taken.
    """
    limit = min(len(window), sizes.most)
    best: tuple[float, int] | None = None
    for begin in range(max(sizes.least, 2 * _WORD_BYTES), limit, _STEP_BYTES):
        places, scores = _scored_borders(window, begin, min(begin + _STEP_BYTES, limit), allowed)
        chosen = np.flatnonzero(scores * (sizes.usual - sizes.least) < 1.0)
        if len(chosen):
            return int(places[chosen[0]])
        if len(places) and (best is None or scores.min() < best[0]):
            best = float(scores.min()), int(places[scores.argmin()])
    if len(window) <= sizes.most:
        return len(window)
    return best[1] if best else _last_border(window, limit, allowed)


def _last_border(window: memoryview, limit: int, allowed: Places | None) -> int | None:
    places = _line_borders(window, 0, limit)
    if allowed is not None:
        places = np.intersect1d(places, allowed, assume_unique=True)
    return int(places[-1]) if len(places) else None


def _line_borders(window: memoryview, begin: int, end: int) -> Places:
    """Return the offsets in (begin, end] that a line end is right before, never between CR and LF."""
    part = np.frombuffer(window, dtype=np.uint8, count=end - begin, offset=begin)
    whole = part == _LF
    returns = part == _CR
    if returns.any():
        following = np.append(part[1:], window[end] if end < len(window) else 0)
        whole |= returns & (following != _LF)
    return np.flatnonzero(whole) + (begin + 1)


def _scored_borders(
    window: memoryview, begin: int, end: int, allowed: Places | None
) -> tuple[Places, npt.NDArray[np.float64]]:
    """
    Return the borders in (begin, end] and for each a number made from the line before it, uniform in [0, 1),
    divided by the length of that line.
    """
    around = _line_borders(window, max(0, begin - _LONG_LINE_BYTES), end)
    lengths = np.minimum(np.diff(around, prepend=-_LONG_LINE_BYTES), _LONG_LINE_BYTES)
    wanted = around > begin
    if allowed is not None:
        wanted &= np.isin(around, allowed, assume_unique=True)
    places, lengths = around[wanted], lengths[wanted]
    return places, _fractions(window, places, lengths) / lengths


def _fractions(window: memoryview, places: Places, lengths: Places) -> npt.NDArray[np.float64]:
    """Return a hash in [0, 1) of the lines that end before *places*: of 8 bytes at four places in each."""
    words = np.ndarray((len(window) - _WORD_BYTES + 1,), dtype="<u8", buffer=window, strides=(1,))
    last = places - _WORD_BYTES
    mixed = words[last]
    for at in (last - _WORD_BYTES, places - lengths, places - lengths // 2):
        mixed *= _MULTIPLIERS[0]
        mixed ^= mixed >> np.uint64(32)
        mixed ^= words[np.minimum(at, last)]
    mixed *= _MULTIPLIERS[1]
    mixed ^= mixed >> np.uint64(29)
    mixed *= _MULTIPLIERS[2]
    return (mixed >> np.uint64(11)).astype(np.float64) / 2.0**53
