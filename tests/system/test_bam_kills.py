"""Completion of BAM outputs by real processes, which the kernel kills or fails at each call."""

from __future__ import annotations

import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import growing
import pytest
from bam_files import REFERENCES, header, put_bam, read_group, reads_in, records
from growing import LIMITS, SETTINGS, directory_in_memory
from open_runs import ANYWHERE
from traced import needs_strace

import hesiod_watch
from hesiod_watch.fastq.ingest import Ingest
from hesiod_watch.fastq.model import Output, Written

pytestmark = [pytest.mark.slow, pytest.mark.system]

COMPLETE = """
import pickle, sys
from pathlib import Path
from hesiod_watch.bam.complete import complete
from hesiod_watch.core.errors import PermanentError, TemporaryError
written = pickle.loads(Path(sys.argv[1]).read_bytes())
place = Path(sys.argv[2])
try:
    done = complete(written, place, "small", 1)
except TemporaryError as error:
    sys.exit(f"{error}" and 75)
except PermanentError as error:
    sys.exit(1)
Path(sys.argv[3]).write_bytes(pickle.dumps(done))
"""

CALLS = ("openat", "mkdir", "write", "ftruncate", "fdatasync", "fsync", "unlink", "close", "execve")


class World:
    """Appended sources whose output must get another header, and be sorted."""

    def __init__(self, place: Path) -> None:
        self.sources = [
            put_bam(
                place,
                f"{number}.bam",
                header(read_group(f"group{number}"), references=REFERENCES)
                + records(20, number, group=f"group{number}", references=REFERENCES),
            )
            for number in range(2)
        ]
        with Ingest.open(
            place / "ingest", ANYWHERE, SETTINGS, owner={}, check_all=True, limits=LIMITS
        ) as ingest:
            (written,) = ingest.finish([Output("a.bam", None, "pass", tuple(self.sources))])
        self.appended = written.path.read_bytes()
        self.path = written.path
        self.written = place / "written"
        self.written.write_bytes(pickle.dumps(written))
        self.result = place / "result"
        self.staging = place / "staging"
        self.expected = ""

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Complete the output in a new staging directory, under strace with these options."""
        shutil.rmtree(self.staging, ignore_errors=True)
        self.result.unlink(missing_ok=True)
        self.staging.mkdir()
        program = (sys.executable, "-c", COMPLETE)
        files = map(str, (self.written, self.staging, self.result))
        names = ("united.a.bam", "sorted.a.bam", "sorted.a.bam.bai", "sorting.a.bam")
        paths = [word for name in names for word in ("-P", str(self.staging / name))]
        trace = ("strace", "-f", "-qq", *paths, *options) if options else ()
        root = Path(hesiod_watch.__file__).parent.parent, Path(growing.__file__).parent
        environ = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, root)),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return subprocess.run(
            (*trace, *program, *files), check=False, capture_output=True, text=True, env=environ
        )

    def finish(self) -> None:
        """Complete it on a sound disk; the appended file is as it was, and no read is lost."""
        assert self.path.read_bytes() == self.appended
        done = self.run()
        assert done.returncode == 0, done.stderr
        written: Written = pickle.loads(self.result.read_bytes())  # noqa: S301  made here
        assert reads_in(written.path) == reads_in(*(source.path for source in self.sources))
        assert self.expected in ("", written.md5)
        self.expected = written.md5


@needs_strace
@pytest.mark.timeout(900)
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("fault", ["signal=KILL", "error=ENOSPC"])
def test_a_fault_at_every_call(call: str, fault: str, tmp_path: Path) -> None:
    """Whichever process is killed, or finds no room, the next attempt completes the output."""
    with directory_in_memory(tmp_path) as place:
        world = World(place)
        log = place / "log"
        traced = world.run("-e", f"trace={call}", "-o", str(log))
        assert traced.returncode == 0, traced.stderr
        count = len(re.findall(rf"^\d+ +{call}\(", log.read_text(), re.MULTILINE))
        world.finish()
        harmed = 0
        for number in range(1, count + 1):
            done = world.run("-e", f"inject={call}:{fault}:when={number}", "-o", os.devnull)
            # A process that sorts and is killed is reported by its parent.
            assert done.returncode in (0, 1, 75, -signal.SIGKILL), done.stderr
            assert (done.returncode == 0) == world.result.exists()
            harmed += done.returncode != 0
            if done.returncode:
                assert world.path.read_bytes() == world.appended
        assert harmed or not count or call == "close"
        world.finish()
