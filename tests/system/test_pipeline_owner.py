"""Owner of `pipeline/`: what another account made in the landing area is reported and not used."""

from __future__ import annotations

import json

import pytest
from second_user import UID, make_pipeline, needs_second_user
from sites import Site

from hesiod_watch.cli.simulator import SimulatedCell

pytestmark = [pytest.mark.system, needs_second_user]

EVIL, GOOD = "20261101_P2_evil", "20261101_P2_good"
CELL = "20261101_1200_P2_PAD00001_0123abcd"
WHY = f"pipeline/ was made by the user with uid {UID}, who is not in landing_owners"


def land_both(site: Site) -> None:
    """A processed run, and another with a finished cell whose `pipeline/` another user has made."""
    land(site, GOOD)
    site.run("poll")
    make_pipeline(site.landing / EVIL, "LOCAL", site.output / EVIL)
    land(site, EVIL)


def land(site: Site, run: str) -> None:
    SimulatedCell(site.landing, run, "lib", CELL, files_per_barcode=1, reads_per_file=5).write()


def test_hands_off_until_a_person_decides(site: Site) -> None:
    """Every command says who made `pipeline/`, and nothing is written for that run."""
    land_both(site)
    polled = site.run("poll", check=1)
    assert polled.stderr.startswith(f"hesiod-watch: {EVIL}: {WHY}")
    found = site.status()
    assert (found[EVIL]["status"], found[EVIL]["why"].startswith(WHY)) == ("unknown", True)
    assert found[GOOD]["status"] == "complete"
    assert WHY in site.run("status").stdout
    assert WHY in site.run("explain", EVIL).stdout
    assert f"waiting: {WHY}" in site.run("plan", EVIL).stdout
    checks = json.loads(site.run("doctor", "--json", check=1).stdout)["checks"]
    bad = {check["name"]: str(check) for check in checks if check["ok"] is False}
    assert f"{EVIL}: {WHY}" in bad["owners"]
    assert all(EVIL in says for says in bad.values())
    for arguments in (
        ("perform", "process", EVIL, f"lib/{CELL}"),
        ("perform", "report", EVIL),
        ("perform", "sync", EVIL),
        ("abort", EVIL, "--why", "test"),
        ("verify", EVIL),
        ("strip", EVIL),
        ("messages", EVIL),
    ):
        assert WHY in site.run(*arguments, check=1).stderr
    assert site.flags(EVIL) == {"upstream", "output"}
    assert sorted(path.name for path in site.output.iterdir() if path.name[0] != ".") == [GOOD]


def test_a_trusted_user_may_make_runs(site: Site) -> None:
    """A user in `landing_owners` may make `pipeline/`, and the run is processed."""
    land_both(site)
    (site.output / EVIL).mkdir()
    (site.landing / EVIL / "pipeline").chmod(0o777)
    site.configure(more=f"landing_owners: [{UID}]\n")
    site.run("poll")
    assert {run["status"] for run in site.status().values()} == {"complete"}
    document = json.loads(site.run("doctor", "--json", check=None).stdout)
    assert not [
        check for check in document["checks"] if check["name"] == "owners" and not check["ok"]
    ]
