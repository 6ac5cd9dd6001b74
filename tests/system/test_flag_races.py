"""Races of 64 processes for every flag: on a local disk, through two mounts, and with lost answers.

Each racer records the answer that it gets. Afterwards every flag must have exactly one winner among
the racers, and must contain that racer's token.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from traced import needs_strace

import hesiod_watch

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ROOT = Path(hesiod_watch.__file__).parents[1]
TOUCH = ROOT / "bin" / "hesiod-touch-atomic"
RACERS = 64

# Arguments: number of flags, number of the racer, directory. The racer begins when its standard
# input ends. It prints the flags that it won, each with its token.
PYTHON_RACER = """
import sys
from pathlib import Path
from hesiod_watch.core.errors import FlagExists, FlagUnknown
from hesiod_watch.host import process
from hesiod_watch.host.files import OpenDirectory
from hesiod_watch.runs import flags
number, directory = int(sys.argv[1]), OpenDirectory(Path(sys.argv[3]))
sys.stdin.read()
for flag in range(number):
    owner = process.this_owner("race", "test")
    try:
        flags.create(directory, f"{flag}.started", owner)
    except FlagExists:
        continue
    except FlagUnknown:
        print("unknown", flag)
        continue
    print(flag, owner.token)
"""

# The same with the shell tool, which prints no token; it is read from the file.
SHELL_RACER = """
read -r ready
flag=0
while [ "$flag" -lt "$1" ]; do
    if {shell} {touch} "$3/$flag.started" 2>/dev/null; then
        echo "$flag won"
    fi
    flag=$((flag + 1))
done
"""


def python_racer() -> list[str]:
    return [sys.executable, "-c", PYTHON_RACER]


def shell_racer(shell: str) -> list[str]:
    return [shell, "-c", SHELL_RACER.format(shell=shell, touch=TOUCH), "racer"]


def race(
    racer: Sequence[str], flags: int, directories: Sequence[Path], preload: str = ""
) -> list[dict[int, str]]:
    """Start 64 racers at once, in turn in each directory; return the flags that each has won."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "LD_PRELOAD": preload}
    racers = [
        subprocess.Popen(
            [*racer, str(flags), str(number), str(directories[number % len(directories)])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environ,
        )
        for number in range(RACERS)
    ]
    for process in racers:
        assert process.stdin
        process.stdin.close()
    won = []
    for process in racers:
        assert process.stdout
        lines = [line.split() for line in process.stdout]
        process.stdout.close()
        assert process.wait() == 0
        won.append({int(flag): token for flag, token in lines if flag != "unknown"})
    return won


def assert_one_winner(won: list[dict[int, str]], flags: int, directory: Path) -> None:
    """Assert that each flag has one winner and its token, and that no other file is left."""
    winners = Counter(flag for racer in won for flag in racer)
    assert winners == dict.fromkeys(range(flags), 1)
    for racer in won:
        for flag, token in racer.items():
            text = (directory / f"{flag}.started").read_text()
            assert text.endswith("}\n")
            assert token == "won" or f'"token": "{token}"' in text
    assert sorted(os.listdir(directory)) == sorted(f"{flag}.started" for flag in range(flags))


def needs(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"there is no {program} here")


KINDS = ["python", "dash", "bash"]
FLAGS = {"python": 50, "dash": 12, "bash": 12}


def racer_of(kind: str) -> list[str]:
    if kind == "python":
        return python_racer()
    needs(kind)
    return shell_racer(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_one_winner(kind: str, tmp_path: Path) -> None:
    """Each flag has one winner among 64 racers on the local file system."""
    assert_one_winner(race(racer_of(kind), FLAGS[kind], [tmp_path]), FLAGS[kind], tmp_path)


@contextmanager
def mounted(source: Path, target: Path) -> Iterator[Path]:
    """A FUSE mount of `source` at `target`."""
    if shutil.which("bindfs") is None or shutil.which("fusermount3") is None:
        pytest.skip("needs bindfs and fusermount3 (Debian: bindfs, fuse3)")
    if not os.access("/dev/fuse", os.W_OK):
        pytest.skip("needs /dev/fuse")
    target.mkdir()
    tried = subprocess.run(["bindfs", source, target], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"bindfs cannot mount here: {tried.stderr.strip()}")
    try:
        yield target
    finally:
        subprocess.run(["fusermount3", "-u", target], check=True)


@pytest.mark.system
@pytest.mark.parametrize("kind", KINDS)
def test_one_winner_through_two_mounts(kind: str, tmp_path: Path) -> None:
    """Each flag has one winner if each half of the racers uses a different FUSE mount."""
    flags = FLAGS[kind] // 2
    real = tmp_path / "real"
    real.mkdir()
    with mounted(real, tmp_path / "one") as one, mounted(real, tmp_path / "two") as two:
        won = race(racer_of(kind), flags, [one, two])
    assert_one_winner(won, flags, real)


TAKE_OVER_RACER = """
import secrets, sys
from contextlib import nullcontext
from pathlib import Path
from hesiod_watch.core.errors import FlagExists
from hesiod_watch.core.ownership import Liveness, Owner
from hesiod_watch.host.files import OpenDirectory
from hesiod_watch.runs import flags
def judge(owner):
    dead = owner is not None and owner.host == "dead"
    return (Liveness.DEAD if dead else Liveness.ALIVE), "posed"
number, me, run = int(sys.argv[1]), sys.argv[2], OpenDirectory(Path(sys.argv[3]).parent)
pipeline = flags.Pipeline(run)
sys.stdin.read()
for flag in range(number):
    owner = Owner(secrets.token_hex(16), host=me)
    try:
        flags.begin_attempt(pipeline, str(flag), owner, lock=nullcontext, judge=judge)
    except FlagExists:
        continue
    print(flag, owner.token)
"""


@pytest.mark.parametrize("lost_answers", [False, True], ids=["local disk", "lost answers"])
def test_one_host_takes_a_dead_attempt_over(
    lost_answers: bool, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Of 64 hosts with proof of one death, one begins the next attempt, and no flag is left."""
    preload = request.getfixturevalue("losing") if lost_answers else ""
    pipeline = tmp_path / "pipeline"
    pipeline.mkdir()
    for flag in range(50):
        token = f"{flag:032x}"
        (pipeline / f"{flag}.started").write_text(f'{{"token": "{token}", "host": "dead"}}\n')
    racer = [sys.executable, "-c", TAKE_OVER_RACER]
    won = race(racer, 50, [pipeline], preload)
    for path in pipeline.glob("*.failed"):
        path.unlink()
    assert_one_winner(won, 50, pipeline)


LOSING = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* Reports every third successful link as an I/O error or as "exists", like a lost answer. */
static int answer(int result) {
    struct timespec now;
    if (result != 0) return result;
    clock_gettime(CLOCK_MONOTONIC, &now);
    unsigned int seed = (unsigned int)getpid() * 7919u + (unsigned int)now.tv_nsec;
    int drawn = rand_r(&seed) % 6;
    if (drawn > 1) return 0;
    errno = drawn ? EIO : EEXIST;
    return -1;
}

int link(const char *from, const char *to) {
    int (*real)(const char *, const char *) = dlsym(RTLD_NEXT, "link");
    return answer(real(from, to));
}

int linkat(int fd, const char *from, int fd2, const char *to, int flags) {
    int (*real)(int, const char *, int, const char *, int) = dlsym(RTLD_NEXT, "linkat");
    return answer(real(fd, from, fd2, to, flags));
}
"""


@pytest.fixture
def losing(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A library that loses answers of link(2) and linkat(2)."""
    needs("gcc")
    directory = tmp_path_factory.mktemp("losing")
    (directory / "losing.c").write_text(LOSING)
    library = directory / "losing.so"
    command = [
        "gcc",
        "-shared",
        "-fPIC",
        "-Wall",
        "-Werror",
        "-o",
        library,
        directory / "losing.c",
        "-ldl",
    ]
    subprocess.run([str(word) for word in command], check=True, capture_output=True)
    return str(library)


@pytest.mark.parametrize("kind", KINDS)
def test_one_winner_with_lost_answers(kind: str, tmp_path: Path, losing: str) -> None:
    """Each flag has one owner, who knows it, if a third of the successful links report an error."""
    assert_one_winner(
        race(racer_of(kind), FLAGS[kind], [tmp_path], preload=losing), FLAGS[kind], tmp_path
    )


TRUSTING_RACER = """
import os, sys
sys.stdin.read()
for flag in range(int(sys.argv[1])):
    mine = f"{sys.argv[3]}/.tmp.{flag}.{sys.argv[2]}"
    open(mine, "w").close()
    try:
        os.link(mine, f"{sys.argv[3]}/{flag}.started")
    except OSError:
        continue
    finally:
        os.unlink(mine)
    print(flag, "won")
"""


def test_lost_answers_matter(tmp_path: Path, losing: str) -> None:
    """A racer that trusts the answer of link(2) leaves flags without an owner.

    So the test above can fail.
    """
    won = race([sys.executable, "-c", TRUSTING_RACER], 50, [tmp_path], preload=losing)
    assert len({flag for racer in won for flag in racer}) < 50
    assert len(os.listdir(tmp_path)) == 50


CHASER = """
import os, sys
number, directory = int(sys.argv[1]), sys.argv[2]
empty = 0
print("ready", flush=True)
for flag in range(number):
    while True:
        try:
            with open(f"{directory}/{flag}.started", "rb") as file:
                empty += not file.read().endswith(b"}\\n")
            break
        except FileNotFoundError:
            pass
print(empty)
"""


@pytest.mark.parametrize("kind", KINDS)
def test_never_empty(kind: str, tmp_path: Path) -> None:
    """A reader that opens each flag immediately never finds a partial one."""
    flags = FLAGS[kind] * 4
    chasers = [
        subprocess.Popen(
            [sys.executable, "-c", CHASER, str(flags), tmp_path], stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for chaser in chasers:
        assert chaser.stdout
        assert chaser.stdout.readline() == "ready\n"
    maker = [*racer_of(kind), str(flags), "0", str(tmp_path)]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(
        maker, input="", text=True, check=True, capture_output=True, env=environ, timeout=120
    )
    assert [chaser.communicate(timeout=60)[0] for chaser in chasers] == ["0\n", "0\n"]


@pytest.mark.system
@needs_strace
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("error", ["EPERM", "EOPNOTSUPP", "EMLINK"])
def test_links_refused(kind: str, error: str, tmp_path: Path) -> None:
    """If the kernel refuses links, the flag is still created once and whole."""
    strace = [
        "strace",
        "-f",
        "-qq",
        "-o",
        str(tmp_path / "trace"),
        "-e",
        f"inject=link,linkat:error={error}",
    ]
    pipeline = tmp_path / "pipeline"
    pipeline.mkdir()
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    racer = racer_of(kind)
    won = []
    for number in ("0", "1"):
        command = [*strace, *racer, "2", number, str(pipeline)]
        result = subprocess.run(
            command, input="", text=True, env=environ, capture_output=True, timeout=120, check=True
        )
        won.append([line.split()[0] for line in result.stdout.splitlines()])
        if number == "0":
            assert "INJECTED" in (tmp_path / "trace").read_text()
    assert won == [["0", "1"], []]
    assert sorted(os.listdir(pipeline)) == ["0.started", "1.started"]
    assert all(re.fullmatch(r"\{.*\}\n", path.read_text()) for path in pipeline.iterdir())


@pytest.mark.system
@needs_strace
@pytest.mark.parametrize("call", ["openat", "write", "fsync", "linkat", "newfstatat", "unlinkat"])
def test_killed_anywhere(call: str, tmp_path: Path) -> None:
    """A process killed at any system call leaves a whole flag or none; the next one succeeds."""
    pipeline = tmp_path / "pipeline"
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    # The interpreter also opens files when it starts. Only calls on this directory count.
    here = ["-P", str(pipeline)] if call not in {"write", "fsync"} else []
    racer = [*python_racer(), "1", "0", str(pipeline)]
    killed = 0
    for number in range(1, 5):
        shutil.rmtree(pipeline, ignore_errors=True)
        pipeline.mkdir()
        kill = [
            "strace",
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            *here,
            "-e",
            f"inject={call}:signal=KILL:when={number}",
        ]
        first = subprocess.run(
            [*kill, *racer], input="", text=True, env=environ, capture_output=True, timeout=60
        )
        killed += first.returncode != 0
        flags = [name for name in os.listdir(pipeline) if not name.startswith(".")]
        assert len(os.listdir(pipeline)) <= 2
        for name in flags:
            assert (pipeline / name).read_text().endswith("}\n")
        again = subprocess.run(
            racer, input="", text=True, env=environ, capture_output=True, timeout=60, check=True
        )
        assert bool(again.stdout) is not bool(flags)
    assert killed, f"{call} was never reached"
