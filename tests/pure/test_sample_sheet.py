"""Sample sheets of every kind: what they name, and what has reads."""

from __future__ import annotations

import pytest

from hesiod_watch.core.sample_sheet import (
    SHEET_MAX_BYTES,
    SampleSheet,
    SheetRow,
    parse_sample_sheet,
)

HEAD = "protocol_run_id,position_id,flow_cell_id,sample_id,experiment_id,flow_cell_product_code,kit"


def parsed(text: str | bytes, flow_cell: str = "PAW1") -> SampleSheet:
    """The sheet of this text, read for a flow cell."""
    return parse_sample_sheet(text.encode() if isinstance(text, str) else text, "s.csv", flow_cell)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        pytest.param(
            f"{HEAD},barcode,alias,type\n"
            "r,1A,PAW1,pool,exp,FLO,SQK,barcode01,Maier,test_sample\n"
            "r,1A,PAW1,pool,exp,FLO,SQK,barcode02,,\n",
            [
                SheetRow("barcode01", "Maier", "pool", "test_sample"),
                SheetRow("barcode02", "", "pool"),
            ],
            id="as MinKNOW writes it",
        ),
        pytest.param(f"{HEAD}\nr,1A,PAW1,pool,exp,FLO,SQK\n", [], id="no barcodes"),
        pytest.param(
            "flow_cell_id,barcode,alias\nPAW1,barcode01,a\nPAW2,barcode02,b\n",
            [SheetRow("barcode01", "a")],
            id="several flow cells",
        ),
        pytest.param(
            "flow_cell_id,barcode\nother,barcode01\n", [SheetRow("barcode01")], id="another name"
        ),
        pytest.param(
            "position_id,internal_barcode,external_barcode,alias\n1A,in1,out2,x\n",
            [SheetRow("in1_out2", "x")],
            id="two barcodes",
        ),
        pytest.param(
            "\ufeffbarcode,alias\r\n barcode01 ,Müller\r\n\r\n",
            [SheetRow("barcode01", "Müller")],
            id="from a spreadsheet",
        ),
        pytest.param("barcode,alias\nbarcode01\n", [SheetRow("barcode01")], id="a short line"),
        pytest.param("barcode\nb1,more,and more\nb1\n", [SheetRow("b1")], id="a long line, twice"),
        pytest.param("", [], id="empty"),
    ],
)
def test_rows(text: str, rows: list[SheetRow]) -> None:
    """A sheet has a row for each barcode of the flow cell, in its order."""
    assert list(parsed(text).rows) == rows
    assert [SheetRow.from_record(row.record()) for row in rows] == rows


@pytest.mark.parametrize(
    "data", [b"barcode\n\xff\xfe\n", b'barcode\n"open\n', b"x" * (SHEET_MAX_BYTES + 1)]
)
def test_what_is_no_sheet_is_said(data: bytes) -> None:
    """A file that is no sheet names nothing, and a note says why it is not used."""
    sheet = parsed(data)
    assert not sheet.rows
    assert list(sheet.notes({"barcode01": 5}, 0.1)) == [
        f"the sample sheet is not used: s.csv {sheet.problem}"
    ]


def test_expected_and_unexpected() -> None:
    """Reads are found by barcode or alias; a few reads of a foreign barcode make no note."""
    sheet = parsed("barcode,alias\nbarcode01,a\nbarcode02,b\nbarcode03,c\n")
    reads = {
        "a": 500,
        "barcode02": 500,
        "barcode07": 90,
        "barcode09": 1,
        "unclassified": 99,
        None: 3,
    }
    assert [row.alias for row in sheet.without_reads(reads)] == ["c"]
    assert sheet.unexpected(reads) == ["barcode07", "barcode09"]
    assert list(sheet.notes(reads, 0.01)) == [
        "no reads of 1 barcode in the sample sheet: barcode03 (c)",
        "reads of 1 barcode that the sample sheet does not name: barcode07",
    ]
    assert list(sheet.notes({"a": 1, "b": 1, "c": 1, "unclassified": 7}, 0.01)) == []


@pytest.mark.parametrize("record", [None, [], {}, {"barcode": 3}, {"barcode": "x", "alias": None}])
def test_damaged_records(record: object) -> None:
    """A record that no row wrote is no row."""
    assert SheetRow.from_record(record) is None
