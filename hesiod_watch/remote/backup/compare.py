"""Compare a backup with its expected files by reading it there, and describe each problem.

Size, time and earlier checksums are no evidence: each file is read from its disk. Unexpected
entries are reported too, because a person may take them for data.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from hesiod_watch.core.errors import HesiodError
from hesiod_watch.core.file_entry import Entries, FileEntry, file_sizes
from hesiod_watch.core.naming import display
from hesiod_watch.core.text import number_of
from hesiod_watch.host.files import OpenDirectory
from hesiod_watch.remote.backup.store import BackupStore
from hesiod_watch.rules.copies import CopyPlace

COMPARED = 20
"""Differing files of a copy that are read once more in full, to find where they differ."""
MISSING = "missing"
BATCH = 512
"""Files per checksum query; progress is reported after each query."""


def sentences(
    store: BackupStore, directory: str, facts: Entries, problems: Mapping[str, str]
) -> list[str]:
    """Results of `find_wrong` as sentences that begin with the backup and directory."""
    where = f"{store.backup.name}: {display(directory)}"
    if (
        facts
        and all(problems.get(name) == MISSING for name in facts)
        and len(problems) == len(facts)
    ):
        return [f"{where}: nothing is there; {number_of(len(facts), 'file')} missing"]
    return [f"{where}/{display(name)}: {problems[name]}" for name in sorted(problems)]


def find_copy(store: BackupStore, places: Sequence[CopyPlace], results: Entries) -> CopyPlace:
    """The place of a cell's copy: of several, the one with most results, else the first.

    Raises TemporaryError, PermanentError.
    """
    if len(places) == 1:
        return places[0]

    def number(place: CopyPlace) -> int:
        sizes = file_sizes(store.entries(place.results))
        return sum(sizes.get(name) == fact.size for name, fact in results.items())

    return max(places, key=number)


def find_wrong(
    store: BackupStore,
    directory: str,
    facts: Entries,
    reference: OpenDirectory | None = None,
    on_progress: Callable[[int], None] = lambda done: None,
    *,
    only: Collection[str] | None = None,
) -> dict[str, str]:
    """Read one directory of a backup; the problem of each bad file, by name.

    Good files are not in the result. With `only`, only the files that it names are read.
    `reference` is the same directory on this host: with it, a sentence names the first byte of a
    file that differs. `on_progress` gets the bytes read so far. Raises TemporaryError if the backup
    cannot be read, PermanentError.
    """
    entries = store.entries(directory)
    problems = {
        name: why for name, fact in facts.items() if (why := wrong_entry(fact, entries.get(name)))
    }
    problems |= {
        name: extra(entry)
        for name, entry in entries.items()
        if name not in facts and entry.kind != "d"
    }
    readable = [
        name for name in sorted(facts) if name not in problems and (only is None or name in only)
    ]
    done = compared = 0
    for start in range(0, len(readable), BATCH):
        names = readable[start : start + BATCH]
        found = store.checksums(directory, {name: facts[name].size for name in names})
        for name in names:
            done += facts[name].size
            if found.get(name) == facts[name].md5:
                continue
            compared += 1
            where = reference if compared <= COMPARED else None
            problems[name] = _differs(store, directory, facts[name], found.get(name), where)
        on_progress(done)
    return problems


def wrong_entry(fact: FileEntry, entry: FileEntry | None) -> str:
    """Problem of a file that is visible without reading it; "" if there is none."""
    if entry is None:
        return MISSING
    if entry.kind != "f":
        return "not a regular file"
    if entry.size < fact.size:
        return f"truncated: {number_of(entry.size, 'byte')} of {fact.size}"
    if entry.size > fact.size:
        return f"too long: {number_of(entry.size, 'byte')} instead of {fact.size}"
    return ""


def extra(entry: FileEntry) -> str:
    """Problem of an entry that no fact describes."""
    return "extra: no manifest names it" + (
        "" if entry.kind == "f" else ", and it is not a regular file"
    )


def _differs(
    store: BackupStore,
    directory: str,
    fact: FileEntry,
    found: str | None,
    reference: OpenDirectory | None,
) -> str:
    if found is None:
        return "cannot be read"
    sentence = f"differs: its MD5 is {found}, and should be {fact.md5}"
    if reference is None:
        return sentence
    try:
        first, count = store.difference(directory, fact.name, reference)
    except (HesiodError, OSError) as error:
        return f"{sentence}; the first differing byte is not known: {error}"
    if not count:
        return f"{sentence}; our file {display(str(reference / fact.name))} has the same content"
    return f"{sentence}; byte {first} is the first of {count} that differ from ours"
