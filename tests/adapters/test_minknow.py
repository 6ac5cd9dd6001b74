"""Reading MinKNOW's directories: layouts of every era, final_summary files whole and broken, hostile entries."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from hesiod_watch import minknow
from hesiod_watch.completeness import judge
from hesiod_watch.minknow import DataFile, data_files, parse_summary, pooled, read_contents
from hesiod_watch.model import DataKind, Verdict

FASTQ, FAST5, POD5, BAM = DataKind.FASTQ, DataKind.FAST5, DataKind.POD5, DataKind.BAM
A, B = "a" * 40, "b" * 40
CELL = "20190710_1723_2-A5-D5_PAD38578_c6ded78b"

Make = Callable[[Iterable[str]], Path]


@pytest.fixture
def cell(tmp_path: Path) -> Make:
    """Makes a cell's directory of empty files with the given names relative to it."""

    def make(names: Iterable[str]) -> Path:
        directory = tmp_path / "run" / "library" / CELL
        directory.mkdir(parents=True, exist_ok=True)
        for name in names:
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return directory

    return make


def summary_text(acquisition: str = A, era: int = 2024, **counts: int) -> str:
    """A final_summary as MinKNOW of that year writes it; counts are `fastq=3` or `fastq_fallback=1`."""
    lines = [
        "instrument=PCA100290",
        "position=1C",
        "flow_cell_id=PAW00001",
        "sample_id=s",
        "protocol_group_id=g",
        "protocol=sequencing/sequencing_PRO114_DNA_e8_2_400K:FLO-PRO114M:SQK-LSK114:400",
        "protocol_run_id=c6ded78b-0000-4000-8000-000000000000",
        f"acquisition_run_id={acquisition}",
        "started=2024-07-17T17:36:44.188174+01:00",
        "acquisition_stopped=2024-07-18T05:36:44.188174+01:00",
        "processing_stopped=2024-07-18T05:47:07.094144+01:00",
        "basecalling_enabled=1",
        "sequencing_summary_file=sequencing_summary.txt",
    ]
    kinds = ["fast5"] + ["pod5"] * (era >= 2023) + ["fastq"] + ["bam"] * (era >= 2024)
    for kind in kinds:
        lines.append(f"{kind}_files_in_final_dest={counts.get(kind, 0)}")
        lines.append(f"{kind}_files_in_fallback={counts.get(kind + '_fallback', 0)}")
    return "\n".join(lines) + "\n"


# --- data files


@pytest.mark.parametrize(
    ("name", "kind", "part", "barcode"),
    [
        # 2019, 2021, 2022, 2024: names change, directories say what a file is.
        (f"fastq_pass/PAD38578_{A}_0.fastq", FASTQ, "pass", None),
        ("fastq_pass/barcode01/PAG23119_pass_barcode01_0eaeb70c_0.fastq", FASTQ, "pass", "barcode01"),
        ("fastq_fail/unclassified/x_0.fastq.gz", FASTQ, "fail", "unclassified"),
        ("fastq_fail/mixed/x_0.fastq.gz", FASTQ, "fail", "mixed"),
        ("fastq_skip/x_0.fastq.gz", FASTQ, "skip", None),
        ("fastq_pass/QMFPJ005AE/x_0.fastq.gz", FASTQ, "pass", "QMFPJ005AE"),
        ("fastq_pass/my sample %/x_0.fastq.gz", FASTQ, "pass", "my sample %"),
        ("fastq/x_0.fastq.gz", FASTQ, "pass", None),
        ("fastq_pass_duplex/barcode01/x_0.fastq.gz", FASTQ, "pass", "barcode01"),
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
def test_data_files_of_every_era_are_seen(
    cell: Make, name: str, kind: DataKind, part: str, barcode: str | None
) -> None:
    """A file's directory says its kind, part and barcode."""
    directory = cell([name])
    assert list(data_files(directory)) == [DataFile(kind, part, barcode, directory / name, name)]
    assert read_contents(directory).files == {kind: 1}


@pytest.mark.parametrize(
    "name",
    [
        # Temporary names of copying programs, and hidden files that hold empty directories open.
        "fastq_pass/.x_0.fastq.gz.AbC123",
        "fastq_pass/.x_0.fastq.gz",
        "fastq_pass/barcode01/.x_0.fastq",
        "fastq_pass/x_0.fastq.gz.part",
        "fastq_pass/x_0.fastq.tmp",
        "fastq_pass/.rsync-partial/x_0.fastq.gz",
        "fastq_pass/.gitkeep",
        # Not of the directory's kind.
        "fastq_pass/x_0.fq.gz",
        "fastq_pass/x_0.fastq.gz.md5",
        "fastq_pass/x_0.pod5",
        "fastq_pass/barcode01/x_0.fast5",
        "bam_pass/x_0.bam.bai",
        # Two levels down, and what other programs made.
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
    """Hidden and temporary files, other programs' files and files a level too deep or too high never count."""
    directory = cell([name])
    assert list(data_files(directory)) == []
    assert not any(read_contents(directory).files.values())


def test_special_files_and_links_are_left_out_and_named(cell: Make, tmp_path: Path) -> None:
    """FIFOs, links to files and links to directories do not count, and a person is told that they are there."""
    directory = cell(["fastq_pass/x_0.fastq", "fastq_pass/barcode02/x_0.fastq"])
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x_1.fastq").touch()
    os.mkfifo(directory / "fastq_pass" / "x_1.fastq")
    (directory / "fastq_pass" / "x_2.fastq").symlink_to(outside / "x_1.fastq")
    (directory / "fastq_pass" / "barcode01").symlink_to(outside)
    (directory / "fastq_pass" / "barcode02" / "x_9.fastq").symlink_to("x_9.fastq")
    (directory / "fastq_fail").symlink_to(outside)
    contents = read_contents(directory)
    assert sorted(file.name for file in data_files(directory)) == [
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
    """Directories of other kinds are not even opened."""
    directory = cell(["fastq_pass/x.fastq", "pod5/x.pod5"])
    assert [file.kind for file in data_files(directory, (FASTQ,))] == [FASTQ]
    assert list(data_files(directory, ())) == []


def test_a_cell_that_is_not_there(tmp_path: Path) -> None:
    """Listing it is an OSError for who wants the files, and a sentence for who looks at contents."""
    with pytest.raises(FileNotFoundError):
        list(data_files(tmp_path / "gone"))
    contents = read_contents(tmp_path / "gone")
    assert (contents.readable, contents.problem) == (False, "gone cannot be read: No such file or directory")
    assert judge(contents).verdict is Verdict.UNREADABLE
    assert minknow.newest_summary_mtime(tmp_path / "gone") is None
    assert minknow.ont_report(tmp_path / "gone") is None


def test_a_directory_that_is_no_directory(cell: Make) -> None:
    """A cell whose name is that of a file has a reason, and a time, so that somebody looks closer."""
    file = cell(["not_a_directory"]) / "not_a_directory"
    assert read_contents(file).problem == "not_a_directory cannot be read: Not a directory"
    assert minknow.newest_summary_mtime(file) == file.stat().st_mtime


# --- final_summary files


def test_a_whole_summary_gives_its_values() -> None:
    """Keys and values are as MinKNOW wrote them."""
    summary = parse_summary(summary_text(fastq=222).encode(), "final_summary.txt")
    assert summary.problem == ""
    assert summary.acquisition == A
    assert summary.values["fastq_files_in_final_dest"] == "222"
    assert summary.values["position"] == "1C"


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("a=1\r\nb=2\r\n", "b", "2"),
        ("\n\n  \na=1\n\n", "a", "1"),
        ("# comment\na=1\n#a=2\n", "a", "1"),
        ("a=1\na=2\n", "a", "2"),
        ("fastq_files_in_final_dest=\n", "fastq_files_in_final_dest", ""),
        ("a = b = c \n", "a", "b = c"),
        ("\ufeffa=1\n", "a", "1"),
        ("sample_id=é\n", "sample_id", "é"),
        ("a=1\n# no line end", "a", "1"),
        ("a=1\nfastq_files_in_fallback=0", "fastq_files_in_fallback", "0"),
        ("a=1\nbam_files_in_fallback=12", "bam_files_in_fallback", "12"),
        (summary_text(era=2020).rstrip("\n"), "fastq_files_in_fallback", "0"),
        (summary_text(era=2024).rstrip("\n"), "bam_files_in_fallback", "0"),
        (summary_text().replace("\n", "\r\n"), "instrument", "PCA100290"),
        (summary_text() + "# corrected\nfastq_files_in_final_dest=7\n", "fastq_files_in_final_dest", "7"),
        ("protocol=DNA\nfastq_files_in_final_dest=3\nfast5_files_in_final_dest=3\n", "fast5_files_in_final_dest", "3"),
        (summary_text().replace("fastq_", "other_"), "bam_files_in_fallback", "0"),
        ("# Recovered by me\ninstrument=X\nfastq_files_in_final_dest=3\n", "fastq_files_in_final_dest", "3"),
    ],
)
def test_forms_that_are_accepted(text: str, key: str, value: str) -> None:
    """Line ends, comments, blanks, repeated keys, missing line ends of 2020 and hand-written files are understood."""
    summary = parse_summary(text.encode(), "final_summary.txt")
    assert (summary.problem, summary.values[key]) == ("", value)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "is empty"),
        (b"\n\n# nothing\n", "is unreadable: it holds no key=value"),
        (b"bf3e8b3a-9152\n", 'is unreadable: line 1, "bf3e8b3a-9152", is not key=value'),
        (b"a=1\n=2\n", 'is unreadable: line 2, "=2", is not key=value'),
        (b"a=1\nb c=2\n", 'is unreadable: line 2, "b c=2", is not key=value'),
        (b"<html>\x7f</html>\n", "is unreadable: it holds binary data"),
        (b"a=1\n" + bytes(4096), "is unreadable: it holds binary data"),
        (b"a=1\x1b[2J\n", "is unreadable: it holds binary data"),
        ("a=1\n".encode("utf-16"), "is unreadable: it holds binary data"),
        (b"a" * ((1 << 20) + 1), "is unreadable: larger than 1 MiB, where a final_summary has less than 2 kB"),
        (b"fastq_files_in_final_dest=x\n", 'line 1, "fastq_files_in_final_dest=x", gives no count'),
        (b"fastq_files_in_final_dest=-1\n", "gives no count"),
        (b"pod5_files_in_fallback=1.5\n", "gives no count"),
        ("fastq_files_in_final_dest=٣\n".encode(), "gives no count"),
        (b"fastq_files_in_final_dest=" + b"9" * 5000 + b"\n", "gives no count"),
        (b"instrument", 'is half-written: its last line, "instrument", has no end'),
        (b"a=1\nfastq_files_in_final_dest=3", 'its last line, "fastq_files_in_final_dest=3", has no end'),
        (b"a=1\nfastq_files_in_fallback=", "has no end"),
        (b"instrument=X\n", "is half-written: it ends before fastq_files_in_fallback"),
        (b"started=2024\nfastq_files_in_final_dest=3\n", "is half-written: it ends before fastq_files_in_fallback"),
    ],
)
def test_forms_that_are_refused(data: bytes, problem: str) -> None:
    """Empty, binary, oversized, malformed and half-written files have a problem that begins with the file's name."""
    summary = parse_summary(data, "final_summary_\x1b.txt")
    assert summary.problem.startswith(r"final_summary_\x1b.txt is ")
    assert problem in summary.problem
    assert summary.problem.isprintable()


@pytest.mark.parametrize("era", [2020, 2023, 2024])
def test_no_beginning_of_a_summary_counts_as_one(era: int) -> None:
    """Cut anywhere, a summary is half-written; but for the end of the fastq counts, where older ones end too."""
    data = summary_text(era=era, fastq=22, pod5=11, bam=7).encode()
    older_end = data.index(b"fastq_files_in_fallback=0\n") + len(b"fastq_files_in_fallback=0")
    for size in range(len(data) - 1):
        whole = size in (older_end, older_end + 1)
        assert (parse_summary(data[:size], "final_summary.txt").problem == "") is whole, data[:size]


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("final_summary.txt", True),
        ("final_summary_xxx_yyy.txt", True),
        ("final_summary_.txt", True),
        ("final_summary_basecall_recovery.txt", True),
        (".final_summary.txt", False),
        (".final_summary_x.txt.AbC123", False),
        ("final_summary_x.txt.part", False),
        ("final_summary_x.txt~", False),
        ("final_summary", False),
        ("xfinal_summary.txt", False),
        ("other_reports/final_summary.txt", False),
    ],
)
def test_names_of_summaries(cell: Make, name: str, counts: bool) -> None:
    """A final_summary is known by its exact form of name, in the cell's directory itself."""
    directory = cell([name])
    assert [summary.name for summary in read_contents(directory).summaries] == ([name] if counts else [])
    assert (minknow.newest_summary_mtime(directory) is not None) is counts


def test_a_summary_that_is_no_regular_file_is_not_opened(cell: Make, tmp_path: Path) -> None:
    """FIFOs, links and directories of a summary's name keep the cell from being complete and are never read."""
    directory = cell([])
    (tmp_path / "good").write_text(summary_text())
    os.mkfifo(directory / "final_summary_1.txt")
    (directory / "final_summary_2.txt").symlink_to(tmp_path / "good")
    (directory / "final_summary_3.txt").mkdir()
    summaries = read_contents(directory).summaries
    assert sorted(summary.problem for summary in summaries) == [
        f"final_summary_{number}.txt is not a regular file and is not read" for number in (1, 2, 3)
    ]
    assert minknow.newest_summary_mtime(directory) is not None


def test_the_newest_summary_comes_last(cell: Make) -> None:
    """Summaries are in order of their time, so that a corrected one can win; the newest gives the time."""
    directory = cell([])
    for name, mtime in (("final_summary_b.txt", 100), ("final_summary_a.txt", 200), ("final_summary_c.txt", 50)):
        (directory / name).write_text(summary_text())
        os.utime(directory / name, (mtime, mtime))
    assert [summary.name[14] for summary in read_contents(directory).summaries] == ["c", "b", "a"]
    assert minknow.newest_summary_mtime(directory) == 200


@pytest.mark.parametrize(
    ("files", "summaries", "unsummarised"),
    [
        # Every era's names; the summary's full id begins with what the file names.
        (["x_pass_c6ded78b_aaaaaaaa_0.fastq.gz"], [A], ()),
        (["x_pass_barcode01_aaaaaaaa_12.fastq"], [A], ()),
        ([f"x_{A}_0.fastq"], [A], ()),
        (["x_fail__c6ded78b_aaaaaaaa_0.fastq"], [A], ()),
        # Two acquisitions, one summary.
        (["x_pass_c6ded78b_aaaaaaaa_0.fastq", "x_pass_c6ded78b_bbbbbbbb_0.fastq"], [A], ("bbbbbbbb",)),
        ([f"x_{A}_0.fastq", f"x_{B}_0.fastq"], [A], (B,)),
        (["x_pass_c6ded78b_aaaaaaaa_0.fastq", "x_pass_c6ded78b_bbbbbbbb_0.fastq"], [A, B], ()),
        (["x_pass_11111111_0.fastq", "x_pass_22222222_0.fastq"], [A], ("11111111", "22222222")),
        # No summary at all: everything lacks one.
        (["x_pass_c6ded78b_aaaaaaaa_0.fastq"], [], ("aaaaaaaa",)),
        # Files that carry the protocol's id only, or an id that nobody knows, are no alarm.
        (["x_pass_c6ded78b_0.fastq", "x_pass_c6ded78b_aaaaaaaa_0.fastq"], [A], ()),
        (["x_pass_dddddddd_0.fastq"], [A], ()),
        # No ids: renamed, called again, foreign.
        (["foo0.fastq", "x_0.fastq", f"fastq_runid_{B}_0_0.fastq", "x_pass_BARCODE_1.fastq"], [A], ()),
        # A summary without ids speaks for everything.
        (["x_pass_aaaaaaaa_0.fastq", "x_pass_bbbbbbbb_0.fastq"], [""], ()),
        (["x_pass_aaaaaaaa_0.fastq", "x_pass_bbbbbbbb_0.fastq"], [A, ""], ()),
    ],
)
def test_acquisitions_without_a_summary_are_found(
    cell: Make, files: list[str], summaries: list[str], unsummarised: tuple[str, ...]
) -> None:
    """Ids in file names are compared with those of the summaries, and in doubt there is no alarm."""
    directory = cell(f"fastq_pass/{name}" for name in files)
    for number, acquisition in enumerate(summaries):
        text = summary_text(acquisition) if acquisition else "protocol=DNA\nfastq_files_in_final_dest=3\n"
        (directory / f"final_summary_{number}.txt").write_text(text)
    assert read_contents(directory).unsummarised == unsummarised


def test_the_ids_in_a_summarys_name_count_too(cell: Make) -> None:
    """An acquisition whose summary is half-written is not said to have none."""
    directory = cell(["fastq_pass/x_aaaaaaaa_0.fastq", "fastq_pass/x_bbbbbbbb_0.fastq"])
    (directory / "final_summary_PAW00001_c6ded78b_aaaaaaaa.txt").write_text(summary_text())
    (directory / "final_summary_PAW00001_c6ded78b_bbbbbbbb.txt").write_text("instr")
    assert read_contents(directory).unsummarised == ()


def test_a_broken_summary_speaks_for_nothing(cell: Make) -> None:
    """One that is half-written before its ids does not stand for the acquisitions that have none."""
    directory = cell(["fastq_pass/x_aaaaaaaa_0.fastq", "fastq_pass/x_bbbbbbbb_0.fastq"])
    (directory / "final_summary_1.txt").write_text(summary_text())
    (directory / "final_summary_2.txt").write_text("instr")
    assert read_contents(directory).unsummarised == ("bbbbbbbb",)


# --- facts, reports, pooling


def test_facts_of_a_run() -> None:
    """What the report shows is taken from the summary; the run length is that of the acquisition."""
    assert minknow.facts([parse_summary(summary_text().encode(), "final_summary.txt")]) == {
        "instrument": "PCA100290",
        "position": "1C",
        "flow_cell_id": "PAW00001",
        "sample_id": "s",
        "protocol_group_id": "g",
        "protocol": "sequencing/sequencing_PRO114_DNA_e8_2_400K:FLO-PRO114M:SQK-LSK114:400",
        "flow_cell_type": "FLO-PRO114M",
        "kit": "SQK-LSK114",
        "started": "2024-07-17T17:36:44.188174+01:00",
        "acquisition_stopped": "2024-07-18T05:36:44.188174+01:00",
        "processing_stopped": "2024-07-18T05:47:07.094144+01:00",
        "basecalling_enabled": "1",
        "run_hours": 12.0,
    }


def test_facts_of_several_acquisitions() -> None:
    """From the first start to the last stop, hours summed; the same acquisition is not summed twice."""
    later = summary_text(B).replace("2024-07-17", "2024-08-01").replace("2024-07-18", "2024-08-02")
    summaries = [parse_summary(text.encode(), "final_summary.txt") for text in (later, summary_text(), summary_text())]
    facts = minknow.facts(summaries)
    assert (facts["started"][:10], facts["acquisition_stopped"][:10]) == ("2024-07-17", "2024-08-02")
    assert facts["run_hours"] == 24.0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "position=\n",
        "started=yesterday\nfastq_files_in_final_dest=1\n",
        "started=2024-07-18T05:36:44Z\nacquisition_stopped=2024-07-17T05:36:44Z\n",
        "protocol_run_id=x\n",
    ],
)
def test_facts_that_are_not_stated_are_absent(text: str) -> None:
    """Blank, unparsable and missing values give no run length, kit or position."""
    facts = minknow.facts([parse_summary(text.encode(), "final_summary.txt")])
    assert facts.keys() <= {"started", "acquisition_stopped"}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], None),
        (["report_x.json", "xreport_x.html", "barcode_alignment.html"], None),
        (["report_x.md"], "report_x.md"),
        (["report_x.md", "report_x.pdf"], "report_x.pdf"),
        (["report_x.md", "report_x.pdf", "report__20231026_1515_9d505d15.html"], "report__20231026_1515_9d505d15.html"),
        (["report_new.html", "report_old.html"], "report_new.html"),
    ],
)
def test_onts_own_report(cell: Make, names: list[str], expected: str | None) -> None:
    """The newest page is taken, or what MinKNOW wrote before there were pages."""
    directory = cell(names)
    for name in names:
        mtime = 100 if "old" in name else 200
        os.utime(directory / name, (mtime, mtime))
    assert minknow.ont_report(directory) == expected


def test_pooled_data_are_described(cell: Make, tmp_path: Path) -> None:
    """A library with data and no cells says how many acquisitions it holds and how far each is."""
    library = tmp_path / "sampleA"
    for name in ("x_pass_11111111_aaaaaaaa_0.fastq", "x_pass_22222222_bbbbbbbb_0.fastq", "odd.fastq"):
        path = library / "fastq_pass" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (library / "pod5").mkdir()
    (library / "pod5" / "x_aaaaaaaa_0.pod5").touch()
    (library / "final_summary_x.txt").write_text(summary_text(A, fastq=2, pod5=1))
    (library / "final_summary_y.txt").write_text(summary_text(B, fastq=2)[:-30])
    assert pooled(library) == (
        "sampleA holds data without a cell directory (MinKNOW data pooling): 3 acquisitions,"
        " without an id 1 FASTQ (no final_summary),"
        " aaaaaaaa 1 of 2 FASTQ and 1 of 1 POD5,"
        " bbbbbbbb 1 FASTQ (no final_summary); hesiod-watch does not process pooled data"
    )


@pytest.mark.parametrize(
    ("made", "asked", "says"),
    [
        ("library/cell/fastq_pass/x.fastq", "library", ""),
        ("library/notes.txt", "library", ""),
        ("bam/cell/fastq_pass/x.fastq", "bam", ""),
        ("library/pod5/.keep", "library", "library holds data without a cell directory (MinKNOW data pooling); hesiod"),
        ("fastq_pass/barcode01/x.fastq", "fastq_pass", "fastq_pass lies in the run itself"),
        (f"{CELL}/fastq_pass/x.fastq", CELL, f"{CELL} is a cell's directory without a library above it"),
        ("library/x", "gone", "gone cannot be read: No such file"),
    ],
)
def test_data_a_level_too_high_are_noticed(tmp_path: Path, made: str, asked: str, says: str) -> None:
    """An ordinary library says nothing; data lying directly in a run or library are said to be not processed."""
    (tmp_path / made).parent.mkdir(parents=True)
    (tmp_path / made).touch()
    answer = pooled(tmp_path / asked)
    assert answer.startswith(says)
    assert bool(answer) is bool(says)
