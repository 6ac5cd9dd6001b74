"""Kernel events of this host from the landing area, its runs, libraries and cells.

Built on watchdog's `InotifyFD`, the thread that reads one inotify instance, and not on its
`Observer`. The `Observer` drops events on overflow without a report, opens a watch on every data
directory, and dies of a handler's exception. This module adds what `InotifyFD` lacks:

- Each directory is armed first and listed second, and every listed entry is announced. No entry is
  missed in between, however fast `mkdir -p` and its writer are.
- A directory that was moved away is no longer watched, nor is anything below it; otherwise it would
  send events under its old name.
- After an overflow, or a failure of our own, everything is armed and announced again.
- A directory that cannot be watched is recorded in `refused`. Sweeps cover it.
- A settled run has no watch. So a new run gets its watches with `follow`, after the first look.

The kernel is asked for as few events as possible. Files cause events in cells only, and all of
these are dropped early unless they are a final_summary. A summary created as a hard link causes no
event except its creation. So creation counts too, unless the new file is empty: then its writer
will close it.

This module imports watchdog. A process that only polls does not import this module.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import reduce
from itertools import count
from operator import or_
from pathlib import Path
from sys import intern
from uuid import uuid4

from watchdog.observers.inotify_c import CallbackId, InotifyEvent, InotifyFD, Mask, WatchDescriptor
from watchdog.observers.inotify_c import InotifyConstants as In

from hesiod_watch.core.logfields import fields
from hesiod_watch.core.naming import FINAL_SUMMARY, is_final_summary
from hesiod_watch.runs.landing import LandingArea, LandingLevel
from hesiod_watch.service.watch.counters import WatchCounters

logger = logging.getLogger(__name__)

WATCHES_SYSCTL = "fs.inotify.max_user_watches"
INSTANCES_SYSCTL = "fs.inotify.max_user_instances"
NO_WATCHES = "no watches left"
PROBE_PREFIX = ".hesiod-watch-probe."

_SUMMARY = FINAL_SUMMARY.encode()
_PROBE = PROBE_PREFIX.encode()
_JOIN_SECONDS = 5.0


def _mask(*bits: Mask) -> Mask:
    return Mask(reduce(or_, bits, 0))


_SELF = _mask(In.IN_DELETE_SELF, In.IN_MOVE_SELF, In.IN_ONLYDIR, In.IN_EXCL_UNLINK)
_STRUCTURE = _mask(_SELF, In.IN_CREATE, In.IN_MOVED_TO, In.IN_MOVED_FROM)
MASKS: dict[LandingLevel, Mask] = {
    # may be given as a symbolic link; nothing below it is ever followed through one
    LandingLevel.LANDING: _STRUCTURE,
    LandingLevel.BATCH: _mask(_STRUCTURE, In.IN_DONT_FOLLOW),
    LandingLevel.RUN: _mask(_STRUCTURE, In.IN_DONT_FOLLOW),
    LandingLevel.LIBRARY: _mask(_STRUCTURE, In.IN_CLOSE_WRITE, In.IN_DONT_FOLLOW),
    LandingLevel.CELL: _mask(
        _SELF, In.IN_CREATE, In.IN_MOVED_TO, In.IN_CLOSE_WRITE, In.IN_DONT_FOLLOW
    ),
}


@dataclass(slots=True, eq=False)
class _Node:
    """A directory that is or should be watched; `wd` is None if the watch was refused."""

    path: Path
    level: LandingLevel
    wd: WatchDescriptor | None = None
    callback: CallbackId | None = None
    # names of announced entries, from an event or from a listing
    names: set[str] = field(default_factory=set)
    children: dict[str, _Node] = field(default_factory=dict)


class _Reader(InotifyFD):
    """`InotifyFD` that logs the error that ends it, so that `close` can release its descriptors."""

    def run(self) -> None:
        try:
            super().run()
        except Exception:
            logger.exception("the thread that reads events failed")
            with self._lock:
                # Otherwise `close` would leave the descriptors to a dead thread.
                self._is_reading = False


class InotifyEvents:
    """Watches on one landing area; announces runs to `hint`, and None for "everything".

    `hint` is called from the reading thread and from the caller of `follow`, never while our lock
    is held.

    The constructor raises OSError if no inotify instance is available (EMFILE: too many of them).
    """

    def __init__(
        self,
        landing: LandingArea,
        hint: Callable[[Path | None], None],
        counters: WatchCounters,
        settled: Callable[[Path], bool] = lambda run: False,
    ) -> None:
        self._settled = settled
        self._landing = landing
        self._hint = hint
        self._counters = counters
        # protects the book-keeping below; never held while `hint` runs
        self._lock = threading.RLock()
        self._root = _Node(landing.path, LandingLevel.LANDING)
        self._by_wd: dict[WatchDescriptor, _Node] = {}
        self._refused: dict[Path, str] = {}
        # whether the kernel has refused a watch since `arm` because none is left
        self._full = False
        self._callback_ids = count(1)
        self._probe_name = b""
        self._probe_seen = threading.Event()
        self._closing = False
        self.root_gone = False
        self.rearm_wanted = False
        self._fd = _Reader()
        self._fd.start()  # now: an instance that never ran cannot close its descriptors

    @property
    def alive(self) -> bool:
        """Whether the reading thread lives. If not, only a new `InotifyEvents` helps."""
        return self._fd.is_alive()

    @property
    def watches(self) -> int:
        return len(self._by_wd)

    @property
    def refused(self) -> dict[Path, str]:
        """Directories that could not be watched, each with the reason as a sentence."""
        with self._lock:
            return dict(self._refused)

    def arm(self) -> None:
        """Watch everything that should be watched; the caller then announces everything.

        Safe to repeat. Existing watches stay without a gap. Watches on directories that disappeared
        unnoticed are removed.
        """
        with self._lock:
            if self._closing:
                return
            self._full = False
            self._refused.clear()
            self.rearm_wanted = False
            self.root_gone = not self._place(self._root)

    def follow(self, path: Path) -> None:
        """Watch `path`, which no event announced, with its content and its unknown parents."""
        with self._lock:
            runs: list[Path] = []
            for candidate in (path, *path.parents):
                parent = self._find(candidate.parent)
                if parent is not None and not self._closing:
                    runs = self._appeared(parent, candidate.name)
                    break
        self._announce(runs)

    def release(self, run: Path) -> None:
        """Remove the watches of a settled run, whose name stays known."""
        with self._lock:
            parent = self._find(run.parent)
            node = parent.children.pop(run.name, None) if parent is not None else None
            if node is not None:
                self._unwatch(node)

    def covers(self, directory: Path) -> bool:
        """Whether a new entry in `directory` should cause an event."""
        with self._lock:
            node = self._find(directory)
            return node is not None and node.wd is not None

    def announced(self, path: Path) -> bool:
        """Whether `path` was announced, by an event or by a listing.

        A directory is listed when it is armed.
        """
        with self._lock:
            node = self._find(path.parent)
            return node is not None and path.name in node.names

    def probe(self, timeout: float) -> bool:
        """Whether a file made in the landing area causes an event within `timeout` seconds.

        Raises OSError if no file can be made.
        """
        name = f"{PROBE_PREFIX}{uuid4().hex}"
        self._probe_seen.clear()
        self._probe_name = os.fsencode(name)
        path = self._landing.path / name
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        path.unlink(missing_ok=True)
        return self._probe_seen.wait(timeout)

    def close(self) -> None:
        """Stop and remove all watches. Safe to repeat."""
        with self._lock:
            self._closing = True  # from now on no watch is added
        self._fd.stop()
        if self._fd is not threading.current_thread():
            self._fd.join(_JOIN_SECONDS)

    # Called by the reading thread. No exception may leave these: it would end the thread.

    def on_event(self, event: InotifyEvent) -> None:
        self._counters.events += 1
        # In a storm of events this check is most of our work. So files that are no summary are
        # dropped before anything else.
        if (
            event.name
            and not event.mask & In.IN_ISDIR
            and not event.name.startswith((_SUMMARY, _PROBE))
        ):
            self._counters.dropped += 1
            return
        with self._surviving():
            with self._lock:
                runs = self._handle(event)
            self._announce(runs)

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:
        """Handle a watch that the kernel removed: its directory was deleted or unmounted."""
        with self._surviving():
            with self._lock:
                node = None if self._closing else self._by_wd.get(wd)
                runs = self._gone(node) if node is not None else []
            self._announce(runs)

    def on_queue_overflow(self) -> None:
        """Handle lost events: arm and list every directory again.

        This is quick, because only the upper levels are listed.
        """
        self._counters.overflows += 1
        logger.warning(
            "the kernel lost events, so everything is checked again",
            extra=fields(landing=self._landing.path),
        )
        with self._surviving():
            self.arm()
            self._hint(None)

    @contextmanager
    def _surviving(self) -> Iterator[None]:
        """Log any error and continue: a later listing finds what the event would have shown."""
        try:
            yield
        except Exception:
            self._counters.handler_errors += 1
            self.rearm_wanted = True
            logger.exception(
                "an event could not be handled", extra=fields(landing=self._landing.path)
            )

    # The book-keeping. The lock is held.

    def _handle(self, event: InotifyEvent) -> list[Path]:
        node = self._by_wd.get(event.wd)
        if node is None or self._closing:
            return []  # the event was still queued when its watch was removed
        if event.mask & In.IN_UNMOUNT or event.is_delete_self:
            return self._gone(node)
        if event.is_move_self:
            return self._moved(node)
        if event.name.startswith(_PROBE):
            if event.name == self._probe_name:
                self._probe_seen.set()
            return []
        name = os.fsdecode(event.name)
        if event.is_moved_from:
            return self._left(node, name)
        if event.mask & In.IN_ISDIR:
            return self._appeared(node, name)
        if node.level.has_summaries:
            node.names.add(name)
            return [] if event.is_create and _is_empty(node.path / name) else self._runs(node)
        return []

    def _appeared(self, parent: _Node, name: str) -> list[Path]:
        level = self._landing.below(parent.level, name)
        if level is None:
            return []
        parent.names.add(name)
        if not level.watched:
            return self._runs(parent)
        if self._is_settled(level, path := parent.path / name):
            return [path]
        node = parent.children.setdefault(name, _Node(parent.path / name, level))
        if not self._place(node):  # already removed again
            del parent.children[name]
            parent.names.discard(name)
        return self._runs(node)

    def _left(self, parent: _Node, name: str) -> list[Path]:
        """Handle an entry that was renamed away.

        Another entry may have taken its name since, so look.
        """
        parent.names.discard(name)
        node = parent.children.pop(name, None)
        if node is None:
            run = self._landing.run_of(parent.path / name)
            return [run] if run is not None else self._runs(parent)
        runs = self._runs(node)
        self._unwatch(node)
        return runs + self._appeared(parent, name) if node.path.is_dir() else runs

    def _moved(self, node: _Node) -> list[Path]:
        """Handle a directory that was renamed.

        Its parent's event came before this one, or was lost.
        """
        parent = self._find(node.path.parent)
        if node is self._root or parent is None:
            return self._gone(node)
        return self._left(parent, node.path.name)

    def _gone(self, node: _Node) -> list[Path]:
        runs = self._runs(node)
        self._unwatch(node)
        if node is self._root:
            self.root_gone = True
            node.children.clear()
            node.names.clear()
            return []  # the owner checks `root_gone` and acts on it
        parent = self._find(node.path.parent)
        if parent is not None and parent.children.get(node.path.name) is node:
            del parent.children[node.path.name]
            parent.names.discard(node.path.name)
        return runs

    def _runs(self, node: _Node) -> list[Path]:
        """Run that contains a node, or is the node; otherwise all runs below it."""
        run = self._landing.run_of(node.path)
        if run is not None:
            return [run]
        return [
            place.path / name
            for place in _subtree(node)
            for name in place.names
            if self._landing.below(place.level, name) is LandingLevel.RUN
        ]

    def _is_settled(self, level: LandingLevel, path: Path) -> bool:
        return level is LandingLevel.RUN and self._settled(path)

    def _place(self, node: _Node) -> bool:
        """Watch a directory and all its content.

        Runs come one after the other, each down to its cells: if watches run out, some runs have
        all events of their cells, which is better than all runs without any. Returns False if
        `node` is not a directory (any more).
        """
        if not self._watch(node):
            return False
        for child in self._children(node):
            if not self._place(child):
                del node.children[child.path.name]
        return True

    def _watch(self, node: _Node) -> bool:
        """Add a watch; False if the directory is missing.

        A refusal is recorded and is no failure.
        """
        self._refused.pop(node.path, None)
        if self._full and node.wd is None:  # repeating an existing watch uses up none
            return self._refuse(node, errno.ENOSPC)
        callback = CallbackId(next(self._callback_ids))
        try:
            wd = self._fd.add_callback(os.fsencode(node.path), MASKS[node.level], self, callback)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                self._unwatch(node)
                return False
            return self._refuse(node, error.errno or 0)
        if wd == -1:  # InotifyFD's sign for EACCES; it has recorded a watch of that number
            self._fd.remove_callbacks([(wd, callback)])
            return self._refuse(node, errno.EACCES)
        # The kernel knows directories, not paths. So this may be the node's own watch, or a new one
        # because the directory was made again, or one that a node with an old name holds until the
        # event of the renaming is read. A watch must have one holder: with two, the end of one
        # would remove it for both. The newest node takes it over.
        for holder in (self._by_wd.get(wd), node):
            if holder is not None:
                self._drop_callback(holder)
        node.wd, node.callback = wd, callback
        self._by_wd[wd] = node
        return True

    def _refuse(self, node: _Node, code: int) -> bool:
        self._drop_callback(node)
        self._full = self._full or code == errno.ENOSPC
        self._refused[node.path] = NO_WATCHES if code == errno.ENOSPC else os.strerror(code)
        return True

    def _children(self, parent: _Node) -> list[_Node]:
        """List a directory that was just armed; every listed entry counts as announced.

        Includes children that disappeared.
        """
        try:
            with os.scandir(parent.path) as entries:
                found = {
                    # One text for the name of a run, here and in sweeps: there may be thousands.
                    intern(entry.name): entry.is_dir(follow_symlinks=False)
                    for entry in entries
                    if entry.is_dir(follow_symlinks=False)
                    or (parent.level.has_summaries and is_final_summary(entry.name))
                }
        except OSError:
            # Unreadable or just removed: sweeps and events will show which.
            return list(parent.children.values())
        levels = {name: self._landing.below(parent.level, name) for name in found}
        parent.names = {name for name, level in levels.items() if level is not None}
        for name, level in levels.items():
            if found[name] and level and level.watched and name not in parent.children:
                path = parent.path / name
                if not self._is_settled(level, path):
                    parent.children[name] = _Node(path, level)
        # Most names begin with a date: if watches run out, the newest directories get theirs.
        return [parent.children[name] for name in sorted(parent.children, reverse=True)]

    def _unwatch(self, top: _Node) -> None:
        for node in _subtree(top):
            self._drop_callback(node)
            self._refused.pop(node.path, None)

    def _drop_callback(self, node: _Node) -> None:
        """Remove a watch; the kernel's watch ends with its last callback."""
        if node.wd is None or node.callback is None:
            return
        if self._by_wd.get(node.wd) is node:
            del self._by_wd[node.wd]
        self._fd.remove_callbacks([(node.wd, node.callback)])
        node.wd = node.callback = None

    def _find(self, path: Path) -> _Node | None:
        try:
            parts = path.relative_to(self._landing.path).parts
        except ValueError:
            return None
        node: _Node | None = self._root
        for part in parts:
            node = node.children.get(part) if node is not None else None
        return node

    def _announce(self, runs: list[Path]) -> None:
        for run in dict.fromkeys(runs):
            self._hint(run)


def _is_empty(path: Path) -> bool:
    """Whether a regular file is empty; False if it is missing or no regular file."""
    try:
        status = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and not status.st_size


def _subtree(top: _Node) -> Iterator[_Node]:
    yield top
    for child in tuple(top.children.values()):
        yield from _subtree(child)
