"""Completeness of a cell's data: proven by MinKNOW's counts and names, never by counts alone.

A final_summary says that the acquisition ended, not that its files arrived. So a cell is complete
only if all of these are true:

- every acquisition with files has its final_summary;
- every count in a final_summary equals the number of its files on disk. A second file of one
  number, and a file of another acquisition, do not count;
- if no count of a kind is stated, every file that MinKNOW lists by name is here;
- no file remains in MinKNOW's fallback folder.

A kind without a count and without a list is not verified, and the verdict says so. A final_summary
without any count or list proves nothing. More files than announced prove nothing either: the
numbers disagree, and a person must decide which one is wrong. A gap in the numbers of the files is
only reported, because sites remove files and MinKNOW may skip numbers.

This module only computes: it turns the result of `minknow.read_contents` into a verdict and a
sentence for people.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from hesiod_watch.core.cell_contents import (
    CellContents,
    Completeness,
    DataKind,
    FileNames,
    FinalSummary,
    ListedFiles,
    NamedFiles,
    Shortfall,
    Verdict,
)
from hesiod_watch.core.naming import BAM_SUFFIX, display
from hesiod_watch.core.ownership import Attempt
from hesiod_watch.core.text import number_of

_KINDS = frozenset(DataKind)
_IN_FINAL_DEST = "_files_in_final_dest"
_IN_FALLBACK = "_files_in_fallback"
_UNVERIFIED = "unverified"
_COUNT = re.compile(r"[0-9]{1,9}")
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
    stated = {kind: _stated(sound, f"{kind}{_IN_FINAL_DEST}") for kind in DataKind}
    return {
        kind: sum(map(int, counts)) for kind, counts in stated.items() if counts and all(counts)
    }


def _other_keys(summaries: Sequence[FinalSummary]) -> Iterator[tuple[str, str]]:
    """Yield keys about numbers of files that no `DataKind` explains, with a value other than 0."""
    seen = set()
    for summary in summaries:
        for key, value in summary.values.items():
            kind, found, place = key.partition("_files_")
            known = kind in _KINDS and place in ("in_final_dest", "in_fallback")
            if found and not known and value.strip("0") and (key, value) not in seen:
                seen.add((key, value))
                yield key, value


def _fallback(summaries: Sequence[FinalSummary]) -> dict[str, int]:
    """Return the number of files in the fallback folder by kind, if not zero.

    It is enough that one acquisition states a number, also of a kind unknown to this program.
    """
    kinds = dict.fromkeys(
        kind.removesuffix(_IN_FALLBACK)
        for kind in (*(f"{kind}{_IN_FALLBACK}" for kind in DataKind), *_keys(summaries))
        if kind.endswith(_IN_FALLBACK)
    )
    stated = {kind: _stated(summaries, f"{kind}{_IN_FALLBACK}") for kind in kinds}
    totals = {
        kind: sum(int(count) for count in counts if _COUNT.fullmatch(count))
        for kind, counts in stated.items()
    }
    return {kind: total for kind, total in totals.items() if total}


def _keys(summaries: Sequence[FinalSummary]) -> Iterator[str]:
    for summary in summaries:
        yield from summary.values


def judge(contents: CellContents) -> Completeness:
    """Judge a cell's contents: a verdict, and one sentence on what is wrong or what agrees."""
    summaries = contents.summaries
    expected = announced(summaries)
    listed = {kind: each for kind, each in contents.listed.items() if kind not in expected}
    unverified = unverified_files(contents) if summaries else {}
    evidence = tuple(_evidence(contents))

    def verdict(verdict: Verdict, why: str) -> Completeness:
        return Completeness(
            verdict,
            f"{why}; {contents.problem}" if contents.problem else why,
            unverified=unverified,
            evidence=(*evidence, *_unknown(contents)) if verdict is not Verdict.RUNNING else (),
            output_hashes=contents.output_hashes,
            summaries=summaries,
        )

    if not contents.readable:
        return Completeness(Verdict.UNREADABLE, contents.problem, summaries=summaries)
    if not summaries:
        return verdict(Verdict.RUNNING, "still running: no final_summary yet")
    if problems := [summary.problem for summary in summaries if summary.problem]:
        return verdict(Verdict.UNREADABLE, "; ".join(problems))
    fallback = _fallback(summaries)
    disagreeing = tuple(_disagreeing(contents, expected, listed))
    short = any(one.found < one.expected for one in disagreeing)
    foreign = contents.strangers == frozenset(contents.unsummarised)
    if contents.unsummarised and not short and not foreign:
        return verdict(Verdict.RUNNING, _still_running(contents.unsummarised))
    if fallback or disagreeing:
        sentences = [
            *map(_in_fallback, fallback, fallback.values()),
            *(_disagreement(one, contents, listed) for one in disagreeing),
        ]
        wrong = verdict(_worst(fallback, disagreeing), "; ".join(sentences))
        return replace(wrong, shortfalls=disagreeing, fallback=fallback)
    if contents.unsummarised:
        return verdict(Verdict.OVER, "; ".join(evidence))
    if not expected and not listed:
        names = " and ".join(display(summary.name) for summary in summaries)
        return verdict(
            Verdict.UNREADABLE,
            f"no number of files in {names}: nothing proves that the data are here",
        )
    return verdict(Verdict.PROVEN, _agreement(expected, listed, unverified))


def _disagreeing(
    contents: CellContents,
    expected: Mapping[DataKind, int],
    listed: Mapping[DataKind, ListedFiles],
) -> Iterator[Shortfall]:
    """Yield each kind whose files are too few or too many.

    Too few are counted without the files that cannot be those that were announced.
    """
    for kind, count in expected.items():
        found, names = contents.files.get(kind, 0), contents.names.get(kind, FileNames())
        own = found - names.doubles - names.foreign.count
        if own < count or found != count:
            yield Shortfall(kind, own if own < count else found, count)
    for kind, each in listed.items():
        if each.absent.count:
            yield Shortfall(kind, each.count - each.absent.count, each.count)


def unverified_files(contents: CellContents) -> dict[str, int]:
    """Return the number of files by kind that neither a count nor a list of names proves."""
    expected, listed = announced(contents.summaries), contents.listed
    found: dict[str, int] = {}
    for kind, count in contents.files.items():
        unknown = listed[kind].unnamed if kind in listed else count
        if kind not in expected and unknown:
            found[kind] = unknown
    for key, value in _other_keys(contents.summaries):
        kind_name = key.removesuffix(_IN_FINAL_DEST)
        if key.endswith(_IN_FINAL_DEST) and _COUNT.fullmatch(value):
            found[kind_name] = found.get(kind_name, 0) + int(value)
    return found


def unverified_record(found: Completeness) -> dict[str, object]:
    """Return the part of the flag `synced` about files that are not verified."""
    return {_UNVERIFIED: dict(found.unverified)} if found.unverified else {}


def recorded_unverified(record: Mapping[str, object]) -> dict[str, int]:
    """Read what `unverified_record` wrote; empty for anything else."""
    counts = record.get(_UNVERIFIED)
    if not isinstance(counts, Mapping):
        return {}
    return {str(kind): count for kind, count in counts.items() if isinstance(count, int)}


def unverified_words(unverified: Mapping[str, int]) -> str:
    """Say which files are not verified; "" if there are none."""
    if not unverified:
        return ""
    listed = ", ".join(_files(count, kind) for kind, count in unverified.items())
    return f"{listed} not verified: MinKNOW states no number that can be compared"


def with_equal_files(found: Completeness, equal: NamedFiles) -> Completeness:
    """Return the verdict on a cell some of whose files have the same reads.

    MinKNOW writes no read twice. So another file was overwritten or lost, or a file was copied.
    """
    if not equal.count:
        return found
    bam = all(name.endswith(BAM_SUFFIX) for name in equal.names)
    kind = DataKind.BAM if bam else DataKind.FASTQ
    why = f"{_files(equal.count, kind)} with the same reads: {equal}"
    verdict = Verdict.OVER if found.proven else found.verdict
    words = why if found.proven else f"{found.why}; {why}"
    return replace(found, verdict=verdict, why=words, evidence=(*found.evidence, why))


def with_comparison(found: Completeness, compared: Attempt) -> Completeness:
    """Return the verdict on a cell whose comparison with MinKNOW's checksums has ended so."""
    if not found.proven or compared.outcome != "failed":
        return found
    return replace(found, verdict=Verdict.DAMAGED, why=compared.why)


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


def _worst(fallback: Mapping[str, int], disagreeing: Sequence[Shortfall]) -> Verdict:
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


def _files(count: int, kind: str) -> str:
    return number_of(count, f"{kind.upper()} file")


def _in_fallback(kind: str, count: int) -> str:
    files = f"{_files(count, kind)} {'is' if count == 1 else 'are'}"
    return f"{files} in MinKNOW's fallback folder on the sequencer"


def _disagreement(
    one: Shortfall, contents: CellContents, listed: Mapping[DataKind, ListedFiles]
) -> str:
    """Say how many files are missing, and which; or how many are too many."""
    names = contents.names.get(one.kind, FileNames())
    if one.found < one.expected:
        words = f"{one.expected - one.found} of {_files(one.expected, one.kind)} missing"
        which = listed[one.kind].absent if one.kind in listed else names.gaps
        words += f" ({which})" if which.count else ""
    else:
        more = number_of(one.found - one.expected, f"more {one.kind.upper()} file")
        words = f"{more} here than announced ({one.found} here, {one.expected} announced)"
    return "; ".join([words, *_wrong_names(one.kind, names)])


def _wrong_names(kind: str, names: FileNames) -> Iterator[str]:
    """Say which files cannot be those that were announced."""
    if names.doubled.count:
        yield f"{_files(names.doubled.count, kind)} with the same number: {names.doubled}"
    if names.foreign.count:
        yield f"{_files(names.foreign.count, kind)} of another acquisition: {names.foreign}"


def _evidence(contents: CellContents) -> Iterator[str]:
    """Say what the names of the files show, and which keys of a final_summary are not known."""
    for kind, names in contents.names.items():
        if names.gaps.count:
            numbers = number_of(names.gaps.count, "number")
            yield f"{numbers} without a {kind.upper()} file: {names.gaps}"
        yield from _wrong_names(kind, names)
    for key, value in _other_keys(contents.summaries):
        if not key.endswith((_IN_FINAL_DEST, _IN_FALLBACK)) or not _COUNT.fullmatch(value):
            yield f"{display(key[:60])}={display(value[:60])} in a final_summary is not understood"


def _unknown(contents: CellContents) -> Iterator[str]:
    """Say which data are in a format or a directory that this program does not know."""
    if contents.unknown:
        yield f"data that are not counted and not processed: {', '.join(contents.unknown)}"


def _agreement(
    expected: Mapping[DataKind, int],
    listed: Mapping[DataKind, ListedFiles],
    unverified: Mapping[str, int],
) -> str:
    counted = [_files(count, kind) for kind, count in expected.items() if count]
    counted += [_files(each.count, kind) for kind, each in listed.items() if each.count]
    sentence = (
        f"all files announced are here: {', '.join(counted)}"
        if counted
        else "no files were announced"
    )
    return "; ".join(filter(None, (sentence, unverified_words(unverified))))
