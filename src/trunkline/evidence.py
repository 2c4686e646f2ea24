"""What a source shows of itself as a whole, and what follows from it: nothing, warnings, or its refusal.  No I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trunkline.clock_proof import ClockProofs, check_clocks
from trunkline.findings import Findings
from trunkline.layout.header_match import header_warnings
from trunkline.layout.header_search import lines_left_out
from trunkline.spreadsheet import judge_traces
from trunkline.trailers import Counts, judge_trailers

if TYPE_CHECKING:
    from trunkline.layout.model import Layout


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """
    What is judged when all of a source was read.

    Attributes:
        skip_lines: Lines before its header that are no records.
        header: Names of its columns, as the source has them.
        proofs: How its times compare with their second clocks.
        findings: What its records show beside their values.
        cr_only: Whether its lines end with a CR alone.
        counts: Its records; None where it may be a part of a source, so that no trailer can be compared.
    """

    skip_lines: int = 0
    header: tuple[str, ...] = ()
    proofs: ClockProofs
    findings: Findings
    cr_only: bool = False
    counts: Counts | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """
    What follows from the evidence of a source that is not refused for it.

    Attributes:
        is_proved: Whether every zone that its times are read in is proved.
        trailer: How its trailers compare, for the books; None without any.
    """

    is_proved: bool
    trailer: dict[str, Any] | None


def judge_source(evidence: Evidence, layout: Layout, *, warn: Callable[[str], None]) -> Verdict:
    """
    Judge a source as a whole.

    Args:
        layout: With the user's overrides.
        warn: Told what is doubtful and no reason to refuse, a line each; also where the source is refused then.

    Raises:
        RefusedError: If its values were surely read wrong, or the layout does not let pass what it shows: traces of a
            spreadsheet, or a trailer that does not agree.
    """
    left_out = lines_left_out(evidence.skip_lines, layout)
    if left_out is not None:
        warn(left_out)
    for warning in header_warnings(evidence.header, layout):
        warn(warning)
    judge_traces(evidence.findings.traces, layout, evidence.header, cr_only=evidence.cr_only, warn=warn)
    trailer = None
    if evidence.counts is not None:
        trailer = judge_trailers(evidence.findings, evidence.counts, layout, warn=warn)
    return Verdict(is_proved=check_clocks(evidence.proofs, layout, warn=warn), trailer=trailer)
