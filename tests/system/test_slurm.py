"""Work as jobs of a real Slurm: each cell is processed once, whatever happens to its job."""

from __future__ import annotations

import pytest
from mounts import in_memory
from slurm_site import RUN, SlurmSite

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


def test_a_cell_becomes_a_job(cluster_site: SlurmSite) -> None:
    """The service processes and backs up a cell with one job for each, and leaves no claim open."""
    site = cluster_site
    site.set_up(more=f"backups: {{second: {{location: {site.root}/second}}}}\n")
    cell = site.land()
    with in_memory(site.root / "second"), site.service():
        site.run("backup-init", "second")
        site.wait_for(cell, "done")
        site.wait_for(cell, "backup.done")
        site.eventually(lambda: site.has(cell, "backup-job.done"), "the job has ended")
        site.eventually(lambda: "backup-job.done" in site.flags(RUN), "the run is backed up")
    worker = site.record(cell, "started.worker")
    assert worker["executor"] == "slurm"
    assert worker["slurm_name"] == site.record(cell, "started")["slurm_name"]
    assert worker["slurm_job"] == site.job_id(worker["slurm_name"])
    assert list(site.jobs().values()) == [1]
    assert list(site.jobs("backup").values()) == [1, 1]
    assert site.claims(cell) == 1


def test_poll_leaves_its_jobs(cluster_site: SlurmSite) -> None:
    """Polls submit a job once, and do not wait for it; a later one finds it by its name."""
    site = cluster_site
    site.set_up("options: [--hold]")
    cell = site.land()
    for _ in range(3):
        assert "Traceback" not in site.poll().stderr
        assert list(site.states().values()) == ["PENDING"]
    (name,) = site.jobs()
    assert name == site.record(cell, "started")["slurm_name"]
    assert "PENDING" in site.explain(cell)
    site.slurm.run("scontrol", "release", site.job_id(name))
    site.wait_for(cell, "done")
    site.set_up()
    site.poll(check=0)
    assert site.claims(cell) == 1
    assert len(site.jobs()) == 1


def test_restarts_submit_nothing_twice(cluster_site: SlurmSite) -> None:
    """Killed services and polls leave one pending job, which then does the work."""
    site = cluster_site
    site.set_up("options: [--hold]")
    cell = site.land()
    for _ in range(3):
        service = site.start_service()
        try:
            site.eventually(lambda: len(site.jobs()) == 1, "a job is submitted")
            site.poll()
        finally:
            service.kill()
            service.wait()
    (name,) = site.jobs()
    with site.service():
        site.slurm.run("scontrol", "release", site.job_id(name))
        site.wait_for(cell, "done")
    assert site.claims(cell) == 1
    assert site.jobs() == {name: 1}


@pytest.mark.parametrize("restart", [False, True], ids=["alive", "restarted"])
def test_lost_answer(cluster_site: SlurmSite, restart: bool) -> None:
    """A job whose submission was not answered is found by its name."""
    site = cluster_site
    site.set_up("options: [--hold], most_jobs: 5")
    site.land(0)
    service = site.start_service()
    try:
        site.eventually(lambda: len(site.jobs()) == 1, "Slurm answers")
        site.lose_next_answer()
        second = site.land(1)
        site.eventually(lambda: site.logged("submitted without an answer") > 0, "it is lost")
        if restart:
            service.kill()
            service.wait()
        site.slurm.thaw("slurmctld")
        if restart:
            service = site.start_service()
        site.eventually(lambda: len(site.jobs()) == 2, "the job is there")
        name = site.record(second, "started")["slurm_name"]
        site.slurm.run("scontrol", "release", site.job_id(name))
        site.wait_for(second, "done")
        assert site.claims(second) == 1
        assert site.jobs()[name] == 1
    finally:
        service.kill()
        service.wait()


def test_job_that_does_not_begin(cluster_site: SlurmSite) -> None:
    """A job that does not begin within the grace period needs a person, with Slurm's reason."""
    site = cluster_site
    site.set_up("options: [--hold]", "grace: 1s")
    cell = site.land()
    site.poll()
    site.wait_for(cell, "started")

    def said() -> str:
        return site.run("status", "--attention", check=None).stdout

    site.eventually(lambda: "its job has not begun" in said(), "it is reported")
    assert "JobHeldUser" in said()
    assert f"scancel --name={site.record(cell, 'started')['slurm_name']}" in site.explain(cell)


def test_requeued_job_that_is_held(cluster_site: SlurmSite) -> None:
    """A job that is requeued and held after its worker began needs a person; then one goes on."""
    site = cluster_site
    site.set_up(processing="grace: 1s, attempt_pause: 1s")
    with site.full_output(), site.service():
        cell = site.land_large()
        site.wait_for(cell, "started.worker")
        number = site.record(cell, "started.worker")["slurm_job"]
        site.slurm.run("scontrol", "update", f"JobId={number}", "Requeue=1")
        site.slurm.run("scontrol", "requeuehold", number)

        def said() -> str:
            return site.run("status", "--attention", check=None).stdout

        site.eventually(lambda: "its job has not begun" in said(), "it is reported")
        assert "job-waiting" in said()
        site.eventually(lambda: site.logged("job-waiting") > 0, "the service reports it")
        site.make_space()
        site.slurm.run("scontrol", "release", number)
        site.wait_for(cell, "done", seconds=150)
    assert not site.slurm.processes_of(number)


def test_silent_accounting(cluster_site: SlurmSite) -> None:
    """A cell whose forgotten job only the accounting knows waits for it, and a person reads why."""
    site = cluster_site
    site.set_up(processing="attempt_pause: 1s")
    with site.full_output():
        cell = site.land_large()
        site.poll()
        site.wait_for(cell, "started.worker")
        worker = site.record(cell, "started.worker")
        assert "accounting" not in site.run("status", "--attention", check=None).stdout
        site.slurm.down("slurmdbd")
        site.slurm.run("scancel", worker["slurm_job"])
        site.slurm.forget_after(2)
        site.becomes(worker["slurm_name"], "")
        said = site.poll(check=1)
        assert "Slurm's accounting does not answer" in said.stdout + said.stderr
        said = site.run("status", "--attention", check=1)
        assert "accounting-silent" in said.stdout
        assert site.claims(cell) == 1
        site.slurm.up("slurmdbd")
        site.make_space()
        with site.service():
            site.wait_for(cell, "done", seconds=150)
    assert "CANCELLED" in site.record(cell, "started.died")["reason"]


def test_silent_controller(cluster_site: SlurmSite) -> None:
    """While Slurm does not answer, nothing is started or declared dead, and a person reads why."""
    site = cluster_site
    site.set_up("options: [--hold]")
    cell = site.land()
    site.poll()
    site.slurm.down("slurmctld")
    site.land(1)
    said = site.poll(check=1)
    assert "Slurm does not answer" in said.stdout + said.stderr
    assert "is unknown" not in said.stdout + said.stderr
    assert "Slurm does not answer" in site.run("status", "--attention", check=1).stdout
    site.slurm.up("slurmctld")
    site.eventually(lambda: len(site.jobs()) == 1, "the controller is back")
    site.poll()
    assert site.claims(cell) == 1
    assert list(site.jobs().values()) == [1, 1]


@pytest.mark.slow
def test_submission_that_never_arrived(cluster_site: SlurmSite) -> None:
    """A claim whose job Slurm never got is given up after a minute, and is no attempt."""
    site = cluster_site
    site.set_up(processing="attempts_per_day: 1")
    site.land(0)
    with site.service():
        site.eventually(lambda: len(site.jobs()) == 1, "Slurm answers")
        site.lose_next_answer()
        cell = site.land(1)
        site.eventually(lambda: site.logged("submitted without an answer") > 0, "it is lost")
        site.slurm.kill("slurmctld")
        site.slurm.up("slurmctld")
        site.wait_for(cell, "done", seconds=180)
        assert site.has(cell, "started.yielded")
    assert site.claims(cell) == 2
    assert not site.has(cell, "failed")
