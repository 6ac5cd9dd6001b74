"""A sequencer behind ssh, a run to copy from it, and faults of its connection."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sshd_pair import Pair
from upstream_cells import CELL, tree

from hesiod_watch.config import UpstreamSettings
from hesiod_watch.core.model import CellId
from hesiod_watch.host.files import OpenDirectory
from hesiod_watch.remote.sequencer.copy_cell import CopyResult, copy_cell


class SshSequencer:
    """A sequencer, a run to copy, and a landing area that is also mounted on the sequencer."""

    def __init__(self, pair: Pair, root: Path, name: str) -> None:
        self.pair = pair
        self.host = pair.hosta
        self.data = self.host.data / name
        self.data.mkdir()
        self.run = self.data / "My Exp"
        self.landing = root / "landing"
        self.landing.mkdir()
        self.mounted = root / "mounted there"
        self.mounted.symlink_to(self.landing)
        self.copy_of_run = self.landing / "2026" / "20190710_EGS1_My_Exp"
        self.log = root / "sync.log"

    def upstream(
        self, mode: str = "pull", host: str = "hosta", **changed: object
    ) -> UpstreamSettings:
        upstream = UpstreamSettings(
            "EGS1",
            f"{host}:{self.data}",
            timeout=2,
            connect_timeout=3,
            ssh_options=self.pair.options,
        )
        if mode == "push":
            upstream = replace(upstream, mode="push", landing_there=str(self.mounted))
        return replace(upstream, **changed)  # type: ignore[arg-type]  # what a test wants

    def copy(
        self,
        upstream: UpstreamSettings,
        cell: CellId = CELL,
        *,
        on_progress: Callable[[int, int], None] | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> CopyResult:
        return copy_cell(
            upstream,
            f"{upstream.location}/My Exp",
            cell,
            OpenDirectory(self.copy_of_run, self.landing, make=True),
            landing=self.landing,
            log=self.log,
            on_progress=on_progress,
            stop=stop,
        )

    @property
    def landed(self) -> Path:
        return self.copy_of_run / CELL.library / CELL.name

    def same(self) -> bool:
        return tree(self.run) == tree(self.copy_of_run)


@contextmanager
def in_good_order(
    pair: Pair, root: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SshSequencer]:
    """The first server, with connections for one test; all faults are removed afterwards."""
    sockets = pair.directory / "run" / str(time.monotonic_ns())[-6:]
    sockets.mkdir(parents=True)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(sockets))
    try:
        yield SshSequencer(pair, root, root.name)
    finally:
        pair.hosta.link.rate = None
        pair.hosta.link.join()
        pair.hosta.thaw()
        pair.hosta.kill_sessions()


def frozen(sequencer: SshSequencer) -> None:
    sequencer.host.freeze()


def cut(sequencer: SshSequencer) -> None:
    sequencer.host.link.cut()
