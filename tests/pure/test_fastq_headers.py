"""Header fields are found in every family, in any order, alone or among others."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hesiod_watch.fastq.headers import HeaderColumns, model_name, read_headers

UUID = "0a579f20-1ab0-4e5b-91e6-30e37cf7eb96"
RUN = "4cbe20b5e27e673b10b44d873c8dd49f7bbe2daf"
MODEL = "dna_r10.4.1_e8.2_400bps_sup@v4.3.0"

# Header, and its channel, start time, Q and model field.
HEADERS = [
    (
        f"@{UUID} runid={RUN} read=27 ch=100 start_time=2017-03-28T15:36:59Z",
        ("100", "2017-03-28T15:36:59Z", "", ""),
    ),
    (
        f"@{UUID} runid={RUN} sampleid=x read=1 ch=5 start_time=2019-08-22T07:22:29Z",
        ("5", "2019-08-22T07:22:29Z", "", ""),
    ),
    (f"@{UUID}", ("", "", "", "")),
    (f"@{UUID} ", ("", "", "", "")),
    (f"@{UUID} start_time= ch= barcode=", ("", "", "", "")),
    (
        f"@{UUID} ch=86 start_time=2024-10-02T12:11:18.649396+03:00 sample_id=a barcode=barcode71",
        ("86", "2024-10-02T12:11:18.649396+03:00", "", ""),
    ),
    (
        f"@{UUID} basecall_model_version_id={MODEL} barcode="
        " start_time=2024-10-02T12:11:18+03:00 ch=7",
        ("7", "2024-10-02T12:11:18+03:00", "", MODEL),
    ),
    (f"@{UUID} ch=3 model_version_id={MODEL}", ("3", "", "", MODEL)),
    (f"@{UUID} batch=9 ch=4", ("4", "", "", "")),
    (f"@{UUID} xch=9 note=ch=8", ("", "", "", "")),
    (f"@{UUID} ch=8 ch=9 read=1", ("8", "", "", "")),
    (f"@{UUID} a\rb ch=8", ("8", "", "", "")),
    (
        f"@{UUID}\tqs:f:12.4562\tch:i:783\tst:Z:2023-11-23T10:23:09.015+00:00\tRG:Z:{RUN}_{MODEL}",
        ("783", "2023-11-23T10:23:09.015+00:00", "12.4562", f"{RUN}_{MODEL}"),
    ),
    (
        f"@{UUID}\tRG:Z:{UUID}_{MODEL}\tDT:Z:2022-10-18\tch:i:63\tpi:Z:x"
        "\tDS:Z:gpu:Tesla V100-PCIE-16GB\tqs:f:30.0",
        ("63", "", "30.0", f"{UUID}_{MODEL}"),
    ),
    (f"@{UUID}\tqs:i:18\tch:i:388", ("388", "", "", "")),
    (f"@{UUID}\tRD:Z:", ("", "", "", "")),
    (f"@{UUID}\tqs:f:\tch:i:", ("", "", "", "")),
    (f"@{UUID} qs:f:9.5 ch:i:2", ("2", "", "9.5", "")),
]


def values(columns: HeaderColumns, count: int) -> list[tuple[str, ...]]:
    """The columns as rows of text."""
    parts = (columns.channels, columns.starts, columns.scores, columns.models)
    return [
        tuple("" if part is None else part[row].decode() for part in parts) for row in range(count)
    ]


@pytest.mark.parametrize(
    ("header", "expected"),
    HEADERS,
    ids=[
        "2017",
        "2019",
        "id only",
        "id and a blank",
        "empty values",
        "2024",
        "model and start before channel",
        "model_version_id",
        "batch before channel",
        "keys that end in ch",
        "the first of two",
        "a CR in the name",
        "SAM tags of 2023",
        "SAM tags of 2022",
        "Q as integer",
        "empty RD",
        "empty values of tags",
        "tags between blanks",
    ],
)
def test_one_header(header: str, expected: tuple[str, ...]) -> None:
    """Each known form of header gives its fields, empty if it lacks one."""
    assert values(read_headers(header.encode() + b"\n", 1), 1) == [expected]


@given(st.lists(st.sampled_from(HEADERS), min_size=1, max_size=30))
@example([(f"@{UUID} a b", ("", "", "", "")), HEADERS[-1]])  # tags between blanks, in the second
def test_headers_of_different_forms(headers: list[tuple[str, tuple[str, ...]]]) -> None:
    """A header gives the same fields whichever headers are read with it."""
    text = b"".join(header.encode() + b"\n" for header, _ in headers)
    assert values(read_headers(text, len(headers)), len(headers)) == [
        expected for _, expected in headers
    ]


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (MODEL, MODEL),
        (f"{RUN}_{MODEL}", MODEL),
        (f"{UUID}_{MODEL}", MODEL),
        (f"{UUID}_{MODEL}_SQK-RBK114-24_barcode03", MODEL),
        (f"{UUID}_{MODEL}_barcode03", MODEL),
        (f"{UUID}_{MODEL}_an alias", MODEL),
        (f"{UUID}_dna_r9.4.1_450bps_hac_barcode03", "dna_r9.4.1_450bps_hac"),
        (
            "dna_r10.4.1_e8.2_400bps_sup@2023-12-15_episeq-cs",
            "dna_r10.4.1_e8.2_400bps_sup@2023-12-15_episeq-cs",
        ),
        (RUN, None),
        ("", None),
        ("unknown", None),
        ("<script>", None),
        ("x" * 500, None),
    ],
)
def test_model_names(value: str, name: str | None) -> None:
    """The model is found between the run's id and the barcode; other text gives no model."""
    assert model_name(value) == name
