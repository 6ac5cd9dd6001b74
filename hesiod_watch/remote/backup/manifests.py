"""Manifests of a cell: expected results in `manifest.json`, expected raw data in `raw.json`.

Both are in the cell's output. `raw.json` is made once: by a sync, which reads all data to compare
them with the upstream, by the first backup, or else by a verification after the processing. It
lists every regular file of the cell's directory with size, MD5 and time. A file that has changed
since then is read again, and the change is reported. If MinKNOW wrote its own checksums
(`output_hash_*.csv`), each is compared with the data, and the result is recorded.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import field
from pathlib import Path
from typing import Any

from hesiod_watch.core import file_ends
from hesiod_watch.core.errors import PermanentError, TemporaryError
from hesiod_watch.core.file_entry import Entries, FileEntry
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.minknow_checksums import MinknowChecksums
from hesiod_watch.core.model import CellId
from hesiod_watch.core.naming import BAM_SUFFIX, display
from hesiod_watch.core.records import loads
from hesiod_watch.core.system_errors import translate, translated
from hesiod_watch.host.files import (
    OpenDirectory,
    checksums,
    directory,
    md5,
    read_head,
    replace_whole,
    sync_directory,
)
from hesiod_watch.remote.backup.minknow_hashes import read_output_hashes
from hesiod_watch.runs import cell_files
from hesiod_watch.runs.flags.flag_files import publish
from hesiod_watch.runs.flags.names import PREPARED
from hesiod_watch.runs.observe import RAW_MANIFEST

MANIFEST = "manifest.json"
COPY_OF = "copy_of"
"""Key of a result in manifest.json: the raw file, as it was read, that the result is a copy of."""
PARTIAL = ".raw.json"
"""Begun `raw.json`: an interrupted reading continues after the files that it lists."""
SAVE_SECONDS = 60.0
"""Seconds between two states of the begun `raw.json`."""
FORMAT = "hesiod-watch raw 1"
LARGEST = 1 << 30
"""Maximum bytes of a manifest; a million files with long names need a quarter of it."""


@frozen
class RawManifest:
    """All raw data of a cell as they were read, compared with MinKNOW's own checksums."""

    cell: str
    files: Entries = field(default_factory=dict)
    # Record of `MinknowChecksums`; empty if MinKNOW wrote no checksums.
    hashes: Mapping[str, object] = field(default_factory=dict)
    # Files without the end markers of their format, and what is wrong with each (`file_ends`).
    damaged: Mapping[str, str] = field(default_factory=dict)

    @property
    def checksums(self) -> MinknowChecksums:
        """Result of the comparison with MinKNOW's checksums when the data were read."""
        return MinknowChecksums.from_record(self.hashes)

    @property
    def sha256(self) -> dict[str, str]:
        """SHA-256 of each file, "" where it was not computed."""
        return {name: file.sha256 for name, file in self.files.items()}


def read_raw(cell_output: Path, file_name: str = RAW_MANIFEST) -> RawManifest:
    """Read all of `raw.json`; a manifest without files if there is none.

    Sources that were removed before the cell was processed are no longer part of it: no copy of
    them is expected. Raises PermanentError, TemporaryError.
    """
    path = cell_output / file_name
    document = _document(path)
    if document is None:
        return RawManifest("")
    try:
        if document["format"] != FORMAT:
            raise ValueError(f"its format is {document['format']!r}")
        listed = [FileEntry.from_record(entry) for entry in document["files"]]
        files = {file.name: file for file in listed}
        if len(files) != len(listed):
            raise ValueError("it names a file twice")
        for name in _names_in(cell_output, "removed"):
            files.pop(name, None)
        damaged = {str(each["name"]): str(each["reason"]) for each in document.get("damaged", [])}
        hashes = dict(document.get("output_hash", {}))
        return RawManifest(str(document["cell"]), files, hashes, damaged)
    except (KeyError, TypeError, ValueError) as error:
        raise PermanentError(f"{display(str(path))} is damaged: {display(str(error))}") from error


def read_manifest(cell_output: Path) -> dict[str, Any]:
    """Read all of `manifest.json`; empty if there is none.

    Raises PermanentError for a damaged one, TemporaryError if it cannot be read.
    """
    document = _document(cell_output / MANIFEST)
    if document is not None and not isinstance(document.get("files"), list):
        where = display(str(cell_output / MANIFEST))
        raise PermanentError(f"{where} is damaged: it has no list of files")
    return document or {}


def result_facts(cell_output: Path) -> Entries:
    """Expected results of a cell: the files in manifest.json, itself, and raw.json if it exists.

    Empty without a manifest. Raises PermanentError for a damaged one, TemporaryError if it cannot
    be read.
    """
    document = read_manifest(cell_output)
    if not document:
        return {}
    try:
        listed = [FileEntry.from_record(entry, times=False) for entry in document["files"]]
    except (KeyError, TypeError, ValueError) as error:
        where = display(str(cell_output / MANIFEST))
        raise PermanentError(f"{where} is damaged: {display(str(error))}") from error
    facts = {fact.name: fact for fact in listed}
    for name in (MANIFEST, RAW_MANIFEST):
        if (content := _content(cell_output / name)) is not None:
            facts[name] = FileEntry(name, size=len(content), md5=md5(content))
    return facts


def sources_of(cell_output: Path) -> frozenset[str]:
    """Names of the raw files that the results can restore, relative to the cell.

    They are from manifest.json. A BAM file without a place in its output cannot be restored: its
    reads were sorted among those of others.
    """
    return _names_in(
        cell_output,
        "sources",
        lambda entry: "offset" in entry or not str(entry.get("name")).endswith(BAM_SUFFIX),
    )


def copied_raw(cell_output: Path) -> dict[str, str]:
    """MD5 of each raw file that has a copy of its own among the results, when it was copied.

    Raises PermanentError for a damaged manifest, TemporaryError if it cannot be read.
    """
    found = {}
    for entry in read_manifest(cell_output).get("files", []):
        original = entry.get(COPY_OF) if isinstance(entry, dict) else None
        if isinstance(original, dict):
            found[str(original.get("name"))] = str(original.get("md5"))
    return found


def _names_in(
    cell_output: Path, key: str, counts: Callable[[dict[str, Any]], bool] = lambda entry: True
) -> frozenset[str]:
    """Names of the files that manifest.json lists under `key`, in entries that count."""
    listed = read_manifest(cell_output).get(key)
    names = (
        [entry.get("name") for entry in listed if isinstance(entry, dict) and counts(entry)]
        if isinstance(listed, list)
        else []
    )
    return frozenset(name for name in names if isinstance(name, str))


def manifest_md5(cell_output: Path) -> str:
    """MD5 of the present manifest.json; "" without one."""
    content = _content(cell_output / MANIFEST)
    return "" if content is None else md5(content)


def read_begun(cell_output: Path) -> RawManifest:
    """Read the begun `raw.json`; a manifest without files if there is none, or a damaged one.

    Raises TemporaryError.
    """
    try:
        return read_raw(cell_output, PARTIAL)
    except PermanentError:
        return RawManifest("")


def withdraw_raw(cell_output: Path) -> None:
    """Remove what overtaken attempts have prepared, so that none of them publishes `raw.json`.

    Raises PermanentError, TemporaryError.
    """
    with (
        translated(f"{display(str(cell_output))} cannot be read", own_output=True),
        suppress(FileNotFoundError),
        directory(cell_output) as parent,
    ):
        for name in os.listdir(parent):
            if name.startswith(PREPARED):
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=parent)


def publish_raw(
    cell_output: Path, manifest: RawManifest, fence: Callable[[], None], *, new: bool = False
) -> None:
    """Write `raw.json` for an attempt; `fence` raises an error if the attempt is overtaken.

    An attempt calls `withdraw_raw` before it reads `raw.json`. So an older listing never replaces
    a newer one, wherever its attempt was stopped (see `flag_files`). With `new`, it replaces none.
    Raises TemporaryError if another attempt was first, PermanentError.
    """
    where = display(str(cell_output / RAW_MANIFEST))
    with (
        translated(f"{where} cannot be written", own_output=True),
        directory(cell_output) as parent,
    ):
        refusal = publish(parent, RAW_MANIFEST, _text_of(manifest), fence, replace=not new)
        if isinstance(refusal, FileExistsError | FileNotFoundError):
            raise TemporaryError(f"{where} is not written: another attempt has begun, or made it")
        if refusal:
            raise refusal
        sync_directory(parent)
        with suppress(FileNotFoundError):
            os.unlink(PARTIAL, dir_fd=parent)


def save_begun(cell_output: Path, begun: RawManifest) -> None:
    """Replace the begun `raw.json`. Raises PermanentError, TemporaryError."""
    where = display(str(cell_output / PARTIAL))
    with (
        translated(f"{where} cannot be written", own_output=True),
        directory(cell_output) as parent,
    ):
        replace_whole(parent, PARTIAL, _text_of(begun))


def _text_of(manifest: RawManifest) -> bytes:
    """Content of `raw.json`.

    A name that is not UTF-8 contains lone surrogates. JSON writes them as `\\udcXX`, which is
    reversible.
    """
    document = {
        "format": FORMAT,
        "cell": manifest.cell,
        "bytes": sum(file.size for file in manifest.files.values()),
        **({"output_hash": dict(manifest.hashes)} if manifest.hashes else {}),
        **(
            {"damaged": [{"name": key, "reason": why} for key, why in manifest.damaged.items()]}
            if manifest.damaged
            else {}
        ),
        "files": [manifest.files[name].record() for name in sorted(manifest.files)],
    }
    return (json.dumps(document, indent=1) + "\n").encode("ascii")


def read_raw_data(
    run: OpenDirectory,
    cell: CellId,
    former: RawManifest,
    *,
    on_problem: Callable[[str], None] = lambda sentence: None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    stop: Callable[[], bool] = lambda: False,
    save: Callable[[RawManifest], None] = lambda begun: None,
) -> RawManifest:
    """Manifest of a cell's present raw data; only files that changed since `former` are read.

    Only regular files count. Links and special files are reported and never opened. Files that
    changed or disappeared since `former` are reported too, and missing files stay in the list.
    `on_problem` gets each reported sentence. `save` gets what has been read so far, now and then
    and when `stop` ends the reading. The ends of all BAM, pod5 and fast5 files are examined.

    Raises TemporaryError if files cannot be read or change meanwhile, PermanentError.
    """
    run.opened()
    entries = cell_files.entries(run, cell)
    files = {name: entry for name, entry in entries.items() if entry.kind == "f"}
    for name in sorted(entries.keys() - files.keys()):
        if entries[name].kind != "d":
            kind = {"l": "link", "o": "special file"}[entries[name].kind]
            on_problem(f"{display(name)} is a {kind}, which is not copied")
    for name in sorted(former.files.keys() - files.keys()):
        on_problem(f"{display(name)} was among the raw data and is not there any more")
    known = {
        name: before
        for name, before in former.files.items()
        if name in files and files[name].unchanged_since(before)
    }
    for name in sorted(files.keys() & former.files.keys() - known.keys()):
        on_problem(f"{display(name)} has changed since it was read; it is read anew")
    hashes = read_output_hashes(run, cell, files)
    known = {name: file for name, file in known.items() if file.sha256 or name not in hashes.sha256}
    wanted = [name for name in sorted(files) if name not in known]
    total, done = sum(files[name].size for name in wanted), 0
    # A missing file stays in the manifest: it was part of the cell, and its copy must still be
    # checked.
    found = known | {name: file for name, file in former.files.items() if name not in files}
    saved = time.monotonic()
    for name in wanted:
        stopping = stop()
        if found and (stopping or time.monotonic() - saved > SAVE_SECONDS):
            save(RawManifest(str(cell), found))
            saved = time.monotonic()
        if stopping:
            raise TemporaryError(f"{run.path.name} {cell}: stopped")
        found[name] = _read(run, cell, files[name], with_sha256=name in hashes.sha256)
        if (before := former.files.get(name)) and before.md5 != found[name].md5:
            on_problem(
                f"{display(name)} has other content now: MD5 {found[name].md5}, was {before.md5}"
            )
        done += files[name].size
        on_progress(done, total)
    checksums = hashes.judge({name: file.sha256 for name, file in found.items()})
    for sentence in checksums.lines():
        on_problem(sentence)
    damaged = damaged_ends(run, cell, files)
    for name, problem in damaged.items():
        on_problem(f"{display(name)}: {problem}")
    name = former.cell or str(cell)  # its library may have been renamed since
    return RawManifest(name, found, checksums.record() or former.hashes, damaged)


def damaged_ends(run: OpenDirectory, cell: CellId, files: Entries) -> dict[str, str]:
    """Files without the end markers of their format, and what is wrong with each.

    Raises TemporaryError if a file cannot be read, PermanentError.
    """
    found = []
    for name in files:
        if not name.endswith(file_ends.KINDS):
            continue
        with (
            translated(f"{display(f'{cell}/{name}')} cannot be read"),
            cell_files.opened(run, cell, name) as descriptor,
        ):
            size = os.fstat(descriptor).st_size
            head = os.pread(descriptor, file_ends.HEAD_BYTES, 0)
            tail = os.pread(descriptor, file_ends.TAIL_BYTES, max(0, size - file_ends.TAIL_BYTES))
        found.append(file_ends.FileEnds(name, size, head, tail))
    return file_ends.find_damaged(found)


def _read(run: OpenDirectory, cell: CellId, entry: FileEntry, *, with_sha256: bool) -> FileEntry:
    """Read one file in full.

    Raises TemporaryError if it has changed since it was listed, and the errors of reading.
    """
    where = f"{cell}/{entry.name}"
    with (
        translated(f"{display(where)} cannot be read"),
        cell_files.opened(run, cell, entry.name) as descriptor,
    ):
        md5, *sha256 = checksums(descriptor, "md5", *(["sha256"] if with_sha256 else []))
        after = FileEntry.of_status(entry.name, os.fstat(descriptor))
    if after.identity != entry.identity:
        raise TemporaryError(f"{display(where)} changed while it was read")
    return entry.as_read(md5, "".join(sha256))


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
        content = read_head(path, LARGEST + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise translate(error, f"{display(str(path))} cannot be read") from error
    if len(content) > LARGEST:
        raise PermanentError(
            f"{display(str(path))} is larger than {LARGEST} bytes: this is not a manifest"
        )
    return content
