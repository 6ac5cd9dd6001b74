"""Attention: everything that is blocked in a run or outside it, as one list.

`status`, `explain`, `poll`, messages and the page use this list. It is the only source of sentences
about blocked work and of steps. `core.attention_kinds` has the words; the rules state the facts.

The list is ordered by precedence: a cause outside the run first, then one in the run, then one in a
cell. So the first entry that concerns a cell is what blocks it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from hesiod_watch.core.attention import READ, WRITE, Attention, Stops, with_rights
from hesiod_watch.core.attention_kinds import KINDS
from hesiod_watch.core.circumstances import Circumstances
from hesiod_watch.core.model import Cell, Policy, Snapshot, Stage
from hesiod_watch.core.text import number_of
from hesiod_watch.core.times import rested
from hesiod_watch.rules.cell_attention import attention_of_cell
from hesiod_watch.rules.heartbeat import attention_of_watchers
from hesiod_watch.rules.historic import day_of
from hesiod_watch.rules.run_attention import attention_of_run
from hesiod_watch.rules.stages import FINISHED, stage_of

SLURM_SILENCE = timedelta(minutes=10)
"""Time without an answer of Slurm after which a person is needed: a restart takes less."""
SHOWN = 3
"""Number of runs that a sentence names."""
_READS = {
    "landing-missing": "landing",
    "unreadable": "path",
    "upstream-unreadable": "upstream_flag",
    "unreadable-summary": "landing",
    "unreadable-files": "landing",
    "unreadable-data": "unreadable",
    "ingest-failed": "landing",
}
"""Kind → the fact that names what must be readable."""
_WRITES = {"output-missing": "output", "no-results": "results", "not-permitted": "path"}
"""Kind → the fact that names the directory that must be writable."""
_RANK = {name: rank for rank, name in enumerate(KINDS)}
_LATEST = datetime.max.replace(tzinfo=UTC)


def attention(
    snapshot: Snapshot, around: Circumstances, policy: Policy, now: datetime
) -> tuple[Attention, ...]:
    """Return everything that is blocked in one run, by precedence. `now` has a time zone."""
    if snapshot.historic:
        return ()
    found = list(attention_of_run(snapshot, around, policy, now))
    if _cells_count(snapshot):
        for cell in snapshot.cells:
            found += attention_of_cell(snapshot, cell, around, policy, now)
    found = [_granting(each, around) for each in found]
    return tuple(sorted(found, key=lambda each: (_RANK[each.kind], _age(each))))


def attention_of_site(around: Circumstances, now: datetime) -> tuple[Attention, ...]:
    """Return everything that is blocked and concerns no single run, by precedence."""
    found = [_granting(each, around) for each in _site(around, now)]
    return tuple(sorted(found, key=lambda each: (_RANK[each.kind], _age(each))))


def oldest_first(found: Iterable[Attention]) -> list[Attention]:
    """Return the entries that need a person, oldest first; those of unknown age come last."""
    person = [each for each in found if each.needs_person]
    return sorted(person, key=lambda each: (*_age(each), each.run, each.cell, _RANK[each.kind]))


def concerning_cell(
    found: Iterable[Attention], snapshot: Snapshot, cell: Cell
) -> tuple[Attention, ...]:
    """Return the entries that concern a cell: its own, and those that stop its work."""
    return tuple(each for each in found if _concerns(each, snapshot, cell))


def _concerns(each: Attention, snapshot: Snapshot, cell: Cell) -> bool:
    if not each.cell and cell.id.name in each.facts.get("name", ""):
        return True  # a link in the place of the cell's directory, for example
    if each.cell or each.run not in ("", snapshot.run):
        return each.run == snapshot.run and each.cell == str(cell.id)
    stage = stage_of(cell)
    if stage in FINISHED:
        return stage is Stage.PROCESSED and each.kind == "results-moved"
    stops = KINDS[each.kind].stops
    waits = stage in (Stage.NEW, Stage.PENDING, Stage.INCOMPLETE)
    if each.kind.startswith("upstream-") and not _from(each, snapshot):
        return False
    return stops is Stops.WORK or (stops is Stops.ARRIVAL and waits)


def _from(each: Attention, snapshot: Snapshot) -> bool:
    """Whether an entry about an upstream concerns a run: its own, or one of its location."""
    location = each.facts.get("location", "")
    return bool(each.run) or (bool(location) and (snapshot.upstream or "").startswith(location))


def _granting(each: Attention, around: Circumstances) -> Attention:
    """Return an entry with the steps that give the right, if a missing right is its cause."""
    why = each.facts.get("why", "").lower()
    reads, writes = "permission denied" in why, "may not be written" in why
    if around.user and reads and (place := each.facts.get(_READS.get(each.kind, ""))):
        return with_rights(each, READ, around.user, place)
    if around.user and (reads or writes) and (place := each.facts.get(_WRITES.get(each.kind, ""))):
        return with_rights(each, WRITE, around.user, place)
    return each


def _cells_count(snapshot: Snapshot) -> bool:
    """Whether the state of single cells matters: not in a run that a person disregards."""
    return "aborted" not in snapshot.flags and not snapshot.problem


def _age(each: Attention) -> tuple[datetime]:
    return (each.since or _LATEST,)


def _site(around: Circumstances, now: datetime) -> Iterator[Attention]:
    if around.landing_problem:
        landing = around.landing
        yield KINDS["landing-missing"].about(why=around.landing_problem, landing=landing)
    if around.output_problem:
        marker = around.output_marker
        yield KINDS["output-missing"].about(
            why=around.output_problem,
            output=around.output,
            marker=marker,
            marker_directory=marker.parent if marker else None,
        )
    if around.output_denied:
        yield KINDS["not-permitted"].about(why=around.output_denied, path=around.output)
    for why in around.locks:
        yield KINDS["locks-unusable"].about(why=why)
    yield from attention_of_watchers(around.watchers, now, around.state_directory)
    for upstream in around.upstreams:
        if upstream.problem:
            kind = "upstream-refusing" if upstream.refused else "upstream-silent"
            yield KINDS[kind].about(
                since=upstream.since,
                upstream=upstream.name,
                location=upstream.location,
                why=upstream.problem,
            )
    for kind, silence in (
        ("slurm-silent", around.slurm.controller),
        ("accounting-silent", around.slurm.accounting),
    ):
        if silence and rested(silence.since, now, SLURM_SILENCE):
            yield KINDS[kind].about(since=silence.since, why=silence.why)
    for name, why in around.backups.items():
        yield KINDS["backup-missing"].about(backup=name, why=why)
    yield from _of_configuration(around)


def _right_place(batch: str, run: str) -> str:
    """Return where a run belongs in the landing area."""
    day = day_of(run) or "YYYYMM"
    return {"year": f"{day[:4]}/", "month": f"{day[:4]}-{day[4:6]}/"}.get(batch, "") + run


def _of_configuration(around: Circumstances) -> Iterator[Attention]:
    effects = around.effects
    if beside := effects.beside_batch:
        more = f" and {len(beside) - SHOWN} more" if len(beside) > SHOWN else ""
        yield KINDS["beside-batch"].about(
            many=f"{number_of(len(beside), 'run')} {'is' if len(beside) == 1 else 'are'}",
            batch=effects.batch,
            fitting=effects.fitting_batch,
            right=_right_place(effects.batch, beside[0].name),
            examples=", ".join(map(str, beside[:SHOWN])) + more,
        )
    if runs := effects.undecided_runs:
        yield KINDS["take-up-undecided"].about(
            many=f"{number_of(runs, 'run', form=',')} {'is' if runs == 1 else 'are'}",
            config=effects.config or "the configuration",
            # A second section of one name is a mistake.
            config_file=effects.config if not effects.take_up_given else None,
        )
    if runs := effects.ignored_runs:
        many = f"{number_of(runs, 'run')} {'is' if runs == 1 else 'are'}"
        yield KINDS["no-upstreams"].about(many=many, landing=around.landing)
    if effects.dry_run:
        yield KINDS["dry-run"].about()
    for name in effects.types_without_runs:
        yield KINDS["type-without-runs"].about(type=name)
