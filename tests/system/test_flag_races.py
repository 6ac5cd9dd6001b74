"""Sixty-four processes race for every flag, on a local disk, through two mounts, and with answers
lost on the way.

Each racer writes down what it was told. Afterwards every flag must have exactly one racer who was
told that it won, and its content must be that racer's.
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

# Arguments: number of flags, number of the racer, directory. Begins when its standard input ends.
# Prints the flags that it won, and the token of each.
PYTHON_RACER = """
import sys
from pathlib import Path
from hesiod_watch.core.errors import FlagExists, FlagUnknown
from hesiod_watch.host import process
from hesiod_watch.runs import flags
number, directory = int(sys.argv[1]), Path(sys.argv[3])
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

# The same, with the tool; the token is that of the file, since the tool does not tell it.
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
    """Let 64 racers go at once, in turn through each of the directories; what each was told."""
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
    told = []
    for process in racers:
        assert process.stdout
        lines = [line.split() for line in process.stdout]
        process.stdout.close()
        assert process.wait() == 0
        told.append({int(flag): token for flag, token in lines if flag != "unknown"})
    return told


def check(told: list[dict[int, str]], flags: int, directory: Path) -> None:
    """One winner of each flag, whose token is in it; nothing else is left."""
    winners = Counter(flag for racer in told for flag in racer)
    assert winners == dict.fromkeys(range(flags), 1)
    for racer in told:
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
    """Of 64 racers for each flag one wins, on the local file system."""
    check(race(racer_of(kind), FLAGS[kind], [tmp_path]), FLAGS[kind], tmp_path)


@contextmanager
def mounted(source: Path, target: Path) -> Iterator[Path]:
    """`source` seen through FUSE at `target`."""
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
    """The same with half of the racers on one and half on another FUSE mount of the directory."""
    flags = FLAGS[kind] // 2
    real = tmp_path / "real"
    real.mkdir()
    with mounted(real, tmp_path / "one") as one, mounted(real, tmp_path / "two") as two:
        told = race(racer_of(kind), flags, [one, two])
    check(told, flags, real)


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
    """A third of the links are made and reported as errors: still each flag has one owner, who
    knows it.
    """
    check(race(racer_of(kind), FLAGS[kind], [tmp_path], preload=losing), FLAGS[kind], tmp_path)


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
    """Who believes the answer of link(2) leaves flags that nobody owns: the test above can fail."""
    told = race([sys.executable, "-c", TRUSTING_RACER], 50, [tmp_path], preload=losing)
    assert len({flag for racer in told for flag in racer}) < 50
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
    """Readers who open each flag the moment it exists never see one that is not whole."""
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
    """Where the kernel refuses links, the flag is made once and whole all the same."""
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
        told = subprocess.run(
            command, input="", text=True, env=environ, capture_output=True, timeout=120, check=True
        )
        won.append([line.split()[0] for line in told.stdout.splitlines()])
        if number == "0":
            assert "INJECTED" in (tmp_path / "trace").read_text()
    assert won == [["0", "1"], []]
    assert sorted(os.listdir(pipeline)) == ["0.started", "1.started"]
    assert all(re.fullmatch(r"\{.*\}\n", path.read_text()) for path in pipeline.iterdir())


@pytest.mark.system
@needs_strace
@pytest.mark.parametrize("call", ["openat", "write", "fsync", "linkat", "newfstatat", "unlinkat"])
def test_killed_anywhere(call: str, tmp_path: Path) -> None:
    """Killed before any of its system calls, a process leaves a whole flag or none, and the next
    one goes on.
    """
    pipeline = tmp_path / "pipeline"
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    # The interpreter's own start opens files too, and only calls on this directory are meant.
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
