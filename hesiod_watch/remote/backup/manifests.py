"""Manifests of a cell: expected results in `manifest.json`, expected raw data in `raw.json`.

Both are in the cell's output. `raw.json` is made once, while the data are read anyway: by a sync,
which compares them with the upstream, or else by the first backup. It lists every regular file of
the cell's directory with size, MD5 and time. A file that has changed since then is read again, and
the change is reported. If MinKNOW wrote its own checksums (`output_hash_*.csv`), each is compared
with the data, and the result is recorded.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hesiod_watch.core.errors import HesiodError, PermanentError, TemporaryError
from hesiod_watch.core.inventory import InventoryEntry, is_inside
from hesiod_watch.core.minknow_checksums import MinknowChecksums
from hesiod_watch.core.model import CellId
from hesiod_watch.core.naming import display
from hesiod_watch.core.records import loads, whole_number
from hesiod_watch.remote.backup.local_files import opened_directory, opened_file
from hesiod_watch.remote.backup.minknow_hashes import read_output_hashes
from hesiod_watch.rules.copies import Facts, FileFact
from hesiod_watch.runs import cell_files, flags

MANIFEST = "manifest.json"
RAW_MANIFEST = "raw.json"
FORMAT = "hesiod-watch raw 1"
LARGEST = 1 << 30
"""Maximum bytes of a manifest; a million files with long names need a quarter of it."""
CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class RawFile:
    """One file of a cell's raw data as it was read.

    Times are nanoseconds since the epoch; 0: not known.
    """

    fact: FileFact
    mtime: int
    changed: int = 0  # change time of the inode
    sha256: str = ""  # only if MinKNOW wrote one for this file

    def record(self) -> dict[str, object]:
        record = {
            "name": self.fact.name,
            "bytes": self.fact.size,
            "md5": self.fact.md5,
            "mtime_ns": self.mtime,
        }
        return (
            record
            | ({"ctime_ns": self.changed} if self.changed else {})
            | ({"sha256": self.sha256} if self.sha256 else {})
        )


@dataclass(frozen=True)
class RawManifest:
    """All raw data of a cell as they were read, compared with MinKNOW's own checksums."""

    cell: str
    files: Mapping[str, RawFile] = field(default_factory=dict)
    # Record of `MinknowChecksums`; empty if MinKNOW wrote no checksums.
    hashes: Mapping[str, object] = field(default_factory=dict)

    @property
    def checksums(self) -> MinknowChecksums:
        """Result of the comparison with MinKNOW's checksums when the data were read."""
        return MinknowChecksums.from_record(self.hashes)

    @property
    def sha256(self) -> dict[str, str]:
        """SHA-256 of each file, "" where it was not computed."""
        return {name: file.sha256 for name, file in self.files.items()}

    @property
    def facts(self) -> Facts:
        return {name: file.fact for name, file in self.files.items()}


def read_raw_manifest(cell_output: Path) -> Facts:
    """Expected raw data of a cell by `raw.json`; empty without one.

    Raises PermanentError for a damaged file, TemporaryError.
    """
    return read_raw(cell_output).facts


def read_raw(cell_output: Path) -> RawManifest:
    """Read all of `raw.json`; a manifest without files if there is none.

    Raises PermanentError, TemporaryError.
    """
    path = cell_output / RAW_MANIFEST
    document = _document(path)
    if document is None:
        return RawManifest("")
    try:
        if document["format"] != FORMAT:
            raise ValueError(f"its format is {document['format']!r}")
        files = [_raw_file(entry) for entry in document["files"]]
        if len({file.fact.name for file in files}) != len(files):
            raise ValueError("it names a file twice")
        hashes = document.get("output_hash", {})
        return RawManifest(
            str(document["cell"]), {file.fact.name: file for file in files}, dict(hashes)
        )
    except (KeyError, TypeError, ValueError) as error:
        raise PermanentError(f"{display(str(path))} is damaged: {display(str(error))}") from error


def _raw_file(entry: Mapping[str, Any]) -> RawFile:
    fact = _fact(entry)
    return RawFile(
        fact, int(entry["mtime_ns"]), int(entry.get("ctime_ns", 0)), str(entry.get("sha256", ""))
    )


def _fact(entry: Mapping[str, Any]) -> FileFact:
    name, size, md5 = entry["name"], entry["bytes"], entry["md5"]
    if not isinstance(name, str) or not is_inside(name):
        raise ValueError(f"{name!r} is not a valid name of a file")
    if whole_number(size) is None or not isinstance(md5, str) or len(md5) != 32:
        raise ValueError(f"its entry for {name!r} is not valid")
    return FileFact(name, size, md5)


def result_facts(cell_output: Path) -> Facts:
    """Expected results of a cell: the files in manifest.json, itself, and raw.json if it exists.

    Empty without a manifest. Raises PermanentError for a damaged one, TemporaryError if it cannot
    be read.
    """
    path = cell_output / MANIFEST
    document = _document(path)
    if document is None:
        return {}
    try:
        facts = {fact.name: fact for fact in map(_fact, document["files"])}
    except (KeyError, TypeError, ValueError) as error:
        raise PermanentError(f"{display(str(path))} is damaged: {display(str(error))}") from error
    for name in (MANIFEST, RAW_MANIFEST):
        if (content := _content(cell_output / name)) is not None:
            facts[name] = FileFact(name, len(content), _md5(content))
    return facts


def sources_of(cell_output: Path) -> frozenset[str]:
    """Names of the raw FASTQ files whose reads are in the results, relative to the cell.

    They are from manifest.json.
    """
    listed = (_document(cell_output / MANIFEST) or {}).get("sources")
    names = (
        [entry.get("name") for entry in listed if isinstance(entry, dict)]
        if isinstance(listed, list)
        else []
    )
    return frozenset(name for name in names if isinstance(name, str))


def manifest_md5(cell_output: Path) -> str:
    """MD5 of the present manifest.json; "" without one."""
    content = _content(cell_output / MANIFEST)
    return "" if content is None else _md5(content)


def write_raw(cell_output: Path, manifest: RawManifest) -> None:
    """Write `raw.json` completely or not at all, and sync it to disk.

    A name that is not UTF-8 contains lone surrogates. JSON writes them as `\\udcXX`, which is
    reversible. Raises PermanentError, TemporaryError.
    """
    document = {
        "format": FORMAT,
        "cell": manifest.cell,
        "bytes": sum(file.fact.size for file in manifest.files.values()),
        **({"output_hash": dict(manifest.hashes)} if manifest.hashes else {}),
        "files": [manifest.files[name].record() for name in sorted(manifest.files)],
    }
    path, temporary = cell_output / RAW_MANIFEST, cell_output / f".{RAW_MANIFEST}.new"
    try:
        with opened_directory(cell_output) as directory:
            temporary.unlink(missing_ok=True)
            with temporary.open("x", encoding="ascii") as file:
                file.write(json.dumps(document, indent=1) + "\n")
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            os.fsync(directory)
    except OSError as error:
        raise flags.translate(error, f"{display(str(path))} cannot be written") from error


def read_raw_data(
    landing: Path,
    run_dir: Path,
    cell: CellId,
    former: RawManifest,
    *,
    on_problem: Callable[[str], None] = lambda sentence: None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    stop: Callable[[], bool] = lambda: False,
) -> RawManifest:
    """Manifest of a cell's present raw data; only files that changed since `former` are read.

    Only regular files count. Links and special files are reported and never opened. Files that
    changed or disappeared since `former` are reported too, and missing files stay in the list.
    `on_problem` gets each reported sentence.

    Raises TemporaryError if files cannot be read or change meanwhile, PermanentError.
    """
    with opened_directory(run_dir, landing) as directory:
        entries = cell_files.entries(directory, cell)
        files = {name: entry for name, entry in entries.items() if entry.kind == "f"}
        for name in sorted(entries.keys() - files.keys()):
            if entries[name].kind != "d":
                kind = {"l": "link", "o": "special file"}[entries[name].kind]
                on_problem(f"{display(name)} is a {kind}, which is not copied")
        for name in sorted(former.files.keys() - files.keys()):
            on_problem(f"{display(name)} was among the raw data and is not there any more")
        known = {
            name: former.files[name]
            for name, entry in files.items()
            if _unchanged(entry, former.files.get(name))
        }
        for name in sorted(files.keys() & former.files.keys() - known.keys()):
            on_problem(f"{display(name)} has changed since it was read; it is read anew")
        hashes = read_output_hashes(directory, cell, files)
        known = {
            name: file for name, file in known.items() if file.sha256 or name not in hashes.sha256
        }
        wanted = [name for name in sorted(files) if name not in known]
        total, done = sum(files[name].size for name in wanted), 0
        # A missing file stays in the manifest: it was part of the cell, and its copy must still be
        # checked.
        found = known | {name: file for name, file in former.files.items() if name not in files}
        for name in wanted:
            if stop():
                raise TemporaryError(f"{run_dir.name} {cell}: stopped")
            found[name] = _read(
                directory, cell, name, files[name], with_sha256=name in hashes.sha256
            )
            if (before := former.files.get(name)) and before.fact.md5 != found[name].fact.md5:
                on_problem(
                    f"{display(name)} has other content now: "
                    f"MD5 {found[name].fact.md5}, was {before.fact.md5}"
                )
            done += files[name].size
            on_progress(done, total)
        checksums = hashes.judge({name: file.sha256 for name, file in found.items()})
        for sentence in checksums.lines():
            on_problem(sentence)
        return RawManifest(str(cell), found, checksums.record() or former.hashes)


def raw_of_sync(cell: CellId, md5s: Mapping[str, str], landing: Path, run_dir: Path) -> RawManifest:
    """Manifest of a cell's raw data from checksums that a sync has just computed.

    Raises PermanentError, TemporaryError.
    """
    with opened_directory(run_dir, landing) as directory:
        entries = cell_files.entries(directory, cell)
    files = {
        name: RawFile(FileFact(name, entry.size, md5s[name]), entry.mtime, entry.changed)
        for name, entry in entries.items()
        if entry.kind == "f" and name in md5s
    }
    return RawManifest(str(cell), files)


def _unchanged(entry: InventoryEntry, former: RawFile | None) -> bool:
    if former is None:
        return False
    same = (former.fact.size, former.mtime) == (entry.size, entry.mtime)
    return same and former.changed in (0, entry.changed)


def _read(
    directory: int, cell: CellId, name: str, entry: InventoryEntry, *, with_sha256: bool
) -> RawFile:
    """Read one file in full.

    Raises TemporaryError if it cannot be read or has changed since it was listed.
    """
    where = f"{cell}/{name}"
    try:
        with cell_files.opened(directory, cell, name) as descriptor:
            md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
            while data := os.read(descriptor, CHUNK):
                md5.update(data)
                if with_sha256:
                    sha256.update(data)
            after = os.fstat(descriptor)
    except OSError as error:
        raise TemporaryError(f"{display(where)} cannot be read: {error.strerror}") from error
    if (after.st_size, after.st_mtime_ns, after.st_ctime_ns) != (
        entry.size,
        entry.mtime,
        entry.changed,
    ):
        raise TemporaryError(f"{display(where)} changed while it was read")
    fact = FileFact(name, entry.size, md5.hexdigest())
    return RawFile(fact, entry.mtime, entry.changed, sha256.hexdigest() if with_sha256 else "")


def _document(path: Path) -> dict[str, Any] | None:
    content = _content(path)
    if content is None:
        return None
    try:
        document = loads(content)
    except ValueError as error:
        raise PermanentError(f"{display(str(path))} is damaged: it is not JSON") from error
    if not isinstance(document, dict):
        raise PermanentError(f"{display(str(path))} is damaged: it is not an object")
    return document


def _content(path: Path) -> bytes | None:
    """Full content of a regular file; None if it does not exist."""
    try:
        with opened_file(path) as descriptor, os.fdopen(os.dup(descriptor), "rb") as file:
            content = file.read(LARGEST + 1)
    except FileNotFoundError:
        return None
    except HesiodError as error:
        raise PermanentError(str(error)) from error
    except OSError as error:
        raise TemporaryError(f"{display(str(path))} cannot be read: {error.strerror}") from error
    if len(content) > LARGEST:
        raise PermanentError(
            f"{display(str(path))} is larger than {LARGEST} bytes: this is not a manifest"
        )
    return content


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
