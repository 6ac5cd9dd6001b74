"""Text that a script generates into a file of the repository, and that `make lint` compares."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]


def with_block(name: str, lines: Iterable[str], script: str) -> str:
    """The file `name` of the repository with `lines` in the block that names the script.

    Raises ValueError if there is not exactly one such block.
    """
    block = re.compile(
        rf"(?<=begin: written by \.ci/{script}\.py)(.*?\n).*?(?=[^\n]*end: {script})", re.S
    )
    text = "".join(f"{line}\n" for line in lines)
    before = (ROOT / name).read_text(encoding="utf-8")
    after, found = block.subn(lambda match: match[1] + text, before)
    if found != 1:
        raise ValueError(f"{name}: {found} blocks to write; there must be one")
    return after


def run(texts: Mapping[str, str], usage: str, script: str, arguments: list[str]) -> int:
    """Write the texts by names of files, or print the names that differ; return the exit code."""
    if arguments not in (["--write"], ["--check"]):
        print(usage, file=sys.stderr)
        return 2
    differing = 0
    for name, text in texts.items():
        path = ROOT / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        if arguments == ["--write"]:
            path.write_text(text, encoding="utf-8")
            continue
        differing = 1
        print(f"{name}: differs; write it with .ci/{script}.py --write")
    return differing
