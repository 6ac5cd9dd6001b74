"""What is blocked at a whole site, the order of the entries, and rights that are missing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from snapshots import cell, flag, run

from hesiod_watch.core.attention import Attention
from hesiod_watch.core.attention_kinds import KINDS
from hesiod_watch.core.cell_contents import Completeness, Verdict
from hesiod_watch.core.circumstances import (
    Circumstances,
    ConfigEffects,
    DeniedPath,
    SlurmCondition,
    SlurmSilence,
    UpstreamAnswer,
)
from hesiod_watch.core.model import Cell, Policy
from hesiod_watch.rules.attention import (
    attention,
    attention_of_site,
    concerning_cell,
    oldest_first,
)

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
LANDING, OUTPUT = Path("/landing"), Path("/output")
PROM = UpstreamAnswer("prom", "host:/data", "no route", since=NOW)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def silence(seconds: float) -> SlurmSilence:
    return SlurmSilence("down", ago(seconds))


def runs(*names: str) -> tuple[Path, ...]:
    return tuple(Path("/landing") / name for name in names)


Entry = tuple[str, datetime | None, dict[str, str]]
BESIDE = ConfigEffects(batch="month", fitting_batch="none")
SITES: dict[str, tuple[dict[str, Any], list[Entry]]] = {
    "nothing": ({}, []),
    "landing": (
        {"landing_problem": "not mounted", "landing": LANDING},
        [("landing-missing", None, {"why": "not mounted", "landing": "/landing"})],
    ),
    "output": (
        {"output_problem": "empty", "output": OUTPUT, "output_marker": OUTPUT / ".marker"},
        [
            (
                "output-missing",
                None,
                {
                    "why": "empty",
                    "output": "/output",
                    "marker": "/output/.marker",
                    "marker_directory": "/output",
                },
            )
        ],
    ),
    "output without a marker": (
        {"output_problem": "not mounted", "output": OUTPUT},
        [("output-missing", None, {"why": "not mounted", "output": "/output"})],
    ),
    "output denied": (
        {"output_denied": "no right", "output": OUTPUT},
        [("not-permitted", None, {"why": "no right", "path": "/output"})],
    ),
    "locks": (
        {"locks": ("a", "b")},
        [("locks-unusable", None, {"why": "a"}), ("locks-unusable", None, {"why": "b"})],
    ),
    "upstreams": (
        {"upstreams": (PROM, UpstreamAnswer("grid", "/grid"))},
        [
            (
                "upstream-silent",
                NOW,
                {"upstream": "prom", "location": "host:/data", "why": "no route"},
            )
        ],
    ),
    "an upstream that refuses": (
        {"upstreams": (replace(PROM, refused=True),)},
        [
            (
                "upstream-refusing",
                NOW,
                {"upstream": "prom", "location": "host:/data", "why": "no route"},
            )
        ],
    ),
    "Slurm": (
        {"slurm": SlurmCondition(controller=silence(600), accounting=silence(601))},
        [
            ("slurm-silent", ago(600), {"why": "down"}),
            ("accounting-silent", ago(601), {"why": "down"}),
        ],
    ),
    "Slurm for a moment": (
        {"slurm": SlurmCondition(controller=silence(599), accounting=silence(599))},
        [],
    ),
    "backups": (
        {"backups": {"one": "not mounted"}},
        [("backup-missing", None, {"backup": "one", "why": "not mounted"})],
    ),
    "a run beside the batches": (
        {"effects": replace(BESIDE, beside_batch=runs("20261122_a"))},
        [
            (
                "beside-batch",
                None,
                {
                    "many": "1 run is",
                    "batch": "month",
                    "fitting": "none",
                    "right": "2026-11/20261122_a",
                    "examples": "/landing/20261122_a",
                },
            )
        ],
    ),
    "runs beside the batches": (
        {"effects": replace(BESIDE, batch="year", beside_batch=runs("20261122_a", "b", "c"))},
        [
            (
                "beside-batch",
                None,
                {
                    "many": "3 runs are",
                    "batch": "year",
                    "fitting": "none",
                    "right": "2026/20261122_a",
                    "examples": "/landing/20261122_a, /landing/b, /landing/c",
                },
            )
        ],
    ),
    "many runs beside no batch": (
        {"effects": replace(BESIDE, batch="none", beside_batch=runs("x", "b", "c", "d", "e"))},
        [
            (
                "beside-batch",
                None,
                {
                    "many": "5 runs are",
                    "batch": "none",
                    "fitting": "none",
                    "right": "x",
                    "examples": "/landing/x, /landing/b, /landing/c and 2 more",
                },
            )
        ],
    ),
    "a run without a day": (
        {"effects": replace(BESIDE, beside_batch=runs("x"))},
        [
            (
                "beside-batch",
                None,
                {
                    "many": "1 run is",
                    "batch": "month",
                    "fitting": "none",
                    "right": "YYYY-MM/x",
                    "examples": "/landing/x",
                },
            )
        ],
    ),
    "undecided": (
        {"effects": ConfigEffects(undecided_runs=1200, config="/etc/hw.yaml")},
        [
            (
                "take-up-undecided",
                None,
                {
                    "many": "1,200 runs are",
                    "config": "/etc/hw.yaml",
                    "config_file": "/etc/hw.yaml",
                },
            )
        ],
    ),
    "undecided, with a section": (
        {"effects": ConfigEffects(undecided_runs=1, take_up_given=True)},
        [("take-up-undecided", None, {"many": "1 run is", "config": "the configuration"})],
    ),
    "ignored runs": (
        {"effects": ConfigEffects(ignored_runs=2), "landing": LANDING},
        [("no-upstreams", None, {"many": "2 runs are", "landing": "/landing"})],
    ),
    "an ignored run": (
        {"effects": ConfigEffects(ignored_runs=1), "landing": LANDING},
        [("no-upstreams", None, {"many": "1 run is", "landing": "/landing"})],
    ),
    "a dry run": ({"effects": ConfigEffects(dry_run=True)}, [("dry-run", None, {})]),
    "types": (
        {"effects": ConfigEffects(types_without_runs=("a", "b"))},
        [
            ("type-without-runs", None, {"type": "a"}),
            ("type-without-runs", None, {"type": "b"}),
        ],
    ),
}


@pytest.mark.parametrize("case", SITES)
def test_what_is_blocked(case: str) -> None:
    """Each cause outside the runs gives its entries, with beginning and facts."""
    around, expected = SITES[case]
    found = attention_of_site(Circumstances(**around), NOW)
    assert [(each.kind, each.since, dict(each.facts)) for each in found] == expected
    assert {(each.run, each.cell) for each in found} <= {("", "")}


def entry(kind: str, since: datetime | None = None, **facts: str) -> Attention:
    return KINDS[kind].about(since=since, **facts)


def test_order_of_a_list() -> None:
    """Causes outside come first, then older ones; an unknown age is last of its kind."""
    answers = (replace(PROM, since=None), replace(PROM, since=ago(5)), replace(PROM, since=ago(9)))
    around = Circumstances(upstreams=answers, landing_problem="not mounted", landing=LANDING)
    found = attention_of_site(around, NOW)
    assert [each.since for each in found] == [None, ago(9), ago(5), None]
    assert found[0].kind == "landing-missing"
    cells = (cell("a", failed=flag("x", 9.0)), cell("b", failed=flag("x", 5.0)))
    listed = attention(run(*cells, output=None), Circumstances(), Policy(), NOW)
    assert [each.cell for each in listed] == ["", "lib/b", "lib/a"]


def test_a_list_of_persons_work() -> None:
    """Only what needs a person is in the list of a person's work, the oldest first."""
    found = [
        entry("landing-missing"),
        entry("upstream-unreadable", ago(5)),
        entry("dry-run", ago(9)),
        KINDS["failed"].about("b", "l/c", ago(9)),
        KINDS["failed"].about("a", "l/d", ago(9)),
        KINDS["failed"].about("a", "l/c", ago(9)),
    ]
    assert [(each.kind, each.run, each.cell) for each in oldest_first(found)] == [
        ("failed", "a", "l/c"),
        ("failed", "a", "l/d"),
        ("failed", "b", "l/c"),
        ("upstream-unreadable", "", ""),
        ("landing-missing", "", ""),
    ]


@pytest.mark.parametrize(
    "facts",
    [
        {"historic": "too old"},
        {"flags": frozenset({"aborted"})},
        {"problem": "permission denied"},
    ],
    ids=["historic", "aborted", "unreadable"],
)
def test_cells_of_a_run_that_is_over(facts: dict[str, Any]) -> None:
    """The cells of a run that a person disregards, or that is not seen, are no trouble."""
    found = attention(run(cell(failed=flag()), **facts), Circumstances(), Policy(), NOW)
    assert [each for each in found if each.cell] == []


HERE = cell("a", synced=True)
RUN = run(HERE, cell("b"), upstream="host:/data/Exp")


def concerns(each: Attention, found: Cell = HERE) -> bool:
    return concerning_cell([each], RUN, found) == (each,)


def test_what_concerns_a_cell() -> None:
    """A cell waits for its own causes, for those of its run, and for those of the site."""
    assert concerns(KINDS["failed"].about("run", "lib/a"))
    assert not concerns(KINDS["failed"].about("run", "lib/b"))
    assert not concerns(KINDS["failed"].about("other", "lib/a"))
    assert concerns(KINDS["no-results"].about("run"))
    assert not concerns(KINDS["no-results"].about("other"))
    assert concerns(entry("landing-missing"))
    assert concerns(KINDS["link"].about("run", name="x/a"))
    assert not concerns(KINDS["link"].about("run", name="x/c"))


def test_what_concerns_a_cell_that_waits_for_files() -> None:
    """An upstream that does not answer stops cells of its runs that wait for files."""
    silent = entry("upstream-silent", location="host:/data")
    waiting = cell("b")
    assert concerns(silent, waiting)
    assert not concerns(silent, HERE)
    assert not concerns(entry("upstream-silent", location="host:/other"), waiting)
    assert not concerns(entry("upstream-silent"), waiting)
    assert concerns(KINDS["upstream-lost-run"].about("run"), waiting)
    assert not concerns(entry("dry-run"), cell("b", aborted=flag()))


def test_what_concerns_a_finished_cell() -> None:
    """Of the causes of its run, a processed cell only knows that its results are elsewhere."""
    moved, missing = KINDS["results-moved"].about("run"), KINDS["no-results"].about("run")
    assert concerns(moved, cell("a", done=flag()))
    assert not concerns(missing, cell("a", done=flag()))
    assert not concerns(moved, cell("a", aborted=flag()))


DENIED = "Permission denied"
UNREADABLE = Completeness(Verdict.UNREADABLE, f"pod5: {DENIED}")
CLOSED = cell(completeness=UNREADABLE, summary_since=1.0)


def steps(around: dict[str, Any], *cells: Cell, **facts: Any) -> list[str]:
    """Commands of all steps at this site and in this run."""
    circumstances = Circumstances(**({"user": "hesiod"} | around))
    found = [
        *attention_of_site(circumstances, NOW),
        *attention(run(*cells, **facts), circumstances, Policy(), NOW),
    ]
    return [step.command for each in found for step in each.steps]


READ = ["chmod -R u+rX {}", "setfacl -R -m u:hesiod:rX {}"]
WRITE = ["chmod u+rwx {}", "setfacl -m u:hesiod:rwx {}"]
RIGHTS: dict[str, tuple[dict[str, Any], tuple[Cell, ...], dict[str, Any], list[str], str]] = {
    "landing": ({"landing_problem": DENIED, "landing": LANDING}, (), {}, READ, "/landing"),
    "a run": ({}, (), {"problem": DENIED}, READ, "/landing/run/pipeline"),
    "an upstream": (
        {},
        (),
        {"upstream": None, "upstream_problem": DENIED},
        READ,
        "/landing/run/pipeline/upstream",
    ),
    "a cell": ({}, (CLOSED,), {}, READ, "/landing/run/lib/cell"),
    "output": ({"output_problem": DENIED, "output": OUTPUT}, (), {}, WRITE, "/output"),
    "output, not writable": (
        {"output_problem": "it may not be written", "output": OUTPUT},
        (),
        {},
        WRITE,
        "/output",
    ),
    "results": (
        {"output": OUTPUT},
        (HERE,),
        {"output": None, "output_problem": DENIED},
        WRITE,
        "/output/run",
    ),
    "a directory": (
        {"denied": (DeniedPath(Path("/a"), "may not be written"),)},
        (),
        {},
        WRITE,
        "/a",
    ),
}


@pytest.mark.parametrize("case", RIGHTS)
def test_a_missing_right(case: str) -> None:
    """Where a right is missing, the steps name the user and give it for the right place."""
    around, cells, facts, templates, place = RIGHTS[case]
    wanted = [template.format(place) for template in templates]
    assert steps(around, *cells, **facts)[:2] == wanted
    assert not set(wanted) & set(steps({**around, "user": ""}, *cells, **facts))


def test_no_right_is_missing() -> None:
    """Another cause gets no steps about rights."""
    around = {"landing_problem": "not mounted", "landing": LANDING, "output_problem": "empty"}
    found = steps(around, replace(CLOSED, completeness=replace(UNREADABLE, why="I/O error")))
    assert not [command for command in found if command.startswith(("chmod", "setfacl"))]
