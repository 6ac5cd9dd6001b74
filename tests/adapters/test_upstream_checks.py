"""Checks of an upstream by the doctor, with an ssh that connects to this host."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fake_programs import FakePrograms, PreparedAnswer
from upstream_cells import CELL, make_cell

from hesiod_watch.config import UpstreamSettings
from hesiod_watch.core.check import Check
from hesiod_watch.remote.sequencer.checks import check_upstream

pytestmark = pytest.mark.skipif(shutil.which("rsync") is None, reason="rsync is not installed")

NOT_TRIED = "not tried, because it cannot be reached"
MODES = {
    # mode: the checks after the first one
    "mounted": ("lists", "rsync"),
    "pull": ("lists", "rsync", "clock"),
    "push": ("lists", "rsync", "clock", "writes"),
}


class CheckedUpstream:
    """An upstream on this host, in each of the modes, and the landing area."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(root))
        self.programs = FakePrograms(root / "bin", monkeypatch)
        self.programs.connect_ssh_to_this_host("user prom\nhostname prom.example\n")
        self.there = root / "there"
        self.landing = root / "landing"
        self.landing_there = root / "landing there"
        self.there.mkdir()
        self.landing.mkdir()
        self.landing_there.symlink_to(self.landing)

    def settings(self, mode: str) -> UpstreamSettings:
        host = "" if mode == "mounted" else "prom:"
        upstream = UpstreamSettings("prom", f"{host}{self.there}", timeout=5, connect_timeout=5)
        if mode == "push":
            return replace(upstream, mode="push", landing_there=str(self.landing_there))
        return upstream

    def check(self, mode: str = "push") -> dict[str, Check]:
        checks = check_upstream(self.settings(mode), self.landing)
        return {check.name: check for check in checks}


@pytest.fixture
def upstream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CheckedUpstream:
    return CheckedUpstream(tmp_path, monkeypatch)


def test_local(upstream: CheckedUpstream) -> None:
    """A sequencer that writes into the landing area needs no check."""
    assert check_upstream(UpstreamSettings("local", "LOCAL"), upstream.landing) == ()


@pytest.mark.parametrize("mode", MODES)
def test_good(upstream: CheckedUpstream, mode: str) -> None:
    """A good upstream passes each check that its mode needs, and no file is left behind."""
    make_cell(upstream.there / "run 1")
    before = set(upstream.there.rglob("*"))
    checks = upstream.check(mode)
    assert tuple(checks) == ("reaches", *MODES[mode])
    assert all(check.ok is True for check in checks.values()), checks
    assert checks["lists"].says == "1 run with 1 cell"
    if "clock" in checks:
        assert checks["clock"].says == "its clock and ours agree to 1 s"
    if "writes" in checks:
        shown = f"{upstream.landing_there} on the sequencer is the landing area"
        assert checks["writes"].says == f"{shown} {upstream.landing}, and can be written"
    where = upstream.there if mode == "mounted" else f"prom:{upstream.there}"
    assert checks["reaches"].says.startswith(f"{where} answers in 0.")
    assert (" there" in checks["rsync"].says) == (mode != "mounted")
    assert " here" in checks["rsync"].says
    assert not list(upstream.landing.iterdir())
    assert set(upstream.there.rglob("*")) == before


@pytest.mark.parametrize("mode", MODES)
def test_missing(upstream: CheckedUpstream, mode: str) -> None:
    """A directory that is missing is named, and nothing else is tried."""
    upstream.there.rmdir()
    checks = upstream.check(mode)
    assert checks.pop("reaches") == Check(
        "reaches", False, f"{upstream.there} is not a directory there"
    )
    assert checks == {name: Check(name, None, NOT_TRIED) for name in MODES[mode]}


@pytest.mark.parametrize("opens", [False, True], ids=["first connection", "later command"])
def test_no_connection(upstream: CheckedUpstream, opens: bool) -> None:
    """Without a connection the reason and advice are given, and nothing else is tried."""
    refused = PreparedAnswer(
        errors="ssh: connect to host prom port 22: Connection refused", code=255
    )
    upstream.programs.prepare(
        "ssh", *([""] if opens else []), refused, "user prom\nhostname prom.example\n"
    )
    checks = upstream.check()
    reaches = checks.pop("reaches")
    assert reaches.ok is False
    assert "the host refuses the connection" in reaches.says
    assert "logs in as prom of prom.example; try: " in reaches.says
    assert ("cannot connect to prom: " in reaches.says) != opens
    assert checks == {name: Check(name, None, NOT_TRIED) for name in MODES["push"]}


@pytest.mark.parametrize("code", [0, 1])
def test_a_shell_that_prints(upstream: CheckedUpstream, code: int) -> None:
    """A login shell that prints something is found, because rsync cannot work with it."""
    upstream.programs.prepare("ssh", "", PreparedAnswer("Welcome!\n" * 20, code=code))
    reaches = upstream.check("pull")["reaches"]
    banner = ("Welcome!\\n" * 20)[: 60 + 6]
    assert reaches.ok is False
    assert reaches.says == f"prom prints `{banner}` at every login, and this breaks rsync"


def test_a_query_that_fails(upstream: CheckedUpstream) -> None:
    """A host on which the first command fails is not reached, with the words of the failure."""
    upstream.programs.prepare("ssh", "", PreparedAnswer(errors="account is locked\n", code=3))
    reaches = upstream.check("pull")["reaches"]
    assert (reaches.ok, "account is locked" in reaches.says) == (False, True)


def misplace(there: Path, count: int) -> None:
    for number in range(count):
        (there / f"run{number}" / "a" / "b" / CELL.name / "fastq_pass").mkdir(parents=True)


@pytest.mark.parametrize("count", [3, 4])
def test_misplaced_cells(upstream: CheckedUpstream, count: int) -> None:
    """Data at a wrong place are an error; three of them are named."""
    misplace(upstream.there, count)
    lists = upstream.check("mounted")["lists"]
    assert lists.ok is False
    assert lists.says.count(CELL.name) >= 3
    assert ("; and 1 more" in lists.says) == (count == 4)


def test_names_that_are_not_touched(upstream: CheckedUpstream) -> None:
    """Runs, cells and quarantined names are counted."""
    make_cell(upstream.there / "run 1")
    make_cell(upstream.there / "run 2")
    (upstream.there / "a\nb").mkdir()
    lists = upstream.check("mounted")["lists"]
    assert lists == Check("lists", True, "2 runs with 2 cells, and 1 name not to be touched")


def test_an_incomplete_list(upstream: CheckedUpstream) -> None:
    """An upstream that cannot be listed fails that check, and the others are tried."""
    upstream.programs.prepare("find", PreparedAnswer(errors="find: broken\n", code=1))
    checks = upstream.check("mounted")
    assert [(name, check.ok) for name, check in checks.items()] == [
        ("reaches", True),
        ("lists", False),
        ("rsync", True),
    ]
    assert "find: broken" in checks["lists"].says


@pytest.mark.parametrize(
    ("shift", "ok"),
    [(0, True), (50, True), (-50, True), (75, False), (-75, False), (3600, False)],
)
def test_clocks(upstream: CheckedUpstream, shift: int, ok: bool) -> None:
    """A clock that differs by more than a minute, in either direction, needs a person."""
    upstream.programs.prepare("date", f"{int(time.time()) + shift}\n")
    clock = upstream.check("pull")["clock"]
    assert clock.ok is ok
    found = [int(word) for word in clock.says.split() if word.isdecimal()]
    assert len(found) == 1
    assert abs(found[0] - abs(shift)) <= 10
    assert upstream.programs.calls("date") == [["+%s"]]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (PreparedAnswer("soon\n"), "it says something else"),
        (PreparedAnswer(errors="date: no\n", code=4), "exit code 4: date: no"),
    ],
)
def test_no_time(upstream: CheckedUpstream, answer: PreparedAnswer, why: str) -> None:
    """A time that cannot be read is a problem with its reason."""
    upstream.programs.prepare("date", answer)
    clock = upstream.check("pull")["clock"]
    assert clock.ok is False
    assert clock.says.startswith("its time cannot be read: ")
    assert clock.says.endswith(why)


def other_directory(upstream: CheckedUpstream) -> None:
    upstream.landing_there.unlink()
    upstream.landing_there.mkdir()


def other_content(upstream: CheckedUpstream) -> None:
    upstream.programs.prepare("cat", "another file")


def no_right(upstream: CheckedUpstream) -> None:
    upstream.programs.prepare("mkdir", PreparedAnswer(errors="mkdir: Permission denied\n", code=1))


def not_here(upstream: CheckedUpstream) -> None:
    upstream.landing.rmdir()


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (other_directory, "{there} on the sequencer is not the landing area {here}: "),
        (other_content, "{there} on the sequencer is not the landing area {here}: it says"),
        (no_right, "{there} on the sequencer cannot be written: the query ended with exit code 1"),
        (not_here, "{here} cannot be written on this host: No such file or directory"),
    ],
)
def test_a_landing_area_that_differs(
    upstream: CheckedUpstream, fault: Callable[[CheckedUpstream], None], says: str
) -> None:
    """A push needs the same landing area on both hosts, and the right to write there."""
    fault(upstream)
    writes = upstream.check()["writes"]
    assert writes.ok is False
    assert writes.says.startswith(says.format(there=upstream.landing_there, here=upstream.landing))
    assert not upstream.landing.exists() or not list(upstream.landing.iterdir())


def test_an_old_rsync(upstream: CheckedUpstream) -> None:
    """rsync is asked for its version on both sides, and an old one is found."""
    upstream.programs.prepare(
        "rsync", "rsync  version 3.2.7  protocol\n", "rsync  version 3.0.9  protocol\n"
    )
    assert upstream.check("pull")["rsync"] == Check(
        "rsync", False, "rsync there is 3.0.9; 3.1 or later is needed"
    )
    assert upstream.programs.calls("rsync") == [["--version"], ["--version"]]
