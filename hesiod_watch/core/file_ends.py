"""End markers of BAM, pod5 and fast5: is a file whole from its first bytes to its last? No I/O.

- pod5 has the same signature of eight bytes at both ends.
- BAM is BGZF, and ends with an empty block of 28 bytes.
- fast5 is HDF5: a signature, and in the superblock the length of the file.

The marker does not prove that the bytes between the ends are right. It shows what a power cut, a
full disk or an interrupted copy leaves: a file that is cut off, or one of zeros.

A file without any marker of its format may be a placeholder of a site or a test. It counts as
damaged if it contains only zeros, or if another file of this kind in the same cell has the markers.
"""

from __future__ import annotations

from collections.abc import Iterable

from hesiod_watch.core.frozen import frozen

HEAD_BYTES = 48
TAIL_BYTES = 28
_POD5 = b"\x8bPOD\r\n\x1a\n"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_BGZF = b"\x1f\x8b\x08\x04"
_BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
KINDS = (".pod5", ".bam", ".fast5")


@frozen
class FileEnds:
    """The first and the last bytes of a file, at most HEAD_BYTES and TAIL_BYTES of them."""

    name: str
    size: int  # bytes
    head: bytes
    tail: bytes

    @property
    def kind(self) -> str:
        """The ending of the name; "" if files of this kind have no markers."""
        return next((kind for kind in KINDS if self.name.endswith(kind)), "")

    @property
    def begins(self) -> bool:
        """Whether the file begins as its format says."""
        return self.head.startswith({".pod5": _POD5, ".bam": _BGZF, ".fast5": _HDF5}[self.kind])

    @property
    def ends(self) -> bool:
        """Whether the file ends as its format says."""
        if self.kind == ".fast5":
            return self.size >= _hdf5_length(self.head)
        return self.tail.endswith(_POD5 if self.kind == ".pod5" else _BGZF_END)

    @property
    def zeros(self) -> bool:
        return bool(self.size) and not (self.head + self.tail).strip(b"\0")


def find_damaged(files: Iterable[FileEnds]) -> dict[str, str]:
    """Damaged files of one cell by name, each with what is wrong with it."""
    listed = [file for file in files if file.kind]
    real = {file.kind for file in listed if file.begins or (file.kind != ".fast5" and file.ends)}
    found = {file.name: _problem(file, real=file.kind in real) for file in listed}
    return {name: problem for name, problem in sorted(found.items()) if problem}


def _problem(file: FileEnds, *, real: bool) -> str:
    kind = file.kind.removeprefix(".").upper()
    if file.zeros:
        return f"no {kind} file: it begins and ends with zeros"
    if not real or (file.begins and file.ends):
        return ""
    if not file.size:
        return "empty"
    if file.begins:
        return f"cut off: the end of a {kind} file is missing"
    return f"no {kind} file: its first bytes are not those of this format"


def _hdf5_length(head: bytes) -> int:
    """Length that an HDF5 superblock states; 0 if it states none that is understood."""
    if len(head) < HEAD_BYTES:
        return 0
    version = head[8]
    offsets, place = (head[13], 40) if version < 2 else (head[9], 28)
    place += 4 if version == 1 else 0
    if version > 3 or offsets != 8 or place + 8 > HEAD_BYTES:
        return 0
    return int.from_bytes(head[place : place + 8], "little")
