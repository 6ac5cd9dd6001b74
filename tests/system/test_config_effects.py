"""Looking commands: keys without effect, missing areas, and runs that this user cannot work on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from sites import Site
from unprivileged import UNPRIVILEGED, needs_unprivileged

pytestmark = pytest.mark.system

RUN, LIBRARY = "20261122_TEST_alpha", "lib1"
CELL = "20261122_2210_1A_PAW00001_0a1b2c3d"


def land(place: Path, run: str = RUN) -> Path:
    """Write a complete cell of one file."""
    cell = place / run / LIBRARY / CELL
    (cell / "fastq_pass").mkdir(parents=True)
    (cell / "fastq_pass" / "a_0.fastq").write_text("@r\nACGT\n+\n5555\n")
    (cell / "final_summary.txt").write_text("fastq_files_in_final_dest=1\n")
    return cell


def configure(site: Site, more: str) -> None:
    site.config.write_text(f"landing: {site.landing}\noutput: {site.output}\n{more}")


def kinds(site: Site) -> set[str]:
    done = site.run("status", "--attention", "--json", check=None)
    return {each["kind"] for each in json.loads(done.stdout)["attention"]}


def doctor(site: Site) -> dict[str, list[tuple[bool | None, str]]]:
    found: dict[str, list[tuple[bool | None, str]]] = {}
    for each in json.loads(site.run("doctor", "--json", check=None).stdout)["checks"]:
        found.setdefault(each["name"], []).append((each["ok"], each["says"]))
    return found


@pytest.mark.parametrize(
    ("more", "place", "kind", "said"),
    [
        pytest.param("batch: year\n", "", "beside-batch", "expects none", id="no-batch"),
        pytest.param("batch: year\n", "2026-11", "beside-batch", "expects none", id="by-month"),
        pytest.param("", "2026", "beside-batch", "expects none", id="in-a-batch"),
        pytest.param(
            "upstreams: {}\n", "", "no-upstreams", "1 run is not taken up", id="upstreams"
        ),
        pytest.param("processing: {executor: dry-run}\n", "", "", "nothing is done", id="dry-run"),
    ],
)
def test_key_with_total_effect(more: str, place: str, kind: str, said: str, site: Site) -> None:
    """`status`, `explain`, `plan` and `doctor` say which key keeps runs from being worked on."""
    land(site.landing / place)
    configure(site, more)
    for command in ("status", "plan"):
        assert said in site.run(command).stderr
    assert any(said in says for _, says in doctor(site)["config"])
    if kind:
        assert kind in kinds(site)
        assert (doctor(site)["config"][0][0], said in doctor(site)["config"][0][1]) == (False, True)
    configure(site, "")
    if not place:
        assert kinds(site) == set()
        assert site.run("status").stderr == ""
        assert doctor(site)["config"] == [
            (True, "each key has an effect on the runs that are here")
        ]


def test_a_batch_that_fits_is_named(site: Site) -> None:
    """The first step names the setting with which all runs are found; with it, all are."""
    land(site.landing / "2026")
    configure(site, "batch: month\n")
    (entry,) = json.loads(site.run("status", "--attention", "--json", check=None).stdout)[
        "attention"
    ]
    assert "set `batch: year` in the configuration" in entry["steps"][0]
    assert f"2026-11/{RUN}" in entry["steps"][1]
    configure(site, "batch: year\n")
    assert kinds(site) == set()


def test_dry_run_is_the_cause(site: Site) -> None:
    """`explain` of a cell that is not worked on because of a dry run begins with that."""
    land(site.landing)
    site.run("perform", "new-run", RUN)
    configure(site, "processing: {executor: dry-run}\n")
    assert "dry-run" in site.run("explain", RUN, CELL).stdout.splitlines()[0]


def test_runs_in_their_place_are_not_reported(site: Site) -> None:
    """Directories beside the runs that hold no cells of runs are not reported."""
    configure(site, "batch: year\n")
    land(site.landing / "2026")
    for name in ("lost+found", "tools", "2025-99", "notes/a/b"):
        (site.landing / name).mkdir(parents=True)
    assert kinds(site) == set()
    assert site.run("status").stderr == ""


def test_type_that_matches_no_run(site: Site) -> None:
    """The doctor notes a type whose pattern matches no run; `status` does not mention it."""
    land(site.landing)
    configure(site, "types: {visitor: {runs: VISITOR}, internal: {runs: .*}}\n")
    (note,) = doctor(site)["config"]
    assert note[0] is None
    assert "the pattern of the type visitor matches no run" in note[1]
    assert site.run("status").stderr == ""


@pytest.mark.parametrize("area", ["landing", "output"])
def test_missing_area(area: str, site: Site) -> None:
    """A missing or empty area where runs are known is reported by each looking command."""
    land(site.landing)
    site.run("poll")
    gone = getattr(site, area)
    away = gone.rename(site.root / "away")
    for made in (False, True):
        if made:
            gone.mkdir()
        assert f"{area}-missing" in kinds(site)
        assert str(gone) in site.run("plan", check=None).stderr
        assert str(gone) in site.run("status", check=None).stderr
        assert any(ok is False and str(gone) in says for ok, says in doctor(site)[area])
    shutil.rmtree(gone)
    away.rename(gone)
    assert kinds(site) == set()


class Unprivileged(Site):
    """A site whose commands obey file permissions, whatever user runs the tests."""

    def command(self, *arguments: str) -> list[str]:
        return [*UNPRIVILEGED, *super().command(*arguments)]


@needs_unprivileged
@pytest.mark.parametrize(
    "closed",
    [
        f"{LIBRARY}/{CELL}/fastq_pass",
        f"{LIBRARY}/{CELL}/fastq_pass/a_0.fastq",
        f"{LIBRARY}/{CELL}",
        "pipeline",
        "pipeline/output",
    ],
)
def test_doctor_tries_the_newest_runs(closed: str, tmp_path: Path) -> None:
    """The doctor names the directory or file in a run with which this user cannot work."""
    site = Unprivileged(tmp_path)
    land(site.landing)
    site.run("perform", "new-run", RUN)
    assert [ok for ok, _ in doctor(site)["runs"]] == [True]
    path = (site.landing / RUN / closed).resolve()
    mode = path.stat().st_mode
    path.chmod(0o555 if closed.startswith("pipeline") else 0)
    try:
        found = doctor(site)["runs"]
    finally:
        path.chmod(mode)
    assert found[0][0] is False
    assert str(path) in found[0][1] or path.name in found[0][1]
