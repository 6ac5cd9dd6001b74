"""Sentences about how full disks are, and when they will be full."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hesiod_watch.config import BackupPlaceSettings, Config
from hesiod_watch.core.file_entry import FileEntry
from hesiod_watch.core.model import LOCAL, Cell, CellId, RunName, Snapshot
from hesiod_watch.core.ownership import Attempt, CellFlags, Flag, Liveness
from hesiod_watch.core.results import CopyRecord
from hesiod_watch.remote.backup.manifests import RawManifest, publish_raw
from hesiod_watch.remote.backup.queries import MARKER
from hesiod_watch.service.capacity import DAY, WINDOW, DiskSpace, growth, spaces

NOW = 1_795_000_000.0
CELL = CellId("lib", "20261122_1000_1A_PAD38578_c6ded78b")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    for name in ("landing", "output", "second"):
        (tmp_path / name).mkdir()
    backups = (
        BackupPlaceSettings("second", str(tmp_path / "second")),
        BackupPlaceSettings("far", "host:/far"),
    )
    return Config(tmp_path / "landing", tmp_path / "output", backups=backups)


def run_of(config: Config, age: float = 1.0) -> Snapshot:
    """Run with one cell, finished `age` days ago.

    It has 1400 bytes of results and 2800 bytes of raw data.
    """
    output = config.output / "run"
    place = output / CELL.library / CELL.name
    place.mkdir(parents=True, exist_ok=True)
    sources = [{"name": "x", "bytes": 700}, {"name": "y", "bytes": 700}]
    manifest = json.dumps({"files": [{"name": "a", "bytes": 5}], "sources": sources})
    (place / "manifest.json").write_text(manifest)
    (place / "a").write_bytes(bytes(1400 - len(manifest)))
    copy = CopyRecord("second", "1", "d", "/x", "m", "r", 1, 4200, "", raw=True)
    copy = replace(copy, verified_at=datetime.fromtimestamp(NOW - age * DAY, UTC).isoformat())
    backup = Attempt("done", None, Liveness.DEAD, "", {"copies": [copy.record()]})
    cell = Cell(CELL, present=True, flags=CellFlags(done=Flag("x", NOW - age * DAY)), backup=backup)
    return Snapshot(
        RunName("run"),
        config.landing / "run",
        has_pipeline=True,
        upstream=LOCAL,
        output=output,
        cells=(cell,),
    )


def test_growth(config: Config) -> None:
    """Growth per day is computed from the cells of the last two weeks.

    The size of raw data comes from raw.json if that exists.
    """
    snapshot = run_of(config)
    (Path(config.backups[0].place.path) / MARKER).write_text("{}")
    found = {each.where: each.per_day for each in spaces(config, [growth(snapshot, NOW)])}
    assert found == {"landing": 1400 / WINDOW, "output": 1400 / WINDOW, "second": 4200 / WINDOW}
    raw = {
        "x": FileEntry("x", size=2800, mtime_ns=1, md5="0" * 32),
        "y": FileEntry("y", size=0, mtime_ns=1, md5="0" * 32),
    }
    publish_raw(
        config.output / "run" / CELL.library / CELL.name, RawManifest(str(CELL), raw), lambda: None
    )
    found = {each.where: each.per_day for each in spaces(config, [growth(snapshot, NOW)])}
    assert found["landing"] == 2800 / WINDOW


def test_older_cells_do_not_count(config: Config) -> None:
    """Older cells do not affect the forecast; a backup that is not mounted is omitted."""
    found = spaces(config, [growth(run_of(config, age=WINDOW + 1), NOW)])
    assert [(each.where, each.per_day, each.full_in) for each in found] == [
        ("landing", None, None),
        ("output", None, None),
    ]


@pytest.mark.parametrize(
    ("free", "per_day", "ok", "sentence"),
    [
        pytest.param(
            50e9,
            None,
            True,
            "50.0 GB free of 100.0 GB, no cell finished in the last 14 days",
            id="no growth",
        ),
        pytest.param(
            50e9,
            1e9,
            True,
            "50.0 GB free of 100.0 GB, growing by 1.0 GB a day, full in about 50 days",
            id="50 days",
        ),
        pytest.param(
            50e9,
            10e9,
            False,
            "50.0 GB free of 100.0 GB, growing by 10.0 GB a day, full in about 5 days",
            id="5 days",
        ),
        pytest.param(
            4e9,
            None,
            False,
            "4.0 GB free of 100.0 GB, no cell finished in the last 14 days",
            id="little space",
        ),
        pytest.param(
            50e9,
            5e7,
            True,
            "50.0 GB free of 100.0 GB, growing by 0.1 GB a day, full in about 3 years",
            id="3 years",
        ),
        pytest.param(
            50e9,
            1e7,
            True,
            "50.0 GB free of 100.0 GB, growing by 0.0 GB a day, full not within ten years",
            id="more than ten years",
        ),
    ],
)
def test_sentences(free: float, per_day: float | None, ok: bool, sentence: str) -> None:
    """The sentence says when a disk will be full.

    It is a problem if that is soon or if little space is left.
    """
    space = DiskSpace("output", "/out", int(free), 100_000_000_000, per_day)
    assert (str(space), space.ok) == (f"output /out: {sentence}", ok)


@pytest.mark.parametrize(
    "size",
    ["1" + "0" * 400, "1" + "0" * 4000, "-1", "NaN", "true", '"7"'],
    ids=["400 digits", "4000 digits", "negative", "NaN", "true", "text"],
)
@pytest.mark.parametrize("name", ["manifest.json", "raw.json"])
def test_impossible_sizes_add_nothing(config: Config, name: str, size: str) -> None:
    """An impossible size adds nothing, and stops nothing."""
    snapshot = run_of(config)
    place = config.output / "run" / CELL.library / CELL.name
    (place / name).write_text(
        '{"bytes": SIZE, "sources": [{"name": "x", "bytes": SIZE}]}'.replace("SIZE", size)
    )
    found = {each.where: each.per_day for each in spaces(config, [growth(snapshot, NOW)])}
    assert found["landing"] is None
    assert found["output"]
