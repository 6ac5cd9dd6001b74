"""What must be true of the world after every step: one function for each sentence.

The functions read the files themselves. They use no code of the program.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.world.retention import marks
from tests.world.sequencer import SequencedCell, reads_of
from tests.world.world import World

FACTS = ("synced", "started", "done", "failed", "aborted")
FACTS_OF_RUN = ("upstream", "failed", "aborted")
"""Flags that only a person removes."""
MARK = re.compile(r"\[hesiod-watch (\d+) ([0-9a-f]{32})\]")
ATTEMPTS_OF_RUN = ("sync", "backup", "notify")
"""Stems of flags that the next attempt replaces."""


@dataclass
class Before:
    """The world before a step."""

    flags: dict[str, bytes] = field(default_factory=dict)
    sources: dict[str, bytes] = field(default_factory=dict)
    published: dict[str, bytes] = field(default_factory=dict)  # manifest of each finished cell
    marks: dict[str, str] = field(default_factory=dict)  # last mark of each cell on the sequencer


def remember(world: World) -> Before:
    return Before(world.flags(), _sources(world), _published(world), marks(world))


def check_world(world: World, before: Before, by_program: bool) -> None:
    """Check everything; `by_program`: whether the last step was one of the program."""
    announced_files_are_durable(world)
    missing_places_stay_empty(world)
    messages_are_delivered_once(world)
    if world.away:
        return  # what is in them cannot be read until they are back
    reads_are_kept(world)
    done_tells_the_truth(world)
    outside_is_untouched(world)
    delivered_tells_the_truth(world)
    old_runs_are_left_alone(world)
    backups_tell_the_truth(world)
    messages_are_queued_once(world)
    if by_program:
        finished_cells_are_complete(world, before)
        sources_are_untouched(world, before)
        marks_are_proven(world, before)
        flags_are_only_added(world, before)
        nothing_is_published_twice(world, before)


def announced_files_are_durable(world: World) -> None:
    """Each file that a flag announces, and its name, was fsynced before the flag was made."""
    world.processes.disk.play()
    assert not world.processes.disk.missing, world.processes.disk.missing


def reads_are_kept(world: World) -> None:
    """Every read of a finished cell is in exactly one output, or in a source that is here."""
    for cell in world.cells:
        if not world.flag(cell, "done").exists():
            continue
        outputs = Counter(read for path in _outputs(world, cell) for read in _reads(path))
        doubled = [read for read, count in outputs.items() if count > 1]
        assert not doubled or cell.name in world.decided, f"{cell.id}: doubled: {doubled}"
        for name in cell.data:
            if name not in cell.arrived:
                continue
            if any(_is_whole(place / name, cell.truth[name]) for place in (cell.path, cell.here)):
                continue
            lost = [read for read in reads_of(cell.truth[name]) if read not in outputs]
            assert not lost or cell.name in world.decided or name in world.damaged, (
                f"{cell.id}: neither in an output nor in a source: {lost}"
            )


def done_tells_the_truth(world: World) -> None:
    """`done` names the manifest, which names every result with its checksum."""
    for cell in world.cells:
        flag = world.flag(cell, "done")
        if not flag.exists():
            continue
        record = json.loads(flag.read_text())
        place = world.results(cell)
        manifest = _content(place / "manifest.json")
        assert record["manifest_md5"] == _md5(manifest), f"{cell.id}: another manifest"
        for entry in json.loads(manifest)["files"]:
            content = _content(place / entry["name"])
            assert _md5(content) == entry["md5"], f"{cell.id}: {entry['name']} differs"


def finished_cells_are_complete(world: World, before: Before) -> None:
    """A cell that no person accepted is finished with as many reads as its sequencer wrote."""
    for cell in world.cells:
        new = world.flag(cell, "done").exists() and cell.id not in before.published
        if new and cell.name not in world.decided and cell.acquisitions == 1:
            found = sum(len(_reads(path)) for path in _outputs(world, cell))
            written = sum(len(reads_of(cell.truth[name])) for name in cell.data)
            assert found >= written, f"{cell.id}: finished with {found} of {written} reads"


def backups_tell_the_truth(world: World) -> None:
    """`backup.done` names a manifest that is on the backup, with every result that it names."""
    if not world.backup or not world.backup_is_whole:
        return
    for flag in world.landing.glob("*/pipeline/[!.]*.backup.done"):
        cell, recorded = flag.name.partition(".")[0], json.loads(flag.read_text()).get("manifest")
        places = [path.parent for path in world.backup.rglob("manifest.json")]
        copies = [place for place in places if place.name == cell]
        found = [each for each in copies if _md5(_content(each / "manifest.json")) == recorded]
        assert found, f"{cell}: backed up, and its manifest is not on the backup"
        for entry in json.loads(_content(found[0] / "manifest.json"))["files"]:
            assert _md5(_content(found[0] / entry["name"])) == entry["md5"], f"{entry['name']}"


def messages_are_queued_once(world: World) -> None:
    """No message has two numbers."""
    for place in world.landing.glob("*/pipeline/messages"):
        numbered = Counter(str(link.readlink()) for link in place.iterdir() if link.is_symlink())
        twice = [name for name, count in numbered.items() if count > 1]
        assert not twice, f"queued twice: {twice}"


def outside_is_untouched(world: World) -> None:
    """Nothing outside the directories of the program and of its runs is changed."""
    outside = {str(path.relative_to(world.root)) for path in (world.root / "outside").rglob("*")}
    assert outside == {"outside/precious"}, outside
    assert (world.root / "outside" / "precious").read_text() == "not ours\n"
    expected = {"landing", "output", "tmp", "outside", "hosts", "sequencer", "tracker"}
    assert {path.name for path in world.root.iterdir()} <= expected


def missing_places_stay_empty(world: World) -> None:
    """Nothing is written into the directory of a file system that is not mounted."""
    for place in world.away:
        assert not list(place.iterdir()), f"written into the empty directory {place.name}"


def messages_are_delivered_once(world: World) -> None:
    """A message is in one ticket, once, and after the earlier messages of its run."""
    places = {token: place for place, tokens in _outboxes(world).items() for token in tokens}
    delivered = [_delivered(ticket) for ticket in world.tracker.read()["tickets"]]
    counts = Counter(token for ticket in delivered for _, token in ticket)
    doubled = [token for token, count in counts.items() if count > 1]
    assert not doubled, f"delivered twice: {doubled}"
    for ticket in delivered:
        by_place: dict[Path, list[int]] = {}
        for number, token in ticket:
            by_place.setdefault(places.get(token, Path()), []).append(number)
        for place, numbers in by_place.items():
            assert numbers == sorted(numbers) or place == Path(), f"order: {place}: {numbers}"


def delivered_tells_the_truth(world: World) -> None:
    """A message that is recorded as delivered is in a ticket."""
    found = {token for each in world.tracker.read()["tickets"] for _, token in _delivered(each)}
    for place, tokens in _outboxes(world).items():
        marks = [int(path.name[:4]) for path in place.glob("*.rt.delivered")]
        for number, token in enumerate(tokens, 1):
            assert number > max(marks, default=0) or token in found or not token, (
                f"not delivered: {place} {number}"
            )


def old_runs_are_left_alone(world: World) -> None:
    """Nothing is written into an old run, or for one, until a person has it taken up."""
    for cell in world.old:
        place = world.landing / cell.run
        found = {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()}
        here = set() if cell.landing else {f"{cell.id}/{name}" for name in cell.truth}
        assert found == here, f"written into an old run: {cell.run}: {found ^ here}"
        assert not (place / "pipeline").exists(), f"taken up without a person: {cell.run}"
        assert not (world.output / cell.run).exists(), f"results of an old run: {cell.run}"


def sources_are_untouched(world: World, before: Before) -> None:
    """The program changes no source, and removes only files with two whole copies elsewhere."""
    after = _sources(world)
    for name, content in before.sources.items():
        if name not in after:
            copies = _copies(world, name, content)
            assert len(copies) >= 2 or (name.startswith("sequencer/") and _has_rotted(world)), (
                f"removed by the program, with copies on {copies or 'no disk'}: {name}"
            )
        elif "_PROM_" not in name:  # a sync mends what is here
            assert after[name] == content, f"changed by the program: {name}"


def marks_are_proven(world: World, before: Before) -> None:
    """A cell is marked as safe to delete only if each file has two whole copies elsewhere."""
    for place, line in marks(world).items():
        if line.startswith("deletable") and before.marks.get(place) != line:
            for name, content in _sources(world).items():
                if name.startswith(f"sequencer/{place}/"):
                    copies = _copies(world, name, content)
                    assert len(copies) >= 2, f"marked, with copies on {copies or 'no disk'}: {name}"


def flags_are_only_added(world: World, before: Before) -> None:
    """The program removes and changes no flag that records a fact."""
    after = world.flags()
    for name, content in before.flags.items():
        if _records_a_fact(name):
            assert name in after, f"removed by the program: {name}"
            assert after[name] == content, f"changed by the program: {name}"


def nothing_is_published_twice(world: World, before: Before) -> None:
    """The results of a cell stay as they are from `done` on."""
    after = _published(world)
    for name, manifest in before.published.items():
        assert after.get(name) == manifest, f"published again: {name}"


CHECKS: tuple[Callable[..., None], ...] = (
    reads_are_kept,
    done_tells_the_truth,
    finished_cells_are_complete,
    backups_tell_the_truth,
    messages_are_queued_once,
    outside_is_untouched,
    missing_places_stay_empty,
    messages_are_delivered_once,
    delivered_tells_the_truth,
    old_runs_are_left_alone,
    sources_are_untouched,
    marks_are_proven,
    flags_are_only_added,
    nothing_is_published_twice,
    announced_files_are_durable,
)
"""All of them, for the documentation."""


def _records_a_fact(name: str) -> bool:
    """Whether this is a flag of a cell or run, and not of an attempt that may be repeated."""
    stem, *rest = name.rpartition("/")[2].split(".")
    if not rest:
        return stem in FACTS_OF_RUN
    return rest[0] in FACTS and stem not in ATTEMPTS_OF_RUN


def _outputs(world: World, cell: SequencedCell) -> list[Path]:
    place = world.results(cell)
    files = json.loads(_content(place / "manifest.json"))["files"]
    return [place / file["name"] for file in files if file["name"].endswith(".fastq.gz")]


def _reads(path: Path) -> list[bytes]:
    try:
        return reads_of(gzip.decompress(_content(path)))
    except (OSError, EOFError, zlib.error):
        return []  # the file is damaged


def _content(path: Path) -> bytes:
    assert path.is_file(), f"{path.name} is missing"
    return path.read_bytes()


def _is_whole(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content


def _sources(world: World) -> dict[str, bytes]:
    """Every file in the landing area and on the sequencer that is none of the program's."""
    return {
        str(path.relative_to(world.root)): path.read_bytes()
        for area in (world.landing, world.sequencer)
        for path in sorted(area.rglob("*"))
        if path.is_file() and not any("pipeline" in part for part in path.parts)
        # of an rsync that is under way, or was interrupted, or the trash of the sequencer
        if not any(part.startswith(".") for part in path.relative_to(area).parts)
        if not path.relative_to(area).parts[0].startswith("cells_")  # the lists of a sequencer
    }


def _copies(world: World, name: str, content: bytes) -> set[str]:
    """Disks that have a whole copy of a source: that of the landing area and results, the backup.

    A file in the landing area does not count as a copy of itself. A run or library that was renamed
    keeps the names of its results, there and on the backup.
    """
    area, experiment, *inside = Path(name).parts
    run, path, file = experiment, Path(*inside), "/".join(inside[1:])
    for cell in world.cells:
        if area == "sequencer" and cell.place.name == experiment and path.is_relative_to(cell.id):
            run = cell.run
    reads = set(reads_of(content)) if name.endswith(".fastq") else set()
    output = (world.landing / run / "pipeline" / "output").resolve()
    places = {"here": [output]}
    whole = area == "sequencer" and _is_whole(world.landing / run / path, content)
    disks = {"here"} if whole else set()
    if world.backup:
        copies = [world.backup / name for name in (run, output.name)]
        places["backup"] = [copy / "results" for copy in copies]
        raw = (each for copy in copies for each in copy.glob(f"raw/*/{file}"))
        if any(_is_whole(each, content) for each in raw):
            disks.add("backup")
    for disk, results in places.items():
        for place in results if reads else ():
            outputs = place.glob(f"*/{inside[1]}/*.fastq.gz")
            if reads <= {read for output in outputs for read in _reads(output)}:
                disks.add(disk)
    return disks


def _has_rotted(world: World) -> bool:
    """Whether a copy may have been damaged since the mark of its source was made."""
    return not world.backup_is_whole or bool(world.damaged)


def _outboxes(world: World) -> dict[Path, list[str]]:
    """Tokens of all messages for the tracker, in order, by the directory of the messages."""
    outboxes = {}
    sites = (world.landing.glob("*/pipeline/messages"), world.output.glob(".hesiod*/messages"))
    for place in (place for places in sites for place in places):
        links = sorted(path for path in place.iterdir() if path.name.isdigit())
        records = [json.loads(link.read_bytes()) for link in links]
        outboxes[place] = [each["token"] if "rt" in each["channels"] else "" for each in records]
    return outboxes


def _delivered(ticket: Mapping[str, Any]) -> list[tuple[int, str]]:
    """Number and token of each message in a ticket."""
    marks = (MARK.search(text) for _, text in ticket["texts"])
    return [(int(mark[1]), mark[2]) for mark in marks if mark]


def _published(world: World) -> dict[str, bytes]:
    return {
        cell.id: _content(world.results(cell) / "manifest.json")
        for cell in world.cells
        if world.flag(cell, "done").exists() and not world.away
    }


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
