"""Compare a cell's results with their manifest, byte by byte.

Only reads; any number of these checks may run at once.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

from hesiod_watch.core.errors import HesiodError
from hesiod_watch.core.file_entry import FileEntry
from hesiod_watch.core.text import number_of
from hesiod_watch.fastq.verify import verify
from hesiod_watch.host.files import checksums, regular
from hesiod_watch.remote.backup.manifests import MANIFEST, read_manifest


def verify_cell(cell_output: Path) -> list[str]:
    """Sentences about damaged results in a directory; empty if every file agrees."""
    try:
        manifest = read_manifest(cell_output)
    except HesiodError as error:
        return [str(error)]
    if not manifest:
        return [f"{MANIFEST} is missing"]
    return [problem for entry in manifest["files"] if (problem := _problem(cell_output, entry))]


def _problem(cell_output: Path, entry: Any) -> str:
    try:
        expected = FileEntry.from_record(entry, times=False)
    except (TypeError, KeyError, ValueError):
        return f"{MANIFEST} has an entry that is not understood: {entry!r}"
    name, path = expected.name, cell_output / expected.name
    if Path(name).name != name:
        return f"{MANIFEST} names a file elsewhere: {name!r}"
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode):
            return f"{name}: not a regular file"
        if found.st_size != expected.size:
            return f"{name}: {number_of(found.st_size, 'byte')}, the manifest says {expected.size}"
        if "reads" in entry:
            reads, bases = int(entry["reads"]), int(entry["bases"])
            verify(path, md5=expected.md5, reads=reads, bases=bases)
        else:
            with regular(path) as descriptor:
                actual, *_ = checksums(descriptor, "md5")
            if actual != expected.md5:
                return f"{name}: md5 {actual}, the manifest says {expected.md5}"
    except HesiodError as error:
        return str(error)
    except OSError as error:
        return f"{name}: {error.strerror}"
    return ""
