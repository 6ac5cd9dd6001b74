"""Files for MultiQC; a system test loads them in the real MultiQC."""

from __future__ import annotations

import json
import re

import pytest
from qc_documents import all_failed, not_barcoded, qc_document, without_fastq

from hesiod_watch.report.document import QcDocument
from hesiod_watch.report.multiqc import multiqc_files, sample_name


def test_file_names() -> None:
    """Each section has its own file, with a name that MultiQC searches.

    The id of a section is the same for all cells.
    """
    ids = [
        {name: content["id"] for name, content in multiqc_files(document).items()}
        for document in (qc_document(), not_barcoded())
    ]
    assert set(ids[0]) == {
        f"hesiod_watch_{part}_mqc.json" for part in ("cell", "barcodes", "lengths")
    }
    assert set(ids[1]) == {f"hesiod_watch_{part}_mqc.json" for part in ("cell", "lengths")}
    assert ids[0] | ids[1] == ids[0]


def test_only_the_data_differ() -> None:
    """Files of two cells differ only in their data, so the order of merging does not matter."""
    first, second = (
        multiqc_files(qc_document()),
        multiqc_files(qc_document(library="other", mean_q={"meaning": "x"})),
    )
    for name, content in first.items():
        assert content | {"data": None} == second[name] | {"data": None}


def test_nothing_without_reads() -> None:
    """A cell without FASTQ has no row: MultiQC would warn of empty files."""
    assert multiqc_files(without_fastq()) == {}
    assert multiqc_files({}) == {}


def test_columns_of_cells_with_bam() -> None:
    """A cell with BAM has columns of its own, in a file of its own."""
    counts = {"reads": 200, "records": 220, "aligned": 150, "duplex": 0, "modified": 200}
    document = not_barcoded()
    document["pass"] = document["pass"] | {"bam": counts}
    files = multiqc_files(document)
    assert files.keys() - multiqc_files(not_barcoded()).keys() == {"hesiod_watch_bam_mqc.json"}
    ((_, values),) = files["hesiod_watch_bam_mqc.json"]["data"].items()
    assert values == {"aligned": 75, "duplex": 0, "modified": 100}


def test_undefined_numbers_are_left_out() -> None:
    """If every read failed, N50 and similar numbers are omitted.

    The file still says that zero reads passed.
    """
    ((_, values),) = multiqc_files(all_failed())["hesiod_watch_cell_mqc.json"]["data"].items()
    assert values == {"reads": 0, "bases": 0, "passed": 0}


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        pytest.param({}, "PAW48211_c6ded78b pool_3_spring", id="usual"),
        pytest.param(
            {"cell": "20261119_1405_2F_PAW48211_c6ded78b.hac"},
            "PAW48211_c6ded78b hac pool_3_spring",
            id="called again",
        ),
        pytest.param({"flow_cell_id": ""}, "cell_c6ded78b pool_3_spring", id="no flow cell"),
        pytest.param(
            {"short_id": ""}, "20261119_1405_2F_PAW48211_c6ded78b pool_3_spring", id="no short id"
        ),
        pytest.param(
            {"library": "<script>.fastq"}, "PAW48211_c6ded78b _script_fastq", id="hostile library"
        ),
        pytest.param(
            {"flow_cell_id": "=cmd()"}, "_cmd_c6ded78b pool_3_spring", id="hostile flow cell"
        ),
        pytest.param({"cell": "", "library": "", "short_id": ""}, "_", id="nothing"),
    ],
)
def test_sample_name(changes: dict[str, str], name: str) -> None:
    """The beginning of a row's name is unique, and the whole name is harmless."""
    assert sample_name(QcDocument(qc_document(**changes))) == name


def test_hostile_barcodes() -> None:
    """A barcode's alias from a sample sheet is harmless in MultiQC's page."""
    document = qc_document()
    document["barcodes"][0]["barcode"] = "</script><script>alert(1)</script>"
    (names,) = multiqc_files(document)["hesiod_watch_barcodes_mqc.json"]["data"].values()
    assert all(re.fullmatch("[A-Za-z0-9 _-]+", name) for name in names)
    assert "<" not in json.dumps(multiqc_files(document))
