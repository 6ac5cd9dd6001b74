"""The doctor tries Slurm with jobs on its nodes."""

from __future__ import annotations

from pathlib import Path

import pytest
from slurm_site import SlurmSite

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


def test_doctor(cluster_site: SlurmSite, root: Path) -> None:
    """The doctor tries a job in each partition, and finds a node that has other directories."""
    site = cluster_site
    site.set_up("per_action: {backup: {partition: high}}")
    found = [line for line in site.run("doctor").stdout.splitlines() if " slurm " in line]
    assert [line.split()[0] for line in found] == ["good"] * 3
    assert "proctrack/cgroup" in found[0]
    assert "high" in found[2]
    other = SlurmSite(root, site.slurm)
    with other.full_output():  # mounted on this host alone
        said = other.run("doctor", check=1).stdout
    assert f"nothing that it writes in {other.output} is seen here" in said
    site.set_up("partition: nosuch")
    assert "invalid partition" in site.run("doctor", check=1).stdout.lower()
    site.slurm.freeze("slurmctld")
    assert "Slurm does not answer" in site.run("doctor", check=1).stdout
