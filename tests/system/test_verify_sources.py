"""`verify` compares every source in the landing area with what was processed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from backup_mount import BackupMount
from sites import Site

pytestmark = pytest.mark.system

RUN = "20261122_TEST_alpha"
LIBRARY = "sample_A"
CELL = "20261122_2210_1A_PAW00001_0a1b2c3d"
READ = b"@r%d\nACGT\n+\n5555\n"
NEW = "new data came after it was processed"


def write_cell(landing: Path) -> Path:
    cell = landing / RUN / LIBRARY / CELL
    for directory in ("fastq_pass", "pod5"):
        (cell / directory).mkdir(parents=True)
    for number in range(2):
        (cell / "fastq_pass" / f"a_{number}.fastq").write_bytes(READ % number)
    (cell / "pod5" / "x_0.pod5").write_bytes(b"raw")
    (cell / "final_summary.txt").write_text(
        "fastq_files_in_final_dest=2\npod5_files_in_final_dest=1\n"
    )
    return cell


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(READ % 9)


def rewrite(path: Path) -> None:
    """Write another base, in place, with the same size and modification time."""
    times = path.stat()
    path.write_bytes(path.read_bytes().replace(b"ACGT", b"ACGA"))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def replace(path: Path) -> None:
    """Replace the file by one of other content, as `rsync -a` does."""
    times = path.stat()
    new = path.with_name(".new")
    new.write_bytes(path.read_bytes().replace(b"ACGT", b"ACGA"))
    os.utime(new, ns=(times.st_atime_ns, times.st_mtime_ns))
    new.rename(path)


def link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (grow, "32 bytes, and 16 when it was processed"),
        (rewrite, "has other content than when it was processed"),
        (replace, "has other content than when it was processed"),
        (Path.unlink, "missing"),
        (link, "no regular file any more"),
    ],
)
def test_a_changed_source(site: Site, change: Callable[[Path], object], sentence: str) -> None:
    """`verify` ends with code 1 and names the source that is not as it was processed."""
    cell = write_cell(site.landing)
    site.run("poll")
    site.run("verify", RUN)
    change(cell / "fastq_pass" / "a_1.fastq")
    verified = site.run("verify", RUN, check=1).stdout
    assert f"landing: fastq_pass/a_1.fastq: {sentence}" in verified
    assert "a_0.fastq" not in verified


def copy_again(path: Path) -> None:
    new = path.with_name(".new")
    new.write_bytes(path.read_bytes())
    new.rename(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.chmod(0o600),
        lambda path: (path.parents[4] / "other name").hardlink_to(path),
        Path.touch,
        copy_again,
    ],
    ids=["chmod", "hard link", "touch", "copied again"],
)
def test_the_same_content(site: Site, change: Callable[[Path], object]) -> None:
    """Another time or inode alone is no damage."""
    cell = write_cell(site.landing)
    site.run("poll")
    change(cell / "fastq_pass" / "a_1.fastq")
    assert "every file agrees" in site.run("verify", RUN).stdout


def test_a_manifest_of_0_1_0(site: Site) -> None:
    """Where a manifest says nothing about the text, only sizes are compared."""
    cell = write_cell(site.landing)
    site.run("poll")
    manifest = site.output / RUN / LIBRARY / CELL / "manifest.json"
    document = json.loads(manifest.read_text())
    for source in document["sources"]:
        assert source.pop("text_bytes") == 16
        for key in ("text_crc32", "ctime_ns", "inode"):
            del source[key]
    manifest.write_text(json.dumps(document))
    (cell / "fastq_pass" / "a_0.fastq").touch()
    assert "a_0" not in site.run("verify", RUN, check=1).stdout
    grow(cell / "fastq_pass" / "a_0.fastq")
    assert "fastq_pass/a_0.fastq: 32 bytes" in site.run("verify", RUN, check=1).stdout


@pytest.fixture
def backed(site: Site, tmp_path: Path) -> Iterator[Site]:
    """A site with one backup."""
    mounted = BackupMount(tmp_path / "second")
    mounted.mount()
    try:
        site.configure(more=f"backups: {{second: {{location: {mounted.place}, timeout: 10s}}}}\n")
        site.run("backup-init", "second")
        yield site
    finally:
        mounted.close()


def test_late_data_of_a_cell_with_a_backup(backed: Site, tmp_path: Path) -> None:
    """Late data are no damage, prevent a strip, and are copied when they are processed."""
    cell = write_cell(backed.landing)
    backed.run("poll")
    (cell / "fastq_pass" / "a_2.fastq").write_bytes(READ % 2)
    verified = backed.run("verify", RUN, "--backup").stdout
    assert NEW in verified
    assert "hesiod-watch explain" in verified
    assert f"{CELL}.verify.done" in backed.flags(RUN)
    assert NEW in backed.run("strip", RUN, CELL, check=None).stdout
    assert (cell / "fastq_pass" / "a_0.fastq").exists()
    document = json.loads(backed.run("verify", RUN, "--json").stdout)
    [found] = document["cells"].values()
    assert (found["problems"], NEW in found["new_data"]) == ([], True)
    copies = tmp_path / "second" / RUN
    assert not list(copies.rglob("a_2.fastq"))
    (cell / "final_summary.txt").write_text(
        "fastq_files_in_final_dest=3\npod5_files_in_final_dest=1\n"
    )
    backed.run("retry", RUN, CELL, "--why", "late")
    backed.run("poll")
    manifest = json.loads((copies / "results" / LIBRARY / CELL / "manifest.json").read_text())
    assert len(manifest["sources"]) == 3
    assert "every file agrees" in backed.run("verify", RUN, "--backup").stdout
