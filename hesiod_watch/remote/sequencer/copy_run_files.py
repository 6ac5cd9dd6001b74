"""Copy from an upstream the files of a run that belong to no cell (`runs.run_files`).

Each file that is missing here, or differs in size or time, is copied, and then read on both sides.
If the two differ, it is copied once more: it may have been rewritten within a second and keep its
size, so that a later sync would take the copy for the same.
Nothing depends on these files, so a file that cannot be copied delays no cell: it is reported, and
copied by the next sync of the run. Links are not copied.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from hesiod_watch.config import UpstreamSettings
from hesiod_watch.core.file_entry import FileEntry, file_sizes
from hesiod_watch.core.inventory import RUN_FILES, read_files
from hesiod_watch.core.location import run_in
from hesiod_watch.core.model import CellId
from hesiod_watch.core.naming import display
from hesiod_watch.core.text import number_of
from hesiod_watch.host.command import CommandRunner, run
from hesiod_watch.host.files import OpenDirectory, checksums, regular_below
from hesiod_watch.host.runlog import RunLog
from hesiod_watch.remote.connection import connected
from hesiod_watch.remote.directory import RemoteDirectory
from hesiod_watch.remote.rsync import compare_and_repair, copy_command, copy_files
from hesiod_watch.runs.run_files import is_run_file


def copy_run_files(
    upstream: UpstreamSettings,
    run_location: str,
    cells: Collection[CellId],
    landing_run: OpenDirectory,
    *,
    landing: Path,
    log: Path,
    stop: Callable[[], bool] = lambda: False,
    nice: int = 10,
    runner: CommandRunner = run,
) -> list[str]:
    """Copy the files of the run at `run_location`; sentences about those that were not copied.

    `cells` are those of the run there. Raises TemporaryError, PermanentError.
    """
    landing_run.opened()
    with connected(upstream, runner, stop) as endpoint:
        source = RemoteDirectory(endpoint, run_in(upstream.place, run_location))
        response = source.query(RUN_FILES)
        listed = source.read(read_files, response.records).entries
        problems = [f"{display(line)}" for line in response.errors.splitlines()[:3]]
        wanted: dict[str, FileEntry] = {}
        for name, entry in listed.items():
            if entry.kind != "f" or not is_run_file(name, cells):
                continue
            try:
                here = _entry_here(landing_run, name)
            except OSError as error:
                problems.append(f"{display(name)}: its place here: {error.strerror}")
                continue
            if not entry.is_like(here):
                wanted[name] = entry
        if not wanted:
            return problems
        pushed, path = upstream.mode == "push", source.location.path
        relative = landing_run.path.relative_to(landing)
        there = f"{upstream.landing_there.rstrip('/')}/{relative}/"
        say = RunLog(log)

        def copy(names: Collection[str], *always: str) -> None:
            command = copy_command(
                endpoint,
                f"{path}/" if pushed else endpoint.rsync_path(path),
                there if pushed else "./",
                nice=nice,
                options=(),
                always=("--ignore-missing-args", *always),
                template=upstream.rsync,
                pushed=pushed,
            )
            copy_files(
                endpoint,
                command,
                list(names),
                landing_run.descriptor,
                largest=max(wanted[name].size for name in names),
                log=say,
                label="files of the run",
                on_progress=lambda copied: None,
            )

        def compare(names: Collection[str] | None) -> dict[str, str]:
            read = {name: wanted[name] for name in (wanted if names is None else names)}
            return dict(_differing(landing_run, source.checksums("", file_sizes(read)), read))

        def repair(differing: dict[str, str]) -> Collection[str]:
            copy(differing, "--ignore-times")
            return differing

        say.line(f"{number_of(len(wanted), 'file')} of the run, outside of its cells")
        copy(wanted)
        found = compare_and_repair(compare, repair)
        return [*problems, *(f"{display(name)} {why}" for name, why in found.items())]


def _differing(
    landing_run: OpenDirectory, md5s: dict[str, str], names: Collection[str]
) -> Iterator[tuple[str, str]]:
    for name in names:
        try:
            with regular_below(landing_run, name) as descriptor:
                os.fsync(descriptor)
                [md5] = checksums(descriptor, "md5")
        except OSError as error:
            yield name, f"was not copied: {error.strerror}"
            continue
        if md5 != md5s.get(name):
            yield name, "differs from the upstream; it may be growing"


def _entry_here(run_dir: OpenDirectory, name: str) -> FileEntry | None:
    """A file of the run as it is here; None if it is missing.

    Raises OSError if a link is on the way or in its place: nothing is written there.
    """
    *parents, last = name.split("/")
    try:
        with run_dir.open(*parents) as parent:
            status = os.stat(last, dir_fd=parent.descriptor, follow_symlinks=False)
    except FileNotFoundError:
        return None
    entry = FileEntry.of_status(name, status)
    if entry.kind != "f":
        raise NotADirectoryError(0, "it is no file, or a link")
    return entry
