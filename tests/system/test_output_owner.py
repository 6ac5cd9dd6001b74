"""Ownership of outputs: results are written only into the output directory of their own run."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
from backup_mount import BackupMount
from sites import Site

from hesiod_watch.cli.simulator import SimulatedCell

pytestmark = pytest.mark.system

VICTIM = "20261122_TEST_alpha"
EVIL = "20261122_TEST_beta"
LIBRARY = "sample_A"
CELL = "20261122_2210_1A_PAW00001_0a1b2c3d"
OWNER = ".owner.json"


def land(site: Site, run: str = VICTIM, batch: str = "", cell: str = CELL) -> Path:
    """Write a finished cell of a run; return the run's directory."""
    place = site.landing / batch
    place.mkdir(exist_ok=True)
    SimulatedCell(place, run, LIBRARY, cell, files_per_barcode=2, reads_per_file=10).write()
    return place / run


def link_by_hand(run_dir: Path, output: Path) -> None:
    (run_dir / "pipeline").mkdir()
    (run_dir / "pipeline" / "upstream").write_text("LOCAL\n")
    (run_dir / "pipeline" / "output").symlink_to(output)


def contents(directory: Path) -> dict[str, str]:
    """Every name below a directory, with the checksum of a file and the target of a link."""
    found = {}
    for path in directory.rglob("*"):
        if path.is_symlink():
            said = str(path.readlink())
        else:
            said = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        found[str(path.relative_to(directory))] = said
    return found


def owner(output: Path) -> str:
    """The name of the run in the record of an output directory."""
    return str(json.loads((output / OWNER).read_text())["run"])


def remove_record(output: Path) -> None:
    """Remove the record, as in an output directory of version 0.1.0."""
    (output / OWNER).unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("below", "record"),
    [("", True), ("", False), (LIBRARY, False), (f"{LIBRARY}/{CELL}", True)],
    ids=["run", "run-of-0.1.0", "library-of-0.1.0", "cell"],
)
def test_another_runs_output_is_not_written(below: str, record: bool, site: Site) -> None:
    """A link to another run's results changes nothing there; polls and status give the reason."""
    land(site)
    site.run("poll")
    victim = site.output / VICTIM
    if not record:
        remove_record(victim)
    evil = land(site, EVIL)
    link_by_hand(evil, victim / below)
    before = contents(victim)
    done = site.run("poll", check=1)
    assert done.stderr.count("\n") == 1
    assert EVIL in done.stderr
    assert str(site.landing / VICTIM) in done.stderr
    assert f"ln -sfn {site.output / EVIL} {evil}/pipeline/output" in done.stderr
    assert site.run("poll", check=1).stderr == ""
    for action in (
        "synced",
        "process",
        "ingest",
        "report",
        "backup",
        "verify",
        "deletable",
        "strip",
        "give-up",
    ):
        cell = () if action in ("report", "backup") else (CELL,)
        site.run("perform", action, EVIL, *cell, check=None)
    for action in ("tell", "notify", "new-run"):
        site.run("perform", action, EVIL, check=None)
    for command in (["verify"], ["verify", "--backup"], ["strip", "--yes"], ["explain"], ["plan"]):
        site.run(*command, EVIL, check=None)
    for decision in ("retry", "release", "abort"):
        site.run(decision, EVIL, CELL, "--why", "a test", check=None)
    run = site.status()[EVIL]
    assert contents(victim) == before
    assert run["output"] is None
    assert str(site.landing / VICTIM) in site.run("explain", EVIL).stdout
    assert "does not belong to this run" in site.run("status").stdout
    site.run("verify", VICTIM)


def test_the_advised_commands_help(site: Site) -> None:
    """After the commands of the message the run is processed into a separate directory."""
    land(site)
    site.run("poll")
    evil = land(site, EVIL)
    link_by_hand(evil, site.output / VICTIM)
    site.run("poll", check=1)
    (site.output / EVIL).mkdir()
    (evil / "pipeline" / "output").unlink()
    (evil / "pipeline" / "output").symlink_to(site.output / EVIL)
    site.run("poll")
    assert site.stages()[f"{EVIL}/{LIBRARY}/{CELL}"] == "processed"
    assert owner(site.output / EVIL) == EVIL
    assert (site.output / EVIL / "rundata").resolve() == evil


@pytest.mark.parametrize("by_hand", [True, False], ids=["linked-by-hand", "new"])
def test_two_runs_of_one_name(by_hand: bool, site: Site) -> None:
    """If two runs in different batches have one name, the later one is refused with advice."""
    site.configure(more="batch: month\n")
    land(site, batch="2026-10")
    site.run("poll")
    output = site.output / VICTIM
    mounted = land(site, batch="2026-11", cell="20261123_2210_1A_PAW00002_0a1b2c3e")
    if by_hand:
        link_by_hand(mounted, output)
    before = contents(output)
    done = site.run("poll", check=1)
    assert "rename" in done.stderr
    assert str(site.landing / "2026-10" / VICTIM) in done.stderr
    site.run("perform", "tell", str(mounted), check=None)
    site.run("perform", "notify", str(mounted), check=None)
    assert contents(output) == before
    if not by_hand:
        mounted.rename(mounted.with_name(EVIL))
        site.run("poll")
        assert owner(site.output / EVIL) == EVIL


@pytest.mark.parametrize("where", ["own-name", "deeper", "moved-data"])
def test_links_by_hand_are_used(where: str, site: Site) -> None:
    """A directory with the run's name, or one that links back to the run, is used as prepared."""
    run_dir = land(site)
    output = site.output / ("group/results" if where == "deeper" else VICTIM)
    output.mkdir(parents=True)
    if where == "deeper":
        (output / "rundata").symlink_to(run_dir)
    if where == "moved-data":
        (output / "rundata").symlink_to(site.root / "old landing" / VICTIM)
    link_by_hand(run_dir, output)
    site.run("poll")
    assert site.stages()[f"{VICTIM}/{LIBRARY}/{CELL}"] == "processed"
    assert (output / "rundata").resolve() == run_dir
    assert owner(output) == VICTIM


def test_a_deleted_runs_results_are_not_replaced(site: Site) -> None:
    """The results of a deleted run are not replaced by another run that is linked to them."""
    land(site)
    site.run("poll")
    shutil.rmtree(site.landing / VICTIM)
    output = site.output / VICTIM
    site.configure(more="batch: month\n")
    for run_dir in (land(site, EVIL, batch="2026-11"), land(site, VICTIM, batch="2026-11")):
        link_by_hand(run_dir, output)
    before = contents(output)
    done = site.run("poll", check=1)
    assert done.stderr.count(f"{output / OWNER} names the run {VICTIM}") == 2
    assert contents(output) == before


def test_a_renamed_run_keeps_its_output(site: Site) -> None:
    """A renamed run keeps its output directory, and another run is refused there."""
    run_dir = land(site)
    site.run("poll")
    output = site.output / VICTIM
    renamed = run_dir.rename(site.landing / EVIL)
    more = "20261123_2210_1A_PAW00002_0a1b2c3e"
    land(site, VICTIM, cell=more)
    refused = site.run("poll", check=1)
    assert f"belongs to another run, {renamed}" in refused.stderr
    assert f"{more}" not in str(contents(output))
    shutil.rmtree(site.landing / VICTIM)
    land(site, EVIL, cell=more)
    site.run("poll")
    assert set(site.stages().values()) == {"processed"}
    assert (output / LIBRARY / more / "manifest.json").is_file()
    assert (output / "rundata").readlink() == renamed
    assert owner(output) == EVIL


def test_a_directory_of_outputs_is_no_output(site: Site) -> None:
    """A run does not write into a directory of its name that contains another run's output."""
    run_dir = land(site)
    inner = site.output / EVIL / "inner"
    inner.mkdir(parents=True)
    (inner / "rundata").symlink_to(run_dir)
    link_by_hand(run_dir, inner)
    site.run("poll")
    before = contents(site.output / EVIL)
    land(site, EVIL)
    assert "inner of another run" in site.run("poll", check=1).stderr
    assert contents(site.output / EVIL) == before


def test_the_record_is_not_a_result(site: Site, request: pytest.FixtureRequest) -> None:
    """`.owner.json` is in no manifest, no list of results, no backup and no output of `verify`."""
    mounted = BackupMount(site.root / "second")
    mounted.mount()
    request.addfinalizer(mounted.close)
    site.configure(more=f"backups: {{second: {{location: {mounted.place}}}}}\n")
    site.run("backup-init", "second")
    land(site)
    site.run("poll")
    output = site.output / VICTIM
    assert owner(output) == VICTIM
    texts = [path.read_text() for path in output.rglob("*.json") if path.name != OWNER]
    texts += [path.read_text() for path in output.rglob("*.txt")]
    assert texts
    assert not [text for text in texts if OWNER in text]
    assert OWNER not in site.run("verify", VICTIM, "--json").stdout
    assert list(mounted.place.rglob("manifest.json"))
    assert not list(mounted.place.rglob(OWNER))


def test_an_output_without_a_record_is_used_by_its_rundata_link(site: Site) -> None:
    """If `rundata` leads to the run, work continues even if the record cannot be written."""
    run_dir = land(site)
    output = site.output / VICTIM
    output.mkdir()
    (output / "rundata").symlink_to(run_dir)
    (output / OWNER).mkdir()
    link_by_hand(run_dir, output)
    site.run("poll")
    assert site.stages()[f"{VICTIM}/{LIBRARY}/{CELL}"] == "processed"
    assert os.listdir(output / OWNER) == []


def test_a_refused_run_is_reported_between_polls(site: Site) -> None:
    """A run with the former name of another one is reported until a poll has taken it up.

    No flag says that it was refused: it has no `pipeline/`.
    """
    land(site)
    site.run("poll")
    former = site.landing / VICTIM
    former.rename(former.with_name(f"{VICTIM}x"))
    land(site, cell=CELL.replace("PAW00001", "PAW00002"))
    site.run("poll", check=1)
    said = site.run("status", "--attention", "--json", check=1).stdout
    (each,) = json.loads(said)["attention"]
    assert (each["kind"], each["run"]) == ("action-refused", VICTIM)
    assert f"{VICTIM}x, which had this name; rename one of the two" in each["sentence"]
    former.rename(former.with_name(f"{VICTIM}y"))
    site.run("poll")
    assert json.loads(site.run("status", "--attention", "--json").stdout)["attention"] == []
