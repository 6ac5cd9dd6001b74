"""Ends of Slurm jobs: which count as attempts, what is started again, and what a person reads."""

from __future__ import annotations

import pytest
from slurm_site import SlurmSite

from hesiod_watch.cli.simulator import SimulatedCell

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


def name_of(site: SlurmSite, cell: SimulatedCell, epoch: int = 1) -> str:
    """Name of the job of a claim."""
    return str(site.record(cell, "started" if epoch == 1 else f"started.{epoch}")["slurm_name"])


def test_preempted(cluster_site: SlurmSite) -> None:
    """A preempted job is started again, and does not count as an attempt."""
    site = cluster_site
    site.set_up(processing="attempts_per_day: 1")
    with site.full_output(), site.service():
        cell = site.land_large()
        for epoch in (1, 2):
            claim = "started" if epoch == 1 else f"started.{epoch}"
            site.wait_for(cell, f"{claim}.worker")
            high = site.slurm.run(
                *("sbatch", "--parsable", "--partition=high", "--nodes=2", "--exclusive"),
                *("--output=/dev/null", "--wrap=sleep 600"),
            )
            site.wait_for(cell, f"{claim}.yielded")
            assert "PREEMPTED" in site.record(cell, f"{claim}.yielded")["reason"]
            site.slurm.run("scancel", high)
        site.make_space()
        site.wait_for(cell, "done")
    assert not site.has(cell, "failed")
    assert site.claims(cell) == 3


def test_cancelled_while_pending(cluster_site: SlurmSite) -> None:
    """A job that is cancelled before it starts is no attempt, and the next one is submitted."""
    site = cluster_site
    site.set_up("options: [--hold]", "attempts_per_day: 1")
    cell = site.land()
    with site.service():
        site.wait_for(cell, "started")
        first = name_of(site, cell)
        site.becomes(first, "PENDING")
        site.slurm.run("scancel", f"--name={first}")
        site.wait_for(cell, "started.2")
        second = name_of(site, cell, 2)
        site.becomes(second, "PENDING")
        site.slurm.run("scontrol", "release", site.job_id(second))
        site.wait_for(cell, "done")
    assert "CANCELLED" in site.record(cell, "started.yielded")["reason"]
    assert site.jobs() == {first: 1, second: 1}


def test_cancelled_while_running(cluster_site: SlurmSite) -> None:
    """A running job that is cancelled counts as an attempt, which explain names."""
    site = cluster_site
    site.set_up(processing="attempts_per_day: 1")
    with site.full_output(), site.service():
        cell = site.land_large()
        site.wait_for(cell, "started.worker")
        name = name_of(site, cell)
        number = site.job_id(name)
        site.slurm.run("scancel", number)
        site.wait_for(cell, "failed")
        site.make_space()
        said = site.explain(cell)
    for word in (number, name, "CANCELLED", f"{site.output}/.hesiod-watch/slurm/{name}.log"):
        assert word in said.replace("\n", " ")
    assert site.claims(cell) == 1


def test_too_much_memory(cluster_site: SlurmSite) -> None:
    """A job that uses too much memory is an attempt, and its reason says so."""
    site = cluster_site
    site.set_up("memory: 10M", "attempts_per_day: 2, attempt_pause: 1s")
    cell = site.land()
    with site.service():
        site.wait_for(cell, "failed")
    for claim in ("started", "started.2"):
        reason = site.record(cell, f"{claim}.died")["reason"]
        assert "OUT_OF_MEMORY" in reason
        assert "slurm.memory" in reason
    assert site.claims(cell) == 2


@pytest.mark.slow
def test_time_limit(cluster_site: SlurmSite) -> None:
    """A job at its time limit is an attempt, and its reason says so."""
    site = cluster_site
    site.set_up("time: 1 min", "attempts_per_day: 1")
    with site.full_output(), site.service():
        cell = site.land_large()
        site.wait_for(cell, "started.worker")
        site.wait_for(cell, "failed", seconds=200)
    assert "TIMEOUT" in site.record(cell, "started.died")["reason"]


def test_lost_node(cluster_site: SlurmSite) -> None:
    """A worker on a node without contact keeps its cell, and finishes it."""
    site = cluster_site
    with site.full_output(), site.service():
        cell = site.land_large()
        site.wait_for(cell, "started.worker")
        name = name_of(site, cell)
        node = site.slurm.run("squeue", "-h", "-o", "%N", f"--name={name}")
        site.slurm.kill(node)
        site.becomes(name, "NODE_FAIL")
        site.eventually(lambda: "NODE_FAIL" in site.explain(cell), "explain says so")
        poll = site.poll()
        assert "Traceback" not in poll.stderr
        assert site.claims(cell) == 1
        site.make_space()
        site.wait_for(cell, "done")
    assert site.claims(cell) == 1
    assert len(site.jobs()) == 1


@pytest.mark.slow
def test_lost_node_comes_back(cluster_site: SlurmSite) -> None:
    """A cell is taken over when its lost node is back and has killed the worker, not before."""
    site = cluster_site
    site.set_up(processing="attempts_per_day: 1")
    with site.full_output(), site.service():
        cell = site.land_large()
        site.wait_for(cell, "started.worker")
        name = name_of(site, cell)
        number = site.job_id(name)
        node = site.slurm.run("squeue", "-h", "-o", "%N", f"--name={name}")
        site.slurm.kill(node)
        site.becomes(name, "NODE_FAIL")
        site.slurm.forget_after(2)
        site.becomes(name, "")

        def said() -> str:
            return " ".join(site.explain(cell).split())

        site.eventually(lambda: f"{node} does not respond" in said(), "explain says why")
        assert f"NODE_FAIL on {node}" in said()
        site.poll()
        assert site.slurm.processes_of(number)
        assert site.claims(cell) == 1
        site.slurm.up(node)
        site.wait_for(cell, "started.2", seconds=180)
        assert not site.slurm.processes_of(number)
        assert not site.has(cell, "done")
        site.make_space()
        site.wait_for(cell, "done")
    assert "lost its node (NODE_FAIL)" in site.record(cell, "started.yielded")["reason"]
    assert site.claims(cell) == 2
    assert not site.has(cell, "failed")


def test_refused(cluster_site: SlurmSite) -> None:
    """A job that Slurm refuses is reported with Slurm's reason, and started when it is accepted."""
    site = cluster_site
    site.set_up("partition: nosuch", "attempts_per_day: 1")
    cell = site.land()
    said = site.poll(check=1)
    assert "invalid partition" in said.stdout.lower() + said.stderr.lower()
    site.poll(check=1)
    assert not site.jobs()
    site.set_up(processing="attempts_per_day: 1")
    with site.service():
        site.wait_for(cell, "done")
    assert len(site.jobs()) == 1
    assert not site.has(cell, "failed")


@pytest.mark.parametrize("state", ["PENDING", "RUNNING"])
def test_aborted(cluster_site: SlurmSite, state: str) -> None:
    """A cell that is aborted loses its job, and gets no other."""
    site = cluster_site
    site.set_up("options: [--hold]" if state == "PENDING" else "")
    with site.full_output(), site.service():
        cell = site.land_large()
        site.wait_for(cell, "started" if state == "PENDING" else "started.worker")
        name = name_of(site, cell)
        site.becomes(name, state)
        site.run("abort", cell.run, cell.cell, "--why", "a test")
        site.becomes(name, "CANCELLED", "COMPLETED", "FAILED")
    assert site.jobs() == {name: 1}
    assert not site.has(cell, "done")


def test_released(cluster_site: SlurmSite) -> None:
    """A living job cannot be released; after the loss of its node it can, and another one works."""
    site = cluster_site
    with site.full_output(), site.service():
        cell = site.land_large()
        site.wait_for(cell, "started.worker")
        name = name_of(site, cell)
        refused = site.run("release", cell.run, cell.cell, "--why", "a test", check=1)
        assert "RUNNING" in refused.stderr
        retried = site.run("retry", cell.run, cell.cell, "--why", "a test", check=1)
        assert "RUNNING" in retried.stderr
        node = site.slurm.run("squeue", "-h", "-o", "%N", f"--name={name}")
        site.slurm.kill(node)
        site.becomes(name, "NODE_FAIL")
        said = site.run("release", cell.run, cell.cell, "--why", "the node is down").stdout
        assert f"NODE_FAIL on {node}" in said
        site.eventually(lambda: len(site.jobs()) == 2, "another job is submitted")
        site.make_space()
        site.wait_for(cell, "done")
    assert len(site.jobs()) == 2


def test_unwanted(cluster_site: SlurmSite) -> None:
    """The next look cancels the pending job of a cell that was aborted by hand."""
    site = cluster_site
    site.set_up("options: [--hold]")
    cell = site.land()
    with site.service():
        site.wait_for(cell, "started")
        site.becomes(name := name_of(site, cell), "PENDING")
        (site.landing / cell.run / "pipeline" / f"{cell.cell}.aborted").touch()
        site.becomes(name, "CANCELLED")
    assert len(site.jobs()) == 1
