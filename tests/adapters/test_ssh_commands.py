"""Commands of ssh and its shared connection: options, quoting, the socket's place and its end."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import stat
import subprocess
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from fake_programs import FakePrograms

from hesiod_watch.config import EndpointSettings
from hesiod_watch.host import process
from hesiod_watch.host.command import run
from hesiod_watch.remote import ssh

FAR = EndpointSettings("x", "prom@host:/data", timeout=60, connect_timeout=2.5)
KEY = ("-i", "/etc/key")


def values(words: tuple[str, ...]) -> dict[str, str]:
    """Values of `-o`, of which the first one counts for ssh."""
    found: dict[str, str] = {}
    for flag, word in pairwise(words):
        if flag == "-o":
            key, _, value = word.partition("=")
            found.setdefault(key, value)
    return found


@pytest.mark.parametrize(
    ("timeout", "interval"), [(60, "15"), (7.5, "1"), (1, "1"), (8, "2"), (11, "2")]
)
def test_a_frozen_host_is_detected(timeout: float, interval: str) -> None:
    """ssh never asks a question, and gives up a frozen host within the configured limits."""
    assert values(ssh.options(replace(FAR, timeout=timeout), None)) == {
        "BatchMode": "yes",
        "ControlMaster": "no",
        "ControlPath": "none",
        "ConnectTimeout": "3",
        "ServerAliveInterval": interval,
        "ServerAliveCountMax": "3",
        "LogLevel": "ERROR",
    }


def test_options_of_the_configuration() -> None:
    """They are used before our own, so that they count, except for questions and the connection."""
    asked = ("-o", "BatchMode=no", "-o", "ConnectTimeout=9", "-o", "ControlPath=/x", *KEY)
    words = ssh.options(replace(FAR, ssh_options=asked), Path("/run/100%"))
    found = values(words)
    assert (found["BatchMode"], found["ConnectTimeout"]) == ("yes", "9")
    assert found["ControlPath"] == "/run/100%%"
    assert " ".join(KEY) in " ".join(words)
    assert {"-T", "-x", "-a"} <= set(words)


def test_commands() -> None:
    """The command is one word for the shell there; opening ends, and leaves a connection."""
    control = Path("/run/socket")
    words = ("cat", "--", "it's $HOME", "")
    command = ssh.remote(FAR, words, control)
    assert command[:-1] == ("ssh", *ssh.options(FAR, control), "--", "prom@host")
    assert tuple(shlex.split(command[-1])) == words
    opening = ssh.opening(FAR, control)
    assert opening[-len(ssh.options(FAR, control)) - 2 :] == command[1:-1]
    assert values(opening)["ControlMaster"] == "yes"
    assert values(opening)["ControlPersist"] == "120"
    assert {"-f", "-N"} <= set(opening)


@pytest.mark.skipif(shutil.which("rsync") is None, reason="rsync is not installed")
@pytest.mark.parametrize("odd", ["a b", "it's", 'a"b', "''", "", "-x", " '", "a\\b"])
def test_rsync_splits_the_words_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, odd: str
) -> None:
    """rsync calls ssh with the words that were meant, whatever is in them."""
    programs = FakePrograms(tmp_path / "bin", monkeypatch)
    programs.connect_ssh_to_this_host()
    endpoint = replace(FAR, ssh_options=("-i", odd))
    options = ssh.options(endpoint, None)
    rsh = ssh.rsh(endpoint, None)
    subprocess.run(("rsync", f"--rsh={rsh}", "host:/x", "."), capture_output=True, check=False)
    (called,) = programs.calls("ssh")
    assert tuple(called[: len(options)]) == options
    assert called[len(options)] == "host"


def test_an_attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt has ssh's own settings: the keys that may be read and the file of host keys."""
    programs = FakePrograms(tmp_path / "bin", monkeypatch)
    key, known = tmp_path / "key", tmp_path / "known"
    key.touch()
    settings = f"user prom\nuser later\nidentityfile {key}\nidentityfile ~/.no such key\n"
    programs.prepare("ssh", f"{settings}userknownhostsfile ~/.no_such_file {known}\n", settings)
    known.touch()
    monkeypatch.setenv("HOME", str(tmp_path))  # ssh does not use it
    home = os.path.expanduser(f"~{process.user_name()}")  # noqa: PTH111 -- no Path for text
    endpoint = replace(FAR, ssh_options=KEY)
    attempt = ssh.attempt(endpoint, run)
    assert (attempt.user, attempt.host, attempt.options) == (process.user_name(), "prom@host", KEY)
    assert attempt.settings["user"] == "prom"
    assert (attempt.keys, attempt.other_keys) == ([str(key)], [f"{home}/.no such key"])
    assert attempt.known_hosts == str(known)
    assert programs.calls("ssh") == [["-G", *ssh.options(endpoint, None), "--", "prom@host"]]
    assert ssh.attempt(endpoint, run).known_hosts == "?"


def test_no_file_of_host_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no file of host keys exists, the first one is that which ssh will write."""
    programs = FakePrograms(tmp_path / "bin", monkeypatch)
    programs.prepare("ssh", "userknownhostsfile /nonexistent/a /nonexistent/b\n")
    assert ssh.attempt(FAR, run).known_hosts == "/nonexistent/a"


@pytest.fixture
def runtime(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Directory of sockets with a short name, which comes before all others."""
    directory = tmp_path_factory.mktemp("r")
    monkeypatch.setattr(ssh, "RUNTIME", directory / "missing")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(directory))
    monkeypatch.setenv("TMPDIR", str(directory / "other"))
    (directory / "other").mkdir()
    return directory


def test_the_place_of_the_socket(runtime: Path) -> None:
    """It is in a private directory, which is made; all commands alike share it, and no others."""
    control = ssh.control_path(FAR)
    assert control is not None
    assert control.parent == runtime / f"hesiod-watch-ssh-{os.getuid()}"
    assert stat.S_IMODE(control.parent.stat().st_mode) == 0o700
    assert ssh.control_path(replace(FAR, name="y", location="prom@host:/other")) == control
    others = {
        ssh.control_path(replace(FAR, location="host:/data")),
        ssh.control_path(replace(FAR, ssh_options=KEY)),
        ssh.control_path(replace(FAR, timeout=5)),
    }
    assert len({control, *others}) == 4


def test_the_runtime_directory_of_the_service(
    runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is used before that of a login session if only this user may write in it."""
    ours = runtime / "ours"
    ours.mkdir(mode=0o700)
    monkeypatch.setattr(ssh, "RUNTIME", ours)
    control = ssh.control_path(FAR)
    assert control is not None
    assert control.parent.parent == ours
    ours.chmod(0o777)
    control = ssh.control_path(FAR)
    assert control is not None
    assert control.parent.parent == runtime


@pytest.mark.parametrize(
    "fault", ["mode 770", "mode 707", "link", "file", "long", "quoted", "missing", "relative"]
)
def test_a_place_that_is_not_used(
    runtime: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory that others may use, or whose name ssh cannot take, is left for the next one."""
    place = runtime / f"hesiod-watch-ssh-{os.getuid()}"
    if fault.startswith("mode"):
        place.mkdir()
        place.chmod(int(fault.removeprefix("mode "), 8))
    elif fault == "link":
        (runtime / "elsewhere").mkdir(mode=0o700)
        place.symlink_to(runtime / "elsewhere")
    elif fault == "file":
        place.touch(mode=0o700)
    else:
        bases = {
            "long": runtime / ("x" * 90),
            "quoted": runtime / "a b",
            "missing": runtime / "no",
            "relative": Path("r"),
        }
        if fault in ("long", "quoted"):
            bases[fault].mkdir()
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(bases[fault]))
    control = ssh.control_path(FAR)
    assert control is not None
    assert control.parent.parent == runtime / "other"


def test_the_longest_path(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path leaves room for the suffix that ssh appends to it while it opens the socket."""
    rest = len(f"/hesiod-watch-ssh-{os.getuid()}/") + 16
    for length, used in ((90, True), (91, False)):
        base = runtime / ("x" * (length - rest - len(str(runtime)) - 1))
        base.mkdir(exist_ok=True)
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(base))
        control = ssh.control_path(FAR)
        assert control is not None
        assert (control.parent.parent == base) == used


def test_a_connection_that_answers(runtime: Path) -> None:
    """A served socket is kept, also when it is busy; that of a dead process is removed."""
    control = runtime / "socket"
    assert not ssh.answers(control)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(control))
        server.listen(1)
        assert ssh.answers(control)
        assert control.exists()
    assert not ssh.answers(control)
    assert not control.exists()
