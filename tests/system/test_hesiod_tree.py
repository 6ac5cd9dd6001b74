"""A tree of EdinburghGenomics/hesiod: what it has finished stays, and the rest is continued."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from backup_mount import BackupMount
from hesiod_tree import LIBRARY, OLD, HesiodRun, everything
from sites import Site

from hesiod_watch.cli.simulator import SimulatedCell

# Each test runs many polls.
pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]

NEW = "20261129_0910_1A_PAW90000_90000000"
FIRST, SECOND = OLD.format(0, 0), OLD.format(1, 1)
FAILURE = "Processing_Cells on Thu 14 Sep 18:20:11 BST 2023 for cells [\n\t{}/{}\n]\n"


def hesiod_run(site: Site, name: str, **options: str) -> HesiodRun:
    return HesiodRun(site.landing, site.output, f"20230914_EGS2_{name}", **options)


def failed_run(site: Site) -> HesiodRun:
    """A run of which one cell failed, so that Hesiod flagged all of it."""
    run = hesiod_run(site, "failed")
    run.processed(FIRST)
    run.begun(SECOND)
    run.flag("failed", text=FAILURE.format(LIBRARY, SECOND))
    return run


def finished_tree(site: Site) -> dict[str, str]:
    """Write a run of each kind that Hesiod leaves behind; return the status of each."""
    hesiod_run(site, "complete", kind="internal").processed(FIRST)
    blank = hesiod_run(site, "blank")
    blank.processed(OLD.format(2, 2), "a test lib")
    hesiod_run(site, "visitor", kind="visitor").processed(OLD.format(3, 3))
    failed_run(site).flag("sync.failed")
    aborted = hesiod_run(site, "aborted")
    aborted.cell(OLD.format(4, 4))
    aborted.flag("aborted")
    partly = hesiod_run(site, "partly")
    partly.processed(OLD.format(5, 5))
    partly.cell(OLD.format(6, 6))
    partly.flag(f"{OLD.format(6, 6)}.aborted", "sync.done")
    packed = hesiod_run(site, "packed")
    packed.processed(OLD.format(7, 7))
    shutil.rmtree(packed.path / LIBRARY)
    packed.flag("stripped")
    deleted = hesiod_run(site, "deleted", upstream="prom@promethion:/data/deleted")
    deleted.processed(OLD.format(8, 8))
    shutil.rmtree(deleted.path / LIBRARY)
    moved = hesiod_run(site, "moved")
    moved.processed(OLD.format(9, 9))
    shutil.rmtree(moved.output)
    complete = ("complete", "blank", "visitor", "partly", "deleted", "moved")
    expected = dict.fromkeys(complete, "complete")
    expected |= {"failed": "failed", "aborted": "aborted", "packed": "stripped"}
    return {f"20230914_EGS2_{name}": status for name, status in expected.items()}


def in_runs(site: Site) -> dict[str, tuple[int, int, int, bytes]]:
    """Everything in the runs and in their results."""
    runs = [*site.landing.iterdir(), *site.output.iterdir()]
    return everything(*(run for run in runs if not run.name.startswith(".")))


def statuses(site: Site) -> dict[str, str]:
    return {name: run["status"] for name, run in site.status().items()}


@pytest.mark.parametrize("backups", [False, True])
def test_what_hesiod_has_finished_stays_as_it_is(
    site: Site, mounted: BackupMount, backups: bool
) -> None:
    """Neither a poll nor a service changes a file in it, sends anything, or runs a command."""
    expected = finished_tree(site)
    more = f"backups: {{second: {{location: {mounted.place}}}}}\n" if backups else ""
    more += "on_done: {command: [/bin/false]}\n"
    site.configure(more=f"take_up: {{since: now}}\n{more}")
    if backups:
        site.run("backup-init", "second")
    before = in_runs(site)
    assert statuses(site) == expected
    assert not [line for line in site.run("plan").stdout.splitlines() if not line.startswith("#")]
    for _ in range(2):
        site.run("poll")
    site.run("poll", *expected)
    with site.service():
        site.eventually(lambda: len(statuses(site)) == len(expected), "the service has looked")
    assert in_runs(site) == before
    assert not list(site.output.glob(".hesiod-watch/messages"))
    assert statuses(site) == expected
    shown = json.loads(site.run("status", "--attention", "--json", check=1).stdout)["attention"]
    assert [(each["kind"], each["run"]) for each in shown] == [
        ("run-failed", "20230914_EGS2_failed")
    ]
    assert f"for cells [ {LIBRARY}/{SECOND} ]" in shown[0]["sentence"]
    assert {name.partition("/")[2] for name in site.stages()} == {
        f"{LIBRARY}/{OLD.format(number, number)}" for number in (0, 1, 3, 4, 5, 6, 9)
    } | {f"a test lib/{OLD.format(2, 2)}"} | {f"?/{OLD.format(each, each)}" for each in (7, 8)}


def test_a_new_cell_in_an_old_run(site: Site) -> None:
    """It is processed and reported; the cells that Hesiod has processed are neither."""
    run = hesiod_run(site, "complete")
    run.processed(FIRST)
    old = everything(run.path / LIBRARY, run.output / LIBRARY, run.output / "md5sums")
    site.configure(more="take_up: {since: now}\n")
    site.run("poll")
    run.cell(NEW)
    site.run("poll")
    stages = site.stages()
    assert stages == {
        f"{run.name}/{LIBRARY}/{FIRST}": "processed",
        f"{run.name}/{LIBRARY}/{NEW}": "processed",
    }
    assert (run.output / LIBRARY / NEW / "manifest.json").exists()
    new = everything(run.path / LIBRARY, run.output / LIBRARY, run.output / "md5sums")
    parents = {str(run.path / LIBRARY), str(run.output / LIBRARY)}
    assert {name: new[name] for name in old.keys() - parents} == {
        name: old[name] for name in old.keys() - parents
    }
    told = site.run("messages", run.name).stdout
    assert NEW in told
    assert FIRST not in told
    site.run("verify", run.name, NEW)
    assert "its flag done names none" in site.run("verify", run.name, FIRST, check=1).stdout
    (run.pipeline / f"{FIRST}.done").unlink()
    site.run("poll")
    site.run("verify", run.name)


def test_a_cell_that_hesiod_was_processing(site: Site) -> None:
    """It waits until Hesiod ends it, or a person says that Hesiod is dead; nothing is lost."""
    ended, dead = hesiod_run(site, "ended"), hesiod_run(site, "dead")
    ended.begun(FIRST)
    dead.begun(SECOND)
    (half,) = dead.output.rglob("*.fastq.gz")
    content = half.read_bytes()
    before = everything(ended.output / LIBRARY, dead.output / LIBRARY)
    site.run("poll", check=None)
    site.run("poll", check=None)
    assert set(site.stages().values()) == {"processing"}
    assert everything(ended.output / LIBRARY, dead.output / LIBRARY) == before
    assert "hesiod-watch release" in site.run("explain", dead.name, SECOND).stdout

    (ended.pipeline / f"{FIRST}.started").rename(ended.pipeline / f"{FIRST}.done")
    site.run("release", dead.name, SECOND, "--why", "the driver of Hesiod is stopped")
    site.run("poll")
    assert set(site.stages().values()) == {"processed"}
    assert not list(ended.output.glob(f"{LIBRARY}/*/manifest.json"))
    (kept,) = dead.output.glob(f"{LIBRARY}/{SECOND}/superseded/*/{half.name}")
    assert kept.read_bytes() == content
    site.run("verify", dead.name)


def test_a_failed_run_is_resumed(site: Site) -> None:
    """After `retry` and `release` its failed cell is processed, and the other one stays."""
    run = failed_run(site)
    old = everything(run.output / LIBRARY / FIRST)
    site.run("poll")
    site.run("retry", run.name, "--why", "the disk is repaired")
    site.run("release", run.name, SECOND, "--why", "the driver of Hesiod is stopped")
    site.run("poll")
    assert set(site.stages().values()) == {"processed"}
    assert everything(run.output / LIBRARY / FIRST) == old


def test_a_synced_cell_is_counted_again(site: Site) -> None:
    """Without Hesiod's `.synced`, a cell with missing files waits; with it, they are named."""
    counted, accepted = hesiod_run(site, "counted"), hesiod_run(site, "accepted")
    for run, cell in ((counted, FIRST), (accepted, SECOND)):
        next(run.cell(cell).glob("fastq_pass/*/*.fastq*")).unlink()
        run.flag(f"{cell}.synced")
    (counted.pipeline / f"{FIRST}.synced").unlink()
    site.run("poll", check=None)
    site.run("poll", check=None)
    stages = site.stages()
    assert stages[f"{counted.name}/{LIBRARY}/{FIRST}"] == "incomplete"
    assert stages[f"{accepted.name}/{LIBRARY}/{SECOND}"] == "processed"
    assert "1 of 12 FASTQ files" in site.run("status", counted.name).stdout


@pytest.fixture
def there(site: Site) -> Path:
    """A mounted upstream EGS2, as Hesiod had it, beside the landing area."""
    there = site.root / "there"
    there.mkdir()
    upstreams = {"local": {"location": "LOCAL"}, "EGS2": {"location": str(there)}}
    site.configure(more=f"upstreams: {json.dumps(upstreams)}\ntake_up: {{since: now}}\n")
    return there


def test_runs_of_an_upstream(site: Site, there: Path) -> None:
    """A run that Hesiod copied is not copied again, also one that is not here any more."""
    here = hesiod_run(site, "25070AT", upstream=f"{there}//25070AT")
    here.processed(FIRST)
    shutil.copytree(here.path / LIBRARY, there / "25070AT" / LIBRARY)
    (there / "25070AT" / "cells_processed.txt").write_text(f"{LIBRARY}/{FIRST}\n")
    SimulatedCell(there, "24000AT", LIBRARY, SECOND, files_per_barcode=2).write()
    before = in_runs(site)
    site.run("poll")
    site.run("poll")
    assert in_runs(site) == before
    SimulatedCell(there, "25070AT", LIBRARY, NEW, files_per_barcode=2).write()
    SimulatedCell(there, "26000AT", LIBRARY, OLD.format(2, 2), files_per_barcode=2).write()
    site.run("poll")
    assert site.stages() == {
        f"{here.name}/{LIBRARY}/{FIRST}": "processed",
        f"{here.name}/{LIBRARY}/{NEW}": "processed",
        f"20230914_EGS2_26000AT/{LIBRARY}/{OLD.format(2, 2)}": "processed",
    }


def test_a_run_that_hesiod_was_copying(site: Site, there: Path) -> None:
    """A sync without an owner waits for a person; then the rest is copied and processed."""
    SimulatedCell(there, "25070AT", LIBRARY, FIRST, files_per_barcode=2).write()
    run = hesiod_run(site, "25070AT", upstream=f"{there}/25070AT")
    shutil.copytree(there / "25070AT" / LIBRARY, run.path / LIBRARY)
    part = next((run.path / LIBRARY).rglob("*.fastq*"))
    part.unlink()
    run.flag("sync.started")
    site.run("poll", check=None)
    assert not part.exists()
    assert "sync.started" in site.run("status", "--attention", check=1).stdout
    (run.pipeline / "sync.started").unlink()
    site.run("poll", check=None)
    site.run("poll")
    assert site.stages() == {f"{run.name}/{LIBRARY}/{FIRST}": "processed"}
