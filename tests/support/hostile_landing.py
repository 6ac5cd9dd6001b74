"""A landing area of several accounts: the service, a laboratory, and an attacker with a run.

All of them are in the group of the facility, which may create runs; the landing area is sticky. The
run of the laboratory can be read and written by the service (its group), but not by the attacker.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import shutil
import signal
import stat
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from second_user import UID as ATTACKER
from second_user import needs_program_for_others
from service_account import ServiceAccount
from sites import Site
from younger_files import end_with_summaries

from hesiod_watch.cli.simulator import SimulatedCell

SERVICE, LAB = 54310, 54330
FACILITY = 54320
"""Group of all accounts; the group of the laboratory has the number of its account."""
VICTIM, EVIL = "20261122_LAB_victim", "20261122_TEST_evil"
LIBRARY, CELL = "sample_A", "20261122_2210_1A_PAW00001_0a1b2c3d"
SECRET = "5ec7e75e"
"""Begins each read id of the laboratory."""
HIS = "a77ac4e2"
"""Begins each read id of the attacker."""
READS = 20
"""Reads of one FASTQ file."""
AS_ATTACKER = ("setpriv", f"--reuid={ATTACKER}", f"--regid={FACILITY}", "--clear-groups")

COMPILER = shutil.which("cc") or shutil.which("gcc")
needs_accounts_and_compiler = [
    needs_program_for_others,
    pytest.mark.skipif(not COMPILER, reason="needs a C compiler, for a program that swaps links"),
]


def build_swapper(place: Path) -> Path:
    """Compile the program that exchanges two names; every account may run it."""
    program = place / "swap_links"
    source = Path(__file__).with_name("swap_links.c")
    assert COMPILER
    subprocess.run([COMPILER, "-O2", "-Wall", "-Werror", "-o", program, source], check=True)
    return program


class HostileLanding:
    """The site with both runs, and the commands of each account."""

    def __init__(self, root: Path, swapper: Path) -> None:
        root.chmod(0o755)
        self.site = Site(root)
        self.swapper = swapper
        self.evil, self.victim = self.site.landing / EVIL, self.site.landing / VICTIM
        self.results = self.site.output / VICTIM
        _give(self.site.landing, 0, FACILITY, 0o3775)
        _give(self.site.output, SERVICE, FACILITY, 0o755)
        _give(self.site.root / "tmp", SERVICE, FACILITY, 0o700)
        self.template = _write_template(root / "template")
        self.broken = root / "broken"
        self.broken.mkdir()
        # `ionice` is a prefix of each worker's command: a host on which no worker can start.
        (self.broken / "ionice").touch(mode=0o755)

    def in_batches(self) -> None:
        """Use a batch directory of the facility and, for his run, one that the attacker made."""
        batches = self.site.landing / "2026-11", self.site.landing / "2026-12"
        self.victim, self.evil = batches[0] / VICTIM, batches[1] / EVIL
        for batch, owner in zip(batches, (0, ATTACKER), strict=True):
            batch.mkdir()
            _give(batch, owner, FACILITY, 0o3775)

    def land_victim(self, *, complete: bool = True, cell: str = CELL) -> None:
        """Write the laboratory's cell; incomplete: two of six FASTQ files are missing."""
        _copy(self.template, self.victim / LIBRARY / cell, SECRET)
        if not complete:
            for path in sorted(self.victim.rglob("*.fastq"))[:2]:
                path.unlink()
        for path in (self.victim, *self.victim.rglob("*")):
            _give(path, LAB, LAB, 0o2750 if path.is_dir() else 0o640)
        end_with_summaries(self.victim)
        self.victim.chmod(0o2770)  # the service makes `pipeline/`

    def land_evil(self, cell: str = CELL, run: str = EVIL, *, ended: bool = True) -> Path:
        """Write a cell of the attacker, who owns all of it and lets others write in his run.

        He knows names, sizes and times of the laboratory's files, and made his own like them.
        """
        run_dir = self.evil.with_name(run)
        place = run_dir / LIBRARY / cell
        _copy(self.template, place, HIS)
        if not ended:
            next(place.glob("final_summary*")).unlink()
        for path in (run_dir, place.parent, place, *place.rglob("*")):
            _give(path, ATTACKER, FACILITY, 0o755 if path.is_dir() else 0o644)
        run_dir.chmod(0o777)
        end_with_summaries(place)
        return place

    @contextmanager
    def account(
        self, *, workers: bool, more: str = "", uid: int = SERVICE
    ) -> Iterator[ServiceAccount]:
        """The service's account; `workers`: it works in its own process, else no worker starts."""
        executor = "inline" if workers else "local"
        self.site.configure(
            processing=f"executor: {executor}, processes: 1, ingest_interval: 1s",
            more=more,
        )
        environ = self.site.environ
        environ = environ if workers else {**environ, "PATH": f"{self.broken}:{environ['PATH']}"}
        groups = (SERVICE, FACILITY, LAB)
        with (
            self.site.log.open("a") as log,
            ServiceAccount(self.site.config, uid, groups, environ, log) as account,
        ):
            yield account

    def attack(self, *command: str | Path) -> None:
        """Run a command as the attacker."""
        subprocess.run([*AS_ATTACKER, *command], check=True)

    def link(self, target: Path | str, name: Path) -> Path:
        """Make a link as the attacker, in place of the one that is there."""
        self.attack("ln", "-sfn", target, name)
        return name

    def pipeline_of_his_own(self, run: str, output: str) -> None:
        """Make a `pipeline/` as the attacker, in which the service may write."""
        pipeline = self.site.landing / run / "pipeline"
        script = 'umask 0; mkdir "$1" && echo LOCAL >"$1/upstream" && ln -s "$2" "$1/output"'
        self.attack("sh", "-c", script, "sh", pipeline, output)

    def own_output(self, run: str) -> None:
        """Make the output directory of a run as the service does."""
        place = self.site.output / run
        place.mkdir()
        _give(place, SERVICE, FACILITY, 0o755)

    @contextmanager
    def swapping(
        self, one: Path, other: Path, count: int = 0, after: Path | None = None
    ) -> Iterator[None]:
        """Exchange two names as the attacker, during the block or `count` times; see the program.

        Without `count` the block begins after a hundred exchanges, and both names are in their
        places again at the end.
        """
        command = [*AS_ATTACKER, str(self.swapper), str(one), str(other), str(count)]
        swapper = subprocess.Popen(
            [*command, *([str(after)] if after else [])], stdout=subprocess.PIPE, text=True
        )
        try:
            assert swapper.stdout
            assert swapper.stdout.readline() == "ready\n"
            yield
        finally:
            swapper.send_signal(signal.SIGTERM)
            exchanges, _ = swapper.communicate(timeout=30)
        assert swapper.returncode == 0
        assert int(exchanges) > 0

    def others(self) -> dict[str, tuple[object, ...]]:
        """State of all that is not the attacker's: the laboratory's run and its results."""
        return state(self.victim) | state(self.results)


def state(root: Path) -> dict[str, tuple[object, ...]]:
    """Owner, mode, inode, times and content of every entry at and below `root`."""
    found: dict[str, tuple[object, ...]] = {}
    for path in (root, *root.rglob("*")):
        status = path.lstat()
        content: object = sorted(os.listdir(path)) if path.is_dir() else None
        if stat.S_ISREG(status.st_mode):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        facts = (status.st_uid, status.st_gid, status.st_mode, status.st_ino)
        found[str(path)] = (*facts, status.st_mtime_ns, status.st_ctime_ns, content)
    return found


def changed(
    before: dict[str, tuple[object, ...]], after: dict[str, tuple[object, ...]]
) -> list[str]:
    """Names of the entries that differ between two states."""
    return [name for name in sorted({*before, *after}) if before.get(name) != after.get(name)]


def texts(root: Path) -> Iterator[tuple[Path, bytes]]:
    """Every regular file below `root`, hidden ones too; compressed files as what is in them."""
    for path in root.rglob("*"):
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            yield path, inflate(content) if content.startswith(b"\x1f\x8b") else content


def inflate(content: bytes) -> bytes:
    """Content of gzip data, as far as they are whole."""
    found = []
    with suppress(zlib.error):
        while content:
            decompressor = zlib.decompressobj(31)
            found.append(decompressor.decompress(content))
            content = decompressor.unused_data
    return b"".join(found)


def _write_template(place: Path) -> Path:
    """Write the cell of which all cells are copies."""
    return SimulatedCell(
        *(place, VICTIM, LIBRARY, CELL),
        barcodes=("barcode01", "barcode02"),
        files_per_barcode=3,
        reads_per_file=READS,
        fail_fraction=0,
        mean_length=200,
    ).write()


def _copy(template: Path, cell: Path, read_ids: str) -> None:
    """Copy the template, names, sizes and times included, with a beginning for all read ids."""
    shutil.copytree(template, cell)
    for path in cell.rglob("*.fastq"):
        status = path.stat()
        lines = path.read_bytes().splitlines(keepends=True)
        lines[::4] = [b"@" + read_ids.encode() + line[9:] for line in lines[::4]]
        path.write_bytes(b"".join(lines))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    summary = next(cell.glob("final_summary*"))
    digits = hashlib.sha256(str(cell).encode()).hexdigest()[:8]
    # Another cell, not a second copy of the template.
    ids = r"(protocol_run_id=|acquisition_run_id=.{32}).{8}"
    summary.write_text(re.sub(ids, rf"\g<1>{digits}", summary.read_text()))


def _give(path: Path, uid: int, gid: int, mode: int) -> None:
    os.chown(path, uid, gid)
    path.chmod(mode)


def reads_in(path: Path) -> int:
    return gzip.decompress(path.read_bytes()).count(b"\n") // 4
