"""Two accounts that may write in one landing area; only one of them may write the results."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from second_user import needs_program_for_others
from sites import Site
from younger_files import end_with_summaries

from hesiod_watch.cli.simulator import SimulatedCell

pytestmark = [
    pytest.mark.system,
    needs_program_for_others,
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


def summary_unreadable(site: Site) -> Path:
    return next((site.landing / RUN / LIBRARY / CELL).glob("final_summary*"))


def upstream_unreadable(site: Site) -> Path:
    return site.landing / RUN / "pipeline" / "upstream"


def output_unreadable(site: Site) -> Path:
    return site.output


def output_of_run_unreadable(site: Site) -> Path:
    return site.output / RUN


DENIED: dict[str, tuple[Callable[[Site], Path], int]] = {
    "unreadable-summary": (summary_unreadable, 0),
    "upstream-unreadable": (upstream_unreadable, 0),
    "output-missing": (output_unreadable, 0),
    "no-results": (output_of_run_unreadable, 0),
    "not-permitted": (output_unreadable, 0o555),
}
"""Kind → what the user that works here owns, and its rights."""


@pytest.mark.parametrize("kind", DENIED)
def test_step_gives_the_missing_right(shared: Site, kind: str) -> None:
    """A missing right is reported, only steps that give it are offered, and the first one helps."""
    shared.configure(processing="workers: 2, grace: 0s")
    worker = SecondUser(shared)
    for directory, _, names in os.walk(shared.root):
        for name in (".", *names):
            os.chown(Path(directory, name), OTHER_USER, OTHER_USER, follow_symlinks=False)
    build, mode = DENIED[kind]
    place = build(shared)
    place.chmod(mode)
    found = json.loads(worker.run("status", "--attention", "--json", check=1).stdout)["attention"]
    (entry,) = (each for each in found if each["kind"] == kind)
    commands = [step.partition("it: ")[2] for step in entry["steps"]]
    assert [command.split()[0] for command in commands] == ["chmod", "setfacl"]
    assert str(place) in commands[0] or str(place.parent) in commands[0]
    assert "the user nobody" in entry["steps"][0]
    first = worker.run("explain", RUN, CELL, check=None).stdout.splitlines()[0]
    assert entry["sentence"] in first
    subprocess.run(shlex.split(commands[0]), check=True)
    left = json.loads(worker.run("status", "--attention", "--json", check=None).stdout)
    assert kind not in {each["kind"] for each in left["attention"]}
