#!/usr/bin/env python3
"""Write the meanings of the flags into bin/hesiod-flags and docs/flags.md, or check them there.

    flag_meanings.py --write
    flag_meanings.py --check

The only source is `hesiod_watch/runs/flags/names.py`. The text between the two lines that name this
script is replaced. With --check nothing is written: a file that differs is printed, and the exit
code is 1.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from generated import run, with_block

from hesiod_watch.runs.flags import names

SCRIPT = "flag_meanings"
LONGEST = 100
"""Characters of a line."""


def cases() -> Iterator[tuple[str, str]]:
    """Patterns of the shell and meanings, in an order in which the first match is right."""
    yield from names.RUN_MEANINGS.items()
    yield " | ".join(f"{name}*" for name in names.LEFT_BY_HESIOD), names.UNUSED
    for fact, meaning in names.STAGE_MEANINGS.items():
        yield f"*.{fact}", meaning
    for fact, meaning in names.CLAIM_MEANINGS.items():
        yield f"*.started.{fact} | *.started.[0-9]*.{fact}", meaning
    for fact, meaning in names.CELL_MEANINGS.items():
        yield f"*.{fact}" + (f" | *.{fact}.[0-9]*" if fact == "started" else ""), meaning
    yield names.over("*", "*"), names.OVER_MEANING
    yield " | ".join(f"*{name}" for name in names.LEFT_ENDS), names.UNUSED
    yield "*", names.UNKNOWN


def shell() -> Iterator[str]:
    """Branches of a `case` in plain sh."""
    for pattern, meaning in cases():
        quote = '"' if "'" in meaning else "'"
        if set(meaning) & set('"$`\\'):
            raise ValueError(f"{meaning}: has a character that the shell interprets")
        command = f"echo {quote}{meaning}{quote} ;;"
        line = f"        {pattern}) {command}"
        yield line if len(line) <= LONGEST else f"        {pattern})\n            {command}"


def table() -> Iterator[str]:
    """Table in Markdown."""
    yield "| flag | means |\n|---|---|"
    for name, meaning in names.RUN_MEANINGS.items():
        yield f"| `{name}` | {meaning} |"
    for fact, meaning in names.CELL_MEANINGS.items():
        again = " `{cell}.started.2`" if fact == "started" else ""
        yield f"| `{{cell}}.{fact}`{again} | {meaning} |"
    for fact, meaning in names.CLAIM_MEANINGS.items():
        yield f"| `{{cell}}.started.{fact}` | {meaning} |"
    for fact, meaning in names.STAGE_MEANINGS.items():
        yield f"| `{{cell}}.{fact}` | {meaning} |"
    yield f"| `{names.over('{cell}.ingest', '{key}')}` | {names.OVER_MEANING} |"


def main(arguments: list[str]) -> int:
    texts = {
        name: with_block(name, lines, SCRIPT)
        for name, lines in (("bin/hesiod-flags", shell()), ("docs/flags.md", table()))
    }
    return run(texts, __doc__ or "", SCRIPT, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
