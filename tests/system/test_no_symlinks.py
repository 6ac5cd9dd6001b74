"""An output area on a file system without symbolic links."""

from __future__ import annotations

import os

import pytest
from sites import Site
from traced import needs_strace

from hesiod_watch.cli.simulator import SimulatedCell

pytestmark = [pytest.mark.system, needs_strace]

RUN, LIBRARY, CELL = "20261122_TEST_alpha", "sample_A", "20261122_2210_1A_PAW00001_0a1b2c3d"
SENTENCE = "is on a file system that cannot store symbolic links (vfat, some SMB mounts)"


class Linkless(Site):
    """A site whose commands run on a kernel that refuses symbolic links with `error`."""

    error = ""

    def command(self, *arguments: str) -> list[str]:
        command = super().command(*arguments)
        if not self.error:
            return command
        fault = f"inject=symlink,symlinkat:error={self.error}"
        return ["strace", "-f", "-qq", "-o", os.devnull, "-e", fault, *command]


@pytest.mark.parametrize("error", ["EPERM", "EOPNOTSUPP", "ENOSYS"])
@pytest.mark.parametrize("used", [False, True], ids=["new area", "area in use"])
def test_output_without_symbolic_links(site: Site, error: str, used: bool) -> None:
    """Poll and doctor say what is wrong and what helps; in a new area, explain says it too.

    After the file system has been exchanged the next poll processes the cell.
    """
    if used:
        SimulatedCell(site.landing, f"{RUN}_1", LIBRARY, CELL).write()
        site.run("poll")
    SimulatedCell(site.landing, RUN, LIBRARY, CELL).write()
    linkless = Linkless.__new__(Linkless)
    linkless.__dict__.update(site.__dict__)
    linkless.error = error
    polled = linkless.run("poll", check=1 if used else 75)
    assert SENTENCE in polled.stderr
    assert "mfsymlinks" in polled.stderr
    assert "Operation not permitted" not in polled.stderr
    assert f"{site.output} {SENTENCE}" in linkless.run("doctor", check=1).stdout
    assert "pipeline" not in os.listdir(site.landing / RUN)
    if not used:
        for command in (("explain", RUN), ("plan",), ("status",)):
            shown = linkless.run(*command, check=None)
            assert SENTENCE in shown.stdout + shown.stderr
    site.run("poll")
    assert f"{CELL}.done" in site.flags(RUN)
    host = os.uname().nodename
    files = {"index.html", "metrics.prom", "settled-runs.json", "first-look.json"}
    files.add(f"{host}-poll.json")
    files |= {f"{host}-poll-printed.json"} if used else set()  # the first poll printed a problem
    assert set(os.listdir(site.output / ".hesiod-watch")) == {
        "output",
        "cells",
        "recent-cells",
        *files,
    }
