"""Backups that polls make and read back, on a mount that fills up, is missing or decays."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from backup_mount import BackupMount
from sites import Site
from younger_files import end_with_summaries

from hesiod_watch.cli.simulator import SimulatedCell

pytestmark = pytest.mark.system

RUN, LIBRARY, CELL = "20261122_TEST_alpha", "sample_A", "20261122_2210_1A_PAW00001_0a1b2c3d"
OTHER = "20261122_2211_1B_PAW00002_1a2b3c4d"
MARKER = "hesiod-watch-backup.json"


@pytest.fixture
def backed(site: Site, mounted: BackupMount) -> Site:
    """A site with one initialized backup."""
    configure(site, mounted)
    site.run("backup-init", "second")
    return site


def configure(site: Site, mounted: BackupMount, **backup: str) -> None:
    more = f"backups: {{second: {{location: {mounted.place}, timeout: 10s}}}}\n"
    if backup:
        more += f"backup: {json.dumps(backup)}\n"
    site.configure(processing="workers: 2, ingest: false", more=more)


def land(site: Site, cell: str = CELL, reads: int = 20) -> SimulatedCell:
    made = SimulatedCell(
        site.landing,
        RUN,
        LIBRARY,
        cell,
        barcodes=("barcode01", "barcode02"),
        files_per_barcode=2,
        reads_per_file=reads,
    )
    made.write()
    return made


def results(mounted: BackupMount, cell: str = CELL) -> Path:
    return mounted.place / RUN / "results" / LIBRARY / cell


def raw(mounted: BackupMount, cell: str = CELL) -> Path:
    return mounted.place / RUN / "raw" / LIBRARY / cell


def record(site: Site, flag: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((site.landing / RUN / "pipeline" / flag).read_text())
    return found


def files(place: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(place)): path.read_bytes()
        for path in sorted(place.rglob("*"))
        if path.is_file()
    }


def flip(path: Path, at: int = 10) -> None:
    """Change one bit of a file and keep its size and times."""
    times = path.stat()
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def make_due(site: Site, flag: str) -> None:
    """Date the end of an attempt far into the past."""
    path = site.landing / RUN / "pipeline" / flag
    said = json.loads(path.read_text())
    said["ended"] = said["time"] = "2020-01-01T00:00:00Z"
    path.write_text(json.dumps(said))


def test_one_poll_makes_the_backup(backed: Site, mounted: BackupMount) -> None:
    """One poll processes, copies, reads back and records a cell; the next poll does nothing."""
    land(backed)
    backed.run("poll")
    here = backed.output / RUN / LIBRARY / CELL
    manifest = json.loads((here / "manifest.json").read_text())
    listed = {entry["name"] for entry in manifest["files"]} | {"manifest.json", "raw.json"}
    assert files(results(mounted)) == {name: (here / name).read_bytes() for name in listed}
    sources = {entry["name"] for entry in manifest["sources"]}
    landed = files(backed.landing / RUN / LIBRARY / CELL)
    assert sources < landed.keys()
    assert files(raw(mounted)) == {
        name: data for name, data in landed.items() if name not in sources
    }
    said = record(backed, f"{CELL}.backup.done")
    marker = json.loads((mounted.place / MARKER).read_text())
    assert said["manifest"] == record(backed, f"{CELL}.done")["manifest_md5"]
    assert [copy["identity"] for copy in said["copies"]] == [marker["id"]]
    assert (mounted.place / RUN / "results" / "report.html").exists()
    assert (mounted.place / RUN / "pipeline" / f"{CELL}.backup.done").exists()
    before = backed.flags(RUN), files(mounted.place)
    backed.run("poll")
    assert (backed.flags(RUN), files(mounted.place)) == before
    assert not (mounted.place / RUN / "superseded").exists()


def test_copies_are_reported(backed: Site) -> None:
    """`status` and `explain` show the copies and the time when each was read."""
    land(backed)
    backed.run("poll")
    cell = backed.status()[RUN]["cells"][f"{LIBRARY}/{CELL}"]
    assert cell["why"].endswith("; backed up on second")
    copies = {copy["where"]: copy for copy in cell["copies"]}
    assert copies.keys() == {"output", "landing", "second"}
    assert copies["second"]["holds"] == "results and raw data"
    assert (
        copies["second"]["verified_at"]
        == record(backed, f"{CELL}.backup.done")["copies"][0]["verified_at"]
    )
    assert "copy on second: results and raw data" in backed.run("explain", RUN, CELL).stdout
    space = {
        each["where"]: each for each in json.loads(backed.run("status", "--json").stdout)["space"]
    }
    assert space.keys() == {"landing", "output", "second"}
    assert space["second"]["total"] == 64 << 20
    assert space["second"]["per_day"] * 14 == pytest.approx(
        record(backed, f"{CELL}.backup.done")["copies"][0]["bytes"]
    )


def damage(what: str, mounted: BackupMount) -> tuple[Path, str]:
    """Damage one file of the copy; return the file and the expected report."""
    victim = results(mounted) / "qc.json"
    if what == "flip":
        victim = next(raw(mounted).glob("sequencing_summary*"))
        flip(victim)
        return victim, "byte 10 is the first of 1 that differ from ours"
    if what == "cut":
        os.truncate(victim, 5)
        return victim, "truncated: 5 bytes of"
    if what == "remove":
        victim.unlink()
        return victim, "missing"
    victim = raw(mounted) / "pod5" / "one_more.pod5"
    victim.write_bytes(b"x")
    return victim, "extra"


@pytest.mark.parametrize("what", ["flip", "cut", "remove", "extra"])
def test_damage_is_named_and_not_repaired(backed: Site, mounted: BackupMount, what: str) -> None:
    """Each poll reports a bad file by name and does not repair it; a new backup makes it good."""
    land(backed)
    backed.run("poll")
    victim, said = damage(what, mounted)
    before = files(mounted.place / RUN / "results") | files(mounted.place / RUN / "raw")
    found = backed.run("verify", RUN, "--backup", check=1).stdout
    name = victim.relative_to(raw(mounted) if "/raw/" in str(victim) else results(mounted))
    assert f"{LIBRARY}/{CELL}/{name}: " in found
    assert said in found
    assert f"{CELL}.verify.failed" in backed.flags(RUN)
    polled = backed.run("poll", check=1)
    assert f"{name}" in polled.stderr
    assert "damaged: second: " in backed.status()[RUN]["cells"][f"{LIBRARY}/{CELL}"]["why"]
    assert files(mounted.place / RUN / "results") | files(mounted.place / RUN / "raw") == before
    backed.run("perform", "backup", RUN, CELL)
    if what != "remove":
        superseded = [
            path.name for path in (mounted.place / RUN / "superseded").rglob("*") if path.is_file()
        ]
        assert superseded == [victim.name]
    backed.run("poll")  # finds the backup that was made since, and reads it again
    assert f"{CELL}.verify.done" in backed.flags(RUN)
    backed.run("verify", RUN, "--backup")


def test_scheduled_verification_finds_damage(site: Site, mounted: BackupMount) -> None:
    """If the last reading is old enough, a poll reads all copies again and records the problems."""
    configure(site, mounted)
    site.run("backup-init", "second")
    land(site)
    site.run("poll")
    assert f"{CELL}.verify.done" not in site.flags(RUN)
    make_due(site, f"{CELL}.backup.done")
    verified = record(site, f"{CELL}.backup.done")["copies"][0]["verified_at"]
    site.run("poll")
    assert record(site, f"{CELL}.verify.done")["copies"][0]["verified_at"] >= verified
    flip(site.output / RUN / LIBRARY / CELL / "qc.json")
    flip(next((site.landing / RUN / LIBRARY / CELL).glob("sequencing_summary*")), at=20)
    make_due(site, f"{CELL}.verify.done")
    assert "damaged" in site.run("poll", check=1).stderr
    problems = "\n".join(record(site, f"{CELL}.verify.failed")["problems"])
    assert (
        "output: qc.json: byte 10 is the first of 1 that differ from the copy on second" in problems
    )
    assert "byte 20 is the first of 1 that differ from the copy on second" in problems
    # A later reading that cannot reach the backup keeps all recorded problems.
    (mounted.place / MARKER).rename(mounted.place / "elsewhere")
    site.run("verify", RUN, "--backup", check=1)
    assert "output: qc.json" in "\n".join(record(site, f"{CELL}.verify.failed")["problems"])


def test_empty_mount_point(backed: Site, mounted: BackupMount) -> None:
    """A backup that is not mounted is not written and not taken as empty.

    It continues after mounting.
    """
    land(backed)
    mounted.hide()
    polled = backed.run("poll", check=1)
    assert "backup ended with code 75" in polled.stderr
    assert f"{CELL}.done" in backed.flags(RUN)
    assert "is it mounted?" in record(backed, f"{CELL}.backup.failed")["reason"]
    assert list(mounted.place.iterdir()) == []
    assert backed.run("verify", RUN, "--backup").stdout.count("every file agrees") == 1
    assert "is it mounted?" in backed.run("doctor", check=None).stdout
    mounted.show()
    backed.run("poll")  # too early for the next attempt
    assert f"{CELL}.backup.failed" in backed.flags(RUN)
    make_due(backed, f"{CELL}.backup.failed")
    backed.run("poll")
    assert f"{CELL}.backup.done" in backed.flags(RUN)
    mounted.hide()
    assert "is it mounted?" in backed.run("verify", RUN, "--backup", check=75).stdout


def test_full_backup_continues_with_free_space(backed: Site, mounted: BackupMount) -> None:
    """A full backup is not recorded as done; with free space it continues and is recorded."""
    mounted.resize("400k")
    land(backed, reads=200)
    backed.run("poll", check=1)
    assert "no space left" in record(backed, f"{CELL}.backup.failed")["reason"]
    mounted.resize("64m")
    make_due(backed, f"{CELL}.backup.failed")
    backed.run("poll")
    assert f"{CELL}.backup.done" in backed.flags(RUN)
    backed.run("verify", RUN, "--backup")


def test_processed_again_is_backed_up_again(backed: Site, mounted: BackupMount) -> None:
    """New results are copied again, and the backup keeps every file of the former results."""
    land(backed)
    backed.run("poll")
    before = files(results(mounted))
    first = record(backed, f"{CELL}.backup.done")["manifest"]
    backed.run("retry", RUN, CELL, "--why", "test", check=None)
    for flag in backed.flags(RUN):
        if flag.startswith(CELL) and (
            (flag.endswith(".done") and flag.count(".") == 1) or ".started" in flag
        ):
            (backed.landing / RUN / "pipeline" / flag).unlink()
    configure(backed, mounted)
    text = backed.config.read_text().replace(
        "ingest: false", "ingest: false, recompress: true, compression: small"
    )
    backed.config.write_text(text)
    backed.run("poll")
    again = record(backed, f"{CELL}.backup.done")
    assert again["manifest"] == record(backed, f"{CELL}.done")["manifest_md5"] != first
    now = files(results(mounted))
    superseded: dict[str, bytes] = {}
    for moment in (mounted.place / RUN / "superseded").iterdir():
        superseded |= files(moment / "results" / LIBRARY / CELL)
    changed = {name for name in before if before[name] != now.get(name)}
    assert "manifest.json" in changed
    assert changed <= superseded.keys()
    assert superseded == {name: before[name] for name in superseded}
    backed.run("verify", RUN, "--backup")


def test_damaged_raw_data_are_not_copied(backed: Site, mounted: BackupMount) -> None:
    """Raw data that changed after they were recorded do not replace the good copies.

    A user can allow it by removing the record.
    """
    land(backed)
    backed.run("poll")
    summary = next((backed.landing / RUN / LIBRARY / CELL).glob("sequencing_summary*"))
    recorded = (backed.output / RUN / LIBRARY / CELL / "raw.json").read_bytes()
    before = files(raw(mounted))
    flip(summary)
    assert "has other content" in backed.run("perform", "backup", RUN, CELL, check=1).stderr
    assert f"remove {backed.output}" in record(backed, f"{CELL}.backup.failed")["reason"]
    assert (backed.output / RUN / LIBRARY / CELL / "raw.json").read_bytes() == recorded
    assert files(raw(mounted)) == before
    (backed.output / RUN / LIBRARY / CELL / "raw.json").unlink()
    backed.run("perform", "backup", RUN, CELL)
    assert files(raw(mounted))[summary.name] == summary.read_bytes()


def test_names_that_are_no_utf8(backed: Site, mounted: BackupMount) -> None:
    """A FASTQ with a name that is not UTF-8 is processed, listed, backed up and verified."""
    cell = land(backed)
    odd = os.fsdecode(b"odd \xff.fastq")
    source = next((backed.landing / RUN / LIBRARY / CELL).rglob("*.fastq"))
    source.rename(source.with_name(odd))
    end_with_summaries(cell.path)  # a renamed file is younger than they are
    backed.run("poll")
    here = backed.output / RUN / LIBRARY / CELL
    manifest = json.loads((here / "manifest.json").read_text("utf-8"))
    assert [source["name"] for source in manifest["sources"] if source["name"].endswith(odd)]
    assert f"{cell.cell}.backup.done" in backed.flags(RUN)
    backed.run("verify", RUN, "--backup")
    assert "files, " in backed.run("strip", RUN).stdout


def test_one_bad_backup_does_not_stop_the_other(site: Site, mounted: BackupMount) -> None:
    """A missing backup does not stop the copy to another one; `.backup.done` waits for both."""
    site.configure(
        processing="workers: 2, ingest: false",
        more="backups: {gone: {location: /nonexistent/place},"
        f" second: {{location: {mounted.place}}}}}\n",
    )
    site.run("backup-init", "second")
    land(site)
    site.run("poll", check=1)
    said = record(site, f"{CELL}.backup.failed")
    assert [copy["backup"] for copy in said["copies"]] == ["second"]
    assert said["reason"].startswith("gone: ")
    assert f"{CELL}.backup.done" not in site.flags(RUN)
    make_due(site, f"{CELL}.backup.failed")
    verified = said["copies"][0]["verified_at"]
    site.run("poll", check=1)
    said = record(site, f"{CELL}.backup.failed")
    assert said["epoch"] == 2  # so the next attempt is later
    assert (
        said["copies"][0]["verified_at"] == verified
    )  # a verified copy is not read again without need


@pytest.mark.parametrize("where", ["landing", "output"])
def test_same_disk_is_refused(site: Site, where: str) -> None:
    """A directory on the same disk as the original is refused as a backup, whatever its path."""
    place = site.root / "same"
    place.mkdir()
    site.configure(more=f"backups: {{same: {{location: {place}}}}}\n")
    refused = site.run("backup-init", "same", check=1)
    assert "two copies on one disk are one copy" in refused.stderr
    (place / MARKER).write_text(json.dumps({"format": "hesiod-watch backup 1", "id": "0" * 32}))
    land(site)
    site.run("poll", check=1)
    assert "two copies on one disk" in record(site, f"{CELL}.backup.failed")["reason"]
    assert not (place / RUN).exists()


def test_files_of_no_cell_are_copied_with_the_run(backed: Site, mounted: BackupMount) -> None:
    """Sample sheets and analyses of run and library are at the backup; cells are not doubled."""
    land(backed)
    run = backed.landing / RUN
    wanted = {
        "SampleSheet.csv": b"sample,barcode\n",
        f"{LIBRARY}/sample sheet (2).csv": b"a\n",
        f"{LIBRARY}/analysis/deep/er/result.txt": os.urandom(100_000),
        "notes/\udcff;touch x": b"odd",
    }
    others = {
        ".hidden": b"",
        f"{LIBRARY}/.hidden/x": b"",
        f"{LIBRARY}/{OTHER.upper()}/fastq_pass/x.fastq": b"",
        f"notes/deep/{LIBRARY}/{OTHER}/fastq_pass/x.fastq": b"",
        "fastq_pass/x.fastq": b"",
        f"{LIBRARY}/pod5/x.pod5": b"",
    }
    for name, content in (wanted | others).items():
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_bytes(content)
    (run / LIBRARY / "link").symlink_to("/etc/passwd")
    backed.run("poll", check=1)  # the names that are quarantined
    kept = mounted.place / RUN / "raw"
    found = {
        str(path.relative_to(kept)): path.read_bytes()
        for path in kept.rglob("*")
        if path.is_file() and CELL not in path.parts
    }
    assert found == wanted
    log = (backed.output / RUN / "backup.log").read_text()
    assert f"not backed up: {LIBRARY}/link is a link" in log
    sheet = run / "SampleSheet.csv"
    sheet.write_bytes(b"changed\n")
    (run / "pipeline" / "backup.done").unlink()
    backed.run("poll", check=1)
    assert (kept / "SampleSheet.csv").read_bytes() == b"changed\n"
    (former,) = mounted.place.glob(f"{RUN}/superseded/*/raw/SampleSheet.csv")
    assert former.read_bytes() == wanted["SampleSheet.csv"]


def test_marked_once(backed: Site, mounted: BackupMount) -> None:
    """A backup keeps its id: a second initialization is refused."""
    marker = (mounted.place / MARKER).read_text()
    assert "is a backup already" in backed.run("backup-init", "second", check=1).stderr
    assert (mounted.place / MARKER).read_text() == marker


def test_nothing_without_backups(site: Site) -> None:
    """Without a configured backup, no backup is planned; one reading makes the checksums."""
    land(site)
    site.run("poll")
    assert not any("backup" in flag for flag in site.flags(RUN))
    assert record(site, f"{CELL}.verify.done")["raw_made"] is True


def test_cell_marked_as_done_by_hand(backed: Site) -> None:
    """A cell that a user marks as done has no manifest for a backup, and `plan` says so."""
    land(backed)
    pipeline = backed.landing / RUN / "pipeline"
    backed.run("poll")
    for flag in (f"{CELL}.done", f"{CELL}.backup.done"):
        (pipeline / flag).unlink()
    (pipeline / f"{CELL}.done").touch()
    backed.run("poll")
    assert f"{CELL}.backup.done" not in backed.flags(RUN)
    plan = backed.run("plan", RUN, check=None).stdout
    assert "names no manifest" in plan


@pytest.mark.parametrize(
    ("backup", "kind", "copied"),
    [("true", "false", False), ("false", "true", True), ("false", "default", False)],
    ids=["type-forbids", "type-requires", "backup-forbids"],
)
def test_policy_for_raw_data(
    site: Site, mounted: BackupMount, backup: str, kind: str, copied: bool
) -> None:
    """The type of the run decides whether raw data are copied; by default the backup decides."""
    site.configure(
        processing="workers: 2, ingest: false",
        more=f"backups: {{second: {{location: {mounted.place}, raw: {backup}}}}}\n"
        f"types: {{internal: {{runs: '.*', backup_raw: {kind}}}}}\n",
    )
    site.run("backup-init", "second")
    land(site)
    site.run("poll")
    assert raw(mounted).exists() is copied
    assert (site.output / RUN / LIBRARY / CELL / "raw.json").exists()
    assert record(site, f"{CELL}.backup.done")["copies"][0]["raw"] is copied
    site.run("verify", RUN, "--backup")
