"""Helpers of all commands: load the configuration, find the run and the cell of an argument."""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO, TypeVar

from hesiod_watch.config import Config, load, working_directory
from hesiod_watch.core.attention import Stops
from hesiod_watch.core.attention_kinds import KINDS
from hesiod_watch.core.circumstances import Circumstances, SlurmCondition, SlurmSilence
from hesiod_watch.core.errors import HesiodError, PermanentError, UsageError
from hesiod_watch.core.logfields import fields
from hesiod_watch.core.model import CellId, ListedRun, RunName, Snapshot
from hesiod_watch.core.naming import display, parse_cell
from hesiod_watch.core.system_errors import translated
from hesiod_watch.host.files import OpenDirectory
from hesiod_watch.remote.slurm_judge import AskingJudge, client_of, with_asking_judge
from hesiod_watch.rules.attention import attention_of_site
from hesiod_watch.rules.liveness import SLURM
from hesiod_watch.rules.slurm_jobs import waiting_jobs
from hesiod_watch.rules.stages import find_cell, match_cells
from hesiod_watch.runs.areas import landing_owners
from hesiod_watch.runs.first_look import FirstLooks
from hesiod_watch.runs.landing import LandingArea
from hesiod_watch.runs.observe import observe
from hesiod_watch.service.circumstances import site_circumstances

logger = logging.getLogger(__name__)

T = TypeVar("T")

SUGGESTIONS = 3
"""Most names that an error message suggests."""


def config_of(options: argparse.Namespace) -> Config:
    """The configuration of this command line. Raises ConfigError with every mistake at once."""
    explicit = Path(options.config) if options.config else None
    return with_asking_judge(load(explicit, environ=os.environ, cwd=working_directory()))


def now() -> datetime:
    return datetime.now(UTC)


def all_runs(config: Config) -> list[Path]:
    """Every run in the landing area, and every link in the place of one.

    Raises TemporaryError if the landing area cannot be read.
    """
    return list(map(Path, _all_paths(config)))


def _all_paths(config: Config) -> list[str]:
    """The same as texts, which need less memory."""
    landing = LandingArea(config.landing, config.batch)
    return sorted([*landing.paths(), *map(str, landing.links())])


def run_path(config: Config, text: str, *, short: bool = False) -> Path:
    """Find the run directory of a name or a path.

    A path may also lead to the run's output or pipeline directory. A run that is named by its path
    in the landing area, as the service does, is never searched through a link. With `short`, for
    commands that only read, the unique beginning of a name is enough, or the flow cell id of one of
    the run's cells. Raises UsageError if no run matches.
    """
    if "/" in text or text in (".", ".."):
        place = Path(text)
        if LandingArea(config.landing, config.batch).run_of(place) == place:
            if open_run(config, place).is_in_place():
                return place
        elif behind := _run_behind(config, place):
            return behind
        raise UsageError(f"{display(text)}: not a run in the landing area {config.landing}")
    runs = all_runs(config)
    found = [run for run in runs if run.name == text]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(
            f"{display(text)}: several runs have this name; give a path:"
            f" {', '.join(map(str, found))}"
        )
    meant = _runs_meant(runs, text)
    if short and len(meant) == 1:
        return meant[0]
    near = [run.name for run in meant] or _close_names(text, [run.name for run in runs])
    raise UsageError(
        f"{display(text)}: no run of this name in {config.landing}; `hesiod-watch status` lists"
        f" the runs{_suggestion(near)}"
    )


def _run_behind(config: Config, place: Path) -> Path | None:
    """Run to which a path leads: the run's, or that of its output or `pipeline/`."""
    landing = LandingArea(config.landing.resolve(), config.batch)
    with translated(f"{display(str(place))} cannot be read"):
        path = place.resolve()
        for candidate in (path, path / "rundata", path.parent):
            resolved = candidate.resolve()
            if resolved.is_dir() and landing.run_of(resolved) == resolved:
                return config.landing / resolved.relative_to(landing.path)
    return None


def _runs_meant(runs: Sequence[Path], text: str) -> list[Path]:
    """Runs whose name begins like this; without any, those with a cell of this flow cell."""
    if not text:
        return []
    beginning = [run for run in runs if run.name.startswith(text)]
    return beginning or [run for run in runs if _has_flow_cell(run, text.upper())]


def _has_flow_cell(run: Path, flow_cell: str) -> bool:
    names = (parse_cell(directory.name) for directory in run.glob("*/*"))
    return any(name is not None and name.flow_cell_id.upper() == flow_cell for name in names)


def _close_names(text: str, names: list[str]) -> list[str]:
    from difflib import get_close_matches  # only a mistake needs it

    return get_close_matches(text, names)


def _suggestion(near: Sequence[str]) -> str:
    """End of a sentence with names that may be meant; "" without any."""
    if not near:
        return ""
    shown = [display(name) for name in near[:SUGGESTIONS]]
    more = f" and {len(near) - SUGGESTIONS} more" if len(near) > SUGGESTIONS else ""
    return f"; did you mean {' or '.join(shown)}{more}?"


def run_paths(config: Config, texts: Iterable[str], *, short: bool = False) -> Iterable[Path]:
    """Run directories of these names or paths; without any, all runs, one after the other."""
    named = [run_path(config, text, short=short) for text in texts]
    return named or map(Path, _all_paths(config))


def require_observed(snapshot: Snapshot) -> None:
    """Raise PermanentError with the reason if a run could not be observed, or is left alone."""
    if snapshot.problem:
        raise PermanentError(f"{display(snapshot.run)}: {display(snapshot.problem)}")


def cell_of(snapshot: Snapshot, text: str, *, short: bool = False) -> CellId:
    """Find a cell of a run by name.

    With `short`, for commands that only read, a unique flow cell id, position or beginning is
    enough. Raises UsageError if no cell matches, PermanentError if the run cannot be observed.
    """
    text = text.strip("/")
    if cell := find_cell(snapshot, text):
        return cell
    require_observed(snapshot)
    meant = match_cells(snapshot, text) if text else []
    if short and len(meant) == 1:
        return meant[0]
    names = [name for cell in snapshot.cells for name in (str(cell.id), cell.id.name)]
    near = [str(cell) for cell in meant] or _close_names(text, names)
    known = ", ".join(str(other.id) for other in snapshot.cells) or "none"
    raise UsageError(
        f"{display(text)}: no such cell in {display(snapshot.run)}; its cells: {display(known)}"
        f"{_suggestion(near)}"
    )


def warn_about_site(config: Config) -> Circumstances:
    """Print on standard error what prevents all work, such as a missing area; return what is known.

    The same checks as those before any work.
    """
    around = site_circumstances(config)
    if config.processing.executor == SLURM:
        jobs, problem = client_of(config).listed()
        silence = SlurmSilence(problem) if jobs is None else None
        slurm = SlurmCondition(silence, waiting_jobs=waiting_jobs(jobs or ()))
        around = replace(around, slurm=slurm)
    for each in attention_of_site(around, now()):
        if each.needs_person or KINDS[each.kind].stops is Stops.WORK:
            print_problem(each.sentence)
    return around


def with_accounting(around: Circumstances, config: Config) -> Circumstances:
    """Add what the looks at runs found out about Slurm's accounting, which is asked only then."""
    problem = config.judge.problem if isinstance(config.judge, AskingJudge) else ""
    accounting = SlurmSilence(problem) if problem else None
    return replace(around, slurm=replace(around.slurm, accounting=accounting))


def print_problem(problem: str) -> None:
    """Print a sentence on standard error.

    Most sentences are escaped already; a second time would change the commands in them.
    """
    shown = problem if problem.isprintable() else display(problem)
    print_wrapped(f"hesiod-watch: {shown}", "  ", sys.stderr)


def print_wrapped(text: str, indent: str = "", stream: TextIO | None = None) -> None:
    """Print a paragraph, wrapped in a terminal; a command that does not fit begins its own line.

    In a pipe it is one line, so that `grep` finds it. A command is never wrapped, so that it can be
    copied.
    """
    stream = stream or sys.stdout
    width = shutil.get_terminal_size().columns if stream.isatty() else 0
    if not width or len(text) <= width:
        print(text, file=stream, flush=True)
        return
    command = ending_command(text)
    words = text.removesuffix(f": {command}") if command else text
    lines = textwrap.wrap(
        words + (":" if command else ""),
        max(20, width),
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    if command:
        lines.append(f"{indent}  {command}")
    print("\n".join(lines), file=stream, flush=True)


def print_list(lines: Iterable[str]) -> None:
    for line in lines:
        print_wrapped(f"  - {display(line)}", "    ")


def ending_command(text: str) -> str:
    """Command at the end of a sentence, after a colon; "" without one."""
    _, separator, command = text.rpartition(": ")
    return command if separator and command.startswith(COMMANDS) else ""


COMMANDS = (
    *("hesiod-", "rm ", "mv ", "ls ", "mkdir ", "echo ", "(echo; ", "df ", "systemctl ", "sudo "),
    "cat ",
)
"""Beginnings of the commands in steps."""


def open_run(config: Config, run_dir: Path) -> OpenDirectory:
    return OpenDirectory(run_dir, config.landing)


def look_at(config: Config, run: OpenDirectory, listed_run: ListedRun | None = None) -> Snapshot:
    return observe(
        run,
        config.output,
        judge=config.judge,
        listed_run=listed_run,
        channels=config.notify.kinds(),
        owners=landing_owners(config),
        why_historic=_first_looks(config).why_historic,
    )


def _first_looks(config: Config) -> FirstLooks:
    """First looks as a process that only looks sees them; read once for a configuration."""
    if not _FIRST_LOOKS or _FIRST_LOOKS[0][0] is not config:
        _FIRST_LOOKS[:] = [(config, FirstLooks(config))]
    return _FIRST_LOOKS[0][1]


_FIRST_LOOKS: list[tuple[Config, FirstLooks]] = []


def show_run(
    config: Config,
    run_dir: Path,
    show: Callable[[Snapshot], T],
    listed_run: ListedRun | None = None,
) -> T:
    """Observe a run and return what `show` makes of it.

    The one place where a bug that one run reveals is caught, so that a command shows all the other
    runs. Such a run is shown as unknown, with the reason. Raises HesiodError as `show` does.
    """
    try:
        return show(look_at(config, open_run(config, run_dir), listed_run))
    except HesiodError:
        raise
    except Exception as error:
        logger.exception("a bug while showing a run", extra=fields(run=run_dir.name))
        why = display(f"{type(error).__name__}: {error}")
        return show(
            Snapshot(
                RunName(run_dir.name),
                run_dir,
                has_pipeline=True,
                problem=f"cannot be shown: a bug in hesiod-watch: {why}",
            )
        )


def add_run_argument(parser: argparse.ArgumentParser, *, many: bool = False) -> None:
    if many:
        parser.add_argument(
            "runs", nargs="*", metavar="RUN", help="name or path of a run; default: all runs"
        )
    else:
        parser.add_argument("run", metavar="RUN", help="name or path of a run")


def add_cell_argument(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "cell", nargs="?", metavar="CELL", help=f"LIBRARY/CELL, or CELL alone; default: {default}"
    )
