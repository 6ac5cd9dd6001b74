"""The index of cells, which people may delete at any moment."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from hesiod_watch.core.model import CellId
from hesiod_watch.runs.identities import find_second_copy

CELL = CellId("lib", "20190710_1723_2-A5-D5_PAD38578_c6ded78b")
OTHER = CellId("lib", "20190711_1723_2-A5-D5_PAD38579_c6ded78c")


def test_an_index_that_is_deleted_while_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look-up ends with the error of the disk, and the next one makes the index again."""
    landing, output = tmp_path / "landing", tmp_path / "output"
    run = landing / "20190710_run"
    run.mkdir(parents=True)
    index = output / ".hesiod-watch" / "cells"
    index.parent.mkdir(parents=True)
    assert find_second_copy(output, landing, run, OTHER, [], []) == ""
    link = os.link

    def deleting(*arguments: Any, **options: Any) -> None:
        shutil.rmtree(index)
        link(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", deleting)
        with pytest.raises(FileNotFoundError):
            find_second_copy(output, landing, run, CELL, [], [])
    assert find_second_copy(output, landing, run, CELL, [], []) == ""
    assert len(list(index.iterdir())) == 1
