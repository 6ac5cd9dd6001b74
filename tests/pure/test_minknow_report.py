"""MinKNOW's report for programs: its facts, and reports that are damaged or of another form."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hesiod_watch.core.minknow_report import NO_REPORT, PoreScan, parse_minknow_report


def scan(seconds: object, **counts: object) -> dict[str, Any]:
    """A scan of the pores as MinKNOW writes it."""
    return {"mux_scan_timestamp": seconds, "counts": counts}


def report(versions: dict[str, Any], *acquisitions: dict[str, Any]) -> dict[str, Any]:
    """A report with these versions and acquisitions."""
    return {"protocol_run_info": {"software_versions": versions}, "acquisitions": acquisitions}


def acquisition(purpose: str, min_q: float, *scans: dict[str, Any]) -> dict[str, Any]:
    """An acquisition with this purpose, limit and scans."""
    return {
        "acquisition_run_info": {
            "stop_reason": "STOPPED_PROTOCOL_ENDED",
            "config_summary": {"purpose": purpose},
            "bream_info": {"mux_scan_results": list(scans)},
        },
        "basecaller_config": {"read_filtering": {"min_qscore": min_q}},
    }


VERSIONS = {
    "minknow": {"full": "5.9.7"},
    "distribution_version": "24.02.10",
    "guppy_build_version": "7.3.1",
    "guppy_connected_version": "7.3.9",
}


def test_facts() -> None:
    """The facts are those of the acquisition for sequencing, wherever it is among the others."""
    sequencing = acquisition(
        "SEQUENCING",
        9,
        scan("5600", single_pore=90, zero=20),
        scan("200", single_pore=100, zero=10),
    )
    others = acquisition("CALIBRATION", 7), acquisition("CALIBRATION", 8)
    found = parse_minknow_report(
        json.dumps(report(VERSIONS, others[0], sequencing, others[1])).encode()
    )
    assert found.facts == {
        "minknow_version": "24.02.10",
        "basecaller_version": "7.3.9",
        "min_q": 9,
        "stop_reason": "STOPPED_PROTOCOL_ENDED",
    }
    assert found.scans == (PoreScan(200, 100, 110), PoreScan(5600, 90, 110))


@pytest.mark.parametrize(
    ("versions", "facts"),
    [
        ({"basecaller_build_version": "1.4.0"}, {"basecaller_version": "1.4.0"}),
        ({"minknow": {"full": "6.0"}}, {"minknow_version": "6.0"}),
        ({"distribution_version": 5, "minknow": "x"}, {}),
        ([], {}),
    ],
)
def test_versions(versions: Any, facts: dict[str, Any]) -> None:
    """Each version is taken from the keys that there are; what is malformed is left out."""
    assert parse_minknow_report(json.dumps(report(versions)).encode()).facts == facts


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b"[" * 100_000,
        b'{"acquisitions": [3, null, {"acquisition_run_info": []}]}',
        b'{"acquisitions": {"a": 1}, "protocol_run_info": "x"}',
        json.dumps(report({}, acquisition("", -1.0) | {"acquisition_run_info": None})).encode(),
    ],
)
def test_what_is_no_report_gives_nothing(data: bytes) -> None:
    """A file that is empty, cut off or of another form gives no facts and raises nothing."""
    assert parse_minknow_report(data) == NO_REPORT


@pytest.mark.parametrize(
    "bad", [scan("x", single_pore=1), scan(-3, single_pore=1), scan(5), scan(5, single_pore="many")]
)
def test_a_bad_scan_is_left_out(bad: dict[str, Any]) -> None:
    """A scan without a time or without a number does not hide the others."""
    good = scan(7, single_pore="4", zero=True)
    data = json.dumps(report({}, acquisition("SEQUENCING", 9, bad, good))).encode()
    assert parse_minknow_report(data).scans == (PoreScan(7, 4, 4),)
