"""A mounted backup: copying to it, and finding each problem of its files."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from backup_mount import facts_of

from hesiod_watch.actions.copies.mirror import DirectoryMirror, mirror_run_files
from hesiod_watch.config import BackupPlaceSettings, Config
from hesiod_watch.core.errors import HesiodError, PermanentError, TemporaryError
from hesiod_watch.core.model import CellId
from hesiod_watch.host.files import OpenDirectory
from hesiod_watch.host.runlog import RunLog
from hesiod_watch.remote.backup.compare import find_wrong, sentences
from hesiod_watch.remote.backup.local_files import device_of
from hesiod_watch.remote.backup.queries import FORMAT, MARKER
from hesiod_watch.remote.backup.store import opened
from hesiod_watch.rules.copies import FLAGS, CopyPlace

RUN, CELL = "20261122_TEST_alpha", CellId("sample $x [a]*", "20261122_2210_1A_PAW00001_0a1b2c3d")
PLACE = CopyPlace(RUN, CELL).results
ID = "0123456789abcdef0123456789abcdef"
HOSTILE = ("#a", " b\n", "-c", "pod5/x y'$(id)", "pod5/\udcff.pod5", "pod5/;touch x")
SIZE = 300_000


def mark(root: Path) -> None:
    (root / MARKER).write_text(json.dumps({"format": FORMAT, "id": ID}))


@pytest.fixture
def backup(tmp_path: Path) -> BackupPlaceSettings:
    root = tmp_path / "second"
    root.mkdir()
    mark(root)
    return BackupPlaceSettings("second", str(root), timeout=20)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A cell's directory with hostile file names."""
    place = tmp_path / "landing" / RUN / CELL.library / CELL.name
    for number, name in enumerate(HOSTILE):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(bytes([number]) * SIZE)
    return place


def copied(backup: BackupPlaceSettings, source: Path, *, ignore_times: bool = False) -> None:
    with opened(backup) as store:
        store.copy(OpenDirectory(source), PLACE, facts_of(source), ignore_times=ignore_times)
        store.make_durable()


def wrong(backup: BackupPlaceSettings, source: Path) -> list[str]:
    """Problems of the copy, without the common beginning of each sentence."""
    with opened(backup) as store:
        facts = facts_of(source)
        problems = sentences(
            store, PLACE, facts, find_wrong(store, PLACE, facts, OpenDirectory(source))
        )
    return [sentence.removeprefix(f"second: {PLACE}/") for sentence in problems]


def test_copy_and_read_back(backup: BackupPlaceSettings, source: Path) -> None:
    """Files arrive under their names, also hostile ones, and pass verification."""
    copied(backup, source)
    assert facts_of(Path(backup.location) / PLACE) == facts_of(source)
    assert wrong(backup, source) == []


def test_each_damage_is_found(backup: BackupPlaceSettings, source: Path) -> None:
    """Each kind of damage of a copy is found, and the file is named."""
    copied(backup, source)
    there = Path(backup.location) / PLACE
    flip(there / "#a", 1000)
    (there / "-c").write_bytes(b"\2" * 10)
    (there / HOSTILE[3]).unlink()
    (there / " b\n").unlink()
    (there / " b\n").symlink_to(source / " b\n")
    (there / "more").write_bytes(b"")
    problems = wrong(backup, source)
    assert [sentence.partition(": ")[0] for sentence in problems] == [
        " b\\n",
        "#a",
        "-c",
        "more",
        "pod5/x y'$(id)",
    ]
    assert [sentence.partition(": ")[2].partition(":")[0] for sentence in problems] == [
        "not a regular file",
        "differs",
        "truncated",
        "extra",
        "missing",
    ]
    assert problems[1].endswith("byte 1000 is the first of 1 that differ from ours")


def flip(path: Path, at: int) -> None:
    """Change one bit of a file and keep its size and times."""
    times = path.stat()
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_replaced_versions_are_kept(backup: BackupPlaceSettings, source: Path) -> None:
    """A replaced version is kept, also if only its content differs."""
    copied(backup, source)
    flip(Path(backup.location) / PLACE / "#a", 7)
    (source / "-c").write_bytes(b"new")
    copied(backup, source, ignore_times=True)
    assert wrong(backup, source) == []
    moved = [
        path
        for path in Path(backup.location).glob(f"{RUN}/superseded/*/results/**/*")
        if path.is_file()
    ]
    contents = {path.name: path.read_bytes() for path in moved}
    assert contents["-c"] == b"\2" * SIZE
    assert contents["#a"] == b"\0" * 7 + b"\1" + b"\0" * (SIZE - 8)


def test_repair_keeps_other_problems(backup: BackupPlaceSettings, source: Path) -> None:
    """A damaged copy is copied once more; one whose source is missing stays reported."""
    copied(backup, source)
    for name in ("#a", "-c"):
        flip(Path(backup.location) / PLACE / name, 7)
    facts = facts_of(source)
    (source / "#a").unlink()
    with opened(backup) as store:
        mirror = DirectoryMirror(store, OpenDirectory(source), PLACE, facts, RunLog(None))
        (problem,) = mirror.verify_files(lambda done: None)
        assert problem.startswith(f"second: {PLACE}/#a: differs: ")
        assert store.entries(f"{store.superseded(PLACE)}")["-c"].size == SIZE


def test_a_flag_replaced_within_a_second(backup: BackupPlaceSettings, tmp_path: Path) -> None:
    """A flag that was replaced within the second of its copy, with the same size, is sent again."""
    config = Config(tmp_path / "landing", tmp_path / "output")
    flag, output = config.landing / RUN / "pipeline" / "type.yaml", config.output / RUN
    flag.parent.mkdir(parents=True)
    output.mkdir(parents=True)
    run = OpenDirectory(config.landing / RUN, config.landing)
    for text in ("type: first", "type: other"):
        flag.write_text(text)
        os.utime(flag, (1_790_000_000, 1_790_000_000))
        with opened(backup) as store:
            assert mirror_run_files(store, run, output, config, RunLog(None), raw=False) == 1
    assert (Path(backup.location) / RUN / FLAGS / flag.name).read_text() == "type: other"


def test_set_aside(backup: BackupPlaceSettings, source: Path) -> None:
    """Entries that are set aside, also links, are moved below the run's superseded files."""
    copied(backup, source)
    there = Path(backup.location) / PLACE
    (there / "link").symlink_to("/nowhere")
    with opened(backup) as store:
        store.set_aside(PLACE, ["link", "pod5/;touch x"])
        moved = store.entries(store.superseded(PLACE))
        assert {name: entry.kind for name, entry in moved.items()} == {
            "link": "l",
            "pod5": "d",
            "pod5/;touch x": "f",
        }
    assert wrong(backup, source) == ["pod5/;touch x: missing"]


@pytest.mark.parametrize(
    ("what", "text", "error"),
    [
        ("no marker", None, TemporaryError),
        ("a damaged marker", "{}", PermanentError),
        ("an empty marker", "", TemporaryError),
        ("a marker of another kind", '{"format": "x", "id": "' + "0" * 32 + '"}', PermanentError),
    ],
)
def test_not_the_backup(
    backup: BackupPlaceSettings, what: str, text: str | None, error: type[HesiodError]
) -> None:
    """A directory without a complete marker is not the backup."""
    marker = Path(backup.location) / MARKER
    marker.unlink() if text is None else marker.write_text(text)
    with pytest.raises(error, match="second: "), opened(backup):
        pass


def test_marker_is_no_link(backup: BackupPlaceSettings, tmp_path: Path) -> None:
    """A directory with only a link to a marker is not the backup."""
    marker = Path(backup.location) / MARKER
    marker.rename(tmp_path / "elsewhere")
    marker.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TemporaryError, match="is it mounted"), opened(backup):
        pass


def test_marker_disappears_after_opening(backup: BackupPlaceSettings, source: Path) -> None:
    """A backup whose marker disappeared after opening is an error, not an empty backup."""
    copied(backup, source)
    with opened(backup) as store:
        (Path(backup.location) / MARKER).unlink()
        with pytest.raises(TemporaryError, match="not the backup any more"):
            store.entries(PLACE)


@pytest.mark.parametrize("part", [RUN, f"{RUN}/results", PLACE])
def test_links_in_the_way(
    backup: BackupPlaceSettings, source: Path, part: str, tmp_path: Path
) -> None:
    """A link in the place of a directory is neither read through nor written through."""
    copied(backup, source)
    place = Path(backup.location) / part
    place.rename(tmp_path / "moved")
    place.symlink_to(tmp_path / "moved")
    before = sorted((tmp_path / "moved").rglob("*"))
    with opened(backup) as store:
        with pytest.raises(PermanentError, match="a link is in the place of a directory"):
            find_wrong(store, PLACE, facts_of(source))
        with pytest.raises(PermanentError, match="a link is in the place of a directory"):
            store.copy(OpenDirectory(source), PLACE, ["#a"], ignore_times=True)
    assert sorted((tmp_path / "moved").rglob("*")) == before


def test_same_device(backup: BackupPlaceSettings, tmp_path: Path) -> None:
    """A backup on the file system of its source is recognised."""
    with opened(backup) as store:
        assert store.identity == ID
        assert store.device == device_of(tmp_path)


def test_no_link_is_followed_to_what_is_copied(
    backup: BackupPlaceSettings, source: Path, tmp_path: Path
) -> None:
    """A cell that is a link is not copied."""
    source.rename(tmp_path / "moved")
    source.symlink_to(tmp_path / "moved")
    with (
        opened(backup) as store,
        pytest.raises(PermanentError, match="is a link or not a directory"),
    ):
        store.copy(OpenDirectory(source, tmp_path), PLACE, ["#a"])


def test_special_files_are_not_opened(backup: BackupPlaceSettings, source: Path) -> None:
    """A FIFO in the place of a file is reported and never opened."""
    copied(backup, source)
    there = Path(backup.location) / PLACE / "#a"
    there.unlink()
    os.mkfifo(there)
    assert wrong(backup, source) == ["#a: not a regular file"]
