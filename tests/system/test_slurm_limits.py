"""Limits on the number of Slurm jobs: those of the configuration, and those of an account."""

from __future__ import annotations

from functools import partial

import pytest
from slurm_site import RUN, SlurmSite

from hesiod_watch.cli.simulator import SimulatedCell

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


def is_done(site: SlurmSite, cell: SimulatedCell) -> bool:
    """Whether a cell is done; if not, let every job start."""
    for name, state in site.states().items():
        if state == "PENDING":
            site.slurm.run("scontrol", "release", site.job_id(name), check=False)
    return site.has(cell, "done")


def test_limits(cluster_site: SlurmSite) -> None:
    """There are no more jobs than allowed, in total and of a run, also after a restart."""
    site = cluster_site
    site.set_up("options: [--hold], most_jobs: 3, most_jobs_of_a_run: 2, actions: [process]")
    cells = [site.land(number, run=f"{RUN}{number // 3}") for number in range(6)]

    def claimed(run: int) -> int:
        return sum(site.has(cell, "started") for cell in cells[3 * run : 3 * run + 3])

    for _ in range(2):
        with site.service():
            site.eventually(lambda: len(site.jobs()) == 3, "as many jobs as allowed")
            site.poll()
        assert len(site.jobs()) == 3
        assert sorted((claimed(0), claimed(1))) == [1, 2]
    with site.service():
        for cell in cells:
            site.eventually(partial(is_done, site, cell), "it is done")
    assert list(site.jobs().values()) == [1] * 6
    assert [site.claims(cell) for cell in cells] == [1] * 6


def test_full_account(cluster_site: SlurmSite) -> None:
    """A QOS without room for another job delays a cell, and alarms no person."""
    site = cluster_site
    site.set_up("account: lab, qos: narrow, actions: [process]", "attempts_per_day: 1")
    cells = [site.land(number) for number in range(2)]
    with site.service():
        for cell in cells:
            site.wait_for(cell, "done", seconds=150)
    assert not any(site.has(cell, "failed") for cell in cells)
    assert "WARNING" not in site.log.read_text()
    assert len(site.jobs()) == 2
