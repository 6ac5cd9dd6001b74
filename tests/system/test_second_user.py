"""Two accounts that may write in one landing area; only one of them may write the results."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sites import Site
from younger_files import end_with_summaries

from hesiod_watch.cli.simulator import SimulatedCell

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root, to run as two users"
    ),
]

RUN, LIBRARY, CELL = "20261122_TEST_alpha", "sample_A", "20261122_2210_1A_PAW00001_0a1b2c3d"
OTHER_USER = 65534


class SecondUser(Site):
    """The commands of another user at the same site."""

    def __init__(self, site: Site) -> None:
        self.__dict__.update(site.__dict__)

    def command(self, *arguments: str) -> list[str]:
        user = (f"--reuid={OTHER_USER}", f"--regid={OTHER_USER}", "--clear-groups")
        return ["setpriv", *user, *super().command(*arguments)]


@pytest.fixture
def shared() -> Iterator[Site]:
    """A site with one cell; every user may write in the landing area and read the rest."""
    with tempfile.TemporaryDirectory() as root:
        Path(root).chmod(0o755)
        site = Site(Path(root))
        (site.root / "tmp").chmod(0o1777)
        site.landing.chmod(0o777)
        SimulatedCell(site.landing, RUN, LIBRARY, CELL).write()
        site.run("perform", "new-run", RUN)
        for directory, _, _ in os.walk(site.landing):
            Path(directory).chmod(0o777)
        end_with_summaries(site.landing)
        yield site


def library_missing(site: Site) -> Path:
    return site.output / RUN


def cell_forbidden(site: Site) -> Path:
    place = site.output / RUN / LIBRARY / CELL
    place.mkdir(parents=True)
    return place


def ingest_forbidden(site: Site) -> Path:
    """Growing outputs of the first user, in a directory that both may write."""
    place = cell_forbidden(site)
    place.chmod(0o777)
    (place / ".ingest").mkdir(mode=0o755)
    return place / ".ingest"


@pytest.mark.parametrize("block", [library_missing, cell_forbidden, ingest_forbidden])
def test_user_without_the_right_to_write_results(
    shared: Site, block: Callable[[Site], Path]
) -> None:
    """The poll of another user claims nothing and names the directory and the user.

    The next poll of the right user finishes the cell.
    """
    forbidden, other = block(shared), SecondUser(shared)
    reported = [
        other.run("poll", check=1).stderr,
        other.run("perform", "process", RUN, CELL, check=1).stderr,
    ]
    for text in reported:
        assert "not claimed, because its results cannot be written" in text
        assert f"{forbidden} may not be written" in text
        assert f"(uid {OTHER_USER})" in text
    assert not {name for name in shared.flags(RUN) if "started" in name or "failed" in name}
    assert "is ready" in other.run("explain", RUN, CELL).stdout
    shared.run("poll")
    assert f"{CELL}.done" in shared.flags(RUN)
