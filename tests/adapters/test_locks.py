"""Choice of the directory for the locks of a host."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from mounts import in_memory, needs_mounts

from hesiod_watch.core.errors import PermanentError
from hesiod_watch.host import locks
from hesiod_watch.host.locks import lock_directory, lock_problems, locks_missing

LANDING = Path("/landing")
OTHER_USER = 65534


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Candidates that only this test uses; none of them exists except the temporary directory."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(locks, "RUNTIME", tmp_path / "run")
    monkeypatch.setattr(locks, "FALLBACK", tmp_path / "fallback")
    return tmp_path


def test_temporary_directory(places: Path) -> None:
    """Without a configured and without a runtime directory, nothing is reported."""
    found = lock_directory(LANDING)
    assert found.parent == places / "tmp"
    assert stat.S_IMODE(found.stat().st_mode) == 0o700
    assert lock_problems(LANDING) == ()
    assert lock_directory(LANDING) == found
    assert lock_directory(Path("/other")) != found


@needs_mounts
def test_a_full_disk_changes_nothing(places: Path) -> None:
    """All processes use the same locks, also those that start while the disk is full."""
    program = (
        "from pathlib import Path; from hesiod_watch.host import locks;"
        f" locks.RUNTIME = Path({str(places / 'run')!r});"
        " print(locks.lock_directory_in_use(Path('/landing')))"
    )

    def chosen() -> str:
        command = [sys.executable, "-c", program]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    with in_memory(places / "tmp", "16k"):
        before = chosen()
        assert str(places / "tmp") in before
        with suppress(OSError), (places / "tmp" / "large").open("wb", buffering=0) as large:
            while large.write(bytes(4096)):
                pass
        with pytest.raises(OSError, match="No space"):
            (places / "tmp" / "another").write_bytes(b"text")
        assert chosen() == before


@pytest.mark.parametrize("variable", ["TMPDIR", "TEMP", "TMP"])
def test_variables_of_the_environment(
    variable: str, places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The temporary directory is the one that the environment names; a missing one is skipped."""
    monkeypatch.setenv("TMPDIR", str(places / "missing"))
    monkeypatch.setenv(variable, str(places / "tmp"))
    assert lock_directory(LANDING).parent == places / "tmp"
    assert lock_problems(LANDING) == ()


def test_runtime_directory_of_the_units(places: Path) -> None:
    """The runtime directory of this user comes before the temporary directory."""
    (places / "run").mkdir(mode=0o700)
    assert lock_directory(LANDING).parent == places / "run"
    configured = places / "configured"
    configured.mkdir()
    assert lock_directory(LANDING, configured).parent == configured
    assert lock_problems(LANDING, configured) == ()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_runtime_directory_of_another_user(places: Path) -> None:
    """The runtime directory of the service's user says nothing about commands of other users."""
    (places / "run").mkdir(mode=0o700)
    os.chown(places / "run", OTHER_USER, OTHER_USER)
    assert lock_directory(LANDING).parent == places / "tmp"
    assert lock_problems(LANDING) == ()


@pytest.mark.parametrize("fault", ["file", "link", "open to all"])
def test_unsafe_directory_is_skipped(fault: str, places: Path) -> None:
    """The next candidate is used, and the sentence names both; nothing usable is an error."""
    wrong = lock_directory(LANDING)
    wrong.rmdir()
    match fault:
        case "file":
            wrong.touch()
        case "link":
            (places / "elsewhere").mkdir(mode=0o700)
            wrong.symlink_to(places / "elsewhere")
        case "open to all":
            wrong.mkdir()
            wrong.chmod(0o777)
    assert str(wrong) in locks_missing(LANDING)
    with pytest.raises(PermanentError, match=r"no worker can start on this host.* set `locks`"):
        lock_directory(LANDING)
    (places / "fallback").mkdir()
    assert locks_missing(LANDING) == ""
    assert lock_directory(LANDING).parent == places / "fallback"
    [sentence] = lock_problems(LANDING)
    assert str(wrong) in sentence
    assert f"the locks are in {lock_directory(LANDING)} instead" in sentence
