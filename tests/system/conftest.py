"""Fixtures for tests that start the real thing."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from backup_mount import BackupMount
from sites import Site
from slurm_cluster import SlurmCluster
from slurm_site import SlurmSite
from sshd_pair import Pair, sshd_pair
from unprivileged import Unprivileged


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A new, empty site."""
    return Site(tmp_path)


@pytest.fixture
def unprivileged(tmp_path: Path) -> Iterator[Site]:
    """A new, empty site without privileges; afterwards pytest can remove all its directories."""
    root = tmp_path / "site"
    root.mkdir()
    yield Unprivileged(root)
    for directory, names, _ in os.walk(root):
        for name in names:
            path = Path(directory, name)
            if not path.is_symlink():
                path.chmod(0o755)


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[BackupMount]:
    """A file system of its own, for a backup."""
    mounted = BackupMount(tmp_path / "second")
    mounted.mount()
    try:
        yield mounted
    finally:
        mounted.close()


@pytest.fixture
def cluster_site(slurm: SlurmCluster) -> Iterator[SlurmSite]:
    """A new, empty site whose work is jobs; every node of the cluster sees it."""
    with tempfile.TemporaryDirectory(dir=slurm.shared) as root:
        yield SlurmSite(Path(root), slurm)


@pytest.fixture(scope="module")
def servers() -> Iterator[Pair]:
    """Two ssh servers for the tests of a file."""
    with sshd_pair() as pair:
        yield pair
