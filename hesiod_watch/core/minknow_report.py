"""Facts from MinKNOW's `report_*.json`: versions, minimum Q, end of the run, pores. No I/O.

A report has one entry for each acquisition. The calibrations come first; the last acquisition with
the purpose "SEQUENCING" is the one that made the reads. Numbers are numbers or texts of digits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from hesiod_watch.core.frozen import frozen

REPORT_MAX_BYTES = 64 << 20  # a real one of three days has 2.4 MB
MOST_SCANS = 2000
_AVAILABLE = "single_pore"
_LONGEST = 200  # characters of a text


@frozen
class PoreScan:
    """One scan of all pores of a flow cell."""

    seconds: int  # since the start of the acquisition
    available: int  # pores that can be sequenced from
    pores: int  # all that were scanned

    def record(self) -> dict[str, int]:
        """The scan as a JSON object."""
        return {"seconds": self.seconds, "available": self.available, "pores": self.pores}


@frozen
class MinknowReport:
    """Values of a report that are used; missing or malformed ones are left out."""

    facts: Mapping[str, Any] = field(default_factory=dict)
    scans: tuple[PoreScan, ...] = ()  # in order of time


NO_REPORT = MinknowReport()


def parse_minknow_report(data: bytes) -> MinknowReport:
    """Parse a report of any version. Never raises: a file that is no report gives nothing."""
    try:
        report = json.loads(data) if len(data) <= REPORT_MAX_BYTES else None
    except (ValueError, RecursionError):
        return NO_REPORT
    run = _in(report, "protocol_run_info")
    versions = _in(run, "software_versions")
    acquisition = _sequencing(_list(_in(report, "acquisitions")))
    info = _in(acquisition, "acquisition_run_info")
    stated = {
        "minknow_version": _text(_in(versions, "distribution_version"))
        or _text(_in(versions, "minknow", "full")),
        "basecaller_version": _basecaller(versions),
        "min_q": _number(_in(acquisition, "basecaller_config", "read_filtering", "min_qscore")),
        "stop_reason": _text(_in(info, "stop_reason")),
    }
    facts = {key: value for key, value in stated.items() if value not in ("", None)}
    return MinknowReport(facts, _scans(_list(_in(info, "bream_info", "mux_scan_results"))))


def _sequencing(acquisitions: Sequence[object]) -> object:
    """The acquisition that made the reads: the last one for sequencing, or the last of all."""
    purposes = (
        (each, _in(each, "acquisition_run_info", "config_summary", "purpose"))
        for each in reversed(acquisitions)
    )
    last = acquisitions[-1] if acquisitions else None
    return next((each for each, purpose in purposes if purpose == "SEQUENCING"), last)


def _basecaller(versions: object) -> str:
    """Version of the basecaller that ran; its key names Guppy, or the basecaller, by version."""
    for ending in ("_connected_version", "_build_version"):
        for key, value in versions.items() if isinstance(versions, dict) else ():
            if key.endswith(ending) and _text(value):
                return _text(value)
    return ""


def _scans(results: Sequence[object]) -> tuple[PoreScan, ...]:
    scans = []
    for result in results[:MOST_SCANS]:
        seconds, counts = _number(_in(result, "mux_scan_timestamp")), _in(result, "counts")
        if seconds is None or not isinstance(counts, dict):
            continue
        known = [int(found) for each in counts.values() if (found := _number(each)) is not None]
        available = _number(counts.get(_AVAILABLE)) or 0
        if sum(known):
            scans.append(PoreScan(int(seconds), int(available), sum(known)))
    return tuple(sorted(scans, key=lambda scan: scan.seconds))


def _in(value: object, *keys: str) -> object:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str:
    return value[:_LONGEST] if isinstance(value, str) else ""


def _number(value: object) -> float | None:
    """A number from 0 to 10^12; protobuf writes large ones as texts."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 12:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if 0 <= value <= 1e12 else None
