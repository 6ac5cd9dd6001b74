#!/usr/bin/env python3
"""Write the table of the kinds of attention into docs/operations.md, or check it there.

    attention_kinds.py --write
    attention_kinds.py --check

The only source is `hesiod_watch/core/attention_kinds.py`. With --check nothing is written: if the
document differs, its name is printed, and the exit code is 1.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

from generated import run, with_block

from hesiod_watch.core.attention import Step
from hesiod_watch.core.attention_kinds import KINDS

DOCUMENT = "docs/operations.md"
SCRIPT = "attention_kinds"


def table() -> Iterator[str]:
    """Table in Markdown: one line for each kind."""
    yield "| kind | means | severity | steps |\n|---|---|---|---|"
    first: dict[tuple[Step, ...], str] = {}
    for kind in KINDS.values():
        steps = " · ".join(map(_step, kind.steps)) or "none"
        if (same := first.setdefault(kind.steps, kind.name)) != kind.name:
            steps = f"those of `{same}`"
        yield f"| `{kind.name}` | {kind.meaning} | {kind.severity} | {steps} |"


def _step(step: Step) -> str:
    words = re.sub(r"\{(\w+)\}", lambda found: found[1].replace("_", " ").upper(), step.words)
    command = re.sub(r"\{(\w+)\}", lambda found: found[1].upper(), step.command)
    command = command.replace("{{", "{").replace("}}", "}")
    return f"{words}: `{command}`" if command else words


def main(arguments: list[str]) -> int:
    texts = {DOCUMENT: with_block(DOCUMENT, table(), SCRIPT)}
    return run(texts, __doc__ or "", SCRIPT, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
