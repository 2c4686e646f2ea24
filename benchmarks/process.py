"""Programs as the benchmarks run them: one at a time, with the time, CPU and memory that the kernel says they took."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MAX_SHOWN = 4_000  # characters of what a failed program said
RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes; macOS counts bytes, Linux KiB


class BenchError(Exception):
    """The benchmark cannot go on: a program failed, or a result is wrong and its time worth nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """
    A program that ended well.

    Attributes:
        seconds: From its start to its end.
        cpu_s: CPU of the process and of children that it waited for, in user and system mode.  Not that of servers.
        peak_bytes: Its largest resident set.  The kernel counts that of this process before `exec` as well, so
            the benchmarks themselves import nothing large.
        output: What it wrote to stdout; empty where that went to a file.
    """

    seconds: float
    cpu_s: float
    peak_bytes: int
    output: str


def run_program(
    program: Sequence[str | Path],
    environ: Mapping[str, str],
    *,
    stdin: Path | None = None,
    stdout: Path | None = None,
    accepted: tuple[int, ...] = (0,),
) -> Finished:
    """
    Run a program to its end.

    Args:
        program: Its path and arguments; no shell is involved.
        environ: Its whole environment.
        stdin: File to read from; nothing to read without it.
        stdout: File to write to; kept in memory without it.
        accepted: Exit statuses that are no failure.

    Raises:
        BenchError: If it ends with another status; holds the end of what it said.
    """
    with contextlib.ExitStack() as files:
        source = files.enter_context(stdin.open("rb")) if stdin else subprocess.DEVNULL
        err = files.enter_context(tempfile.TemporaryFile())
        written = files.enter_context(tempfile.TemporaryFile())
        out = files.enter_context(stdout.open("wb")) if stdout else written
        began = time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in program], env=dict(environ), stdin=source, stdout=out, stderr=err
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)  # it is gone: Popen must not wait for it
        err.seek(0)
        said = err.read().decode(errors="replace")
        if process.returncode not in accepted:
            command = " ".join(str(part) for part in program)
            raise BenchError(f"{command[:300]} ended with {process.returncode}:\n{said[-MAX_SHOWN:]}")
        written.seek(0)
        output = written.read().decode(errors="replace")
    return Finished(
        seconds=seconds,
        cpu_s=usage.ru_utime + usage.ru_stime,
        peak_bytes=usage.ru_maxrss * RSS_UNIT,
        output=output,
    )
