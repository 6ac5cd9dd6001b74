"""Copies over an ssh that connects to this host: pulled by it, or pushed by the sequencer."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from fake_programs import FakePrograms, PreparedAnswer
from mounted_upstream import Place
from upstream_cells import CELL, make_cell

from hesiod_watch.config import UpstreamSettings
from hesiod_watch.core.errors import PermanentError, TemporaryError
from hesiod_watch.host.files import OpenDirectory
from hesiod_watch.remote.sequencer.copy_run_files import copy_run_files

pytestmark = pytest.mark.skipif(shutil.which("rsync") is None, reason="rsync is not installed")

MODES = ("pull", "push")
SHEET = "sample sheet [1].csv"


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakePrograms:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    programs = FakePrograms(tmp_path / "bin", monkeypatch)
    programs.connect_ssh_to_this_host()
    return programs


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    make_cell(place.there, odd=True)
    (place.there / SHEET).write_bytes(b"a\n")
    place.run = place.landing / "2026" / "20190710_EGS1_My_Exp"
    (tmp_path / "mounted there").symlink_to(place.landing)
    return place


def reached(place: Place, mode: str) -> UpstreamSettings:
    upstream = replace(place.upstream, location=f"prom:{place.there.parent}", timeout=20)
    if mode == "push":
        there = place.landing.parent / "mounted there"
        return replace(upstream, mode="push", landing_there=f"{there}/")
    return upstream


def copy_outside_of_cells(place: Place, upstream: UpstreamSettings) -> list[str]:
    run = OpenDirectory(place.run, place.landing, make=True)
    return copy_run_files(
        upstream, f"{upstream.location}/My Exp", [CELL], run, landing=place.landing, log=place.log
    )


@pytest.mark.parametrize("mode", MODES)
def test_a_run(programs: FakePrograms, place: Place, mode: str) -> None:
    """A cell and the files of its run arrive whole, each in the right directory."""
    upstream = reached(place, mode)
    copied = place.copy(upstream)
    assert (copied.outcome, copied.why, copied.verified) == ("done", "", True)
    assert copy_outside_of_cells(place, upstream) == []
    assert place.same()
    pushed = [words for words in programs.calls("ssh") if "nice -n 10 rsync " in words[-1]]
    assert bool(pushed) == (mode == "push")


@pytest.mark.parametrize("mode", MODES)
def test_one_connection(programs: FakePrograms, place: Place, mode: str) -> None:
    """A connection is opened first, and every later command uses it."""
    copy_outside_of_cells(place, reached(place, mode))
    first, *later = programs.calls("ssh")
    assert "-N" in first
    assert later
    (path,) = {word for word in first if word.startswith("ControlPath=")}
    assert all(path in words for words in later)
    assert not any("-N" in words for words in later)


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("ssh: connect to host prom port 22: Connection refused", TemporaryError),
        ("Host key verification failed.", PermanentError),
    ],
)
def test_no_connection(
    programs: FakePrograms, place: Place, said: str, error: type[Exception]
) -> None:
    """A connection that cannot be opened is tried again, or reported if that cannot help."""
    programs.prepare("ssh", PreparedAnswer(errors=said, code=255))
    with pytest.raises(error, match=r"cannot connect to prom: .*; "):
        copy_outside_of_cells(place, reached(place, "pull"))


def test_a_silent_host(programs: FakePrograms, place: Place) -> None:
    """A host that does not answer is tried again."""
    programs.install("ssh", '#!/bin/sh\n[ "$1" = -G ] || exec sleep 60\n')
    upstream = replace(reached(place, "pull"), timeout=0.1, connect_timeout=0.1)
    with pytest.raises(TemporaryError, match="cannot connect to prom: nothing came for 0 s"):
        copy_outside_of_cells(place, upstream)
