"""Valid and refused JSON records."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hesiod_watch.core.records import (
    DEEPEST,
    loads,
    numbers_in,
    parse_whole,
    record_in,
    whole_number,
)

REFUSED = ["1" + "0" * 400, "-1" + "0" * 400, "1" + "0" * 5000, str(2**64), str(-(2**63) - 1)]
REFUSED += ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1e300"]
ACCEPTED = ["0", "-1", str(2**64 - 1), str(-(2**63)), "1.5", "1e-999", "true", "null", '"1e999"']


@pytest.mark.parametrize(
    "number",
    REFUSED,
    ids=[number if len(number) < 30 else f"{len(number)} characters" for number in REFUSED],
)
@pytest.mark.parametrize(
    "text", ['{{"x": {}}}', '{{"x": [1, {{"y": {}}}]}}'], ids=["directly", "in a list"]
)
def test_impossible_numbers_in_records(number: str, text: str) -> None:
    """One number that is not finite or does not fit into 64 bits makes the whole text invalid."""
    for spelled in (text.format(number), text.format(number).encode()):
        assert record_in(spelled) == {}


@pytest.mark.parametrize(
    "number",
    ["1" + "0" * 400, "-1" + "0" * 400, "1" + "0" * 5000, "NaN", "-Infinity", "1e999"],
    ids=["401 digits", "401 digits, negative", "5001 digits", "NaN", "-Infinity", "1e999"],
)
def test_impossible_numbers_in_documents(number: str) -> None:
    """Such a number makes a document that lists files invalid.

    A file's time may be large, because its owner can set it.
    """
    for spelled in (f"[{number}]", f"[{number}]".encode()):
        with pytest.raises(ValueError, match=r"number|digits"):
            loads(spelled)
    far = (2**63 - 1) * 10**9 + 999_999_999
    assert loads(f'{{"mtime_ns": {far}}}') == {"mtime_ns": far}


@pytest.mark.parametrize("value", ACCEPTED)
def test_other_values_are_unchanged(value: str) -> None:
    """Sizes, inodes, times and all other values are the same as from `json.loads`."""
    assert record_in(f'{{"x": {value}}}') == {"x": json.loads(value)}


@pytest.mark.parametrize("leaf", ["1", "true", "null", '"a"', ""], ids=repr)
def test_deepest_records(leaf: str) -> None:
    """A record may have so many nested levels, whatever is in the lowest one, and no more."""
    for lists, accepted in ((DEEPEST - 1, True), (DEEPEST, False)):
        text = f'{{"x": {"[" * lists}{leaf}{"]" * lists}}}'
        assert record_in(text) == (json.loads(text) if accepted else {})


DEEP = '{"x": ' + "[" * 40 + "]" * 40 + "}"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(None, id="no text"),
        "",
        "x",
        "[]",
        "1",
        pytest.param(b"\xff", id="not UTF-8"),
        pytest.param("[" * 100_000, id="nested lists without end"),
        pytest.param(DEEP, id="too deep"),
        pytest.param(r'{"x": ["\ud800"]}', id="lone surrogate as value"),
        pytest.param(r'{"\uDBFF": 1}', id="lone surrogate as key"),
    ],
)
def test_invalid_records(text: str | bytes | None) -> None:
    """A text that is no object, has half a character or is nested too deeply gives no record.

    It raises no error.
    """
    assert record_in(text) == {}


def test_names_with_undecodable_bytes_are_unchanged() -> None:
    """A lone surrogate that represents a byte of a file's name is read as it was written."""
    assert record_in(json.dumps({"name": "a\udcff", "x": "\U0001f9ec"})) == {
        "name": "a\udcff",
        "x": "\U0001f9ec",
    }


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(-1e18, 1e18)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


TODAY = st.text().filter(lambda key: key not in {"why", "trouble", "person", "again"})


@given(record=st.dictionaries(TODAY, VALUES))
def test_written_records_are_read_back(record: dict[str, object]) -> None:
    """Every record that the program can write is read again as it was."""
    assert record_in(json.dumps(record)) == record


@pytest.mark.parametrize("value", [True, False, None, -1, 1.0, "1", [1], {}], ids=repr)
def test_invalid_counts(value: object) -> None:
    """A boolean, a fraction, a text and a negative number are not a number of things."""
    assert whole_number(value) is None
    assert whole_number(7) == 7


def test_numbers_of_results() -> None:
    """Only numbers and nulls of a cell's results are kept; no other value can replace them."""
    results = {
        "reads": 3,
        "mean_q": 9.5,
        "n50": None,
        "bases": "4",
        "x": True,
        "y": [1],
        "z": {"reads": 1},
        "w": -1,
    }
    assert numbers_in(results) == {"reads": 3, "mean_q": 9.5, "n50": None}
    assert numbers_in([1]) == numbers_in(None) == {}


@pytest.mark.parametrize("text", ["", "x", "1.5", str(2**64), "9" * 5000])
def test_invalid_numbers(text: str) -> None:
    """A size or a time that does not fit into a record is refused like a text without a number."""
    with pytest.raises(ValueError, match=r"."):
        parse_whole(text)
    assert parse_whole("12") == parse_whole(b"12") == 12


@pytest.mark.parametrize(
    ("earlier", "today"),
    [
        ({"why": "a"}, {"reason": "a"}),
        ({"trouble": "b", "why": "a"}, {"reason": "b"}),
        ({"trouble": "b", "person": True}, {"reason": "b", "needs_person": True}),
        ({"why": "a", "again": True}, {"reason": "a", "needs_person": False}),
        ({"why": "a", "again": False}, {"reason": "a", "needs_person": True}),
        (
            {"reason": "c", "needs_person": False, "why": "a"},
            {"reason": "c", "needs_person": False},
        ),
        ({"token": "t", "files": 3}, {"token": "t", "files": 3}),
    ],
    ids=["why", "trouble first", "person", "again", "not again", "both spellings", "other keys"],
)
def test_spelling_of_0_1_0(earlier: dict[str, object], today: dict[str, object]) -> None:
    """A record of version 0.1.0 is read with the names that its keys have today."""
    assert record_in(json.dumps(earlier)) == today
