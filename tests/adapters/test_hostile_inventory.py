"""Hostile names in the answers of an upstream or a backup: refused before anything uses them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from mounted_upstream import Place
from upstream_cells import CELL, make_cell

from hesiod_watch.config import BackupPlaceSettings
from hesiod_watch.core.errors import HesiodError, PermanentError, TemporaryError
from hesiod_watch.core.inventory import CELLS, CHECKSUMS, FILES
from hesiod_watch.host.command import CommandResult, run
from hesiod_watch.remote.backup import queries
from hesiod_watch.remote.backup.store import opened
from hesiod_watch.remote.directory import RemoteDirectory
from hesiod_watch.remote.endpoint import Endpoint
from hesiod_watch.remote.sequencer.listing import list_upstream

pytestmark = pytest.mark.skipif(shutil.which("rsync") is None, reason="rsync is not installed")

HOSTILE = [
    pytest.param(b"../stolen", PermanentError, id="above"),
    pytest.param(b"fastq_pass/../../stolen", PermanentError, id="above by a detour"),
    pytest.param(b"..", PermanentError, id="parent"),
    pytest.param(b"/etc/passwd", PermanentError, id="absolute"),
    pytest.param(b"fastq_pass//reads", PermanentError, id="another spelling"),
    pytest.param(b"./reads", PermanentError, id="dot"),
    pytest.param(b"", PermanentError, id="empty"),
    pytest.param(b"reads\0../stolen", TemporaryError, id="NUL"),
]
MD5 = b"d41d8cd98f00b204e9800998ecf8427e"


def adding(script: str, records: bytes, ran: list[str]) -> Callable[..., CommandResult]:
    """A command runner that adds records to each answer of a script, and notes all programs."""

    def runner(command: Sequence[str], **options: object) -> CommandResult:
        ended = run(command, **options)  # type: ignore[arg-type]  # passed on as they are
        ran.append("rsync" if "rsync" in command else command[0])
        if script not in command:
            return ended
        body, mark, end = ended.output.rpartition(b"hesiod-watch ends ")
        return CommandResult(ended.code, body + records + mark + end, ended.errors)

    return runner


def entry(name: bytes) -> bytes:
    return b"f 1 1.0 1.0 " + name + b"\0\0"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path)
    make_cell(made.there)
    return made


def run_upstream(place: Place, runner: Callable[..., CommandResult]) -> RemoteDirectory:
    endpoint = Endpoint(place.upstream, runner=runner)
    return RemoteDirectory(endpoint, place.upstream.place.child(place.there.name))


@pytest.mark.parametrize(("name", "error"), HOSTILE)
def test_listing(name: bytes, error: type[HesiodError], place: Place) -> None:
    """An inventory with a hostile name is refused as a whole."""
    directory = run_upstream(place, adding(FILES, entry(name), []))
    with pytest.raises(error):
        directory.inventory(str(CELL))


@pytest.mark.parametrize(("name", "error"), HOSTILE)
def test_checksums(name: bytes, error: type[HesiodError], place: Place) -> None:
    """Checksums with a hostile name are refused as a whole."""
    directory = run_upstream(place, adding(CHECKSUMS, MD5 + b"  ./" + name + b"\0", []))
    with pytest.raises((error, TemporaryError)):
        directory.checksums(str(CELL), {"no such file": 1})


@pytest.mark.parametrize(("name", "error"), HOSTILE)
def test_copying(name: bytes, error: type[HesiodError], place: Place, tmp_path: Path) -> None:
    """Nothing is copied from an upstream that lists a hostile name, and rsync never starts."""
    (tmp_path / "stolen").write_bytes(b"x")
    ran: list[str] = []
    copied = place.copy(runner=adding(FILES, entry(name), ran))
    assert copied.outcome == ("failed" if error is PermanentError else "again")
    assert "rsync" not in ran
    assert not place.landed.exists()


@pytest.mark.parametrize(("name", "error"), HOSTILE)
def test_backup(name: bytes, error: type[HesiodError], tmp_path: Path) -> None:
    """The listing of a backup is read by the same rules."""
    (tmp_path / "run").mkdir()
    marker = {"format": queries.FORMAT, "id": "0" * 32}
    (tmp_path / queries.MARKER).write_text(json.dumps(marker))
    backup = BackupPlaceSettings("second", str(tmp_path))
    with (
        opened(backup, runner=adding(queries.ENTRIES, entry(name), [])) as store,
        pytest.raises(error, match="second: "),
    ):
        store.entries("run")


@pytest.mark.parametrize("name", ["../run", "/etc", "run/../lib", "run/lib/../../x"])
def test_runs(name: str, place: Place) -> None:
    """A hostile name among the runs and cells of an upstream never becomes a run."""
    runner = adding(CELLS, b"d" + name.encode() + b"\0", [])
    listing = list_upstream(place.upstream, runner=runner)
    assert [(run.experiment, run.cells) for run in listing.runs] == [("My Exp", (CELL,))]
