"""MinKNOW's final_summary files, whole and broken, and the facts in them."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest
from minknow_cells import A, B, Make, cell_with, summary_text
from open_runs import opened

from hesiod_watch.runs import minknow
from hesiod_watch.runs.minknow import parse_summary, read_contents


@pytest.fixture
def cell(tmp_path: Path) -> Make:
    """Make a cell's directory of empty files with the given relative names."""
    return partial(cell_with, tmp_path)


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
        (
            summary_text() + "# corrected\nfastq_files_in_final_dest=7\n",
            "fastq_files_in_final_dest",
            "7",
        ),
        (
            "protocol=DNA\nfastq_files_in_final_dest=3\nfast5_files_in_final_dest=3\n",
            "fast5_files_in_final_dest",
            "3",
        ),
        (summary_text().replace("fastq_", "other_"), "bam_files_in_fallback", "0"),
        (
            "# Recovered by me\ninstrument=X\nfastq_files_in_final_dest=3\n",
            "fastq_files_in_final_dest",
            "3",
        ),
    ],
)
def test_forms_that_are_accepted(text: str, key: str, value: str) -> None:
    """Any line ends, comments, blanks, repeated keys and hand-written files are accepted."""
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
        (
            b"a" * ((1 << 20) + 1),
            "is unreadable: larger than 1 MiB, where a final_summary has less than 2 kB",
        ),
        (b"fastq_files_in_final_dest=x\n", 'line 1, "fastq_files_in_final_dest=x", gives no count'),
        (b"fastq_files_in_final_dest=-1\n", "gives no count"),
        (b"pod5_files_in_fallback=1.5\n", "gives no count"),
        ("fastq_files_in_final_dest=٣\n".encode(), "gives no count"),
        (b"fastq_files_in_final_dest=" + b"9" * 5000 + b"\n", "gives no count"),
        (b"instrument", 'is half-written: its last line, "instrument", has no end'),
        (
            b"a=1\nfastq_files_in_final_dest=3",
            'its last line, "fastq_files_in_final_dest=3", has no end',
        ),
        (b"a=1\nfastq_files_in_fallback=", "has no end"),
        (b"instrument=X\n", "is half-written: it ends before fastq_files_in_fallback"),
        (
            b"started=2024\nfastq_files_in_final_dest=3\n",
            "is half-written: it ends before fastq_files_in_fallback",
        ),
    ],
)
def test_forms_that_are_refused(data: bytes, problem: str) -> None:
    """Empty, binary, oversized, malformed and half-written files have a problem with their name."""
    summary = parse_summary(data, "final_summary_\x1b.txt")
    assert summary.problem.startswith(r"final_summary_\x1b.txt is ")
    assert problem in summary.problem
    assert summary.problem.isprintable()


@pytest.mark.parametrize("era", [2020, 2023, 2024])
def test_a_cut_summary_is_half_written(era: int) -> None:
    """A summary that is cut anywhere is half-written, except after the FASTQ counts.

    Older summaries end there.
    """
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
    """A final_summary has exactly this form of name, and is in the cell's directory itself."""
    directory = cell([name])
    assert [summary.name for summary in read_contents(opened(directory)).summaries] == (
        [name] if counts else []
    )
    assert (minknow.newest_summary_time(opened(directory)) is not None) is counts


def test_a_summary_that_is_no_regular_file_is_not_opened(cell: Make, tmp_path: Path) -> None:
    """A special file of a summary's name keeps the cell incomplete and is never read."""
    directory = cell([])
    (tmp_path / "good").write_text(summary_text())
    os.mkfifo(directory / "final_summary_1.txt")
    (directory / "final_summary_2.txt").symlink_to(tmp_path / "good")
    (directory / "final_summary_3.txt").mkdir()
    summaries = read_contents(opened(directory)).summaries
    assert sorted(summary.problem for summary in summaries) == [
        f"final_summary_{number}.txt is not a regular file and is not read" for number in (1, 2, 3)
    ]
    assert minknow.newest_summary_time(opened(directory)) is not None


def test_the_newest_summary_comes_last(cell: Make) -> None:
    """Summaries are sorted by time, so that a corrected one wins; the newest gives the time."""
    directory = cell([])
    for name, mtime in (
        ("final_summary_b.txt", 100),
        ("final_summary_a.txt", 200),
        ("final_summary_c.txt", 50),
    ):
        (directory / name).write_text(summary_text())
        os.utime(directory / name, (mtime, mtime))
    assert [summary.name[14] for summary in read_contents(opened(directory)).summaries] == [
        "c",
        "b",
        "a",
    ]
    newest = max(path.stat().st_ctime for path in directory.glob("final_summary_*"))
    assert minknow.newest_summary_time(opened(directory)) == newest


@pytest.mark.parametrize(
    "mtime", [4_000_000_000, -4_000_000_000, 1_000_000_000], ids=["future", "before 1970", "old"]
)
def test_a_summary_with_an_odd_time(cell: Make, mtime: int) -> None:
    """The sequencer's clock neither delays nor shortens the grace period: the arrival counts."""
    directory = cell([])
    (directory / "final_summary_a.txt").write_text(summary_text())
    arrived = (directory / "final_summary_a.txt").stat().st_ctime
    os.utime(directory / "final_summary_a.txt", (mtime, mtime))
    found = minknow.newest_summary_time(opened(directory))
    assert found is not None
    assert arrived <= found <= arrived + 60


@pytest.mark.parametrize(
    ("files", "summaries", "unsummarised"),
    [
        # Names of every version; the summary's full id begins with the id in the file's name.
        pytest.param(
            ["x_pass_c6ded78b_aaaaaaaa_0.fastq.gz"], [A], (), id="name with both short ids"
        ),
        pytest.param(["x_pass_barcode01_aaaaaaaa_12.fastq"], [A], (), id="name with a barcode"),
        pytest.param([f"x_{A}_0.fastq"], [A], (), id="name with the full id"),
        pytest.param(
            ["x_fail__c6ded78b_aaaaaaaa_0.fastq"], [A], (), id="name with an empty barcode"
        ),
        # Two acquisitions, one summary.
        pytest.param(
            ["x_pass_c6ded78b_aaaaaaaa_0.fastq", "x_pass_c6ded78b_bbbbbbbb_0.fastq"],
            [A],
            ("bbbbbbbb",),
            id="two acquisitions, one summary",
        ),
        pytest.param(
            [f"x_{A}_0.fastq", f"x_{B}_0.fastq"], [A], (B,), id="two full ids, one summary"
        ),
        pytest.param(
            ["x_pass_c6ded78b_aaaaaaaa_0.fastq", "x_pass_c6ded78b_bbbbbbbb_0.fastq"],
            [A, B],
            (),
            id="two acquisitions, two summaries",
        ),
        pytest.param(
            ["x_pass_11111111_0.fastq", "x_pass_22222222_0.fastq"],
            [A],
            ("11111111", "22222222"),
            id="two acquisitions, a summary of another",
        ),
        # No summary at all: every acquisition lacks one.
        pytest.param(["x_pass_c6ded78b_aaaaaaaa_0.fastq"], [], ("aaaaaaaa",), id="no summary"),
        # Files with only the protocol's id, or with an unknown id, cause no alarm.
        pytest.param(
            ["x_pass_c6ded78b_0.fastq", "x_pass_c6ded78b_aaaaaaaa_0.fastq"],
            [A],
            (),
            id="id of the protocol",
        ),
        pytest.param(["x_pass_dddddddd_0.fastq"], [A], (), id="an unknown id"),
        # Files without ids: renamed, called again, or of another program.
        pytest.param(
            ["foo0.fastq", "x_0.fastq", f"fastq_runid_{B}_0_0.fastq", "x_pass_BARCODE_1.fastq"],
            [A],
            (),
            id="no ids",
        ),
        # A summary without ids covers everything.
        pytest.param(
            ["x_pass_aaaaaaaa_0.fastq", "x_pass_bbbbbbbb_0.fastq"],
            [""],
            (),
            id="summary without ids",
        ),
        pytest.param(
            ["x_pass_aaaaaaaa_0.fastq", "x_pass_bbbbbbbb_0.fastq"],
            [A, ""],
            (),
            id="one of two summaries without ids",
        ),
    ],
)
def test_acquisitions_without_a_summary_are_found(
    cell: Make, files: list[str], summaries: list[str], unsummarised: tuple[str, ...]
) -> None:
    """Ids in file names are compared with those of the summaries; in doubt there is no alarm."""
    directory = cell(f"fastq_pass/{name}" for name in files)
    for number, acquisition in enumerate(summaries):
        text = (
            summary_text(acquisition)
            if acquisition
            else "protocol=DNA\nfastq_files_in_final_dest=3\n"
        )
        (directory / f"final_summary_{number}.txt").write_text(text)
    assert read_contents(opened(directory)).unsummarised == unsummarised


def test_the_ids_in_a_summarys_name_count_too(cell: Make) -> None:
    """An acquisition with a half-written summary is not reported as one without a summary."""
    directory = cell(["fastq_pass/x_aaaaaaaa_0.fastq", "fastq_pass/x_bbbbbbbb_0.fastq"])
    (directory / "final_summary_PAW00001_c6ded78b_aaaaaaaa.txt").write_text(summary_text())
    (directory / "final_summary_PAW00001_c6ded78b_bbbbbbbb.txt").write_text("instr")
    assert read_contents(opened(directory)).unsummarised == ()


def test_a_broken_summary_covers_no_acquisition(cell: Make) -> None:
    """A summary cut before its ids does not cover acquisitions without a summary."""
    directory = cell(["fastq_pass/x_aaaaaaaa_0.fastq", "fastq_pass/x_bbbbbbbb_0.fastq"])
    (directory / "final_summary_1.txt").write_text(summary_text())
    (directory / "final_summary_2.txt").write_text("instr")
    assert read_contents(opened(directory)).unsummarised == ("bbbbbbbb",)


# --- facts


def test_facts_of_a_run() -> None:
    """The report shows facts of the summary; the run length is that of the acquisition."""
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
    """Times span the first start to the last stop; hours are summed once per acquisition."""
    later = summary_text(B).replace("2024-07-17", "2024-08-01").replace("2024-07-18", "2024-08-02")
    summaries = [
        parse_summary(text.encode(), "final_summary.txt")
        for text in (later, summary_text(), summary_text())
    ]
    facts = minknow.facts(summaries)
    assert (facts["started"][:10], facts["acquisition_stopped"][:10]) == (
        "2024-07-17",
        "2024-08-02",
    )
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
