"""Several hosts that submit jobs of one site: no job twice, one result for each cell."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from posed_hosts import WITHOUT, PosedHost, kill
from slurm_site import RUN, SlurmSite

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(WITHOUT), reason=WITHOUT),
]


class ServiceHost(PosedHost):
    """A posed host with a service of a site."""

    def watch(self, site: SlurmSite) -> None:
        self.service = self.start(site.command("watch"), site.environ, site.log)

    def crash(self) -> None:
        super().crash()
        if hasattr(self, "service"):
            self.service.wait()


@contextmanager
def hosts(site: SlurmSite, *names: str) -> Iterator[list[ServiceHost]]:
    """Hosts that see the site, inside the block."""
    posed = [
        ServiceHost(site.root / name, name, uuid.uuid4().hex, f"52:54:00:00:00:{number:02}")
        for number, name in enumerate(names, 1)
    ]
    try:
        for host in posed:
            host.boot()
        yield posed
    finally:
        for host in posed:
            host.stop()


def test_two_services_and_polls(cluster_site: SlurmSite) -> None:
    """Two services and polls, one of them killed: six cells are done, each by one job."""
    site = cluster_site
    with hosts(site, "alpha", "beta") as (alpha, beta):
        alpha.watch(site)
        beta.watch(site)
        cells = []
        for number in range(6):
            cells.append(site.land(number, run=f"{RUN}{number % 2}"))
            site.poll()
            if number == 2:
                alpha.crash()
                alpha.boot()
                alpha.watch(site)
        for cell in cells:
            site.wait_for(cell, "done", seconds=150)
        assert alpha.service.poll() is None
        assert beta.service.poll() is None
    assert list(site.jobs().values()) == [1] * 6
    assert [site.claims(cell) for cell in cells] == [1] * 6
    for cell in cells:
        assert site.record(cell, "started")["slurm_name"] in site.jobs()
        assert not site.has(cell, "failed")
    verified = list(site.jobs("verify").values())
    assert verified == [1] * len(verified)


def test_worker_killed_on_its_node(cluster_site: SlurmSite) -> None:
    """A worker is killed while two services and the polls of a third host look: one takes over."""
    site = cluster_site
    site.set_up(processing="attempt_pause: 1s")
    with site.full_output(), hosts(site, "alpha", "beta", "gamma") as (alpha, beta, gamma):

        def poll() -> None:
            """Poll once on the third host; it may say what needs a person."""
            gamma.start(site.command("poll"), site.environ, site.log).wait(120)

        alpha.watch(site)
        beta.watch(site)
        cells = [site.land_large(number) for number in range(2)]
        poll()
        killed, other = cells
        for cell in cells:
            site.wait_for(cell, "started.worker")
        # The nodes share the pids of this host.
        worker = site.record(killed, "started.worker")
        assert worker["pid"] in site.slurm.processes_of(worker["slurm_job"])
        assert kill(worker["pid"], signal.SIGKILL)
        poll()
        site.wait_for(killed, "started.2.worker")
        poll()
        assert not site.slurm.processes_of(worker["slurm_job"])
        site.make_space()
        for cell in cells:
            site.wait_for(cell, "done", seconds=150)
        poll()
        assert alpha.service.poll() is None
        assert beta.service.poll() is None
    assert "FAILED" in site.record(killed, "started.died")["reason"]
    assert [site.claims(cell) for cell in cells] == [2, 1]
    assert list(site.jobs().values()) == [1] * 3
    assert {worker["slurm_name"], site.record(other, "started")["slurm_name"]} < {*site.jobs()}


def test_other_host_takes_over(cluster_site: SlurmSite) -> None:
    """A job that ended without a service, and that the controller has forgotten, is taken over."""
    site = cluster_site
    site.set_up(processing="attempt_pause: 1s")
    with site.full_output(), hosts(site, "alpha", "beta") as (alpha, beta):
        alpha.watch(site)
        cell = site.land_large()
        site.wait_for(cell, "started.worker")
        name = site.record(cell, "started")["slurm_name"]
        alpha.crash()
        site.slurm.run("scancel", f"--name={name}")
        site.slurm.forget_after(2)
        site.becomes(name, "")
        beta.watch(site)
        site.make_space()
        site.wait_for(cell, "done")
    assert "CANCELLED" in site.record(cell, "started.died")["reason"]
    assert site.claims(cell) == 2
