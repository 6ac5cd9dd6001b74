"""Grammar and safe display of the names of runs, libraries, cells and output files.

Any user of a sequencer chooses names in the landing area. So a name is hostile until it matches a
grammar. A name that does not match is *quarantined*: it is shown and never worked on.
`run_problem`, `library_problem` and `cell_problem` decide this. All other functions may assume
that they returned "". File names inside a cell are opaque and have no grammar; they are only
displayed and sorted.

Names come from `os.fsdecode`, so bytes that are not UTF-8 arrive as lone surrogates. All patterns
are matched with `fullmatch`, because `$` would accept a trailing newline.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import date

from hesiod_watch.core import pooled
from hesiod_watch.core.action_kinds import ACTIONS, ActionMode
from hesiod_watch.core.errors import PermanentError
from hesiod_watch.core.model import CellId, CellName

NAME_MAX_BYTES = 200  # file systems allow 255; flags and temporary files add to a name
FASTQ_SUFFIX = ".fastq.gz"
BAM_SUFFIX = ".bam"
INDEX_SUFFIXES = (".bai", ".csi")
"""Endings that follow the name of an output of BAM in the name of its index."""
PARTS = ("pass", "fail", "skip")
"""How MinKNOW judged the reads of an output."""
DUPLEX = "_duplex"
"""Ending of the part of reads that were made of the two strands of a molecule."""
DUPLEX_PARTS = tuple(part + DUPLEX for part in PARTS)
FILE_NAME_MAX_BYTES = 255

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+@=, -]*")
_ALLOWED = "letters, digits, blanks and _ . + @ = , -"

# Names with another meaning in a run's directory or in its output directory.
_RESERVED = frozenset({"pipeline", "rundata", "pipeline.log", "sync.log", "report.html"})
# Words that a cell's suffix must not contain. Otherwise the flag `{cell}.backup.done` could be the
# flag `done` of a cell `{cell}.backup` that was basecalled again.
_FLAG_WORDS = frozenset(
    {
        "synced",
        "started",
        "done",
        "failed",
        "aborted",
        "stripped",
        "worker",
        "yielded",
        "died",
        "wanted",
        "second-copy",
    }
    | {name for name, kind in ACTIONS.items() if kind.mode is not ActionMode.SHORT}
)

_CELL = re.compile(
    r"(?P<date>[0-9]{8})_(?P<time>(?:[01][0-9]|2[0-3])[0-5][0-9])"
    # Position and flow cell; `_position_and_flow_cell` splits them.
    r"_(?P<place>[A-Za-z0-9._-]+)"
    r"_(?P<short_id>[0-9a-f]{8})"
    r"(?:\.(?P<suffix>[A-Za-z0-9][A-Za-z0-9_.+-]*))?"
)
_LOOKS_LIKE_CELL = re.compile(r"[0-9]{8}_[0-9]{3,6}_")
_POSITION = re.compile(
    r"[0-9]+-[A-Z][0-9]+-[A-Z][0-9]+"  # PromethION of 2019: 2-E11-H11
    r"|[0-9][A-Z]"  # PromethION 24 and 48 since 2021: 1F
    r"|GA[0-9]+"  # GridION of 2019: the machine, GA20000
    r"|X[0-9]+"  # GridION since 2020: the slot, X1
    r"|MN[0-9]+"  # MinION Mk1B: MN32284
    r"|M[CD]-[0-9]+"  # Mk1C, Mk1D: MC-115499
    r"|P2[SI][-_][0-9]+[-_][A-Z]"  # P2 Solo, P2i: P2S-00581-A
)
_FLOW_CELL = re.compile(
    r"[A-Za-z]{2,3}[0-9]{3,6}|CTC[A-Za-z0-9]*|UNKNOWN"
)  # PAD38578, AOZ898 (a Flongle), CTC00001


def _position_and_flow_cell(place: str) -> tuple[str, str] | None:
    """Split `{position}_{flow_cell_id}`; None without a position or without `_`.

    Both parts may contain `_`. The split is decided by a position of a known form, else by a flow
    cell of a known form, else by the first `_`: machines make positions and use no `_` in them,
    but people may type flow-cell ids.
    """
    splits = [
        (place[:at], place[at + 1 :]) for at, letter in enumerate(place) if letter == "_" and at
    ]
    for position, flow_cell in splits:
        if _POSITION.fullmatch(position):
            return position, flow_cell
    for position, flow_cell in splits:
        if _FLOW_CELL.fullmatch(flow_cell):
            return position, flow_cell
    return splits[0] if splits else None


def _take_apart(name: str) -> CellName | None:
    if acquisition := pooled.parse(name):
        short_id = acquisition.protocol or acquisition.acquisition
        suffix = acquisition.acquisition if acquisition.protocol else ""
        return CellName("", "", "", acquisition.flow_cell_id, short_id, suffix)
    match = _CELL.fullmatch(name)
    if match is None:
        return None
    place = _position_and_flow_cell(match["place"])
    if place is None or not _plausible_date(match["date"]):
        return None
    return CellName(match["date"], match["time"], *place, match["short_id"], match["suffix"] or "")


def parse_cell(name: str) -> CellName | None:
    """Parse a cell's directory name; None if the name is quarantined (see `cell_problem`)."""
    return None if cell_problem(name) else _take_apart(name)


def looks_like_cell(name: str) -> bool:
    """Whether a name begins with date and time, like the name of a cell.

    A near miss is reported to people.
    """
    return _LOOKS_LIKE_CELL.match(name) is not None


def _plausible_date(digits: str) -> bool:
    year, month, day = int(digits[:4]), int(digits[4:6]), int(digits[6:])
    try:
        return date(year, month, day) >= date(2000, 1, 1)
    except ValueError:
        return False


FINAL_SUMMARY = "final_summary"
_FINAL_SUMMARY = re.compile(rf"{FINAL_SUMMARY}(?:_.*)?\.txt", re.DOTALL)


def is_final_summary(name: str) -> bool:
    """Whether a file of this name announces the end of an acquisition."""
    return _FINAL_SUMMARY.fullmatch(name) is not None


def is_configuration_test(cell: CellName) -> bool:
    """Whether this is a configuration-test cell (`CTC…`).

    Such a cell checks the instrument and contains no sample.
    """
    return cell.flow_cell_id.upper().startswith("CTC")


def _grammar_problem(name: str) -> str:
    if not name:
        return "the name is empty"
    size = len(name.encode("utf-8", "surrogatepass"))
    if size > NAME_MAX_BYTES:
        return f"the name is {size} bytes long; {NAME_MAX_BYTES} are allowed"
    if name.endswith(" "):
        return "the name ends in a blank"
    if _NAME.fullmatch(name):
        return ""
    if name[0] in " .-+@=,":
        return f"the name begins with {_quoted(name[0])}"
    strange = next(letter for letter in name if not _NAME.fullmatch("x" + letter))
    return f"the name contains {_quoted(strange)}; allowed are {_ALLOWED}"


def _quoted(name: str) -> str:
    return f'"{display(name)}"'


def run_problem(name: str) -> str:
    """Return in one sentence why a run of this name is quarantined; "" if it is valid."""
    return _grammar_problem(name)


def library_problem(name: str) -> str:
    """Return in one sentence why a library of this name is quarantined; "" if it is valid.

    Names that the run's directory or its output directory uses for something else are refused too.
    """
    if name in _RESERVED or name.endswith("_mqc.json"):
        return f"{_quoted(name)} is a name that hesiod-watch uses itself"
    return _grammar_problem(name)


def cell_problem(name: str) -> str:
    """Return in one sentence why a cell of this name is quarantined; "" if it is valid.

    Flag names contain the cell's name, so a suffix that looks like a part of a flag's name is
    refused.
    """
    problem = _grammar_problem(name)
    if problem:
        return problem
    cell = _take_apart(name)
    if cell is None:
        return "the name is not of the form {date}_{time}_{position}_{flow cell}_{8 hex digits}"
    if not _FLAG_WORDS.isdisjoint(cell.suffix.split(".")):
        return f"the suffix {_quoted('.' + cell.suffix)} could be taken for a part of a flag's name"
    return ""


# Letters and symbols, by Unicode category, that are invisible all the same.
_INVISIBLE = frozenset("\u115f\u1160\u3164\uffa0\u2800")
_SHORT_ESCAPES = {"\n": r"\n", "\r": r"\r", "\t": r"\t", "\\": r"\\"}


def _shown(letter: str) -> str:
    code = ord(letter)
    if letter in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[letter]
    if 0xDC80 <= code <= 0xDCFF:  # how os.fsdecode represents a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if letter == " " or (unicodedata.category(letter)[0] in "LNPS" and letter not in _INVISIBLE):
        return letter
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def display(name: str) -> str:
    """Make `name` safe to show: one line of visible characters that cannot control a terminal.

    These become escapes (`\\n`, `\\x1b`, `\\u202e`): control characters, bidirectional and
    zero-width characters, combining marks, all blanks except the plain one, and undecodable bytes.
    A backslash is doubled, so escaping never makes two names look the same. The HTML templates
    escape the characters that are special in HTML.
    """
    if name.isascii() and name.isprintable() and "\\" not in name:
        return name
    return "".join(map(_shown, name))


_DIGITS = re.compile(r"([0-9]+)")


def natural_key(name: str) -> tuple[tuple[str | tuple[int, str], ...], str]:
    """Return a sort key that puts `x_2` before `x_10`.

    The order is total: names that differ only in leading zeros have different keys.
    """
    parts = _DIGITS.split(name)
    # Numbers are compared by their number of digits, then digit by digit, so they may be very long.
    key = tuple(
        (len(part.lstrip("0")), part.lstrip("0")) if position % 2 else part
        for position, part in enumerate(parts)
    )
    return key, name


_PLAIN_BARCODE = re.compile(rb"[A-Za-z0-9._-]")


def _percent_encoded(barcode: str) -> str:
    return "".join(
        chr(byte) if _PLAIN_BARCODE.fullmatch(bytes([byte])) else f"%{byte:02X}"
        for byte in barcode.encode("utf-8", "surrogateescape")
    )


def is_output_file_name(name: str, run: str, cell: CellId) -> bool:
    """Whether `output_file_name` may have made a name for this cell, or for an index of it.

    Raises PermanentError for quarantined names.
    """
    common = output_file_name(run, cell, None, "pass").removesuffix("pass.fastq.gz")
    suffixes = (FASTQ_SUFFIX, BAM_SUFFIX, *(BAM_SUFFIX + index for index in INDEX_SUFFIXES))
    endings = tuple(part + suffix for part in (*PARTS, *DUPLEX_PARTS) for suffix in suffixes)
    return name.startswith(common) and name.endswith(endings)


def holds_reads(name: str) -> bool:
    """Whether a result file contains reads, or is the index of one that does."""
    indexes = (BAM_SUFFIX + index for index in INDEX_SUFFIXES)
    return name.endswith((FASTQ_SUFFIX, BAM_SUFFIX, *indexes))


def output_file_name(
    run: str, cell: CellId, barcode: str | None, part: str, suffix: str = FASTQ_SUFFIX
) -> str:
    """Return the name of one output file, unique within the cell's output directory.

    The form is `{run}_{library}_{flow_cell_id}_{8 hex}[.suffix][_{barcode}]_{part}.fastq.gz`, the
    output directory `{library}/{cell}`; `suffix` may be another one. `barcode` is the name of the
    barcode's directory (often an alias chosen by a person), or None. `part` is pass, fail or skip,
    for duplex reads `pass_duplex` and so on.

    Blanks of run and library stay. A barcode's characters outside `[A-Za-z0-9._-]` are
    percent-encoded, also `%` itself. So different barcodes of a cell get different names, and no
    name needs escaping in `md5sums.txt`.

    Raises PermanentError for quarantined names and for a result of more than 255 bytes.
    """
    parsed = parse_cell(cell.name)
    problem = run_problem(run) or library_problem(cell.library) or cell_problem(cell.name)
    if problem or parsed is None:
        raise PermanentError(
            f"run {display(run)}, cell {display(str(cell))}: {problem}; no output is made for it"
        )
    if part not in PARTS and part not in DUPLEX_PARTS:
        raise PermanentError(
            f"run {run}, cell {cell}: there are no outputs for {display(part)!r} reads"
        )
    short_id = f"{parsed.short_id}.{parsed.suffix}" if parsed.suffix else parsed.short_id
    pieces = [run, cell.library, parsed.flow_cell_id, short_id]
    if barcode is not None:
        pieces.append(_percent_encoded(barcode))
    name = "_".join([*pieces, part]) + suffix
    longest = len(name) + (len(INDEX_SUFFIXES[0]) if suffix == BAM_SUFFIX else 0)
    if longest > FILE_NAME_MAX_BYTES:
        raise PermanentError(
            f"run {run}, cell {cell}: the output's name would be {longest} bytes long, file"
            f" systems allow {FILE_NAME_MAX_BYTES}: {name};"
            " shorten the name of the run, the library or the barcode"
        )
    return name
