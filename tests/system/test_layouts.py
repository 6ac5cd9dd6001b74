"""Trees that are not RUN/LIBRARY/CELL: each command shows them, with the step that helps."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from sites import Site

pytestmark = pytest.mark.system

RUN, LIBRARY = "20261122_TEST_alpha", "lib1"
CELL = "20261122_2210_1A_PAW00001_0a1b2c3d"
NEXT_RUN, NEXT_CELL = "20261123_TEST_beta", "20261123_2210_1A_PAW00002_0a1b2c3e"
BESIDE, LEVEL, LINK = "beside-batch", "wrong-level", "link"
ALWAYS = "take_up: {since: always}\n"


@dataclass(frozen=True)
class Layout:
    """Cells at places below an area, links there, and what is said."""

    cells: tuple[str, ...]
    kind: str
    step: str  # part of a step; AREA is the landing area
    batch: str = "none"
    links: tuple[tuple[str, str], ...] = ()  # place of the link, and part of the cell's path

    def make(self, area: Path, elsewhere: Path) -> None:
        for place in self.cells:
            write_cell(area / place)
        for link, target in self.links:
            write_cell(elsewhere / RUN / LIBRARY / CELL)
            (area / link).parent.mkdir(parents=True, exist_ok=True)
            (area / link).symlink_to(elsewhere / target)


def write_cell(cell: Path) -> None:
    data = cell / "fastq_pass"
    data.mkdir(parents=True)
    (data / "PAW00001_pass_0a1b2c3d_00000001_0.fastq").write_text("@r\nACGT\n+\n5555\n")
    (cell / "final_summary_PAW00001_0a1b2c3d_00000001.txt").write_text(
        "fastq_files_in_final_dest=1\n"
    )


def at(*directories: str) -> tuple[str, ...]:
    return ("/".join((*directories, CELL)),)


OF_RUN, OF_LIBRARY = (RUN, RUN), (f"{RUN}/{LIBRARY}", f"{RUN}/{LIBRARY}")
NEXT = f"{NEXT_RUN}/{LIBRARY}/{NEXT_CELL}"
LAYOUTS = {
    "year, none set": Layout(at("2026", RUN, LIBRARY), BESIDE, "set `batch: year`"),
    "month, none set": Layout(at("2026-11", RUN, LIBRARY), BESIDE, "set `batch: month`"),
    "month in year, none set": Layout(at("2026/11", RUN, LIBRARY), BESIDE, f"landing area: {RUN}"),
    "year beside a run": Layout((*at("2026", RUN, LIBRARY), NEXT), BESIDE, f"landing area: {RUN}"),
    "no batch, year set": Layout(at(RUN, LIBRARY), BESIDE, "set `batch: none`", "year"),
    "month, year set": Layout(at("2026-11", RUN, LIBRARY), BESIDE, "set `batch: month`", "year"),
    "year, month set": Layout(at("2026", RUN, LIBRARY), BESIDE, "set `batch: year`", "month"),
    "month in year, month set": Layout(
        at("2026/11", RUN, LIBRARY), BESIDE, f"2026-11/{RUN}", "month"
    ),
    "month in year, year set": Layout(
        at("2026/11", RUN, LIBRARY), LEVEL, "AREA/2026/RUN/LIBRARY/CELL", "year"
    ),
    "run beside the batches": Layout(
        (*at(RUN, LIBRARY), f"2026/{NEXT}"), BESIDE, f"2026/{RUN}", "year"
    ),
    "project, year set": Layout(at("project", RUN, LIBRARY), BESIDE, f"2026/{RUN}", "year"),
    "no library, year set": Layout(at(RUN), BESIDE, f"2026/{RUN}", "year"),
    "too deep, year set": Layout(at(RUN, LIBRARY, "deep"), BESIDE, f"2026/{RUN}", "year"),
    "project": Layout(at("project", RUN, LIBRARY), LEVEL, "AREA/RUN/LIBRARY/CELL"),
    "too deep": Layout(at(RUN, LIBRARY, "deep"), LEVEL, "AREA/RUN/LIBRARY/CELL"),
    "two too deep": Layout(at(RUN, LIBRARY, "so", "deep"), LEVEL, "AREA/RUN/LIBRARY/CELL"),
    "cell among the runs": Layout(at(), LEVEL, "AREA/RUN/LIBRARY/CELL"),
    "data in the run": Layout((RUN,), LEVEL, "AREA/RUN/LIBRARY/CELL"),
    "linked run": Layout((), LINK, "move or mount", links=(OF_RUN,)),
    "linked library": Layout((), LINK, "move or mount", links=(OF_LIBRARY,)),
    "linked cell": Layout((), LINK, "move or mount", links=((at(RUN, LIBRARY) * 2),)),  # type: ignore[arg-type]  # two
    "linked batch": Layout((), LINK, "move or mount", "year", links=(("2026", "."),)),
    "linked other batch": Layout((), LINK, "move or mount", "month", links=(("2026", "."),)),
    "linked run beside the batches": Layout((), LINK, "move or mount", "year", links=(OF_RUN,)),
}


def configure(site: Site, more: str) -> None:
    site.config.write_text(f"landing: {site.landing}\noutput: {site.output}\n{ALWAYS}{more}")


def findings(site: Site, name: str) -> list[str]:
    """Findings of the doctor that are bad, about one part."""
    found = json.loads(site.run("doctor", "--json", check=None).stdout)["checks"]
    return [each["says"] for each in found if each["name"] == name and each["ok"] is False]


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_in_the_landing_area(layout: Layout, site: Site) -> None:
    """One entry says what is wrong and what helps; status, doctor and poll agree about it."""
    layout.make(site.landing, site.root / "elsewhere")
    configure(site, f"batch: {layout.batch}\n")
    done = site.run("status", "--attention", "--json", check=None)
    (entry,) = json.loads(done.stdout)["attention"]
    step = layout.step.replace("AREA", str(site.landing))
    assert (entry["kind"], any(step in each for each in entry["steps"])) == (layout.kind, True)
    status = site.run("status")
    if layout.kind == BESIDE:
        assert entry["sentence"] in status.stderr
        (said,) = findings(site, "config")
    else:
        assert "quarantined" in status.stdout
        (said,) = findings(site, "runs")
        assert step in said
    assert entry["sentence"] in said
    polled = site.run("poll", check=None)
    assert (polled.returncode, polled.stderr.count("hesiod-watch: ")) == (1, 1)
    assert entry["sentence"] in polled.stderr


ON_UPSTREAM = {
    name: layout
    for name, layout in LAYOUTS.items()
    if (layout.kind in (LEVEL, LINK) and layout.batch == "none") or name == "year, none set"
}


@pytest.mark.parametrize("layout", ON_UPSTREAM.values(), ids=ON_UPSTREAM)
def test_on_an_upstream(layout: Layout, site: Site) -> None:
    """`list-upstream`, the poll and the doctor name each place, and what helps."""
    there = site.root / "there"
    there.mkdir()
    layout.make(there, site.root / "elsewhere")
    write_cell(there / NEXT)
    configure(site, f"upstreams: {{seq: {{location: {there}, mode: pull}}}}\n")
    listed = site.run("list-upstream")
    (line,) = listed.stderr.splitlines()
    step = "AREA/RUN/LIBRARY/CELL" if layout.kind != LINK else layout.step
    assert step.replace("AREA", str(there)) in line
    assert [line.split("\t")[2] for line in listed.stdout.splitlines()] == [
        f"{LIBRARY}/{NEXT_CELL}"
    ]
    words = line.partition("upstream seq: ")[2]
    assert [words in said for said in findings(site, "upstream")] == [True]
    configure(
        site, f"upstreams: {{seq: {{location: {there}, take_up: {{include: [{NEXT_RUN}]}}}}}}\n"
    )
    assert site.run("list-upstream").stderr == ""


def test_what_is_no_layout(site: Site) -> None:
    """Links into the area itself, other directories and copies beside cells are not reported."""
    there = site.root / "there"
    for area in (site.landing, there):
        write_cell(area / NEXT)
        write_cell(area / NEXT_RUN / LIBRARY / "copies" / NEXT_CELL)
        (area / "latest").symlink_to(NEXT_RUN)
        (area / "newest").symlink_to(area / NEXT_RUN)
        (area / "tools" / "a" / "b" / "c" / "d").mkdir(parents=True)
        (area / "notes.txt").symlink_to("/etc/hostname")
    configure(site, f"upstreams: {{seq: {{location: {there}}}}}\n")
    assert site.run("list-upstream").stderr == ""
    assert site.run("status", "--attention", check=None).stdout == ""
    assert findings(site, "upstream") + findings(site, "runs") == []
