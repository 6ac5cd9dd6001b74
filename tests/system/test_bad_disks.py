"""Disks that are full, read-only, missing or unreadable, and entries that are not data.

Separate file systems need root; each test unmounts them at its end, also after a failure. Tests of
permissions start the service as root without its privileges, because root with privileges may read
everything.
"""

from __future__ import annotations

import ctypes
import gzip
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mounts import mount, unmount
from open_runs import pipeline_at
from sites import DEADLINE, Site
from unprivileged import needs_unprivileged
from younger_files import end_with_summaries

from hesiod_watch.cli.simulator import SimulatedCell
from hesiod_watch.host import process
from hesiod_watch.runs import flags

pytestmark = pytest.mark.system

RUN, OTHER_RUN = "20261122_TEST_alpha", "20261123_TEST_beta"
LIBRARY = "sample_A"
CELL, OTHER = "20261122_2210_1A_PAW00001_0a1b2c3d", "20261123_2211_1B_PAW00002_1a2b3c4d"
BARCODE = "barcode01"


class Disks:
    """File systems mounted for a test."""

    def __init__(self, images: Path) -> None:
        self._images = images
        self._mounted: list[Path] = []

    def tmpfs(self, place: Path, size: str) -> None:
        """A new, empty file system in memory."""
        self._mount(place, "-t", "tmpfs", "-o", f"size={size}", "tmpfs")

    def image(self, place: Path) -> None:
        """A file system that keeps its content while unmounted; the first mount here creates it."""
        image = self._images / f"{place.name}.img"
        if not image.exists():
            if shutil.which("mkfs.ext4", path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
                pytest.skip("needs mkfs.ext4")
            with image.open("wb") as file:
                file.truncate(64 << 20)
            subprocess.run(
                ["mkfs.ext4", "-q", image],
                check=True,
                env=os.environ | {"PATH": "/usr/sbin:/sbin:/bin"},
            )
        self._mount(place, "-o", "loop", str(image))

    def _mount(self, place: Path, *arguments: str) -> None:
        mount(place, *arguments)
        self._mounted.append(place)

    def remount(self, place: Path, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", place], check=True)

    def unmount(self, place: Path, *options: str) -> None:
        subprocess.run(["umount", *options, place], check=True)
        self._mounted.remove(place)

    def close(self) -> None:
        for place in reversed(self._mounted):
            unmount(place)


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[Disks]:
    """Mounts that end with the test."""
    disks = Disks(tmp_path)
    yield disks
    disks.close()


def a_cell(
    site: Site, run: str = RUN, cell: str = CELL, *, seed: int = 1, files: int = 2, reads: int = 20
) -> SimulatedCell:
    return SimulatedCell(
        site.landing,
        run,
        LIBRARY,
        cell,
        barcodes=(BARCODE, "barcode02"),
        files_per_barcode=files,
        reads_per_file=reads,
        seed=seed,
    )


def done(site: Site, cell: SimulatedCell) -> bool:
    return f"{cell.cell}.done" in site.flags(cell.run)


def reason(site: Site, cell: SimulatedCell) -> str:
    """The text of `status` about a cell."""
    sentence: str = site.status()[cell.run]["cells"][f"{cell.library}/{cell.cell}"]["why"]
    return sentence


def assert_whole(site: Site, cell: SimulatedCell) -> None:
    """The cell is done, the outputs contain every read, and the manifest agrees with them."""
    assert done(site, cell)
    place = site.output / cell.run / cell.library / cell.cell
    total = json.loads((place / "qc.json").read_text())["total"]
    expected = cell.expected.values()
    wanted = (sum(amount.reads for amount in expected), sum(amount.bases for amount in expected))
    assert (total["reads"], total["bases"]) == wanted
    lines = 0
    for path in place.glob("*.fastq.gz"):
        with gzip.open(path) as file:
            lines += sum(1 for _ in file)
    assert lines == 4 * wanted[0]
    site.run("verify", cell.run)


def test_full_disk_is_waited_for(site: Site, disks: Disks) -> None:
    """Cells that do not fit on a full disk wait, with a reason in `status`.

    With space they finish without a user.
    """
    disks.tmpfs(site.output, "1m")
    cells = [a_cell(site, RUN, CELL, reads=300), a_cell(site, OTHER_RUN, OTHER, seed=2, reads=300)]
    with site.service():
        for cell in cells:
            cell.write()
        site.eventually(
            lambda: all("No space left" in reason(site, cell) for cell in cells),
            "both say what they wait for",
        )
        for cell in cells:
            assert f"{site.output}/{cell.run}" in reason(site, cell)
            assert not {f"{cell.cell}.done", f"{cell.cell}.failed"} & site.flags(cell.run)
        disks.remount(site.output, "size=64m")
        site.eventually(lambda: all(done(site, cell) for cell in cells), "both are finished")
    for cell in cells:
        assert_whole(site, cell)
        assert f"{cell.cell}.started.2" not in site.flags(cell.run)


def test_full_landing_area(site: Site, disks: Disks) -> None:
    """A landing area without space for a flag leaves no partial files; work continues with space.

    The reason is logged once.
    """
    site.configure(watch="sweep_interval: 0.1s")
    disks.tmpfs(site.landing, "4m")
    cell = a_cell(site)
    cell.write()
    with pytest.raises(OSError, match="No space left"):
        (site.landing / "fill").write_bytes(bytes(8 << 20))
    with site.service():
        site.eventually(lambda: site.logged("No space left") > 0, "the reason is logged")
        for _ in range(3):  # each takes longer than several sweeps
            assert site.status()[RUN]["status"] == "new"
        assert os.listdir(site.landing / RUN) == [LIBRARY]
        disks.remount(site.landing, "size=64m")
        site.eventually(lambda: done(site, cell), "the cell is done")
    assert site.logged("No space left") == 1
    assert_whole(site, cell)


def test_read_only_output(site: Site, disks: Disks) -> None:
    """A run stays new while its output directory cannot be made; afterwards work continues.

    The reason is logged once.
    """
    site.configure(watch="sweep_interval: 0.1s")
    disks.tmpfs(site.output, "64m")
    disks.remount(site.output, "ro")
    cell = a_cell(site)
    with site.service():
        cell.write()
        site.eventually(lambda: site.logged("Read-only file system") > 0, "the reason is logged")
        for _ in range(5):  # each takes longer than several sweeps
            assert site.status()[RUN]["status"] == "new"
        assert site.flags(RUN) == set()
        disks.remount(site.output, "rw")
        site.eventually(lambda: done(site, cell), "the cell is done")
    assert site.logged("Read-only file system") == 1
    assert_whole(site, cell)


def test_unmounted_landing_area(site: Site, disks: Disks) -> None:
    """The mount point of a missing landing area stays empty; after the mount work continues."""
    disks.image(site.landing)
    first, second = a_cell(site), a_cell(site, OTHER_RUN, OTHER, seed=2)
    with site.service():
        first.write()
        site.eventually((site.output / RUN / "report.html").exists, "the first run is reported")
        site.eventually(
            lambda: f"{CELL}.verify.done" in site.flags(RUN), "its raw data have been read"
        )
        flags = site.flags(RUN)
        disks.unmount(site.landing, "--lazy")  # a worker may be about to end
        site.eventually(
            lambda: site.logged("the landing area is not there") == 1, "the loss is logged"
        )
        assert "is its file system mounted?" in site.run("poll", check=75).stderr
        assert list(site.landing.iterdir()) == []
        assert [path.name for path in site.output.iterdir() if path.name != ".hesiod-watch"] == [
            RUN
        ]
        disks.image(site.landing)
        site.eventually(
            lambda: site.logged("the landing area is back") == 1, "its return is logged"
        )
        second.write()
        site.eventually(lambda: done(site, second), "the second cell is done")
    assert site.flags(RUN) == flags
    assert_whole(site, first)
    assert_whole(site, second)
    disks.unmount(site.landing)
    assert list(site.landing.iterdir()) == []


def test_landing_area_vanishes_while_a_cell_is_processed(site: Site, disks: Disks) -> None:
    """A worker whose sources vanish waits for them and finishes its cell.

    It does so with or without a service.
    """
    disks.image(site.landing)
    cell = a_cell(site, files=10, reads=300)
    cell.write()
    with site.service():
        site.eventually(lambda: f"{CELL}.started.worker" in site.flags(RUN), "a worker has begun")
        disks.unmount(site.landing, "--lazy")
        log = site.output / RUN / "pipeline.log"
        site.eventually(lambda: "waiting" in log.read_text(), "the worker waits")
        assert list(site.landing.iterdir()) == []
        disks.image(site.landing)
        site.eventually(lambda: done(site, cell), "the cell is done")
    assert f"{CELL}.failed" not in site.flags(RUN)
    assert_whole(site, cell)
    waits = [line for line in log.read_text().splitlines() if "waiting" in line]
    assert all(f"{CELL}: waiting " in line for line in waits), "each wait is logged once"


@pytest.mark.parametrize(
    ("closed", "shown"),
    [
        (".", "cannot be read: Permission denied"),
        (LIBRARY, "cannot be read: Permission denied"),
        (f"{LIBRARY}/{CELL}", f"{CELL} cannot be read: Permission denied"),
        (f"{LIBRARY}/{CELL}/fastq_pass", f"{CELL}/fastq_pass cannot be read: Permission denied"),
        (
            f"{LIBRARY}/{CELL}/fastq_pass/{BARCODE}",
            f"{CELL}/fastq_pass/{BARCODE} cannot be read: Permission denied",
        ),
    ],
    ids=["run", "library", "cell", "data", "barcode"],
)
@needs_unprivileged
def test_forbidden_directory(unprivileged: Site, closed: str, shown: str) -> None:
    """An unreadable directory is shown with the reason and blocks no other run.

    Its run is processed once the directory is readable.
    """
    site = unprivileged
    forbidden, free = a_cell(site), a_cell(site, OTHER_RUN, OTHER, seed=2)
    forbidden.write()
    directory = site.landing / RUN / closed
    directory.chmod(0)
    with site.service():
        free.write()
        site.eventually(lambda: done(site, free), "the other run is done")
        run = site.status()[RUN]
        whys = [cell["why"] for cell in run["cells"].values()] + [
            entry["why"] for entry in run["quarantined"]
        ]
        assert any(shown in sentence for sentence in [run["why"], *whys]), run
        assert shown in " ".join(site.run("status").stdout.split())
        assert shown in " ".join(site.run("explain", RUN).stdout.split())
        directory.chmod(0o755)
        # The changed mode makes the directory younger than the summary, so it rests for a minute.
        site.eventually(lambda: done(site, forbidden), "the run is done", 2 * DEADLINE)
    assert_whole(site, forbidden)
    assert_whole(site, free)


class Opened:
    """Reports whether any process has opened certain files, as the kernel says."""

    IN_OPEN, IN_DONT_FOLLOW = 0x20, 0x02000000

    def __init__(self, *paths: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        for path in paths:
            watch = libc.inotify_add_watch(
                self._descriptor, os.fsencode(path), self.IN_OPEN | self.IN_DONT_FOLLOW
            )
            assert watch >= 0, os.strerror(ctypes.get_errno())

    def any(self) -> bool:
        """Whether a file was opened since the last call."""
        try:
            return bool(os.read(self._descriptor, 4096))
        except BlockingIOError:
            return False


@pytest.mark.parametrize("where", ["fastq_pass", f"fastq_pass/{BARCODE}"])
def test_entries_that_are_not_data(site: Site, where: str) -> None:
    """A FIFO, link or directory with the name of a FASTQ is never opened.

    The run's log and `explain` name it.
    """
    cell = a_cell(site)
    steps = cell.steps()
    written = list(
        zip(range(cell.step_count - 1), steps, strict=False)
    )  # all but the final_summary
    assert written
    directory = cell.path / where
    secret = site.root / "secret.fastq"
    secret.write_text("@secret\nACGT\n+\n5555\n")
    os.mkfifo(directory / "x.fastq")
    (directory / "y.fastq").symlink_to(secret)
    (directory / "z.fastq").mkdir()
    opened = Opened(secret, directory / "x.fastq")
    with site.service():
        site.eventually(lambda: "upstream" in site.flags(RUN), "the run is taken up")
        (cell.path / "more.txt").touch()
        for _ in steps:
            pass
        site.eventually((site.output / RUN / "report.html").exists, "the run is reported")
    assert not opened.any()
    assert_whole(site, cell)
    explained = site.run("explain", RUN, CELL).stdout
    assert not opened.any()
    secret.read_bytes()
    assert opened.any()  # the kernel does report an opening
    text = f"links and special files are not followed: {where}/x.fastq, {where}/y.fastq"
    assert text in explained
    assert text in (site.output / RUN / "pipeline.log").read_text()
    outputs = site.output / RUN / LIBRARY / CELL
    for path in outputs.glob("*.fastq.gz"):
        assert b"@secret" not in gzip.decompress(path.read_bytes())


def test_announced_files_that_are_not_files(site: Site) -> None:
    """A cell with a link or a FIFO in place of an announced file waits and names the file."""
    cell = a_cell(site)
    cell.write()
    (victim, other) = sorted(cell.path.glob(f"fastq_pass/{BARCODE}/*.fastq"))
    moved = site.root / "moved"
    victim.rename(moved)
    victim.symlink_to(moved)
    content = other.read_bytes()
    other.unlink()
    os.mkfifo(other)
    opened = Opened(moved, other)
    site.run("poll")
    assert not done(site, cell)
    sentence = reason(site, cell)
    assert "2 of 8 FASTQ files missing" in sentence
    assert (
        f"not followed: fastq_pass/{BARCODE}/{victim.name}, fastq_pass/{BARCODE}/{other.name}"
        in sentence
    )
    assert sentence in site.run("explain", RUN, CELL).stdout
    assert not opened.any()
    victim.unlink()
    moved.rename(victim)
    other.unlink()
    other.write_bytes(content)
    end_with_summaries(cell.path)
    site.run("poll")
    assert_whole(site, cell)


def test_empty_fastq_files(site: Site) -> None:
    """FASTQ files of 0 bytes count as files, add no reads, and are noted."""
    cell = a_cell(site)
    cell.write()
    empty = cell.path / "fastq_pass" / BARCODE / "PAW00001_pass_empty_99.fastq"
    empty.touch()
    (summary,) = cell.path.glob("final_summary*")
    text, changes = re.subn(
        r"fastq_files_in_final_dest=(\d+)",
        lambda found: f"fastq_files_in_final_dest={int(found[1]) + 1}",
        summary.read_text(),
    )
    assert changes == 1
    summary.write_text(text)
    site.run("poll")
    assert_whole(site, cell)
    qc = json.loads((site.output / RUN / LIBRARY / CELL / "qc.json").read_text())
    assert any(f"{empty.name}: empty file" in note for note in qc["notes"])
    assert qc["counts"]["fastq"] == {"announced": 9, "found": 9}


def forbid(place: Path) -> None:
    place.mkdir(parents=True)
    place.chmod(0o555)


def occupy(place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("not a directory")


def allow(place: Path) -> None:
    if place.is_dir():
        place.chmod(0o755)
    else:
        place.unlink()


BLOCKERS = pytest.mark.parametrize(
    ("place", "block"),
    [
        (LIBRARY, forbid),
        (f"{LIBRARY}/{CELL}", forbid),
        (LIBRARY, occupy),
        (f"{LIBRARY}/{CELL}", occupy),
    ],
    ids=["library forbidden", "cell forbidden", "library a file", "cell a file"],
)


@BLOCKERS
@needs_unprivileged
def test_output_that_may_not_be_written_is_not_claimed(
    unprivileged: Site, place: str, block: Callable[[Path], None]
) -> None:
    """A poll names the obstacle and the user, and leaves the cell to a user with write access."""
    site = unprivileged
    cell = a_cell(site)
    cell.write()
    site.run("perform", "new-run", RUN)
    directory = site.output / RUN / place
    block(directory)
    refused = [site.run("poll", check=1).stderr]
    refused.append(site.run("perform", "process", RUN, CELL, check=1).stderr)
    for text in refused:
        [line] = [line for line in text.splitlines() if line.startswith("hesiod-watch: ")]
        assert f"{RUN} {LIBRARY}/{CELL}" in line
        assert str(directory) in line
        assert directory.is_file() or f"(uid {os.geteuid()})" in line
    assert not [name for name in site.flags(RUN) if name.startswith(f"{CELL}.started")]
    with site.service():
        site.eventually(lambda: site.logged(str(directory)) > 0, "the service says it")
        allow(directory)
        site.eventually(lambda: done(site, cell), "the cell is done")
    assert_whole(site, cell)


@BLOCKERS
@needs_unprivileged
def test_output_that_may_not_be_written_any_more(
    unprivileged: Site, place: str, block: Callable[[Path], None]
) -> None:
    """A worker that already has the claim ends.

    The flag, the log and `explain` give the reason and the remedy.
    """
    site = unprivileged
    cell = a_cell(site)
    cell.write()
    site.run("perform", "new-run", RUN)
    site.run("perform", "synced", RUN, CELL)
    flags.claim_cell(
        pipeline_at(site.landing / RUN / "pipeline"),
        CELL,
        process.this_owner("process", "test"),
        judge=process.judge_here,
    )
    directory = site.output / RUN / place
    block(directory)
    text = site.run("perform", "process", RUN, CELL, "--claimed", "1:x", check=1).stderr
    assert str(directory) in text
    reason = json.loads((site.landing / RUN / "pipeline" / f"{CELL}.failed").read_text())["reason"]
    assert str(directory) in reason
    assert directory.is_file() or f"(uid {os.geteuid()})" in reason
    explained = site.run("explain", RUN, CELL).stdout
    assert reason in explained
    assert f"hesiod-watch retry {RUN} {LIBRARY}/{CELL}" in explained
    assert reason in (site.output / RUN / "pipeline.log").read_text()
    allow(directory)
    site.run("retry", RUN, CELL, "--why", "mended")
    site.run("poll")
    assert_whole(site, cell)


def test_output_that_is_read_only(site: Site, disks: Disks) -> None:
    """A cell with results on a read-only file system is not claimed until that is writable."""
    disks.tmpfs(site.output, "64m")
    cell = a_cell(site)
    cell.write()
    site.run("perform", "new-run", RUN)
    disks.remount(site.output, "ro")
    assert "read-only file system" in site.run("poll", check=1).stderr
    assert f"{CELL}.started" not in site.flags(RUN)
    disks.remount(site.output, "rw")
    site.run("poll")
    assert_whole(site, cell)


@pytest.mark.parametrize("how", ["service", "poll"])
def test_waiting_worker_holds_no_other_cell_up(how: str, site: Site, disks: Disks) -> None:
    """While a worker waits for space, its slot serves another cell; then it takes the slot again.

    `explain` says what the cell waits for, and no attempt is used up.
    """
    site.configure(watch="sweep_interval: 0.2s", processing="workers: 1, ingest: false")
    stuck, other = a_cell(site, reads=300), a_cell(site, OTHER_RUN, OTHER, seed=2)
    stuck.write()
    site.run("perform", "new-run", RUN)
    place = site.output / RUN
    link = (place / "rundata").readlink()
    disks.tmpfs(place, "100k")  # a quota of one group
    (place / "rundata").symlink_to(link)
    command = site.command("watch" if how == "service" else "poll")
    start = subprocess.Popen(command, env=site.environ)
    try:
        site.eventually(lambda: "No space left" in reason(site, stuck), "it waits")
        explained = site.run("explain", RUN, CELL).stdout
        assert "its worker waits: " in explained.splitlines()[0]
        assert "No space left" in explained.splitlines()[0]
        other.write()

        def served() -> bool:
            if how == "poll":
                site.run("poll", check=None)  # cron starts one now and then
            return done(site, other)

        site.eventually(served, "the other cell is done")
        assert not done(site, stuck)
        disks.remount(place, "size=64m")
        site.eventually(lambda: done(site, stuck), "the first cell is done")
        if how == "poll":
            assert start.wait(60) == 0
    finally:
        start.terminate()
        start.wait(60)
    assert_whole(site, stuck)
    assert_whole(site, other)
    assert f"{CELL}.started.2" not in site.flags(RUN)
