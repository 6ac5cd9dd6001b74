"""Verdicts on cells: each limit, what is not known, and configurations of limits."""

from __future__ import annotations

from pathlib import Path

import pytest
from qc_documents import not_barcoded, qc_document, without_fastq

from hesiod_watch.config import Config, parse
from hesiod_watch.config.qc import limits_of
from hesiod_watch.core.errors import ConfigError
from hesiod_watch.core.qc_verdict import QcLimit, QcLimits, QcVerdict
from hesiod_watch.report.document import QcDocument
from hesiod_watch.report.limits import limited_figures
from hesiod_watch.rules.qc_judgement import MEASURES, UPPER, judge_qc

BOTH = {
    **dict.fromkeys(MEASURES, QcLimit(warn=20, fail=10)),
    **dict.fromkeys(UPPER, QcLimit(warn=10, fail=20)),
}


def judged(
    limits: dict[str, QcLimit], reads: int = 5, *, basecalled: bool = True, **figures: float | None
) -> QcVerdict | None:
    """The verdict on a cell with these numbers."""
    return judge_qc(QcLimits("t", **limits), figures, reads=reads, basecalled=basecalled)


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize(
    ("good", "value", "grade"),
    [
        ("large", 20, "PASS"),
        ("large", 19.9995, "WARN"),
        ("large", 10, "WARN"),
        ("large", 9, "FAIL"),
        ("large", 0, "FAIL"),
        ("large", None, "WARN"),
        ("small", 10, "PASS"),
        ("small", 10.5, "WARN"),
        ("small", 20, "WARN"),
        ("small", 21, "FAIL"),
        ("small", None, "WARN"),
    ],
)
def test_each_limit(name: str, good: str, value: float | None, grade: str) -> None:
    """Each number is compared with both of its limits; one that is not known is a warning."""
    if (name in UPPER) != (good == "small"):
        return
    verdict = judge_qc(QcLimits("t", **{name: BOTH[name]}), {name: value}, reads=5, basecalled=True)
    assert verdict is not None
    assert verdict.grade == grade
    assert len(verdict.reasons) == (grade != "PASS")
    assert all(why.startswith(MEASURES[name]) for why in verdict.reasons)
    assert QcVerdict.from_record(verdict.record()) == QcVerdict(verdict.grade, "t", verdict.reasons)


def test_the_worst_counts() -> None:
    """The worst number decides, and its reason comes first."""
    limits = {"n50": QcLimit(warn=5000), "mean_q": QcLimit(fail=10), "pores": QcLimit(fail=1)}
    verdict = judged(limits, n50=4100, mean_q=9.5, pores=7000)
    assert verdict is not None
    assert verdict.sentence == "FAIL: mean Q 9.5 is below 10; N50 4,100 is below 5,000"


@pytest.mark.parametrize(
    ("limits", "reads", "basecalled", "sentence"),
    [
        ({}, 0, True, None),
        ({}, 5, True, None),
        ({"n50": QcLimit()}, 5, True, None),
        ({"n50": QcLimit(fail=1)}, 0, True, "FAIL: there are no reads"),
        (
            {"n50": QcLimit(fail=1)},
            0,
            False,
            "WARN: basecalling was off, so nothing is compared",
        ),
        ({"unclassified_percent": QcLimit(fail=1)}, 5, True, "PASS"),
    ],
    ids=["nothing", "no limits", "empty limit", "no reads", "not basecalled", "not barcoded"],
)
def test_when_there_is_a_verdict(
    limits: dict[str, QcLimit], reads: int, basecalled: bool, sentence: str | None
) -> None:
    """Without limits there is no verdict; with a limit, no cell without reads passes."""
    verdict = judged(limits, reads, basecalled=basecalled)
    assert (verdict and verdict.sentence) == sentence


def test_figures_of_a_cell() -> None:
    """The numbers are those of the passed reads; a cell has only those that it can have."""
    document = qc_document(pores=[{"seconds": 200, "available": 6800, "pores": 12000}])
    figures = limited_figures(QcDocument(document))
    assert figures.keys() == MEASURES.keys()
    assert figures["gigabases"] == document["pass"]["bases"] / 1e9
    assert figures["pores"] == 6800
    assert 1 < (figures["unclassified_percent"] or 0) < 2
    assert "unclassified_percent" not in limited_figures(QcDocument(not_barcoded()))
    assert limited_figures(QcDocument(without_fastq()))["n50"] is None


def configured(text: str) -> Config:
    """A configuration with these limits."""
    return parse(f"landing: /a\noutput: /b\nqc:\n  {text}\n", Path("/c.yaml"))


def test_configured_limits() -> None:
    """Limits are numbers with one or both bounds, by the type of run."""
    limits = limits_of(configured("internal: {n50: {fail: 3000, warn: 8000.5}}").qc, "internal")
    assert limits is not None
    assert limits.n50 == QcLimit(warn=8000.5, fail=3000)
    assert not limits.pores
    assert limits_of(configured("internal:").qc, "other") is None


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("visitor: {n50: {fail: 1}}", "there is no such type of run"),
        ("internl: {n50: {fail: 1}}", "did you mean internal?"),
        ("internal: {n5: {fail: 1}}", "did you mean n50?"),
        ("internal: {n50: 3000}", "should be {fail: NUMBER, warn: NUMBER}"),
        ("internal: {n50: {fail: -1}}", "should be a number from 0"),
        ("internal: {passed_percent: {fail: 101}}", "should be a number from 0 to 100"),
        ("internal: {n50: {fail: 2, warn: 1}}", "warn should be larger than fail"),
        ("internal: {unclassified_percent: {fail: 1, warn: 2}}", "warn should be smaller"),
        ("internal: {n50: {bad: 2}}", "known here: fail, warn"),
    ],
)
def test_mistakes_in_limits(text: str, mistake: str) -> None:
    """A limit that would have no effect, or another than meant, is a mistake."""
    with pytest.raises(ConfigError) as raised:
        configured(text)
    assert mistake in str(raised.value)
