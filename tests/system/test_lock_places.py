"""Directories for locks that another user made first, or that cannot be used."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from deep_trees import remove
from sites import Site

from hesiod_watch.cli.simulator import SimulatedCell

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make directories of other users"),
]

RUN, LIBRARY, CELL = "20261122_TEST_alpha", "sample_A", "20261122_2210_1A_PAW00001_0a1b2c3d"
OTHER_USER = 65534
BELONGS = f"is not used: it belongs to the user with uid {OTHER_USER}"


def name_of(site: Site) -> str:
    digest = hashlib.sha256(os.fsencode(site.landing)).hexdigest()[:12]
    return f"hesiod-watch-{os.getuid()}-{digest}"


def squat(place: Path) -> None:
    """Make a directory as another user."""
    place.mkdir(mode=0o777)
    os.chown(place, OTHER_USER, OTHER_USER)


@pytest.fixture
def squatted(site: Site) -> Iterator[Site]:
    """A site with one cell; another user made the directory of its locks in advance."""
    SimulatedCell(site.landing, RUN, LIBRARY, CELL).write()
    squat(site.root / "tmp" / name_of(site))
    yield site
    remove(Path("/var/tmp") / name_of(site))


def done(site: Site) -> bool:
    return f"{CELL}.done" in site.flags(RUN)


def test_squatted_directory_is_skipped(squatted: Site) -> None:
    """Work continues with locks in the next directory; poll, doctor and the service report it."""
    reported = squatted.run("poll", check=1).stderr
    [line] = [line for line in reported.splitlines() if line.startswith("hesiod-watch: ")]
    assert f"{squatted.root / 'tmp' / name_of(squatted)} {BELONGS}" in line
    assert f"the locks are in /var/tmp/{name_of(squatted)} instead" in line
    assert done(squatted)
    assert (Path("/var/tmp") / name_of(squatted) / "process-0").exists()
    assert BELONGS in squatted.run("doctor", check=None).stdout
    with squatted.service():
        squatted.eventually(lambda: squatted.logged(BELONGS) == 1, "the service says it")
    assert squatted.run("explain", RUN, CELL).stderr == ""


def test_no_directory_is_usable(squatted: Site) -> None:
    """No worker starts; poll, doctor, explain and plan give the reason in one sentence."""
    squat(Path("/var/tmp") / name_of(squatted))
    SimulatedCell(squatted.landing, f"{RUN}_2", LIBRARY, CELL).write()
    reported = squatted.run("poll", check=1).stderr
    [line] = [line for line in reported.splitlines() if line.startswith("hesiod-watch: ")]
    assert "no worker can start on this host" in line
    assert line.count(BELONGS) == 2
    assert "set `locks` in the configuration" in line
    assert f"{CELL}.started" not in squatted.flags(RUN)
    assert "no worker can start" in squatted.run("doctor", check=1).stdout
    for command in (("explain", RUN), ("plan",)):
        assert "no worker can start" in squatted.run(*command, check=None).stderr
    locks = squatted.root / "locks"
    locks.mkdir(mode=0o700)
    squatted.configure(more=f"locks: {locks}\n")
    assert squatted.run("poll").stderr.startswith("hesiod-watch: solved: ")
    assert squatted.run("poll").stderr == ""
    assert done(squatted)
    assert (locks / name_of(squatted) / "process-0").exists()


@pytest.mark.parametrize("fault", ["missing", "file", "open to all", "squatted"])
def test_configured_directory_that_is_unusable(site: Site, fault: str) -> None:
    """A configured directory that is unsafe or missing is skipped and reported."""
    SimulatedCell(site.landing, RUN, LIBRARY, CELL).write()
    locks = site.root / "locks"
    site.configure(more=f"locks: {locks}\n")
    match fault:
        case "file":
            locks.touch()
        case "open to all":
            locks.mkdir()
            locks.chmod(0o777)
        case "squatted":
            locks.mkdir()
            locks.chmod(0o1777)
            squat(locks / name_of(site))
    reported = site.run("poll", check=1).stderr
    [line] = [line for line in reported.splitlines() if line.startswith("hesiod-watch: ")]
    assert f"{locks}" in line
    assert f"the locks are in {site.root / 'tmp' / name_of(site)} instead" in line
    assert done(site)


def test_same_directory_with_and_without_a_session(site: Site) -> None:
    """Variables of a session do not count: the service, cron and a person share locks."""
    SimulatedCell(site.landing, RUN, LIBRARY, CELL).write()
    session = site.root / "session"
    session.mkdir(mode=0o700)
    site.environ |= {"XDG_RUNTIME_DIR": str(session), "RUNTIME_DIRECTORY": str(session)}
    site.run("poll")
    assert list(session.iterdir()) == []
    assert (site.root / "tmp" / name_of(site) / "process-0").exists()
