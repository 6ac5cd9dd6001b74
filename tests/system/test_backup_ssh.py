"""A backup behind a real ssh: copied, read there, interrupted, not confused with another disk."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from backup_mount import facts_of
from facility import CELL as SYNCED
from facility import LIBRARY, Facility, run_of
from mounts import in_memory
from sites import Site, eventually
from sshd_pair import Pair, needs_sshd

from hesiod_watch.cli.simulator import SimulatedCell
from hesiod_watch.config import BackupPlaceSettings, Config
from hesiod_watch.core.errors import PermanentError, TemporaryError
from hesiod_watch.core.model import CellId
from hesiod_watch.host.files import OpenDirectory
from hesiod_watch.host.runlog import RunLog
from hesiod_watch.remote.backup.compare import find_wrong, sentences
from hesiod_watch.remote.backup.init import initialise_backup
from hesiod_watch.remote.backup.local_files import device_of
from hesiod_watch.remote.backup.manifests import read_raw
from hesiod_watch.remote.backup.queries import FORMAT, MARKER
from hesiod_watch.remote.backup.store import opened
from hesiod_watch.rules.copies import CopyPlace

pytestmark = [
    pytest.mark.system,
    needs_sshd,
]

RUN, NAME = "20261122_TEST_alpha", "20261122_2210_1A_PAW00001_0a1b2c3d"
CELL = CellId("sample $x [a]*", NAME)
PLACE = CopyPlace(RUN, CELL).results
HOSTILE = (
    "#a",
    " b\n",
    "-c",
    "pod5/x y'$(touch /tmp/never)",
    "pod5/\udcff.pod5",
    "pod5/*",
    "pod5/[a]",
    "!x",
    "a:b",
)


@pytest.fixture
def root(servers: Pair, request: pytest.FixtureRequest) -> Path:
    """The directory of a backup on `hosta`; its name has special characters of shells and rsync."""
    place = servers.hosta.data / f"{request.node.name[:20]} $(x) [a]*"
    place.mkdir()
    (place / MARKER).write_text(json.dumps({"format": FORMAT, "id": "0" * 32}))
    return place


@pytest.fixture
def backup(servers: Pair, root: Path) -> BackupPlaceSettings:
    return BackupPlaceSettings(
        "far", f"hosta:{root}", timeout=3, connect_timeout=5, ssh_options=servers.options
    )


@pytest.fixture
def source(tmp_path: Path) -> Path:
    place = tmp_path / "cell"
    for name in HOSTILE:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(name.encode("utf-8", "surrogateescape") * 5000)
    return place


def test_copied_and_read_there(backup: BackupPlaceSettings, root: Path, source: Path) -> None:
    """Files arrive with their names; a differing file is named with its byte and is kept."""
    with opened(backup) as store:
        store.copy(OpenDirectory(source), PLACE, facts_of(source))
        store.make_durable()
        assert find_wrong(store, PLACE, facts_of(source)) == {}
    assert facts_of(root / PLACE) == facts_of(source)
    victim = root / PLACE / "pod5/*"
    times, data = victim.stat(), bytearray(victim.read_bytes())
    data[100] ^= 1
    victim.write_bytes(data)
    os.utime(victim, ns=(times.st_atime_ns, times.st_mtime_ns))
    (root / PLACE / "-c").unlink()
    with opened(backup) as store:
        facts = facts_of(source)
        said = sentences(
            store, PLACE, facts, find_wrong(store, PLACE, facts, OpenDirectory(source))
        )
        assert [sentence.removeprefix(f"far: {PLACE}/").partition(":")[0] for sentence in said] == [
            "-c",
            "pod5/*",
        ]
        assert said[1].endswith("byte 100 is the first of 1 that differ from ours")
        store.set_aside(PLACE, ["pod5/[a]"])
        store.copy(OpenDirectory(source), PLACE, facts_of(source), ignore_times=True)
        assert find_wrong(store, PLACE, facts_of(source)) == {}
        superseded = root / store.superseded(PLACE)
    assert (superseded / "pod5/*").read_bytes() == data
    assert (superseded / "pod5/[a]").exists()


def test_ssh_to_ourselves_is_noticed(
    backup: BackupPlaceSettings, root: Path, tmp_path: Path
) -> None:
    """The local disk under another name, reached over ssh, is refused as a backup."""
    (root / MARKER).unlink()
    config = Config(tmp_path, tmp_path, backups=(backup,))
    with pytest.raises(PermanentError, match="two copies on one disk"):
        initialise_backup(backup, config)
    assert not (root / MARKER).exists()
    (root / MARKER).write_text(json.dumps({"format": FORMAT, "id": "0" * 32}))
    with opened(backup) as store:
        assert store.device == device_of(tmp_path)


def test_cut_in_the_middle_continues(
    servers: Pair, backup: BackupPlaceSettings, root: Path, source: Path, tmp_path: Path
) -> None:
    """A broken link leaves the former file unchanged, and the next copy sends only the rest."""
    size = 12_000_000
    (source / "big").write_bytes(b"former")
    with opened(backup) as store:
        store.copy(OpenDirectory(source), PLACE, facts_of(source))
    (source / "big").write_bytes(os.urandom(size))
    log = RunLog(tmp_path / "log")
    link = servers.hosta.link
    link.rate = 4_000_000
    begun = link.carried

    def break_link() -> None:
        eventually(lambda: link.carried - begun > size // 2, "half of it is sent")
        link.snap()

    threading.Thread(target=break_link, daemon=True).start()
    try:
        with pytest.raises(TemporaryError, match="far: copying"), opened(backup) as store:
            store.copy(OpenDirectory(source), PLACE, ["big"], log=log)
        assert (root / PLACE / "big").read_bytes() == b"former"
    finally:
        link.rate = None
    before = link.carried
    with opened(backup) as store:
        store.copy(OpenDirectory(source), PLACE, ["big"], log=log)
        assert find_wrong(store, PLACE, facts_of(source)) == {}
        superseded = root / store.superseded(PLACE) / "big"
    assert link.carried - before < size * 3 // 4
    assert superseded.read_bytes() == b"former"  # also after a partial file was continued


def test_silent_host_ends_the_attempt(
    servers: Pair, backup: BackupPlaceSettings, source: Path
) -> None:
    """A host that stops answering fails the attempt in time.

    Its backup is not reported as empty.
    """
    try:
        with opened(backup) as store:
            store.copy(OpenDirectory(source), PLACE, facts_of(source))
            servers.hosta.link.cut()
            with pytest.raises(TemporaryError, match="far: "):
                store.entries(PLACE)
    finally:
        servers.hosta.link.join()
        servers.hosta.link.snap()


def test_host_that_is_down(servers: Pair, backup: BackupPlaceSettings) -> None:
    """A host that refuses connections is reported, and the copy is attempted again later."""
    with (
        pytest.raises(TemporaryError, match="far: cannot connect to"),
        opened(
            replace(backup, location="hosta:/nowhere", ssh_options=(*servers.options, "-p", "1"))
        ),
    ):
        pass


def test_directory_that_is_not_there(backup: BackupPlaceSettings) -> None:
    """A missing directory is reported with its name."""
    with (
        pytest.raises(TemporaryError, match="/nowhere/at/all"),
        opened(replace(backup, location="hosta:/nowhere/at/all")),
    ):
        pass


@pytest.fixture
def far_disk(servers: Pair) -> Iterator[Path]:
    """A separate file system on `hosta`."""
    with in_memory(servers.hosta.data / "disk") as place:
        yield place


def test_poll_backs_up_over_ssh(servers: Pair, far_disk: Path, tmp_path: Path) -> None:
    """A poll processes a cell, copies it to another host and reads it back; `doctor` succeeds."""
    site, place = Site(tmp_path), CopyPlace(RUN, CellId("sample_A", NAME)).results
    backup = {
        "location": f"hosta:{far_disk}",
        "ssh_options": list(servers.options),
        "timeout": "10s",
    }
    site.configure(
        processing="workers: 2, ingest: false", more=f"backups: {json.dumps({'far': backup})}\n"
    )
    site.run("backup-init", "far")
    SimulatedCell(
        site.landing,
        RUN,
        "sample_A",
        NAME,
        barcodes=("barcode01",),
        files_per_barcode=2,
        reads_per_file=20,
    ).write()
    site.run("poll")
    assert {f"{NAME}.backup.done", "backup.done"} <= site.flags(RUN)
    assert (far_disk / place / "manifest.json").exists()
    checks = [
        check
        for check in json.loads(site.run("doctor", "--json", check=None).stdout)["checks"]
        if check["name"] == "backup"
    ]
    assert [check["ok"] for check in checks] == [True] * 5
    site.run("verify", RUN, "--backup")
    (far_disk / place / "qc.json").write_text("{}")
    assert "qc.json: truncated" in site.run("verify", RUN, "--backup", check=1).stdout


def test_checksums_of_a_sync_are_used_again(servers: Pair, tmp_path: Path) -> None:
    """The checksums by which a sync compares a cell with its upstream become its raw.json."""
    facility = Facility(tmp_path, servers)
    facility.reach(watch="upstream_interval: 1s")
    facility.cell().write()
    facility.poll()
    run = run_of()
    place = f"{LIBRARY}/{SYNCED}"
    recorded = read_raw(facility.output / run / place).files
    there = facts_of(facility.landing / run / place)
    assert recorded.keys() == there.keys()
    assert all(recorded[name].same_content(fact) for name, fact in there.items())
