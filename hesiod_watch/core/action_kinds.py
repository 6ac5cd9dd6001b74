"""Kinds of actions: the one table of what each is for, where it runs, and which flags stop it.

A kind's name is its name in commands, records and logs, and in the flags of its attempts.
"""

from __future__ import annotations

from enum import Enum
from typing import Literal

from hesiod_watch.core.frozen import frozen

Slots = int | Literal["unlimited", "workers", "ingest_workers", "per upstream"]
"""How many workers of one action run at once on a host; two are keys of the configuration."""


class ActionMode(Enum):
    """How an action is started."""

    SHORT = "in the deciding process: starting a process would take longer"
    WORKER = "in its own process"
    REPEATED = "in its own process, again and again while a cell grows; once per cell in a poll"
    CLAIMED = "in its own process, once per cell: the cell is claimed before"


@frozen
class ActionKind:
    """An action, as `hesiod-watch perform ACTION` names it.

    A flag in `stopped_by` prevents its start, and ends it at its next check point. So does the flag
    `aborted` of its cell.
    """

    name: str
    module: str  # in the package `actions`; loaded when the action is performed
    mode: ActionMode
    slots: Slots = "unlimited"
    needs_cell: bool = False  # False: for a run; a backup is for a run or for one of its cells
    stopped_by: frozenset[str] = frozenset({"failed", "aborted", "stripped"})  # flags of the run
    finishes_despite: frozenset[str] = frozenset()  # flags that prevent nothing but its start


_FAILED_OR_ABORTED = frozenset({"failed", "aborted"})

NEW_RUN = ActionKind("new-run", "new_run", ActionMode.SHORT)
SYNCED = ActionKind("synced", "mark_synced", ActionMode.SHORT, needs_cell=True)
CHECKSUMS = ActionKind(
    "checksums", "compare_checksums", ActionMode.REPEATED, "workers", needs_cell=True
)
PROCESS = ActionKind(
    "process",
    "process",
    ActionMode.CLAIMED,
    "workers",
    needs_cell=True,
    finishes_despite=frozenset({"failed"}),
)
INGEST = ActionKind("ingest", "ingest", ActionMode.REPEATED, "ingest_workers", needs_cell=True)
# One run at a time from an upstream: its runs share its network and its disks.
SYNC = ActionKind("sync", "sync", ActionMode.REPEATED, "per upstream")
REPORT = ActionKind("report", "report_page", ActionMode.WORKER, "workers")
# Actions that read disks for hours work on one cell at a time.
BACKUP = ActionKind("backup", "backup", ActionMode.REPEATED, 1)
# Copies of a stripped run are still verified, and still count for a mark on its upstream.
VERIFY = ActionKind("verify", "verify", ActionMode.REPEATED, 1, True, _FAILED_OR_ABORTED)
# The facility's own command may use all CPUs. Its results stay when the raw data are stripped.
HOOK = ActionKind("hook", "run_hook", ActionMode.REPEATED, 1, True, _FAILED_OR_ABORTED)
GIVE_UP = ActionKind("give-up", "give_up", ActionMode.SHORT, needs_cell=True)
DELETABLE = ActionKind(
    "deletable", "mark_deletable", ActionMode.REPEATED, 1, True, _FAILED_OR_ABORTED
)
STRIP = ActionKind("strip", "strip", ActionMode.REPEATED, 1, True, _FAILED_OR_ABORTED)
TELL = ActionKind("tell", "queue_messages", ActionMode.SHORT, stopped_by=frozenset({"aborted"}))
# Two at once, with their own slots: delivery and work on data never wait for each other.
NOTIFY = ActionKind("notify", "deliver_messages", ActionMode.WORKER, 2, stopped_by=frozenset())

_ON_DATA = (NEW_RUN, SYNCED, CHECKSUMS, PROCESS, INGEST, SYNC, REPORT, BACKUP, VERIFY, HOOK)
ACTIONS = {kind.name: kind for kind in (*_ON_DATA, GIVE_UP, DELETABLE, STRIP, TELL, NOTIFY)}
"""Every action by its name, in the order in which commands list them."""
