"""Pooled directories: a library that holds the files of several acquisitions, without cells.

MinKNOW's data pooling writes into `{run}/{library}/`, and a copy may lack the level of the library.
Each acquisition there is a cell. No directory has its name, `{flow cell}_{8 hex}_{8 hex}.pooled`:
the ids of protocol run and acquisition, as the names of its files have them. Old versions of
MinKNOW write no protocol run id.

A file belongs to the acquisition whose id is the last one in its name. A file that ends with the id
of a protocol run (report, sample sheet, checksums) belongs to each acquisition of that run, and a
link to all: it may stand for their data. Other files belong to none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from hesiod_watch.core.file_entry import FileEntry
from hesiod_watch.core.frozen import frozen

_CELL = re.compile(
    r"(?![0-9]{8}_[0-9]{3,6}_)(?P<flow_cell>[A-Za-z0-9_-]*?)"
    r"(?:_(?P<protocol>[0-9a-f]{8}))?_(?P<acquisition>[0-9a-f]{8})\.pooled"
)
# The last id before the number, or before the suffix.
_LAST_ID = re.compile(r"(.*)_([0-9a-f]{40}|[0-9a-f]{8})(?:_[0-9]|\.)", re.DOTALL)
_ENDS_WITH_ID = re.compile(r"(.*)_([0-9a-f]{8})", re.DOTALL)
_PART = re.compile(r"_(?:pass|fail|skip)(?=_|$)")


@frozen
class PooledCell:
    """Acquisition in a pooled directory: the ids in the names of its files."""

    flow_cell_id: str
    protocol: str  # eight hex digits; "" in files of old versions
    acquisition: str  # eight hex digits

    @property
    def name(self) -> str:
        ids = (self.flow_cell_id, self.protocol, self.acquisition)
        return "_".join(ids if self.protocol else ids[::2]) + ".pooled"

    def owns(self, name: str) -> bool:
        """Whether a file of this name belongs to the acquisition, perhaps among others."""
        found = last_id(name)
        return found != "" and found in (self.acquisition, self.protocol)

    def shares(self, name: str) -> bool:
        """Whether a file may belong to other acquisitions of the protocol run, too."""
        return last_id(name) != self.acquisition

    def entries(self, listed: Mapping[str, FileEntry]) -> dict[str, FileEntry]:
        """Entries of the pooled directory that belong to the acquisition, with their directories.

        A directory without such a file is left out, and so are directories of other cells.
        """
        own = {
            name: entry
            for name, entry in listed.items()
            if entry.kind != "d" and (entry.kind == "l" or self.owns(name.rpartition("/")[2]))
        }
        above = {""}
        for name in own:
            inside = name.rpartition("/")[0]
            while inside not in above:
                above.add(inside)
                inside = inside.rpartition("/")[0]
        return own | {
            name: entry for name, entry in listed.items() if entry.kind == "d" and name in above
        }


def parse(name: str) -> PooledCell | None:
    """Parse the name of a cell; None for the name of a cell with a directory."""
    if not name.endswith(".pooled"):
        return None
    match = _CELL.fullmatch(name)
    return PooledCell(match[1], match[2] or "", match[3]) if match else None


def last_id(name: str) -> str:
    """First eight digits of the last id in a file's name; "" without one."""
    match = _LAST_ID.match(name)
    return match[2][:8] if match else ""


def acquisition_in(name: str) -> PooledCell | None:
    """Acquisition that a data file or a final_summary names; None if it names none."""
    match = _LAST_ID.match(name)
    if match is None:
        return None
    head = match[1].removeprefix("final_summary_")
    protocol = ""
    if with_protocol := _ENDS_WITH_ID.fullmatch(head):
        head, protocol = with_protocol.groups()
    found = PooledCell(_PART.split(head)[0], protocol, match[2][:8])
    return found if parse(found.name) == found else None
