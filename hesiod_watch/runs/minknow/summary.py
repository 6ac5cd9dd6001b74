"""The final_summary file, which MinKNOW writes at the end of an acquisition. No I/O.

Plain text, `key=value`, one per line. MinKNOW does not document whether it appears whole or grows.
So a file that may be cut short is detected and never counts as a summary.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from hesiod_watch.core.cell_contents import DataKind, FinalSummary
from hesiod_watch.core.naming import display

SUMMARY_MAX_BYTES = 1 << 20  # real ones have less than 2 kB

_KINDS = frozenset(DataKind)
_WITH_FALLBACK = frozenset({DataKind.FAST5, DataKind.POD5, DataKind.FASTQ, DataKind.BAM})
"""Kinds whose number in the fallback folder follows the number in the final destination."""


def parse_summary(data: bytes, name: str) -> FinalSummary:
    """Parse a final_summary of any version: `key=value` lines, `#` comments, blank lines.

    Lines end in CRLF or LF. The last value of a repeated key wins; a blank count means "not
    stated". Never raises: a file that is empty, binary, half-written or of another form gets a
    `problem`, one sentence that begins with its name.
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
            # MinKNOW writes no comments, and its files begin with `instrument`.
            by_hand |= not values and line != ""
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
    if not by_hand and (missing := _missing_key(values)):
        return bad(f"is half-written: it ends before {missing}")
    return FinalSummary(name, values)


def _is_whole(last: str) -> bool:
    """Whether a last line without a line end is complete.

    MinKNOW of 2020 wrote no final line end. The rest of a number may be missing, unless it is 0;
    and any number of files in the fallback folder makes the cell incomplete anyway. A later MinKNOW
    may end with another key. The number of files of a kind without a fallback number is compared
    with the files, so half of a number makes the cell incomplete too.
    """
    last = last.strip()
    if not last or last.startswith("#"):
        return True
    match = re.fullmatch(r"([a-z0-9]+)_files_in_(fallback|final_dest)=[0-9]+", last)
    return match is not None and (match[2] == "fallback" or match[1] not in _WITH_FALLBACK)


def _is_count(key: str) -> bool:
    kind, found, _ = key.partition("_files_in_")
    return bool(found) and kind in _KINDS


def _missing_key(values: Collection[str]) -> str:
    """Key that MinKNOW's own file should contain but does not; "" for a file written by hand.

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
    """Facts about a cell's sequencing from its final_summary files; unknown keys are absent.

    With several acquisitions: from the first start to the last stop, `run_hours` is the sum, and
    for all other keys the last value counts. Times are strings as MinKNOW wrote them, `run_hours`
    is a number of hours.
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
    # "sequencing/sequencing_PRO114_DNA_e8_2_400K:FLO-PRO114M:SQK-LSK114:400"; before MinKNOW 3.6
    # a git hash
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
