"""Sequencers over a real ssh: listing, faults, and the checks of the doctor.

An incomplete listing is never taken for a complete one.
"""

from __future__ import annotations

import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from sites import eventually
from ssh_sequencer import SshSequencer, cut, frozen
from sshd_pair import needs_sshd, signal_to
from upstream_cells import CELL, make_cell

from hesiod_watch.config import UpstreamSettings
from hesiod_watch.core.model import CellId
from hesiod_watch.host import process
from hesiod_watch.host.command import run
from hesiod_watch.remote import ssh
from hesiod_watch.remote.sequencer.checks import check_upstream
from hesiod_watch.remote.sequencer.listing import list_upstream

pytestmark = [
    pytest.mark.system,
    needs_sshd,
]


# Listing.


def test_listed_over_ssh_as_from_a_mount(sequencer: SshSequencer) -> None:
    """A listing over ssh has the same runs, cells and quarantined names as one from a mount."""
    make_cell(sequencer.run)
    make_cell(sequencer.data / "run 2", CellId("a", f"{CELL.name}.2"))
    for name in ("$(touch owned)", "`id`", "new\nline", "-rf", "#x", "a;b", "é", "'", '"', "\\"):
        make_cell(sequencer.data / name)
        make_cell(sequencer.run, CellId(name, CELL.name))
    over_ssh = list_upstream(sequencer.upstream())
    mounted = list_upstream(replace(sequencer.upstream(), location=str(sequencer.data)))
    assert over_ssh.problem == ""
    assert over_ssh.quarantined == mounted.quarantined
    assert len(over_ssh.quarantined) == 20
    assert [(run.experiment, run.cells) for run in over_ssh.runs] == [
        (run.experiment, run.cells) for run in mounted.runs
    ]
    assert [run.location for run in over_ssh.runs] == [
        f"hosta:{sequencer.data}/{name}" for name in ("My Exp", "run 2")
    ]


def test_noise_of_a_login_shell(sequencer: SshSequencer) -> None:
    """A login shell that prints a greeting does not disturb the listing."""
    make_cell(sequencer.run)
    assert list_upstream(sequencer.upstream(host="noisy-hosta")).runs[0].cells == (CELL,)


def key_changed(sequencer: SshSequencer) -> None:
    other = sequencer.pair.hostb.known.replace("hostb", "hosta", 1)
    (sequencer.pair.directory / "known_hosts").write_text(other)


def listed(sequencer: SshSequencer) -> bool:
    """Whether the upstream lists the run and its cell."""
    return [run.cells for run in list_upstream(sequencer.upstream()).runs] == [(CELL,)]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (frozen, "does not answer"),
        (cut, "does not answer"),
        (key_changed, "the host's key has changed"),
    ],
)
def test_unreachable_is_not_empty(
    fault: Callable[[SshSequencer], None], said: str, sequencer: SshSequencer
) -> None:
    """A failing sequencer is reported as a problem in time; after the fault it is listed again."""
    assert list_upstream(sequencer.upstream()).problem == ""
    make_cell(sequencer.run)
    end_connection(sequencer.upstream())
    known = (sequencer.pair.directory / "known_hosts").read_text()
    fault(sequencer)
    began = time.monotonic()
    listing = list_upstream(sequencer.upstream())
    took = time.monotonic() - began
    (sequencer.pair.directory / "known_hosts").write_text(known)
    assert said in listing.problem
    assert listing.runs == ()
    assert took < 25
    sequencer.host.thaw()
    sequencer.host.link.join()
    eventually(lambda: listed(sequencer), "it is listed again")


def end_connection(upstream: UpstreamSettings) -> None:
    """End the shared connection, so that the next command must connect."""
    control = ssh.control_path(upstream)
    assert control is not None
    command = ("ssh", *ssh.options(upstream, control), "-O", "exit", upstream.place.ssh_host)
    assert run(command, quiet=10).code == 0


@pytest.mark.parametrize("fault", [frozen, cut])
def test_fault_on_an_open_connection(
    fault: Callable[[SshSequencer], None], sequencer: SshSequencer
) -> None:
    """A freeze behind an open connection is noticed in time, and a new connection opens later."""
    make_cell(sequencer.run)
    assert list_upstream(sequencer.upstream()).problem == ""
    fault(sequencer)
    began = time.monotonic()
    assert list_upstream(sequencer.upstream()).problem
    assert time.monotonic() - began < 25
    sequencer.host.thaw()
    sequencer.host.link.join()
    eventually(lambda: listed(sequencer), "it is listed again")


def test_no_server_listens(sequencer: SshSequencer) -> None:
    """A refused connection is reported as refused, immediately."""
    config = sequencer.pair.directory / "no-server"
    config.write_text("Host *\n  HostName 127.0.0.1\n  Port 1\n")
    listing = list_upstream(sequencer.upstream(ssh_options=("-F", str(config))))
    assert "the host refuses the connection" in listing.problem


def test_rejected_key(sequencer: SshSequencer) -> None:
    """A rejected key needs a person, for listing and copying."""
    make_cell(sequencer.run)
    other = sequencer.host.directory / "host_key"
    config = sequencer.pair.directory / "other_key"
    text = (sequencer.pair.directory / "ssh_config").read_text()
    config.write_text(text.replace(f"{sequencer.pair.directory}/key", str(other)))
    upstream = sequencer.upstream(ssh_options=("-F", str(config)))
    assert "does not let us in" in list_upstream(upstream).problem
    copied = sequencer.copy(upstream)
    assert (copied.outcome, copied.verified) == ("failed", False)
    assert "does not let us in" in copied.why


def unknown_host(sequencer: SshSequencer) -> UpstreamSettings:
    (sequencer.pair.directory / "known_hosts").write_text("")
    return sequencer.upstream()


def changed_host(sequencer: SshSequencer) -> UpstreamSettings:
    key_changed(sequencer)
    return sequencer.upstream()


def rejected_key(sequencer: SshSequencer) -> UpstreamSettings:
    other = sequencer.host.directory / "host_key"
    config = sequencer.pair.directory / "other_key"
    text = (sequencer.pair.directory / "ssh_config").read_text()
    config.write_text(text.replace(f"{sequencer.pair.directory}/key", str(other)))
    return sequencer.upstream(ssh_options=("-F", str(config)))


def missing_key(sequencer: SshSequencer) -> UpstreamSettings:
    config = sequencer.pair.directory / "missing_key"
    text = (sequencer.pair.directory / "ssh_config").read_text()
    config.write_text(text.replace(f"{sequencer.pair.directory}/key", "/nowhere/key"))
    return sequencer.upstream(ssh_options=("-F", str(config)))


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        (unknown_host, "has no key of this host in {directory}/known_hosts"),
        (changed_host, "another key of the host is in {directory}/known_hosts"),
        (rejected_key, "with the key {host}/host_key"),
        (missing_key, "can read none of its files (/nowhere/key)"),
    ],
)
def test_user_key_file_and_command_are_named(
    fault: Callable[[SshSequencer], UpstreamSettings], named: str, sequencer: SshSequencer
) -> None:
    """A failed ssh names the user, the key or the file of host keys, and the command to try.

    The listing and the doctor say the same.
    """
    known = (sequencer.pair.directory / "known_hosts").read_text()
    try:
        upstream = fault(sequencer)
        problem = list_upstream(upstream).problem
        checks = check_results(sequencer, upstream)
    finally:
        (sequencer.pair.directory / "known_hosts").write_text(known)
    directory, host = sequencer.pair.directory, sequencer.host.directory
    user = process.user_name()
    for text in (problem, checks["reaches"][1]):
        assert named.format(directory=directory, host=host) in text
        assert f"the user {user}" in text
        assert f"sudo -u {user} ssh " in text
        assert f"{shlex.join(upstream.ssh_options)} hosta true" in text


def test_command_of_the_advice_repairs(sequencer: SshSequencer) -> None:
    """The command that removes a changed key works as printed."""
    make_cell(sequencer.run)
    file = sequencer.pair.directory / "known_hosts"
    known = file.read_text()
    try:
        problem = list_upstream(changed_host(sequencer)).problem
        command = problem.partition("remove the former key: ")[2].partition("; ")[0]
        words = shlex.split(command)
        assert words[:3] == ["sudo", "-u", process.user_name()]
        subprocess.run(words[3:], check=True, capture_output=True)
        assert "has no key of this host" in list_upstream(sequencer.upstream()).problem
    finally:
        file.write_text(known)


def test_forty_at_once(sequencer: SshSequencer) -> None:
    """Forty simultaneous commands share one connection; sshd's default limits refuse none."""
    make_cell(sequencer.run)
    before = sequencer.host.link.connections
    with ThreadPoolExecutor(40) as pool:
        upstream = sequencer.upstream(timeout=60)
        listings = list(pool.map(lambda _: list_upstream(upstream), range(40)))
    assert [listing.problem for listing in listings] == [""] * 40
    assert {listing.runs for listing in listings} == {listings[0].runs}
    assert sequencer.host.link.connections == before + 1


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_connection_that_died(sequencer: SshSequencer) -> None:
    """If the process of the shared connection died, another connection is opened."""
    make_cell(sequencer.run)
    assert list_upstream(sequencer.upstream()).problem == ""
    control = ssh.control_path(sequencer.upstream())
    assert control is not None
    reply = subprocess.run(
        ["ssh", *sequencer.pair.options, "-o", f"ControlPath={control}", "-O", "check", "hosta"],
        capture_output=True,
        text=True,
    ).stderr
    pid = int(reply.partition("pid=")[2].partition(")")[0])
    signal_to(pid, signal.SIGKILL)
    eventually(lambda: not running(pid), "it has died")
    assert list_upstream(sequencer.upstream()).problem == ""
    assert ssh.answers(control)


def test_without_a_place_for_the_socket(
    sequencer: SshSequencer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a directory for the socket, every command connects by itself."""
    make_cell(sequencer.run)
    monkeypatch.setattr(ssh, "_LONGEST_SOCKET", 0)
    before = sequencer.host.link.connections
    for _ in range(2):
        assert list_upstream(sequencer.upstream()).runs[0].cells == (CELL,)
    assert sequencer.host.link.connections == before + 2


@pytest.mark.slow
def test_five_hundred_runs(sequencer: SshSequencer) -> None:
    """One query on one connection lists five hundred runs of four cells within seconds."""
    for number in range(500):
        for cell in range(4):
            (
                sequencer.data
                / f"run{number}"
                / f"lib{cell // 2}"
                / f"20190710_172{cell}_1A_PAD3857{cell}_c6ded78b"
            ).mkdir(parents=True)
    before = sequencer.host.link.connections
    began = time.monotonic()
    listing = list_upstream(sequencer.upstream(timeout=60))
    assert time.monotonic() - began < 45
    assert sequencer.host.link.connections == before + 1
    assert (len(listing.runs), sum(len(run.cells) for run in listing.runs)) == (500, 2000)


# The doctor.


def check_results(
    sequencer: SshSequencer, upstream: UpstreamSettings
) -> dict[str, tuple[bool | None, str]]:
    return {
        check.name: (check.ok, check.says) for check in check_upstream(upstream, sequencer.landing)
    }


def test_doctor_of_a_healthy_upstream(sequencer: SshSequencer) -> None:
    """Every check of a healthy upstream succeeds and leaves no files."""
    make_cell(sequencer.run)
    checks = check_results(sequencer, sequencer.upstream("push"))
    assert list(checks) == ["reaches", "lists", "rsync", "clock", "writes"]
    assert [ok for ok, _ in checks.values()] == [True] * 5
    assert checks["lists"][1] == "1 run with 1 cell"
    assert list(check_results(sequencer, sequencer.upstream())) == [
        "reaches",
        "lists",
        "rsync",
        "clock",
    ]
    assert list(
        check_results(sequencer, replace(sequencer.upstream(), location=str(sequencer.data)))
    ) == [
        "reaches",
        "lists",
        "rsync",
    ]
    assert list(sequencer.landing.iterdir()) == []


@pytest.mark.parametrize(
    ("changed", "check", "said"),
    [
        ({"host": "noisy-hosta"}, "reaches", "prints `Welcome to your sequencer"),
        ({"location": "hosta:/no/such/directory"}, "reaches", "is not a directory there"),
        (
            {"location": "no-such-host.invalid:/data", "ssh_options": ()},
            "reaches",
            "cannot connect to no-such-host",
        ),
        (
            {"mode": "push", "landing_there": "/no/such/directory"},
            "writes",
            "is not the landing area",
        ),
        ({"mode": "push", "landing_there": "/proc"}, "writes", "is not the landing area"),
    ],
    ids=[
        "noisy-login-shell",
        "missing-directory",
        "unknown-host",
        "missing-landing-area",
        "other-directory-as-landing-area",
    ],
)
def test_doctor_names_the_problem(
    changed: dict[str, str], check: str, said: str, sequencer: SshSequencer
) -> None:
    """A problem is described in words, and an untried check is not reported as successful."""
    make_cell(sequencer.run)
    arguments: dict[str, object] = dict(changed)
    mode = str(arguments.pop("mode", "pull"))
    upstream = sequencer.upstream(mode, **arguments)  # type: ignore[arg-type]  # from a table
    checks = check_results(sequencer, upstream)
    assert checks[check][0] is False
    assert said in checks[check][1]
    if check == "reaches":
        assert {ok for name, (ok, _) in checks.items() if name != "reaches"} == {None}
    assert list(sequencer.landing.iterdir()) == []
