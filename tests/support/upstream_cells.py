"""Cells on a sequencer, with hostile file names."""

from __future__ import annotations

import os
from pathlib import Path

from hesiod_watch.core.model import CellId

CELL = CellId("lib 1", "20190710_1723_2-A5-D5_PAD38578_c6ded78b")
SUMMARY = "final_summary_PAD38578_c6ded78b_0.txt"

ODD_NAMES = [
    *(
        "plain.fastq",
        " leading",
        "trailing ",
        "two  blanks",
        "tab\there",
        "new\nline",
        "\n",
        "return\rhere",
    ),
    *(
        "'",
        '"',
        "it's",
        "`touch owned`",
        "$(touch owned)",
        "${IFS}",
        ";touch owned",
        "&& touch owned",
        "|x",
        "a>owned",
    ),
    *(
        "-rf",
        "--delete",
        "-e sh owned",
        "--rsh=touch owned",
        "#comment",
        ";semicolon",
        "!bang",
        "~",
        "~root",
        "%n",
    ),
    *(
        "*",
        "?",
        "[a]",
        "run*",
        "{a,b}",
        "\\",
        "\\n",
        "a\\ b",
        "a:b",
        "host:file",
        "::",
        "é",
        "e\u0301",
        "\u202ertl",
        "🧬",
    ),
    *(
        "\x1b[2J",
        "\x7f",
        "\udcff\udcfe",
        "z" * 255,
        "...",
        "..x",
        ".hidden",
        ".name.AbC123",
        "+ plus",
        "- minus",
        "=x",
    ),
]
"""File names in the form of os.fsdecode."""


def make_cell(
    run_dir: Path, cell: CellId = CELL, *, odd: bool = False, finished: bool = True
) -> Path:
    """Make a small cell; with `odd`, also files and directories with the names of ODD_NAMES."""
    directory = run_dir / cell.library / cell.name
    reads = directory / "fastq_pass"
    reads.mkdir(parents=True)
    for number in range(3):
        (reads / f"PAD38578_pass_c6ded78b_{number}.fastq").write_bytes(os.urandom(50_000))
    (directory / "empty").mkdir()
    (directory / "other_reports").mkdir()
    (directory / "other_reports" / "pore_scan.json").write_text("{}")
    (directory / "other_reports" / "final_summary_of_something_else.txt").write_text(
        "data like any other"
    )
    if odd:
        for name in ODD_NAMES:
            (reads / name).write_bytes(os.fsencode(name) * 3)
            (directory / "odd" / name).mkdir(parents=True)
            (directory / "odd" / name / name).write_bytes(b"x")
    if finished:
        (directory / SUMMARY).write_text("fastq_files_in_final_dest=3\n")
    return directory


def tree(directory: Path) -> dict[str, object]:
    """Entries below a directory: contents of files, targets of links, None for directories."""
    found: dict[str, object] = {}
    for path in sorted(directory.rglob("*")):
        name = str(path.relative_to(directory))
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        else:
            found[name] = (
                None if path.is_dir() else path.read_bytes() if path.is_file() else "special"
            )
    return found
