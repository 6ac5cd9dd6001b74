"""Completeness of a cell's data, proven by the counts in MinKNOW's final_summary files.

A final_summary says that the acquisition ended, not that its files arrived. So a cell is complete
only if all of these are true:

- every acquisition with files has its final_summary;
- every count in a final_summary equals the number of files on disk;
- no file remains in MinKNOW's fallback folder.

A count that is not stated is not checked. A final_summary without any count proves nothing. More
files than announced prove nothing either: the numbers disagree, and a person must decide which one
is wrong.

This module only computes: it turns the result of `minknow.read_contents` into a verdict and a
sentence for people.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from hesiod_watch.core.cell_contents import (
    CellContents,
    Completeness,
    DataKind,
    FinalSummary,
    Shortfall,
    Verdict,
)
from hesiod_watch.core.naming import display
from hesiod_watch.core.text import number_of

_BY_HAND_IN_0_1_0 = "taken as complete by a person; "  # how version 0.1.0 recorded it


def _merged(summaries: Sequence[FinalSummary]) -> tuple[list[Mapping[str, str]], Mapping[str, str]]:
    """Return the values of each acquisition, and the values of handwritten files.

    An acquisition with two files counts once; for each key the later file wins. A handwritten file
    names no acquisition: people write a few keys into one after they basecalled data again. Its
    values replace the sums over all acquisitions.
    """
    by_acquisition: dict[str, dict[str, str]] = {}
    by_hand: dict[str, str] = {}
    # MinKNOW's own files first, in their order: a handwritten file corrects them even if copying
    # made them newer.
    for summary in sorted(summaries, key=lambda summary: "instrument" not in summary.values):
        if summary.acquisition:
            by_acquisition.setdefault(summary.acquisition, {}).update(summary.values)
        else:
            by_hand.update(summary.values)
    return list(by_acquisition.values()), by_hand


def _stated(summaries: Sequence[FinalSummary], key: str) -> list[str]:
    """Return the values of `key`, one per acquisition ("" if missing), or the handwritten one."""
    acquisitions, by_hand = _merged(summaries)
    return [by_hand[key]] if by_hand.get(key) else [values.get(key, "") for values in acquisitions]


def announced(summaries: Iterable[FinalSummary]) -> Mapping[DataKind, int]:
    """Return the announced number of files by kind, summed over acquisitions.

    A kind is missing in the result if one acquisition states no number for it. Files with a
    problem are ignored.
    """
    sound = [summary for summary in summaries if not summary.problem]
    stated = {kind: _stated(sound, f"{kind}_files_in_final_dest") for kind in DataKind}
    return {
        kind: sum(map(int, counts)) for kind, counts in stated.items() if counts and all(counts)
    }


def _fallback(summaries: Sequence[FinalSummary]) -> dict[DataKind, int]:
    """Return the number of files in the fallback folder by kind, if not zero.

    It is enough that one acquisition states a number.
    """
    stated = {kind: _stated(summaries, f"{kind}_files_in_fallback") for kind in DataKind}
    totals = {kind: sum(int(count) for count in counts if count) for kind, counts in stated.items()}
    return {kind: total for kind, total in totals.items() if total}


def judge(contents: CellContents) -> Completeness:
    """Judge a cell's contents: a verdict, and one sentence on what is wrong or what agrees."""
    summaries = contents.summaries

    def verdict(verdict: Verdict, why: str) -> Completeness:
        return Completeness(
            verdict, f"{why}; {contents.problem}" if contents.problem else why, summaries=summaries
        )

    if not contents.readable:
        return Completeness(Verdict.UNREADABLE, contents.problem, summaries=summaries)
    if not summaries:
        return verdict(Verdict.RUNNING, "still running: no final_summary yet")
    if problems := [summary.problem for summary in summaries if summary.problem]:
        return verdict(Verdict.UNREADABLE, "; ".join(problems))
    if contents.unsummarised:
        return verdict(Verdict.RUNNING, _still_running(contents.unsummarised))
    expected = announced(summaries)
    fallback = _fallback(summaries)
    disagreeing = tuple(
        Shortfall(kind, contents.files.get(kind, 0), count)
        for kind, count in expected.items()
        if contents.files.get(kind, 0) != count
    )
    if fallback or disagreeing:
        sentences = [
            *map(_in_fallback, fallback, fallback.values()),
            *map(_disagreement, disagreeing),
        ]
        wrong = verdict(_worst(fallback, disagreeing), "; ".join(sentences))
        return replace(wrong, shortfalls=disagreeing, fallback=fallback)
    if not expected:
        names = " and ".join(display(summary.name) for summary in summaries)
        return verdict(
            Verdict.UNREADABLE,
            f"no number of files in {names}: nothing proves that the data are here",
        )
    return verdict(Verdict.PROVEN, _agreement(contents, expected))


def accept(found: Completeness) -> Completeness:
    """Return the verdict on an accepted cell: proven, or by hand with what is wrong."""
    if found.proven:
        return found
    why = f"accepted as complete by a person; {found.why}"
    return replace(found, verdict=Verdict.BY_HAND, why=why)


def recorded(record: Mapping[str, object]) -> Completeness | None:
    """Read the verdict in the record of a `.done` or `.failed` flag; None if it has none.

    Version 0.1.0 wrote no verdict into `.done`, but it wrote the sentence about an accepted cell.
    """
    counted = str(record.get("counted", ""))
    if "completeness" not in record and counted.startswith(_BY_HAND_IN_0_1_0):
        return Completeness(Verdict.BY_HAND, counted)
    return Completeness.from_record(record.get("completeness"))


def _worst(fallback: Mapping[DataKind, int], disagreeing: Sequence[Shortfall]) -> Verdict:
    """Choose the verdict if several things are wrong.

    A fallback comes first because it needs a person; a short count may only need time.
    """
    if fallback:
        return Verdict.FALLBACK
    return Verdict.SHORT if any(one.found < one.expected for one in disagreeing) else Verdict.OVER


def _still_running(acquisitions: Sequence[str]) -> str:
    if len(acquisitions) == 1:
        return (
            f"still running: acquisition {acquisitions[0]} has files here and no final_summary yet"
        )
    listed = ", ".join(acquisitions)
    return f"still running: acquisitions {listed} have files here and no final_summary yet"


def _files(count: int, kind: DataKind) -> str:
    return number_of(count, f"{kind.upper()} file")


def _in_fallback(kind: DataKind, count: int) -> str:
    files = f"{_files(count, kind)} {'is' if count == 1 else 'are'}"
    return f"{files} in MinKNOW's fallback folder on the sequencer"


def _disagreement(one: Shortfall) -> str:
    if one.found < one.expected:
        return f"{one.expected - one.found} of {_files(one.expected, one.kind)} missing"
    more = number_of(one.found - one.expected, f"more {one.kind.upper()} file")
    return f"{more} here than announced ({one.found} here, {one.expected} announced)"


def _agreement(contents: CellContents, expected: Mapping[DataKind, int]) -> str:
    counted = [_files(count, kind) for kind, count in expected.items() if count]
    unchecked = [
        _files(count, kind)
        for kind, count in contents.files.items()
        if count and kind not in expected
    ]
    sentence = (
        f"all files announced are here: {', '.join(counted)}"
        if counted
        else "no files were announced"
    )
    return f"{sentence}; {', '.join(unchecked)} not announced by number" if unchecked else sentence
