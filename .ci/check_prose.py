#!/usr/bin/env python3
"""Find words that the project does not use in docstrings, comments, messages, pages and documents.

    check_prose.py [FILE...]

Without a FILE, reads every tracked file of the kinds below. Prints FILE:LINE: WORD: TEXT for each
word found, and then exits with 1. CONTRIBUTING.md says what to write instead.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

WORDS = (
    r"lies",
    r"goes",
    r"gives? way",
    r"gave way",
    r"(?:is|are|was|were|be) told",
    r"is said of",
    r"nobody",
    r"somebody",
    r"whoever",
    r"lets? go",
    r"letting go",
    r"word of",
    r"make-believe",
    r"ha(?:s|ve) gone",
    r"(?:stands?|stood|steps?|stepped) back",
    r"is none of",
    r"second places?",
)
BANNED = re.compile(r"\b(?:" + "|".join(WORDS) + r")\b", re.IGNORECASE)
# A docstring begins with a noun phrase or an imperative.
OPENING = re.compile(r"(?:Of|What|That)\b")


def of_python(text: str) -> Iterator[tuple[int, str]]:
    """Line number and text of every comment, and of every string that contains a blank."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        text_for_people = token.type == tokenize.STRING and " " in token.string
        if text_for_people or token.type == tokenize.COMMENT:
            yield from enumerate(token.string.splitlines(), token.start[0])


def openings(text: str) -> Iterator[tuple[int, str]]:
    """Line number and first line of every docstring that begins with a word of OPENING."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            docstring = ast.get_docstring(node, clean=False)
            if docstring and OPENING.match(docstring):
                yield node.body[0].lineno, docstring.splitlines()[0]


def of_text(text: str) -> Iterator[tuple[int, str]]:
    """Every line with its number."""
    yield from enumerate(text.splitlines(), 1)


def problems(path: Path) -> Iterator[str]:
    """One line for each use of a word that is not used."""
    text = path.read_text(encoding="utf-8")
    python = path.suffix == ".py"
    for number, line in (of_python if python else of_text)(text):
        for found in BANNED.finditer(line):
            yield f"{path}:{number}: {found[0]}: {line.strip()}"
    for number, line in openings(text) if python else ():
        yield f"{path}:{number}: {line.split()[0]} …: {line.strip()}"


def tracked() -> list[Path]:
    """What people read of this checkout. Tests are not among it: they quote what others write."""
    patterns = (
        *("hesiod_watch", "benchmarks", "bin", "contrib", "docs"),
        *("*.md", "Makefile", ".ci", "pyproject.toml"),
    )
    command = ("git", "ls-files", "-z", "--", *patterns)
    listed = subprocess.run(command, check=True, capture_output=True, text=True)
    names = [name for name in listed.stdout.split("\0") if name]
    skipped = (".c", ".css", ".json", ".svg", ".png")
    here = ".ci/check_prose.py"
    return [Path(name) for name in names if not name.endswith(skipped) and name != here]


def main(arguments: list[str]) -> int:
    paths = [Path(name) for name in arguments] or tracked()
    found = [each for path in paths for each in problems(path)]
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
