"""Check of a Slurm node: which program, configuration and directories a job finds there.

`doctor` submits it as `python -m hesiod_watch.cli.node_check CONFIG DIRECTORY…`. It reads the file
`token` in each directory, and writes what it found into `answer` beside it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from hesiod_watch import __version__
from hesiod_watch.config import load, working_directory
from hesiod_watch.core.errors import HesiodError

TOKEN, ANSWER = "token", "answer"


def node_facts(config: str, places: list[str]) -> dict[str, object]:
    """Facts that this node finds; an error is a fact too."""
    found: dict[str, object] = {"node": os.uname().nodename, "version": __version__}
    try:
        found["digest"] = load(Path(config), environ=os.environ, cwd=working_directory()).digest
    except (HesiodError, OSError) as error:
        found["digest"] = f"it cannot be read: {error}"
    for place in places:
        try:
            found[place] = (Path(place) / TOKEN).read_text()
        except OSError as error:
            found[place] = f"it cannot be read: {error.strerror}"
    return found


def main(config: str, places: list[str]) -> int:
    """Write the facts beside each token that is there."""
    text = json.dumps(node_facts(config, places))
    print(text)
    for place in places:
        Path(place, ANSWER).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
