"""The final_summary file: what MinKNOW says at the end of an acquisition. Pure: bytes in, values
out.

Plain text, `key=value`, one per line. Whether it appears whole or grows is not documented, so a
file that may have been cut short is told from one that ends as it should, and never counts as a
summary.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from hesiod_watch.core.model import DataKind, FinalSummary
from hesiod_watch.core.naming import display

SUMMARY_MAX_BYTES = 1 << 20  # real ones have less than 2 kB

_KINDS = frozenset(DataKind)


def parse_summary(data: bytes, name: str) -> FinalSummary:
    """Parse a final_summary of any era: `key=value` lines, `#` comments, blank lines; CRLF or LF.

    The last value wins where a key is repeated, a blank count is one that is not stated. Never
    raises: a file that is empty, binary, half-written or not of this form gets a `problem`, one
    sentence that begins with its name.
    """

    def bad(problem: str) -> FinalSummary:
        return FinalSummary(name, values, f"{display(name)} {problem}")

    values: dict[str, str] = {}
    if not data:
        return bad("is empty")
    if len(data) > SUMMARY_MAX_BYTES:
        return bad("is unreadable: larger than 1 MiB, where a final_summary has less than 2 kB")
    if re.search(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", data):
        return bad("is unreadable: it holds binary data")
    *lines, last = data.decode("utf-8-sig", "replace").split("\n")
    cut = not _is_whole(last)
    if not cut:
        lines.append(last)
    by_hand = False
    for number, line in enumerate(lines, 1):
        line = line.strip()
        if not line or line.startswith("#"):
            by_hand |= (
                not values and line != ""
            )  # MinKNOW writes no comments, and its files begin with `instrument`
            continue
        key, equals, value = line.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z0-9_]+", key.strip()):
            return bad(f'is unreadable: line {number}, "{_shortened(line)}", is not key=value')
        values[key.strip()] = value.strip()
        if _is_count(key.strip()) and not re.fullmatch(r"[0-9]{0,9}", value.strip()):
            return bad(f'is unreadable: line {number}, "{_shortened(line)}", gives no count')
    if cut:
        return bad(f'is half-written: its last line, "{_shortened(last)}", has no end')
    if not values:
        return bad("is unreadable: it holds no key=value")
    if not by_hand and (missing := _not_reached(values)):
        return bad(f"is half-written: it ends before {missing}")
    return FinalSummary(name, values)


def _is_whole(last: str) -> bool:
    """Whether a last line without a line end may be taken as it stands.

    MinKNOW of 2020 wrote none. Of a number the rest may be lacking, unless it is 0; and a number of
    files in the fallback folder keeps the cell from being complete whatever follows.
    """
    last = last.strip()
    return (
        not last
        or last.startswith("#")
        or re.fullmatch(r"[a-z0-9]+_files_in_fallback=[0-9]+", last) is not None
    )


def _is_count(key: str) -> bool:
    kind, found, _ = key.partition("_files_in_")
    return bool(found) and kind in _KINDS


def _not_reached(values: Collection[str]) -> str:
    """The key that a file of MinKNOW's own should have reached and has not; "" for one written by
    hand.

    MinKNOW begins with `instrument` and states the counts last: fast5, pod5 (from 2023), fastq, bam
    (from 2024), each `final_dest` then `fallback`. A person's file of three keys has neither
    `instrument` nor `started`.
    """
    if "instrument" not in values and "started" not in values:
        return ""
    if "bam_files_in_final_dest" in values and "bam_files_in_fallback" not in values:
        return "bam_files_in_fallback"
    reached = "fastq_files_in_fallback" in values or "bam_files_in_fallback" in values
    return "" if reached else "fastq_files_in_fallback"


def _shortened(line: str) -> str:
    return display(line.strip()[:60])


def facts(summaries: Sequence[FinalSummary]) -> dict[str, Any]:
    """What the final_summary files of a cell say about its sequencing; keys are absent where
    nothing is stated.

    With several acquisitions: from the first start to the last stop, `run_hours` the sum of each,
    and of anything else the last value. Times are strings as MinKNOW wrote them, `run_hours` a
    number of hours.
    """
    stated: dict[str, Any] = {}
    for summary in summaries:
        stated.update(
            (key, value) for key, value in summary.values.items() if key in _FACTS and value
        )
    for key, choose in (
        ("started", min),
        ("acquisition_stopped", max),
        ("processing_stopped", max),
    ):
        times = [
            value
            for summary in summaries
            if (value := summary.values.get(key)) and _seconds(value) is not None
        ]
        if times:
            stated[key] = choose(times, key=lambda time: _seconds(time) or 0.0)
    # "sequencing/sequencing_PRO114_DNA_e8_2_400K:FLO-PRO114M:SQK-LSK114:400"; a git hash before
    # MinKNOW 3.6
    for key, value in zip(
        ("flow_cell_type", "kit"), stated.get("protocol", "").split(":")[1:], strict=False
    ):
        if value:
            stated[key] = value
    hours = [_run_hours(summary) for summary in _one_per_acquisition(summaries)]
    if known := [each for each in hours if each is not None]:
        stated["run_hours"] = round(sum(known), 2)
    return stated


_FACTS = frozenset(
    {
        "instrument",
        "position",
        "flow_cell_id",
        "sample_id",
        "protocol_group_id",
        "protocol",
        "basecalling_enabled",
    }
    | {"started", "acquisition_stopped", "processing_stopped"}
)


def _one_per_acquisition(summaries: Sequence[FinalSummary]) -> Collection[FinalSummary]:
    return {summary.acquisition: summary for summary in summaries}.values()


def _run_hours(summary: FinalSummary) -> float | None:
    started = _seconds(summary.values.get("started", ""))
    stopped = _seconds(summary.values.get("acquisition_stopped", ""))
    return (
        None
        if started is None or stopped is None or stopped < started
        else (stopped - started) / 3600
    )


def _seconds(time: str) -> float | None:
    try:
        return datetime.fromisoformat(time).timestamp()
    except (ValueError, OverflowError):
        return None
