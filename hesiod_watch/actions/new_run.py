"""new-run: adopt a run that appeared in the landing area or on an upstream.

Creates the output directory, the run's directory if it comes from an upstream, the links in both
directions and `pipeline/`. `pipeline/` appears last and whole, by one rename. So a run is either
not adopted or fully adopted, whenever a process is killed. The link back to the run comes after the
run's directory: with such a link, an empty landing area counts as one that is not mounted.
"""

from __future__ import annotations

from pathlib import Path

from hesiod_watch.actions import Job, Outcome, command_of
from hesiod_watch.core.errors import PermanentError, TemporaryError
from hesiod_watch.core.model import LOCAL
from hesiod_watch.core.system_errors import translate
from hesiod_watch.host.files import OpenDirectory, directory, make_link, sync_directory
from hesiod_watch.host.runlog import RunLog
from hesiod_watch.runs import flags
from hesiod_watch.runs.areas import landing_problem
from hesiod_watch.runs.landing import LandingArea


def perform(job: Job) -> Outcome:
    """Adopt the run.

    Raises TemporaryError if the landing area is missing or the output directory cannot be made,
    PermanentError if that belongs to another run, or a right is missing in the landing area.
    """
    output = job.config.output / job.run_dir.name
    try:
        output.mkdir(parents=False, exist_ok=True)
        sync_directory(output.parent)  # else a power loss could keep flags and lose the results
        _refuse_foreign(output, job)
        if job.upstream != LOCAL:
            _make_run(job)
        _link_back(output / flags.BACK_LINK, job.run_dir)
    except OSError as error:
        # A missing output root is a file system that is not mounted: creating it would hide that.
        message = f"{job.run_dir.name}: cannot make its output directory {output}: {error.strerror}"
        raise TemporaryError(message) from error
    if not flags.adopt(job.run, job.upstream, output, job.config.type_of(job.run_dir.name).name):
        return "nothing"
    log = RunLog(job.output / "pipeline.log")
    log.command(command_of(job))
    log.line(f"new run: {job.reason or 'adopted'}; results go to {output}")
    return "done"


def _make_run(job: Job) -> None:
    """Make the directory that receives the run's cells; the landing area itself is never made.

    Its file system may be missing by now. So it is opened before it is judged, and a directory that
    appears in its place later is not written to.
    """
    landing = job.config.landing
    with OpenDirectory(landing, landing).opened() as area:
        problem = landing_problem(LandingArea(landing, job.config.batch), job.config.output)
        if problem:
            raise TemporaryError(f"{job.run_dir.name}: {problem}")
        with OpenDirectory(job.run_dir, area, make=True).opened():  # also its batch
            try:
                sync_directory(area.descriptor)
                sync_directory(job.run_dir.parent)
            except OSError as error:
                raise translate(error, f"{job.run_dir.name}: cannot make {job.run_dir}") from error


def _refuse_foreign(output: Path, job: Job) -> None:
    """Check that the output directory is not another run's.

    Raises PermanentError if it is, OSError if it cannot be read.
    """
    run = flags.identify(job.run)
    other = flags.foreign_owner(output, job.run_dir, run, job.config.output)
    if other is None and (renamed := _renamed_owner(output, job, run)):
        raise PermanentError(
            f"{output} belongs to another run, {renamed}, which had this name; "
            "rename one of the two"
        )
    if other:
        raise PermanentError(
            f"{output} belongs to another run: {other.why}; rename one of the two runs"
        )


def _renamed_owner(output: Path, job: Job, run: flags.RunIdentity | None) -> Path | None:
    """Run that had this run's name when it first wrote to the directory, if it still exists."""
    recorded, _ = flags.read_record(output)
    if recorded is None or (run and recorded == run.lasting):
        return None
    landing = job.config.landing
    runs = LandingArea(landing, job.config.batch).runs()
    others = (
        (other, flags.identify(OpenDirectory(other, landing)))
        for other in runs
        if other != job.run_dir
    )
    return next((other for other, found in others if found and found.lasting == recorded), None)


def _link_back(link: Path, run_dir: Path) -> None:
    try:
        with directory(link.parent, follow=True) as parent:
            make_link(run_dir, link.name, parent)
    except FileExistsError:
        target = link.readlink() if link.is_symlink() else None
        if target != run_dir and not link.exists():  # another path to the same run is accepted
            raise PermanentError(
                f"{link.parent} belongs to another run: {link} leads to "
                f"{target or 'nothing, it is no link'}, "
                f"not to {run_dir}; rename one of the two runs"
            ) from None
