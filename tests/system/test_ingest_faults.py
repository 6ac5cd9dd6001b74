"""Ingest by real processes on real files, which the kernel kills or fails at each call.

Other tests fill the disk, or open the largest cells.
"""

from __future__ import annotations

import json
import os
import pickle
import random
import re
import shutil
import signal
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import growing
import pytest
from growing import CELLS, LIMITS, SETTINGS, directory_in_memory, expected, put, reads, written
from mounts import in_memory
from open_runs import ANYWHERE
from traced import changing_calls, needs_strace

import hesiod_watch
from hesiod_watch.core.errors import TemporaryError
from hesiod_watch.fastq import checkpoint, journal_state, packed_statistics
from hesiod_watch.fastq.checkpoint import Checkpoint, OutputCheckpoint
from hesiod_watch.fastq.ingest import Ingest
from hesiod_watch.fastq.journal import Journal
from hesiod_watch.fastq.model import Output, Piece, Settings
from hesiod_watch.fastq.statistics import ReadStatistics

pytestmark = [pytest.mark.slow, pytest.mark.system]

OTHER_DATA = "not as it was written"

GROW = """
import pickle, sys
from pathlib import Path
from growing import grow
from hesiod_watch.core.errors import PermanentError, TemporaryError
outputs = pickle.loads(Path(sys.argv[1]).read_bytes())
try:
    grow(Path(sys.argv[2]), outputs)
except TemporaryError as error:
    sys.exit(75)
except PermanentError as error:
    sys.exit(1)
"""

WORK = """
import pickle, sys
from pathlib import Path
from hesiod_watch.fastq import backlog, ingest
from hesiod_watch.fastq.model import Settings
from hesiod_watch.fastq.tasks import TaskLimits
from hesiod_watch.host.files import OpenDirectory
backlog.SMALLEST_SHARE = ingest.BYTES_PER_WORKER = 1
outputs = pickle.loads(Path(sys.argv[1]).read_bytes())
settings = Settings(level="small", processes=2)
cell = OpenDirectory(Path("/"))
with ingest.Ingest.open(Path(sys.argv[2]), cell, settings, owner={}, check_all=False,
                        limits=TaskLimits(files=3)) as one:
    one.finish(outputs, on_progress=lambda tally: print(".", end="", flush=True))
"""

# Calls that change the disk or close a file. Other tests check what is read.
CALLS = (
    "openat",
    "mkdir",
    "write",
    "pwrite64",
    "ftruncate",
    "fdatasync",
    "fsync",
    "renameat",
    "unlink",
    "unlinkat",
    "close",
)


class World:
    """A cell, its expected outputs, and a directory for its ingest."""

    def __init__(self, place: Path, form: str) -> None:
        self.outputs = CELLS[form](place / "sources")
        self.expected = expected(place / "undisturbed", self.outputs)
        self.directory = place / "out"
        self.listing = place / "outputs"
        self.listing.write_bytes(pickle.dumps(self.outputs))

    def command(self, program: str) -> tuple[str, ...]:
        return (sys.executable, "-c", program, str(self.listing), str(self.directory))

    def trace(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Run the ingest under strace, which handles only calls on the files of the directory."""
        names = (*(output.name for output in self.outputs), "journal.jsonl", "checkpoint.bin")
        names += ("journal.jsonl.new", "checkpoint.bin.new")
        paths = [
            word
            for path in (self.directory, *(self.directory / name for name in names))
            for word in ("-P", path)
        ]
        command = ("strace", "-qq", *map(str, paths), *options, *self.command(GROW))
        return subprocess.run(
            command, check=False, capture_output=True, text=True, env=environment()
        )

    def finish(self) -> None:
        """Finish the ingest on a good disk and check the result."""
        with Ingest.open(
            self.directory, ANYWHERE, SETTINGS, owner={}, check_all=True, limits=LIMITS
        ) as ingest:
            ingest.finish(self.outputs)
            assert not [note for note in ingest.notes if OTHER_DATA in note]
        assert written(self.directory, self.outputs) == self.expected
        shutil.rmtree(self.directory)


def environment() -> dict[str, str]:
    """Environment for programs that import the modules of the tests and write no byte code."""
    paths = (Path(hesiod_watch.__file__).parent.parent, Path(growing.__file__).parent)
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


@pytest.fixture(params=CELLS)
def world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    with directory_in_memory(tmp_path) as place:
        yield World(place, request.param)


def count_of(world: World, call: str) -> int:
    """Number of times that an undisturbed ingest makes a call."""
    log = world.listing.with_name("log")
    assert world.trace("-e", f"trace={call}", "-o", str(log)).returncode == 0
    world.finish()
    return len(re.findall(rf"^{call}\(", log.read_text(), re.MULTILINE))


@needs_strace
def test_no_other_call_changes_a_disk(world: World) -> None:
    """CALLS contains every call that changes a disk."""
    made = changing_calls(world.command(GROW), environment())
    assert made
    assert made <= set(CALLS)


@needs_strace
@pytest.mark.timeout(900)
@pytest.mark.parametrize("call", CALLS)
def test_sigkill_at_every_call(call: str, world: World) -> None:
    """An ingest that is killed at any call continues, and its outputs have the same bytes."""
    count = count_of(world, call)
    assert count
    for number in range(1, count + 1):
        killed = world.trace("-e", f"inject={call}:signal=KILL:when={number}", "-o", os.devnull)
        assert killed.returncode == -signal.SIGKILL, f"{call} {number}: {killed.stderr}"
        world.finish()


@needs_strace
@pytest.mark.timeout(900)
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("error", "code"), [("ENOSPC", 75), ("EIO", 1)], ids=["no room", "input/output error"]
)
def test_an_error_at_every_call(call: str, error: str, code: int, world: World) -> None:
    """An ingest that gets an error at any call ends with the right exit code, and then continues.

    Its outputs have the same bytes. Exit code 0 is right only if nothing depends on the call: the
    removal of files that are not needed, and the end of the session.
    """
    harmless = 0
    # strace does not execute the calls that it fails: a journal that is not closed stays locked,
    # and the next session waits for it.
    codes = {0, code, 75} if call == "close" else {0, code}
    for number in range(1, count_of(world, call) + 1):
        failed = world.trace("-e", f"inject={call}:error={error}:when={number}", "-o", os.devnull)
        assert failed.returncode in codes, f"{call} {number}: {failed.stderr}"
        harmless += failed.returncode == 0
        world.finish()
    # Of about thirty calls, these are harmless: the ends of two sessions, and with a full disk five
    # checkpoints.
    assert call != "fdatasync" or harmless < 10


def larger(place: Path, sources: int = 30) -> list[Output]:
    """Outputs that keep two workers busy for a while."""
    return [
        Output(
            f"o{number}.fastq.gz",
            None,
            "pass",
            tuple(
                put(
                    place, f"{number}_{source}.fastq{'.gz' * (number % 2)}", reads(20, source, 3000)
                )
                for source in range(sources)
            ),
        )
        for number in range(4)
    ]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("target", ["parent", "worker", "all"])
def test_kills_among_workers(target: str, tmp_path: Path) -> None:
    """A killed parent or worker is followed at once by a new process; the result is the same."""
    outputs = larger(tmp_path / "sources")
    correct = expected(tmp_path / "undisturbed", outputs)
    listing = tmp_path / "outputs"
    listing.write_bytes(pickle.dumps(outputs))
    rng = random.Random(target)
    kills = 0
    for attempt in range(5):
        directory = tmp_path / str(attempt)
        ended = False
        while not ended:
            command = (sys.executable, "-c", WORK, str(listing), str(directory))
            with subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment(),
                start_new_session=True,
            ) as process:
                assert process.stdout
                process.stdout.read(rng.randint(1, 40))
                victims = {
                    "parent": [process.pid],
                    "worker": children_of(process.pid)[:1],
                    "all": [-process.pid],
                }
                for victim in victims[target]:
                    kill(victim)
                    kills += 1
                process.stdout.read()
                ended = process.wait() == 0 or kills > 6 * (attempt + 1)
        with Ingest.open(
            directory, ANYWHERE, Settings(level="small"), owner={}, check_all=True
        ) as ingest:
            ingest.finish(outputs)
            assert ingest.notes == ()
        assert written(directory, outputs) == correct
    assert kills > 5


def kill(process: int) -> None:
    """Kill a process; a negative number means its whole group."""
    try:
        if process < 0:
            os.killpg(-process, signal.SIGKILL)
        else:
            os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it has ended by itself


def children_of(parent: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with space for a part of the output."""
    with in_memory(tmp_path / "small", "600k") as place:
        yield place


@pytest.mark.parametrize("again", ["the same ingest", "a new one"])
def test_a_disk_that_fills_up_and_is_enlarged(again: str, small_disk: Path, tmp_path: Path) -> None:
    """An ingest on a full disk keeps all that fits; with more space it ends with the same bytes."""
    outputs = larger(tmp_path / "sources", sources=8)
    correct = expected(tmp_path / "undisturbed", outputs)
    assert sum(map(len, correct.values())) > 800_000
    ingest: Ingest | None = None
    kept = []

    def resume() -> None:
        """Continue the ingest.

        Opening it writes to the journal, which can also fail on a full disk.
        """
        nonlocal ingest
        ingest = ingest or Ingest.open(
            small_disk / "out", ANYWHERE, SETTINGS, owner={}, check_all=True
        )
        ingest.finish(outputs)

    for _ in range(3):
        with pytest.raises(TemporaryError, match="No space left"):
            resume()
        if ingest:
            kept.append(ingest.sources)
        if ingest and again == "a new one":
            ingest.close()
            ingest = None
    assert kept[0] > 0
    assert kept == sorted(kept)
    subprocess.run(("mount", "-o", "remount,size=8m", str(small_disk)), check=True)
    with ingest or Ingest.open(
        small_disk / "out", ANYWHERE, SETTINGS, owner={}, check_all=True
    ) as ingest:
        ingest.finish(outputs)
        assert not [note for note in ingest.notes if OTHER_DATA in note]
    assert written(small_disk / "out", outputs) == correct


MEASURE = """
import json, re, sys, time
from pathlib import Path
from hesiod_watch.fastq.ingest import Ingest
from hesiod_watch.fastq.model import Settings
from hesiod_watch.host.files import OpenDirectory
started = time.process_time()
cell = OpenDirectory(Path("/"))
ingest = Ingest.open(Path(sys.argv[1]), cell, Settings(), owner={}, check_all=True)
seconds = time.process_time() - started
memory = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
print(json.dumps([seconds, int(memory[1]), ingest.sources, ingest.notes]))
"""


def test_the_largest_cells_open_quickly(tmp_path: Path) -> None:
    """A cell of 100,000 sources in 192 outputs of 20,000 reads each opens in seconds, in 150 MB."""
    outputs, sources, piece = 192, 100_000, bytes(10)
    names = [
        f"20261122_TEST_run_library_PAW00001_0a1b2c3d_barcode{number:02}_pass.fastq.gz"
        for number in range(outputs)
    ]
    journal = Journal(
        tmp_path, journal_state.session({}, Settings()), lambda fact, length, crc32: None
    )
    journal.append(
        [
            journal_state.output(number, Output(name, None, "pass", ()), True)
            for number, name in enumerate(names)
        ]
    )
    counts = [0] * outputs
    facts = []
    for number in range(sources):
        out = number % outputs
        name = (
            f"fastq_pass/barcode{out:02}/"
            f"PAW00001_pass_barcode{out:02}_0a1b2c3d_0123abcd_{number}.fastq.gz"
        )
        facts.append(
            journal_state.piece(
                out,
                Piece(name, 1, number, "", 10 * counts[out], 10, zlib.crc32(piece), 38, 190_000),
            )
        )
        counts[out] += 1
    journal.append(facts)
    kept = packed_statistics.pack(statistics_of(20_000))
    saved = {
        number: OutputCheckpoint(count, kept, bytes(92)) for number, count in enumerate(counts)
    }
    checkpoint.save(tmp_path, Checkpoint(journal.length, journal.crc32, saved))
    journal.close()
    for name, count in zip(names, counts, strict=True):
        (tmp_path / name).write_bytes(piece * count)
    command = (sys.executable, "-c", MEASURE, str(tmp_path))
    found = subprocess.run(command, check=True, capture_output=True, env=environment())
    seconds, kilobytes, journalled, notes = json.loads(found.stdout)
    assert (journalled, notes) == (sources, [])
    assert seconds < 4  # under 1.5 on an idle machine
    assert kilobytes < 150_000


def statistics_of(reads: int) -> ReadStatistics:
    """Statistics like those of real reads: most lengths and qualities are different."""
    rng = random.Random(1)
    statistics = ReadStatistics(reads=reads)
    for _ in range(reads):
        length = int(rng.lognormvariate(8.3, 0.8))
        statistics.bases += length
        statistics.lengths[length] += 1
        for kind in ("tagged.whole", "tagged.skip60", "tagged.qs"):
            statistics.qualities[kind].reads[int(rng.gauss(18_000, 4000))] += 1
    return statistics
