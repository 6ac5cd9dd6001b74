"""Messages of attention: the real program reports once when it begins and once when it ends."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from sites import Site

pytestmark = pytest.mark.system

RUN, LIBRARY = "20261122_TEST_blocked", "lib1"
CELL = "20261122_2210_1A_PAW00001_0a1b2c3d"


def messages(site: Site) -> list[str]:
    """Reported events of the run in order, those of attention with their kind."""
    place = site.landing / RUN / "pipeline" / "messages"
    links = sorted(path for path in place.iterdir() if path.name.isdigit())
    keys = [str(link.readlink()).split(".") for link in links]
    return [" ".join(key[:2]) if key[0].startswith("attention") else key[0] for key in keys]


def land(site: Site, *, files: int = 1) -> Path:
    """Write a cell without a final_summary."""
    cell = site.landing / RUN / LIBRARY / CELL
    cell.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        (cell / "fastq_pass").mkdir(exist_ok=True)
        (cell / "fastq_pass" / f"a_{number}.fastq").write_text(f"@r{number}\nACGT\n+\n5555\n")
    return cell


def end(site: Site) -> None:
    (site.landing / RUN / LIBRARY / CELL / "final_summary.txt").write_text(
        "fastq_files_in_final_dest=1\n"
    )


def quiet(site: Site) -> Callable[[], None]:
    site.configure(processing="workers: 2, quiet: 0s, ingest: false")
    land(site)
    return lambda: end(site)


def never_started(site: Site) -> Callable[[], None]:
    site.configure(processing="workers: 2, quiet: 0s")
    cell = land(site, files=0)
    return lambda: shutil.rmtree(cell)


def odd_name(site: Site) -> Callable[[], None]:
    land(site)
    odd = site.landing / RUN / "lib 2 (rerun)\x1b" / CELL.replace("PAW00001", "PAW00002")
    odd.mkdir(parents=True)
    return lambda: shutil.rmtree(odd.parent)


CASES = {"quiet": quiet, "never-started": never_started, "quarantined": odd_name}


@pytest.mark.parametrize("kind", CASES)
def test_one_message_at_the_beginning_and_one_at_the_end(site: Site, kind: str) -> None:
    """Any number of polls sends one message when something begins to need a person, and ends."""
    solve = CASES[kind](site)
    for _ in range(2):
        site.run("poll", check=1)
    assert messages(site)[:2] == ["run-new", f"attention {kind}"]
    text = site.run("messages", RUN, "--text").stdout
    assert "What you can do:" in text
    assert "\x1b" not in text
    solve()
    for _ in range(2):
        site.run("poll")
    sent = [name for name in messages(site) if name.startswith("attention")]
    assert sent == [f"attention {kind}", f"attention-ended {kind}"]
    assert f"This is over: {RUN}" in site.run("messages", RUN, "--text").stdout


def test_what_begins_again_is_reported_again(site: Site) -> None:
    """A second occurrence gets its own two messages."""
    for _ in range(2):
        solve = never_started(site)
        site.run("poll", check=1)
        solve()
        site.run("poll")
    sent = [name for name in messages(site) if name.startswith("attention")]
    assert sent == ["attention never-started", "attention-ended never-started"] * 2


def test_a_run_from_before_there_were_messages_stays_silent(site: Site) -> None:
    """A run that was finished before there were messages stays silent, also about a new name."""
    land(site)
    end(site)
    site.run("poll")
    shutil.rmtree(site.landing / RUN / "pipeline" / "messages")
    odd_name(site)
    site.run("poll", check=1)
    assert not (site.landing / RUN / "pipeline" / "messages").exists()
