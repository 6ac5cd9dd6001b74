"""MinKNOW's directories: layouts of all versions, reports, pooled data, hostile entries."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from minknow_cells import CELL, A, Make, cell_with, summary_text
from open_runs import opened
from unprivileged import UNPRIVILEGED, needs_unprivileged
from younger_files import make_younger

from hesiod_watch.core.cell_contents import DataKind, Verdict
from hesiod_watch.core.model import CellId
from hesiod_watch.rules.completeness import judge
from hesiod_watch.runs import minknow
from hesiod_watch.runs.minknow import (
    changed_after_summary,
    data_files,
    extras,
    find_misplaced,
    read_contents,
)

FASTQ, FAST5, POD5, BAM = DataKind.FASTQ, DataKind.FAST5, DataKind.POD5, DataKind.BAM


@pytest.fixture
def cell(tmp_path: Path) -> Make:
    """Make a cell's directory of empty files with the given relative names."""
    return partial(cell_with, tmp_path)


# --- data files


@pytest.mark.parametrize(
    "name", ["fastq_pass/barcode01/x_0.fastq", "pod5/x.pod5", "bam_pass/x.bam", "fastq/x.fastq.gz"]
)
def test_data_that_changed_after_the_summary(cell: Make, name: str) -> None:
    """The change time of data counts, not the time that a copying program sets."""
    directory = cell([name])
    assert changed_after_summary(opened(directory)) is not None
    (directory / "final_summary.txt").write_text("x")
    assert changed_after_summary(opened(directory)) is None
    (directory / name).write_text("longer")
    make_younger(directory / name, directory / "final_summary.txt")
    changed = (directory / name).stat().st_ctime_ns / 1e9
    assert changed_after_summary(opened(directory)) == changed
    (directory / "final_summary.txt").touch()
    (directory / "report_x.html").write_text("x")
    assert changed_after_summary(opened(directory)) is None
    make_younger((directory / name).parent, directory / "final_summary.txt")
    assert changed_after_summary(opened(directory)) is not None


@pytest.mark.parametrize(
    ("name", "kind", "part", "barcode"),
    [
        # 2019, 2021, 2022, 2024: names change, directories say what a file is.
        (f"fastq_pass/PAD38578_{A}_0.fastq", FASTQ, "pass", None),
        (
            "fastq_pass/barcode01/PAG23119_pass_barcode01_0eaeb70c_0.fastq",
            FASTQ,
            "pass",
            "barcode01",
        ),
        ("fastq_fail/unclassified/x_0.fastq.gz", FASTQ, "fail", "unclassified"),
        ("fastq_fail/mixed/x_0.fastq.gz", FASTQ, "fail", "mixed"),
        ("fastq_skip/x_0.fastq.gz", FASTQ, "skip", None),
        ("fastq_pass/QMFPJ005AE/x_0.fastq.gz", FASTQ, "pass", "QMFPJ005AE"),
        ("fastq_pass/my sample %/x_0.fastq.gz", FASTQ, "pass", "my sample %"),
        ("fastq/x_0.fastq.gz", FASTQ, "pass", None),
        ("fastq_pass/x_0.fq", FASTQ, "pass", None),
        ("fastq_fail/barcode01/x_0.fq.gz", FASTQ, "fail", "barcode01"),
        ("fastq_pass_duplex/barcode01/x_0.fastq.gz", FASTQ, "pass_duplex", "barcode01"),
        ("fastq_fail_duplex/x_0.fastq", FASTQ, "fail_duplex", None),
        ("fastq_pass_simplex/x_0.fastq", FASTQ, "pass", None),
        ("fastq_duplex/x_0.fastq", FASTQ, "pass_duplex", None),
        ("bam_pass_duplex/x_0.bam", BAM, "pass_duplex", None),
        ("pod5_pass_duplex/x_0.pod5", POD5, "pass", None),
        ("fast5_fail/PAM83464_fail__136e9f68_a6bd7a6d_0.fast5", FAST5, "fail", None),
        ("fast5_skip/x.fast5", FAST5, "skip", None),
        ("fast5/x.fast5", FAST5, "none", None),
        ("pod5_pass/barcode01/x.pod5", POD5, "pass", "barcode01"),
        ("pod5_fail/x.pod5", POD5, "fail", None),
        ("pod5_skip/x.pod5", POD5, "skip", None),
        ("pod5/foo0.pod5", POD5, "none", None),
        ("pod5/barcode01/x.pod5", POD5, "none", "barcode01"),
        ("bam_pass/barcode01/x.bam", BAM, "pass", "barcode01"),
        ("bam_fail/x.bam", BAM, "fail", None),
        (os.fsdecode(b"fastq_pass/\xff/\xfe\n.fastq"), FASTQ, "pass", os.fsdecode(b"\xff")),
    ],
)
def test_data_files_of_every_era(
    cell: Make, name: str, kind: DataKind, part: str, barcode: str | None
) -> None:
    """A file's directory determines its kind, part and barcode."""
    directory = cell([name])
    (found,) = data_files(opened(directory))
    assert (found.kind, found.part, found.barcode) == (kind, part, barcode)
    assert (found.entry.name, found.entry.path) == (name, directory / name)
    assert read_contents(opened(directory)).files == {kind: 1}


@pytest.mark.parametrize(
    "name",
    [
        # Temporary names of copying programs, and hidden files that keep empty directories.
        "fastq_pass/.x_0.fastq.gz.AbC123",
        "fastq_pass/.x_0.fastq.gz",
        "fastq_pass/barcode01/.x_0.fastq",
        "fastq_pass/x_0.fastq.gz.part",
        "fastq_pass/x_0.fastq.tmp",
        "fastq_pass/.rsync-partial/x_0.fastq.gz",
        "fastq_pass/.gitkeep",
        # Files of another kind than the directory.
        "fastq_pass/x_0.fastq.gz.md5",
        "fastq_pass/x_0.pod5",
        "fastq_pass/barcode01/x_0.fast5",
        "bam_pass/x_0.bam.bai",
        # Files two levels down, and files of other programs.
        "fastq_pass/barcode01/more/x_0.fastq.gz",
        "fast5/guppy_out/x_0.fast5",
        "fast5/guppy_out/pass/x_0.fastq",
        "basecalling/fastq_pass/x_0.fastq",
        "dorado/7.2.13/sup/pass/x_0.fastq",
        "original_fastq_and_bam/fastq_pass/x_0.fastq",
        "other_reports/x_0.fastq",
        "fastq_passed/x_0.fastq",
        "x_0.fastq",
        "pod5",
    ],
)
def test_nothing_else_is_a_data_file(cell: Make, name: str) -> None:
    """Hidden, temporary and other programs' files, and files at a wrong level, never count."""
    directory = cell([name])
    assert list(data_files(opened(directory))) == []
    assert not any(read_contents(opened(directory)).files.values())


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["bam_pass/x.cram"], "bam_pass/x.cram"),
        (["bam_pass/barcode01/x.cram", "bam_pass/barcode01/x.CRAM"], "2 CRAM files in bam_pass/ba"),
        (["fastq_pass/barcode01/x/a.fastq", "fastq_pass/barcode01/x/b.fq.gz"], "2 FASTQ files in"),
        (["fastq_pass/barcode01/x/y/a.fastq"], "fastq_pass/barcode01/x/y/a.fastq"),
        (["fastq/Alias/x.fastq.gz"], "fastq/Alias/x.fastq.gz"),
        (["pod5/Alias/x.pod5"], "pod5/Alias/x.pod5"),
        (["fastq_pass_trimmed/x.fastq", "dorado/x.bam"], "dorado/x.bam, fastq_pass_trimmed/x.fa"),
        (["basecalling/sup/pass/x.fastq.gz"], "basecalling/sup/pass/x.fastq.gz"),
        (["fastq_pass/x.bam"], "fastq_pass/x.bam"),
        (["x.fastq", "a\n.bam"], "a\\n.bam, x.fastq"),
        ([f"d{number}/x.bam" for number in range(12)], "d3/x.bam, d4/x.bam, 7 more directories"),
        (["pod5_pass/x.pod5", "fastq_pass/x.fastq", "bam_pass/x.bam.bai", "other/x.csv"], None),
        (["fastq_pass/.x.fastq.Ab1234", ".hidden/x.fastq", "dorado/.x.bam"], None),
    ],
)
def test_data_at_an_unknown_place_are_named(cell: Make, names: list[str], said: str | None) -> None:
    """A cell that has ended names the data that no output has; they change no verdict."""
    directory = cell(["fastq_pass/y_0.fastq", *names])
    contents = read_contents(opened(directory))
    assert judge(contents).evidence == ()
    (directory / "final_summary.txt").write_text(summary_text(fastq=contents.files[FASTQ]))
    contents = read_contents(opened(directory))
    named = [each for each in judge(contents).evidence if "not processed" in each]
    assert bool(named) == bool(said)
    assert (said or "") in " ".join(named)


@needs_unprivileged
def test_an_unknown_directory_that_cannot_be_read(cell: Make) -> None:
    """It is named, and the cell's own data count as before."""
    directory = cell(["fastq_pass/x_0.fastq", "dorado/x.bam"])
    (directory / "final_summary.txt").write_text(summary_text(fastq=1))
    (directory / "dorado").chmod(0)
    code = (
        "import sys; from pathlib import Path; from hesiod_watch.host.files import OpenDirectory;"
        "from hesiod_watch.runs import minknow;"
        "found = minknow.read_contents(OpenDirectory(Path(sys.argv[1])));"
        "print(found.readable, found.unknown)"
    )
    ran = subprocess.run(
        [*UNPRIVILEGED, sys.executable, "-c", code, directory],
        capture_output=True,
        text=True,
        check=True,
    )
    (directory / "dorado").chmod(0o755)
    assert ran.stdout.startswith("True ('dorado, which cannot be read: Permission denied',)")


def test_special_files_and_links_are_left_out_and_named(cell: Make, tmp_path: Path) -> None:
    """FIFOs and links to files or directories do not count, and are reported."""
    directory = cell(["fastq_pass/x_0.fastq", "fastq_pass/barcode02/x_0.fastq"])
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x_1.fastq").touch()
    os.mkfifo(directory / "fastq_pass" / "x_1.fastq")
    (directory / "fastq_pass" / "x_2.fastq").symlink_to(outside / "x_1.fastq")
    (directory / "fastq_pass" / "barcode01").symlink_to(outside)
    (directory / "fastq_pass" / "barcode02" / "x_9.fastq").symlink_to("x_9.fastq")
    (directory / "fastq_fail").symlink_to(outside)
    contents = read_contents(opened(directory))
    assert sorted(file.entry.name for file in data_files(opened(directory))) == [
        "fastq_pass/barcode02/x_0.fastq",
        "fastq_pass/x_0.fastq",
    ]
    assert contents.files == {FASTQ: 2}
    assert contents.readable
    assert contents.problem == (
        "not counted, because links and special files are not followed:"
        " fastq_fail, fastq_pass/barcode01, fastq_pass/barcode02/x_9.fastq and 2 more"
    )


def test_only_the_kinds_asked_for_are_listed(cell: Make) -> None:
    """Directories of other kinds are not opened."""
    directory = cell(["fastq_pass/x.fastq", "pod5/x.pod5"])
    assert [file.kind for file in data_files(opened(directory), (FASTQ,))] == [FASTQ]
    assert list(data_files(opened(directory), ())) == []


def test_a_missing_cell(tmp_path: Path) -> None:
    """A missing cell is an OSError for its files, and a sentence for its contents."""
    with pytest.raises(FileNotFoundError):
        list(data_files(opened(tmp_path / "gone")))
    contents = read_contents(opened(tmp_path / "gone"))
    assert (contents.readable, contents.problem) == (
        False,
        "gone cannot be read: No such file or directory",
    )
    assert judge(contents).verdict is Verdict.UNREADABLE
    assert minknow.newest_summary_time(opened(tmp_path / "gone")) is None
    assert extras.ont_report(opened(tmp_path / "gone")) is None


def test_a_directory_that_is_no_directory(cell: Make) -> None:
    """A file in place of a cell has a reason, and a time, so that it is examined."""
    file = cell(["not_a_directory"]) / "not_a_directory"
    assert read_contents(opened(file)).problem == "not_a_directory cannot be read: Not a directory"
    assert minknow.newest_summary_time(opened(file)) == file.stat().st_ctime


LOOK = """
import sys
from pathlib import Path
from hesiod_watch.host.files import OpenDirectory
from hesiod_watch.runs.minknow import read_contents

found = []
try:
    contents = read_contents(OpenDirectory(Path(sys.argv[1])), found.append)
    print([file.entry.name for file in found], dict(contents.files), contents.problem, sep="|")
except PermissionError as error:
    print("PermissionError", Path(error.filename).name, sep="|")
"""


@needs_unprivileged
@pytest.mark.parametrize(
    ("closed", "expected"),
    [
        pytest.param(
            "pod5_pass",
            "['bam_pass/x.bam', 'fastq_pass/x.fastq']"
            "|{<DataKind.BAM: 'bam'>: 1, <DataKind.FASTQ: 'fastq'>: 1}"
            "|c/pod5_pass cannot be read: Permission denied",
            id="raw data",
        ),
        pytest.param("bam_pass", "PermissionError|bam_pass", id="BAM"),
        pytest.param("fastq_pass", "PermissionError|fastq_pass", id="FASTQ"),
    ],
)
def test_one_look_at_a_directory_without_rights(cell: Make, closed: str, expected: str) -> None:
    """Reads that cannot be listed are an error; raw data are reported, and the rest is counted."""
    directory = cell(["bam_pass/x.bam", "fastq_pass/x.fastq", "pod5_pass/x.pod5"])
    (directory / closed).chmod(0)
    try:
        shown = subprocess.run(
            [*UNPRIVILEGED, sys.executable, "-c", LOOK, directory],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
    finally:
        (directory / closed).chmod(0o755)
    assert shown.strip().replace(f"{directory.name}/", "c/") == expected


# --- reports, pooling


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        pytest.param([], None, id="no file"),
        pytest.param(
            ["report_x.json", "xreport_x.html", "barcode_alignment.html"], None, id="no report"
        ),
        pytest.param(["report_x.md"], "report_x.md", id="markdown"),
        pytest.param(["report_x.md", "report_x.pdf"], "report_x.pdf", id="PDF before markdown"),
        pytest.param(
            ["report_x.md", "report_x.pdf", "report__20231026_1515_9d505d15.html"],
            "report__20231026_1515_9d505d15.html",
            id="page before PDF",
        ),
        pytest.param(["report_new.html", "report_old.html"], "report_new.html", id="newest page"),
    ],
)
def test_onts_own_report(cell: Make, names: list[str], expected: str | None) -> None:
    """The newest page is used, or else MinKNOW's older formats."""
    directory = cell(names)
    for name in names:
        mtime = 100 if "old" in name else 200
        os.utime(directory / name, (mtime, mtime))
    assert extras.ont_report(opened(directory)) == expected


def test_acquisitions_of_pooled_data(tmp_path: Path) -> None:
    """Acquisitions are found by the names of data and summaries; other files are reported."""
    library = tmp_path / "sampleA"
    for name in (
        "fastq_pass/barcode01/x_pass_barcode01_11111111_aaaaaaaa_0.fastq",
        "fastq_pass/deadbeef/x-1_y_pass_deadbeef_22222222_bbbbbbbb_0.fastq.gz",
        "fastq_pass/odd.fastq",
        "fastq_fail/x.y_fail_22222222_dddddddd_0.fastq",
        "pod5/x_aaaaaaaa_0.pod5",
        "pod5/.x_11111111_eeeeeeee_0.pod5",
        f"fast5_pass/old_{'c' * 40}_3.fast5",
        "final_summary_x_11111111_ffffffff.txt",
        "final_summary.txt",
        "basecalling/x_pass_11111111_99999999_0.fastq",
    ):
        (library / name).parent.mkdir(parents=True, exist_ok=True)
        (library / name).touch()
    found = minknow.find_pooled(opened(library), library.name)
    assert {each.name for each in found.cells} == {
        "x_11111111_aaaaaaaa.pooled",
        "x-1_y_22222222_bbbbbbbb.pooled",
        "old_cccccccc.pooled",
        "x_11111111_ffffffff.pooled",
    }
    (problem,) = found.problems
    assert problem.kind == "pooled"
    assert problem.why == (
        "sampleA holds data without a cell directory (MinKNOW data pooling), and 3 files of them "
        "name no acquisition: final_summary.txt, odd.fastq, x.y_fail_22222222_dddddddd_0.fastq"
    )


@pytest.mark.parametrize(
    ("name", "cell", "owned"),
    [
        ("x_pass_11111111_aaaaaaaa_0.fastq", "x_11111111_aaaaaaaa.pooled", True),
        ("x_pass_11111111_bbbbbbbb_0.fastq", "x_11111111_aaaaaaaa.pooled", False),
        (".x_11111111_aaaaaaaa_0.pod5.Ab12Cd", "x_11111111_aaaaaaaa.pooled", True),
        ("report_x_20240101_1200_11111111.html", "x_11111111_aaaaaaaa.pooled", True),
        ("report_x_20240101_1200_22222222.html", "x_11111111_aaaaaaaa.pooled", False),
        ("sequencing_summary_x_11111111_bbbbbbbb.txt", "x_11111111_aaaaaaaa.pooled", False),
        ("SampleSheet.csv", "x_11111111_aaaaaaaa.pooled", False),
        ("x_pass_barcode01_aaaaaaaa_0.fastq", "x_aaaaaaaa.pooled", True),
        ("x_pass_barcode01_bbbbbbbb_0.fastq", "x_aaaaaaaa.pooled", False),
        (f"x_{'a' * 40}_0.fast5", "x_aaaaaaaa.pooled", True),
        ("", "x_aaaaaaaa.pooled", False),
    ],
)
def test_owner_of_a_file_in_a_pooled_directory(name: str, cell: str, owned: bool) -> None:
    """The last id in a name decides: an acquisition's, or that of its protocol run."""
    pooled = CellId("sampleA", cell).pooled
    assert pooled
    assert pooled.owns(name) is owned


@pytest.mark.parametrize(
    "name",
    [
        "20261122_2210_1A_PAW00001_0a1b2c3d.pooled",
        "20261122_2210_1A_x_11111111_aaaaaaaa.pooled",
        "x_11111111_aaaaaaaa",
        "x_11111111_AAAAAAAA.pooled",
        "x y_11111111_aaaaaaaa.pooled",
        "x_11111111_aaaaaaaa.pooled.done",
        "\n_11111111_aaaaaaaa.pooled",
    ],
)
def test_other_names_are_not_of_pooled_cells(name: str) -> None:
    """A cell with a directory of its own is never read from the directory of its library."""
    assert CellId("sampleA", name).parts == ("sampleA", name)


@pytest.mark.parametrize(
    ("made", "asked", "says"),
    [
        ("library/cell/fastq_pass/x.fastq", "library", ""),
        ("library/notes.txt", "library", ""),
        ("bam/cell/fastq_pass/x.fastq", "bam", ""),
        ("fastq_pass/barcode01/x.fastq", "fastq_pass", "fastq_pass is in the run itself"),
        (
            f"{CELL}/notes.txt",
            CELL,
            f"{CELL} is a cell's directory without a library above it",
        ),
    ],
)
def test_data_a_level_too_high_are_reported(
    tmp_path: Path, made: str, asked: str, says: str
) -> None:
    """Data directly in a run are reported as not processed; other libraries are not."""
    (tmp_path / made).parent.mkdir(parents=True)
    (tmp_path / made).touch()
    answer = "".join(each.why for each in find_misplaced(opened(tmp_path), asked, []))
    assert answer.startswith(says)
    assert bool(answer) is bool(says)
