"""Checks of a backup by the doctor, on a mounted directory."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from fake_programs import FakePrograms, PreparedAnswer

from hesiod_watch.config import BackupPlaceSettings, Config
from hesiod_watch.core.check import Check
from hesiod_watch.remote.backup.checks import check_backup
from hesiod_watch.remote.backup.queries import FORMAT, MARKER

pytestmark = pytest.mark.skipif(shutil.which("rsync") is None, reason="rsync is not installed")

ID = "0123456789abcdef0123456789abcdef"
NOT_TRIED = "not tried, because it cannot be reached"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "second"
    for directory in (root, tmp_path / "landing", tmp_path / "output"):
        directory.mkdir()
    (root / MARKER).write_text(json.dumps({"format": FORMAT, "id": ID}))
    return root


def check(root: Path) -> dict[str, Check]:
    config = Config(root.with_name("landing"), root.with_name("output"))
    checks = check_backup(BackupPlaceSettings("second", str(root), timeout=20), config)
    return {check.name: check for check in checks}


def test_a_mounted_backup(root: Path) -> None:
    """A backup is known by its marker; one on the disk of the data is no backup."""
    checks = check(root)
    assert list(checks) == ["marker", "apart", "writable", "room", "rsync"]
    assert checks["marker"] == Check("marker", True, f"{root} is the backup {ID}")
    assert checks["apart"].ok is False
    assert checks["writable"] == Check("writable", True, "it can be written")
    assert checks["rsync"].ok is True
    assert list(root.iterdir()) == [root / MARKER]


def test_no_marker(root: Path) -> None:
    """A directory without the marker may be an empty mount point: the check says what to do."""
    (root / MARKER).unlink()
    marker = check(root)["marker"]
    assert marker.ok is False
    assert marker.says.startswith(f"{MARKER} is not in {root}: is it mounted? ")
    assert marker.says.endswith("hesiod-watch backup-init second")


def test_a_missing_backup(root: Path) -> None:
    """A backup that cannot be reached is one problem, and nothing else is tried."""
    shutil.rmtree(root)
    checks = check(root)
    reaches = checks.pop("reaches")
    assert reaches.ok is False
    assert str(root) in reaches.says
    assert checks == {
        name: Check(name, None, NOT_TRIED)
        for name in ("marker", "apart", "writable", "room", "rsync")
    }


def test_a_backup_that_cannot_be_written(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A right that is missing is found without a file."""
    programs = FakePrograms(tmp_path / "bin", monkeypatch)
    programs.prepare("test", PreparedAnswer(code=1))
    assert check(root)["writable"] == Check("writable", False, f"{root} cannot be written")
    assert programs.calls("test") == [["-w", str(root)]]
