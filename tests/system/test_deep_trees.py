"""Cells with directories nested so deeply that rsync cannot copy them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from backup_mount import BackupMount
from deep_trees import nest, remove
from sites import Site

from hesiod_watch.cli.simulator import SimulatedCell

pytestmark = pytest.mark.system

RUN, LIBRARY, CELL = "20261122_TEST_alpha", "sample_A", "20261122_2210_1A_PAW00001_0a1b2c3d"
TOO_DEEP = f"{LIBRARY}/{CELL}: the directories `d/d/"


@pytest.fixture(autouse=True)
def removed(tmp_path: Path) -> Iterator[None]:
    """Remove trees that are too deep for other programs."""
    yield
    remove(tmp_path / "landing")


@pytest.fixture
def backed(site: Site, mounted: BackupMount) -> Site:
    """A site with one cell and one initialized backup."""
    site.configure(
        processing="workers: 2, ingest: false",
        more=f"backups: {{second: {{location: {mounted.place}, timeout: 10s}}}}\n",
    )
    site.run("backup-init", "second")
    SimulatedCell(site.landing, RUN, LIBRARY, CELL).write()
    return site


@pytest.mark.parametrize("levels", [1100, 5000])
def test_too_deep_directories_are_refused(backed: Site, levels: int) -> None:
    """Directories that rsync cannot copy end the backup with a sentence that status shows."""
    nest(backed.landing / RUN / LIBRARY / CELL, levels)
    backed.run("poll", check=None)
    flag = backed.landing / RUN / "pipeline" / f"{CELL}.backup.failed"
    reason = json.loads(flag.read_text())["reason"]
    assert TOO_DEEP in reason
    assert len(reason) < 600
    for command in (("status",), ("explain", RUN, CELL)):
        shown = backed.run(*command).stdout
        assert "are too deep" in shown, shown
    ended = backed.run("perform", "backup", RUN, CELL, check=1)
    assert reason in ended.stderr
    assert "Traceback" not in backed.run("strip", RUN, CELL, check=1).stderr
    backed.run("verify", RUN)
    remove(backed.landing / RUN / LIBRARY / CELL / "d")
    backed.run("perform", "backup", RUN, CELL)
    assert f"{CELL}.backup.done" in backed.flags(RUN)
