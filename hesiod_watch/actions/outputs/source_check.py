"""Compare the sources of a processed cell with what `manifest.json` says about them.

Size, times and inode show which files may have changed since their reads were taken; only these are
read. A file whose times alone have changed is not damaged. Manifests of 0.1.0 say nothing about the
text of a source: then only sizes are compared.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from hesiod_watch.core.errors import HesiodError, TemporaryError
from hesiod_watch.core.file_entry import FileEntry, is_inside
from hesiod_watch.core.model import CellId
from hesiod_watch.core.naming import display
from hesiod_watch.core.records import whole_number
from hesiod_watch.core.text import number_of, quoted
from hesiod_watch.fastq.model import Piece
from hesiod_watch.fastq.readback import reread
from hesiod_watch.host.files import OpenDirectory
from hesiod_watch.remote.backup.manifests import MANIFEST, read_manifest
from hesiod_watch.rules.late_data import said
from hesiod_watch.runs.cell_directories import find_late_data

_NUMBERS = ("mtime_ns", "reads", "bases")
_PLACE = ("offset", "length", "crc32")
_LATER = ("ctime_ns", "inode", "text_bytes", "text_crc32")


def source_record(piece: Piece, *, placed: bool = True) -> dict[str, object]:
    """Entry of a source in a manifest: the file as it was read, and its place in an output.

    `placed`: it has one. The reads of a sorted output have been mixed.
    """
    keys = (*(_PLACE if placed else ()), "reads", "bases")
    numbers = {key: getattr(piece, key) for key in keys}
    known = {key: getattr(piece, key) for key in _LATER[1:] if getattr(piece, key)}
    return piece.entry.record() | {"output": piece.output} | numbers | known


def changed_sources(
    cell_dir: OpenDirectory,
    cell_output: Path,
    *,
    may_be_missing: Callable[[str], bool],
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[str]:
    """Yield a sentence for each source that is missing or has other content than its reads.

    Raises TemporaryError if a source cannot be read now, PermanentError for a damaged manifest.
    """
    sources = read_manifest(cell_output).get("sources", [])
    for record in sources if isinstance(sources, list) else []:
        if stop():
            raise TemporaryError(f"{cell_dir}: stopped")
        piece = _piece(record)
        if piece is None:
            yield f"{MANIFEST} has a source that is not understood: {display(str(record)[:200])}"
        elif why := _difference(cell_dir, piece, may_be_missing):
            yield f"{display(piece.source)}: {why}"


def new_data_in(run: OpenDirectory, cell: CellId, cell_output: Path, extra: Sequence[str]) -> str:
    """Sentence about files that came after a cell was processed; they are no damage.

    `extra`: the files that raw.json does not name.
    """
    if late := find_late_data(run.open_cell(cell), cell_output):
        names = f"{quoted(run.path.name)} {quoted(str(cell))}"
        return f"{said(late)}; hesiod-watch explain {names}"
    if not extra:
        return ""
    names = ", ".join(display(name) for name in extra[:3]) + (", …" if len(extra) > 3 else "")
    return (
        f"{number_of(len(extra), 'file')} came after raw.json was made, not backed up: {names}; to"
        f" have them copied, remove {run}/pipeline/{cell.stem}.done: the cell is processed once"
        " more"
    )


def _difference(
    cell_dir: OpenDirectory, piece: Piece, may_be_missing: Callable[[str], bool]
) -> str:
    try:
        *parents, name = piece.source.split("/")
        with cell_dir.open(*parents) as parent:
            status = os.stat(name, dir_fd=parent.descriptor, follow_symlinks=False)
        found = FileEntry.of_status(piece.source, status, location=str(cell_dir / piece.source))
    except (FileNotFoundError, NotADirectoryError):
        return "" if may_be_missing(piece.source) else "missing"
    except OSError as error:
        where = display(str(cell_dir / piece.source))
        raise TemporaryError(f"{where} cannot be read: {error.strerror}") from error
    if found.kind != "f":
        return "no regular file any more"
    if found.size != piece.size:
        return f"{number_of(found.size, 'byte')}, and {piece.size} when it was processed"
    if found.unchanged_since(piece.entry) or not piece.text_crc32:
        return ""
    try:
        same = reread(found, cell_dir, piece)
    except TemporaryError:
        raise
    except HesiodError as error:
        return str(error)
    return "" if same else "has other content than when it was processed"


def _piece(record: object) -> Piece | None:
    """Source in a manifest; None for an entry that cannot be true."""
    if not isinstance(record, Mapping):
        return None
    name, output, size = record.get("name"), record.get("output"), whole_number(record.get("bytes"))
    numbers = {key: whole_number(record.get(key)) for key in _NUMBERS}
    later = {key: whole_number(record.get(key, 0)) for key in (*_PLACE, *_LATER)}
    known = {key: number for key, number in (numbers | later).items() if number is not None}
    if not isinstance(name, str) or not is_inside(name) or not isinstance(output, str):
        return None
    if size is None or len(known) < len(numbers) + len(later):
        return None
    return Piece(name, size, output=output, **known)  # type: ignore[arg-type]  # never the note
