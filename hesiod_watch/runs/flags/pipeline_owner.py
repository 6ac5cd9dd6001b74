"""Owner of a `pipeline/` directory: an account that may make one in the landing area is no proof.

Every account that may write in the landing area can make a directory `pipeline/` in a run of its
own, with an upstream, an output link and messages that it chose. The program works only from a
`pipeline/` whose owner is trusted:

1. The user of this process, and root.
2. The owner of the output area, and the owner of the run's own directory in it. Accounts that may
   only write in the landing area own nothing there.
3. The owner of the landing area, who may rename and replace every run in it. On a file system that
   gives all files to one account, this is that account.
4. The users in `landing_owners` of the configuration.

Flags that people touch do not count: operators share them by their group.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from hesiod_watch.core.naming import display
from hesiod_watch.core.text import quoted
from hesiod_watch.runs.flags import names
from hesiod_watch.runs.flags.pipeline import Pipeline
from hesiod_watch.runs.flags.run_facts import find_output

_COUNTED = (names.UPSTREAM, names.OUTPUT, names.TICKET, names.MESSAGES)
"""Names in `pipeline/` that decide where data and messages are sent."""


def find_foreign_maker(pipeline: Pipeline, output_root: Path, owners: Collection[int] = ()) -> str:
    """Sentence about an account that made `pipeline/` and is not trusted; "" if there is none.

    `owners`: further trusted user ids. A `pipeline/` that is missing, or that cannot be opened and
    so contains no facts, has no owner. Raises OSError.
    """
    made = _makers(pipeline)
    trusted = {0, os.geteuid(), *owners, *_owner(output_root)}
    if not made.keys() - trusted:
        return ""
    if output := find_output(pipeline, output_root).path:
        trusted |= _owner(output)
    foreign = sorted((what, uid) for uid, what in made.items() if uid not in trusted)
    if not foreign:
        return ""
    what, uid = foreign[0]
    place = quoted(str(pipeline.run / what))
    ours = "".join(str(each) for each in _owner(output_root)) or str(os.geteuid())
    return (
        f"{what} was made by {_user(uid)}, who is not in landing_owners; nothing is"
        " done to this run until you trust that user (landing_owners in the configuration) or that"
        f" file (chown -h {ours} {place})"
    )


def _makers(pipeline: Pipeline) -> dict[int, str]:
    """Owners of `pipeline/` and of the names in it that count, each with the first such name."""
    made: dict[int, str] = {}
    try:
        made[os.fstat(pipeline.descriptor).st_uid] = f"{names.PIPELINE}/"
    except OSError:
        return made
    for name in _COUNTED:
        with suppress(FileNotFoundError):
            made.setdefault(pipeline.status(name).st_uid, f"{names.PIPELINE}/{name}")
    return made


def _owner(path: Path) -> set[int]:
    try:
        return {path.stat().st_uid}
    except OSError:
        return set()


def _user(uid: int) -> str:
    try:
        return f"the user {display(pwd.getpwuid(uid).pw_name)} ({uid})"
    except KeyError:
        return f"the user with uid {uid}"
