"""One worker with too much work: every cell of every run gets its turn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import count
from pathlib import Path

import pytest
from sites import Site

pytestmark = pytest.mark.system

LIBRARY = "lib1"
ATTEMPTS = 8
"""Attempts of ingest in each test."""


def attempts(site: Site) -> Counter[str]:
    """Number of ended attempts of ingest, by run and cell, from the logs of the runs."""
    found: Counter[str] = Counter()
    for log in site.output.glob("*/pipeline.log"):
        lines = [line for line in log.read_text().splitlines() if " while it runs: " in line]
        found.update(f"{log.parent.name} {line.split()[1]}" for line in lines)
    return found


def add_files(directories: Iterable[Path], number: int) -> None:
    """Write one more file of one read into each directory."""
    for directory in directories:
        directory.mkdir(parents=True, exist_ok=True)
        text = f"@r{number}\nACGT\n+\n5555\n"
        (directory / f"PAW00001_pass_0a1b2c3d_{number}.fastq").write_text(text)


@pytest.mark.parametrize(
    ("runs", "cells"), [(1, 4), (2, 2), (4, 1)], ids=["one-run", "two-runs", "four-runs"]
)
def test_every_cell_gets_a_turn(site: Site, runs: int, cells: int) -> None:
    """The one worker serves the cell that has waited longest, while all cells have new files."""
    site.configure(processing="workers: 1, ingest_workers: 1, ingest_interval: 0.1s")
    directories = [
        site.landing
        / f"2026112{run}_TEST_turns"
        / LIBRARY
        / f"20261122_221{cell}_1A_PAW0000{cell}_0a1b2c3d"
        / "fastq_pass"
        for run in range(runs)
        for cell in range(cells)
    ]
    numbers = count()

    def enough() -> bool:
        add_files(directories, next(numbers))
        return attempts(site).total() >= ATTEMPTS

    for _ in range(2):  # the newest file of each cell is not ingested yet
        add_files(directories, next(numbers))
    with site.service():
        site.eventually(enough, f"{ATTEMPTS} attempts")
    served = attempts(site)
    assert len(served) == len(directories), served
    assert min(served.values()) >= ATTEMPTS / len(directories) - 1, served


def test_two_small_runs_beside_a_large_one(site: Site) -> None:
    """24 cells of three runs share one worker: two cells differ by two rounds at most."""
    site.configure(processing="workers: 1, ingest_workers: 1, ingest_interval: 0.1s")
    cells = [("20261121_TEST_large", number) for number in range(22)]
    cells += [("20261122_TEST_small", 0), ("20261123_TEST_small", 0)]
    directories = [
        site.landing
        / run
        / LIBRARY
        / f"20261122_22{number:02}_1A_PAW000{number:02}_0a1b2c3d"
        / "fastq_pass"
        for run, number in cells
    ]
    numbers = count()

    def enough() -> bool:
        add_files(directories, next(numbers))
        return attempts(site).total() >= 3 * len(cells)

    for _ in range(2):  # the newest file of each cell is not ingested yet
        add_files(directories, next(numbers))
    with site.service():
        site.eventually(enough, "three rounds", 120)
        served = attempts(site)
    assert len(served) == len(directories), served
    assert max(served.values()) - min(served.values()) <= 2, served
