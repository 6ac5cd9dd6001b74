"""Commands that sentences offer to people: a shell reads the names in them as they are."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from typing import Any

import pytest
import snapshots

from hesiod_watch.core.attention import Attention, Severity
from hesiod_watch.core.cell_contents import Completeness, LateData, Verdict
from hesiod_watch.core.model import Cell
from hesiod_watch.rules import damaged_sources, late_data
from hesiod_watch.rules.message_text import attention_text
from hesiod_watch.service.poll_problems import Problem

CELL = "lib 1/cell"


def cell(**facts: Any) -> Cell:
    return snapshots.cell(library="lib 1", **facts)


def late() -> str:
    data = LateData({"pod5": 1}, frozenset(), Completeness(Verdict.PROVEN, "why"))
    found = cell(done=snapshots.flag(), late_data=data)
    return late_data.late_step(snapshots.run(found, name="my run"), found)


def damaged() -> str:
    text = json.dumps({"damaged": ["fastq_pass/a b.fastq"], "damaged_files": 1})
    found = cell(failed=snapshots.flag(text))
    return [*damaged_sources.steps(snapshots.run(found, name="my run"), found)][-1]


BLOCKED = Attention("quiet", "my run", CELL, None, Severity.PERSON, "no file came", ())


def blocked() -> str:
    return str(BLOCKED)


def polled() -> str:
    return str(Problem.of(BLOCKED))


def message() -> str:
    return attention_text(BLOCKED)


@pytest.mark.parametrize("sentence", [late, damaged, blocked, polled, message])
def test_names_with_blanks(sentence: Callable[[], str]) -> None:
    """The run and the cell are one word each in the command."""
    command = sentence()[sentence().rindex("hesiod-watch ") :]
    assert shlex.split(command)[2:4] == ["my run", CELL]


def test_a_name_that_begins_with_a_dash() -> None:
    """The name is no option, and a shell runs nothing in it."""
    blocked = Attention("quarantined", "-rf $(touch x)\n", "", None, Severity.PERSON, "why", ())
    command = str(blocked).rpartition("; ")[2]
    assert command == "hesiod-watch explain -- $'-rf $(touch x)\\x0a'"
