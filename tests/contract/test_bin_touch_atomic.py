"""bin/hesiod-touch-atomic: create a file or fail if it exists, under every installed shell."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from hesiod_watch.core.ownership import Liveness
from hesiod_watch.host.process import judge_here
from hesiod_watch.runs.flags.flag_files import parse_owner

PROGRAM = Path(__file__).parents[2] / "bin" / "hesiod-touch-atomic"
SHELLS = {"dash": ["dash"], "bash": ["bash"], "busybox": ["busybox", "sh"]}
TOOLS = ("cat", "date", "id", "ln", "mkdir", "od", "rm", "sleep", "tr", "uname")


def command_of(shell: str) -> list[str]:
    command = SHELLS[shell]
    if shutil.which(command[0]) is None:
        pytest.skip(f"there is no {command[0]} here")
    return command


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> list[str]:
    return command_of(request.param)


def touch(
    shell: list[str], directory: Path, *arguments: str | bytes, path: str | None = None
) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, **({"PATH": path} if path else {})}
    program = shutil.which(shell[0])
    assert program
    return subprocess.run(
        [program, *shell[1:], PROGRAM, *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        env=environ,
        timeout=30,
        check=False,
    )


def test_creates(shell: list[str], tmp_path: Path) -> None:
    """A missing file is created, whole, without output or leftovers."""
    done = touch(shell, tmp_path, "flag")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert os.listdir(tmp_path) == ["flag"]
    assert (tmp_path / "flag").read_text().endswith("}\n")


def test_content_names_the_owner(shell: list[str], tmp_path: Path) -> None:
    """The file names host, process, user and time; the end of this process is never a proof."""
    touch(shell, tmp_path, "flag")
    owner = parse_owner((tmp_path / "flag").read_text())
    assert owner
    assert (owner.host, owner.pid) == (os.uname().nodename, os.getpid())
    assert owner.user
    assert owner.time
    assert judge_here(owner)[0] is Liveness.UNKNOWN


def test_exists(shell: list[str], tmp_path: Path) -> None:
    """An existing file is not changed, and the exit status is 1."""
    (tmp_path / "flag").write_text("mine")
    done = touch(shell, tmp_path, "flag")
    assert (done.returncode, done.stderr) == (1, "hesiod-touch-atomic: flag: exists\n")
    assert (tmp_path / "flag").read_text() == "mine"
    assert os.listdir(tmp_path) == ["flag"]


def test_several(shell: list[str], tmp_path: Path) -> None:
    """Several files are created one after the other, up to the first that exists."""
    assert touch(shell, tmp_path, "a", "b", "c").returncode == 0
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "c"]
    assert touch(shell, tmp_path, "d", "a", "e").returncode == 1
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    "name",
    [
        "-x",
        "-",
        "--",
        "-rf",
        "a b",
        " ",
        "two\nlines",
        "end\n",
        "$(id)",
        "`id`",
        "*",
        "'",
        '"',
        "\\n",
        "é",
        b"\xff\xfe",
    ],
)
def test_names(name: str | bytes, shell: list[str], tmp_path: Path) -> None:
    """Any name that a file can have is only a name."""
    assert touch(shell, tmp_path, "--", name).returncode == 0
    assert os.listdir(os.fsencode(tmp_path)) == [os.fsencode(name)]
    assert touch(shell, tmp_path, "--", name).returncode == 1


def test_leading_dash_without_dashes(shell: list[str], tmp_path: Path) -> None:
    """A name that begins with a dash needs no `--` before it, and neither does its directory."""
    (tmp_path / "-d").mkdir()
    assert touch(shell, tmp_path, "-x", "-d/-y").returncode == 0
    assert (tmp_path / "-x").is_file()
    assert os.listdir(tmp_path / "-d") == ["-y"]


def test_absolute(shell: list[str], tmp_path: Path) -> None:
    """A file is prepared and created in its own directory."""
    assert touch(shell, Path("/"), str(tmp_path / "flag")).returncode == 0
    assert os.listdir(tmp_path) == ["flag"]


def plant_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        before = Path.cwd()
        os.chdir(path.parent)
        server.bind(path.name)
        os.chdir(before)


PLANTED: dict[str, Callable[[Path], object]] = {
    "fifo": os.mkfifo,
    "socket": plant_socket,
    "directory": Path.mkdir,
    "empty file": Path.touch,
    "dangling link": lambda path: path.symlink_to("nowhere"),
    "link to a device": lambda path: path.symlink_to("/dev/null"),
    "link to a directory": lambda path: path.symlink_to("."),
    "link to itself": lambda path: path.symlink_to(path.name),
}


@pytest.mark.parametrize("kind", PLANTED)
def test_planted(kind: str, shell: list[str], tmp_path: Path) -> None:
    """Any file type counts as existing: no process wins, writes through it, or is blocked."""
    PLANTED[kind](tmp_path / "flag")
    before = sorted(os.listdir(tmp_path))
    for _ in range(2):
        assert touch(shell, tmp_path, "flag").returncode == 1
    assert sorted(os.listdir(tmp_path)) == before
    if kind == "directory":
        assert os.listdir(tmp_path / "flag") == []


def test_device(shell: list[str], tmp_path: Path) -> None:
    """A device counts as existing."""
    assert touch(shell, tmp_path, "/dev/null").returncode == 1


def test_help(shell: list[str], tmp_path: Path) -> None:
    """Help is written to standard output and lists the exit statuses."""
    done = touch(shell, tmp_path, "--help")
    assert done.returncode == 0
    assert "EXIT STATUS" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    "arguments",
    [[], ["--"], [""], ["--", ""], ["flag/"], ["/"]],
    ids=["none", "dashes only", "empty name", "dashes and an empty name", "a directory", "root"],
)
def test_usage(arguments: list[str], shell: list[str], tmp_path: Path) -> None:
    """Without a file, or with an impossible name, the exit status is 2."""
    done = touch(shell, tmp_path, *arguments)
    assert done.returncode == 2
    assert done.stderr
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["missing/flag", "file/flag", "x" * 256])
def test_cannot_be_created(name: str, shell: list[str], tmp_path: Path) -> None:
    """A failed creation is an error with the reason, and leaves no file."""
    (tmp_path / "file").touch()
    done = touch(shell, tmp_path, name)
    assert done.returncode == 1
    assert "cannot be created: " in done.stderr
    assert os.listdir(tmp_path) == ["file"]


def test_messages_are_safe(shell: list[str], tmp_path: Path) -> None:
    """A name cannot control the terminal that shows the message."""
    name = "a\x1b[2J\n\x07\u202eb"
    (tmp_path / name).touch()
    done = touch(shell, tmp_path, name)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.removesuffix("\n").isprintable()
    assert done.stderr.isascii()


def path_with(tmp_path: Path, *, without: tuple[str, ...] = (), **programs: str) -> str:
    """PATH with the usual tools, without some, and with stand-ins (shell text) for others."""
    directory = tmp_path.with_name(f"{tmp_path.name}-bin")
    directory.mkdir()
    for tool in (*TOOLS, "link"):
        found = shutil.which(tool)
        if found and tool not in without and tool not in programs:
            (directory / tool).symlink_to(found)
    for name, text in programs.items():
        (directory / name).write_text(f"#!/bin/sh\n{text}\n")
        (directory / name).chmod(0o755)
    return str(directory)


REAL_LINK = shutil.which("link") or "/usr/bin/link"
REAL_LN = shutil.which("ln") or "/usr/bin/ln"


@pytest.fixture(params=[shell for shell in SHELLS if shell != "busybox"])
def plain(request: pytest.FixtureRequest) -> list[str]:
    """Shell that runs the programs of PATH; busybox prefers its own, so it is not one."""
    return command_of(request.param)


def test_links_refused(plain: list[str], tmp_path: Path) -> None:
    """On a file system without hard links the file is still created, and once."""
    path = path_with(tmp_path, link='echo "link: Operation not permitted" >&2; exit 1')
    assert touch(plain, tmp_path, "flag", path=path).returncode == 0
    assert parse_owner((tmp_path / "flag").read_text())
    assert touch(plain, tmp_path, "flag", path=path).returncode == 1
    assert os.listdir(tmp_path) == ["flag"]


def test_lost_response(plain: list[str], tmp_path: Path) -> None:
    """A file that was created counts, although the file system reported an error."""
    path = path_with(tmp_path, link=f'{REAL_LINK} "$1" "$2"; exit 1')
    assert touch(plain, tmp_path, "flag", path=path).returncode == 0
    assert os.listdir(tmp_path) == ["flag"]


def test_missing_after_success(plain: list[str], tmp_path: Path) -> None:
    """If success was reported and the file is missing, the exit status is neither yes nor no."""
    path = path_with(tmp_path, link="exit 0", sleep="exit 0")
    done = touch(plain, tmp_path, "flag", path=path)
    assert done.returncode == 75
    assert "look again" in done.stderr
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("planting", ["mkfifo", "mkdir", "ln -s /dev/null", "ln -s nowhere", ": >"])
def test_planted_in_between(planting: str, plain: list[str], tmp_path: Path) -> None:
    """Anything that appears after the first check counts as existing."""
    path = path_with(
        tmp_path, link=f'PATH={os.environ["PATH"]}; {planting} "$2"; {REAL_LINK} "$1" "$2"'
    )
    assert touch(plain, tmp_path, "flag", path=path).returncode == 1
    assert os.listdir(tmp_path) == ["flag"]
    if planting == "mkdir":
        assert os.listdir(tmp_path / "flag") == []


def test_without_link(plain: list[str], tmp_path: Path) -> None:
    """Without link(1), ln is used."""
    path = path_with(tmp_path, without=("link",))
    assert touch(plain, tmp_path, "flag", path=path).returncode == 0
    assert touch(plain, tmp_path, "flag", path=path).returncode == 1
    assert os.listdir(tmp_path) == ["flag"]


def test_ln_into_a_directory(plain: list[str], tmp_path: Path) -> None:
    """If ln links into a directory that just appeared, the call fails and removes the link."""
    path = path_with(tmp_path, without=("link",), ln=f'mkdir "$2"; {REAL_LN} "$1" "$2"')
    assert touch(plain, tmp_path, "flag", path=path).returncode == 1
    assert os.listdir(tmp_path) == ["flag"]
    assert os.listdir(tmp_path / "flag") == []
