"""new-run: take up a run that appeared in the landing area, or on an upstream.

Makes the output directory, the links both ways and `pipeline/`. The last of these appears whole, by one
rename, so that a run is either nobody's or fully taken up, whatever is killed when.
"""

from __future__ import annotations

from pathlib import Path

from hesiod_watch import flags
from hesiod_watch.actions import Job, Outcome, command_of
from hesiod_watch.errors import PermanentError, TemporaryError
from hesiod_watch.model import LOCAL
from hesiod_watch.runlog import RunLog

BACK_LINK = "rundata"


def perform(job: Job) -> Outcome:
    """Raises TemporaryError when the output directory cannot be made, PermanentError when it is another run's."""
    output = job.config.output / job.run_dir.name
    try:
        output.mkdir(parents=False, exist_ok=True)
        _link_back(output / BACK_LINK, job.run_dir)
    except OSError as error:
        # A missing output root is a file system that is not mounted: making it would hide that.
        message = f"{job.run_dir.name}: cannot make its output directory {output}: {error.strerror}"
        raise TemporaryError(message) from error
    if job.upstream != LOCAL:
        _make_run(job)
    if not flags.adopt(job.run_dir, job.upstream, output, job.config.type_of(job.run_dir.name).name):
        return "nothing"
    log = RunLog(output / "pipeline.log")
    log.command(command_of(job))
    log.line(f"new run: {job.reason or 'taken up'}; results go to {output}")
    return "done"


def _make_run(job: Job) -> None:
    """The directory that the run's cells will be copied to. The landing area itself is never made."""
    try:
        if job.run_dir.parent != job.config.landing:
            job.run_dir.parent.mkdir(exist_ok=True)  # a batch
        job.run_dir.mkdir(exist_ok=True)
    except OSError as error:
        raise TemporaryError(f"{job.run_dir.name}: cannot make {job.run_dir}: {error.strerror}") from error


def _link_back(link: Path, run_dir: Path) -> None:
    try:
        link.symlink_to(run_dir, target_is_directory=True)
    except FileExistsError:
        target = link.readlink() if link.is_symlink() else None
        if target != run_dir:
            raise PermanentError(
                f"{link.parent} belongs to another run: {link} leads to {target or 'nothing, it is no link'}, "
                f"not to {run_dir}; rename one of the two runs"
            ) from None
