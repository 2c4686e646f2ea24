"""Parts of files of lines: cut by line numbers or by day, interleaved, split.  Everything in bounded memory."""

from __future__ import annotations

import os
import shutil
from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

CHUNK_BYTES = 4 << 20


def line_offsets(file: Path, lines: Sequence[int]) -> list[int]:
    """
    Return the byte offset at which each line begins.

    Args:
        lines: 0-based and ascending; the number of all lines stands for the end of the file.

    Raises:
        ValueError: If the file has fewer lines.
    """
    offsets: list[int] = []
    before = position = 0
    with file.open("rb") as data:
        while len(offsets) < len(lines):
            chunk = data.read(CHUNK_BYTES)
            inside, ends = 0, chunk.count(b"\n")
            found = before
            while len(offsets) < len(lines) and lines[len(offsets)] <= before + ends:
                for _ in range(lines[len(offsets)] - found):
                    inside = chunk.index(b"\n", inside) + 1
                found = lines[len(offsets)]
                offsets.append(position + inside)
            if not chunk and len(offsets) < len(lines):
                raise ValueError(f"{file.name} has {before} lines, expected {lines[-1]}")
            before, position = before + ends, position + len(chunk)
    return offsets


def cut(source: Path, out: Path, first: int, last: int) -> None:
    """
    Write the header of *source* and its bytes from offset *first* to before *last*.

    The file appears under its name when it is whole.
    """
    unfinished = out.with_suffix(".part")
    with source.open("rb") as data, unfinished.open("wb") as part:
        part.write(data.readline())
        append(data, part, first, last)
    unfinished.replace(out)


def append(data: BinaryIO, out: BinaryIO, first: int, last: int) -> None:
    """Copy bytes from offset *first* to before *last* to where *out* stands."""
    data.seek(first)
    left = last - first
    while left > 0:
        chunk = data.read(min(CHUNK_BYTES, left))
        out.write(chunk)
        left -= len(chunk)


def every_second(source: Path, out: Path) -> None:
    """Write the header of *source* and its second, fourth, ... record."""
    unfinished = out.with_suffix(".part")
    with source.open("rb") as data, unfinished.open("wb") as part:
        part.write(data.readline())
        part.writelines(line for number, line in enumerate(data) if number % 2)
    unfinished.replace(out)


def offset_of_day(file: Path, day: str, column: int) -> int:
    """
    Return the byte offset of the first record of *day* or later, in a file in the order of time.

    Args:
        day: As the records write it, such as ``2022-01-31``.
        column: 0-based place of the column that begins with the day, in a file without quotes.
    """
    with file.open("rb") as data:

        def record_from(position: int) -> bytes:
            data.seek(position - 1)
            data.readline()
            return data.readline()

        def is_later(position: int) -> bool:
            record = record_from(position)
            return not record or record.split(b",")[column] >= day.encode()

        places = range(len(data.readline()), file.stat().st_size + 1)
        place = places[min(bisect_left(places, True, key=is_later), len(places) - 1)]
        return data.seek(-len(record_from(place)), os.SEEK_CUR)


def split(source: Path, folder: Path, records: int, parts: int) -> None:
    """Write *parts* files into *folder* with a header and as many of the *records* each; made anew if not all there."""
    if len(list(folder.glob("*.csv"))) == parts:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    bounds = line_offsets(source, [1 + records * part // parts for part in range(parts + 1)])
    for number, (first, last) in enumerate(pairwise(bounds)):
        cut(source, folder / f"calls-{number:03}.csv", first, last)


def size(file: Path) -> int:
    """Return the bytes of a file, or of all files of a folder."""
    return sum(part.stat().st_size for part in os.scandir(file)) if file.is_dir() else file.stat().st_size


def read_through(file: Path) -> None:
    """Read a file, so that it is in the page cache as one that was just written is."""
    with file.open("rb", buffering=0) as opened:
        while opened.read(1 << 20):
            pass
