"""Register a run, read its own facts, and archive its flags for a person."""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from open_runs import opened, pipeline_at

from hesiod_watch.core.errors import FlagExists, PermanentError, TemporaryError
from hesiod_watch.core.model import LOCAL
from hesiod_watch.host import process
from hesiod_watch.runs import flags

STEM = "20190710_1723_2-A5-D5_PAD38578_c6ded78b"
ME = process.this_owner("process", "local")


def find_output(pipeline: Path, root: Path) -> tuple[Path | None, str]:
    """Output directory of a run, and the reason why it has none."""
    found = flags.find_output(pipeline_at(pipeline), root)
    return found.path, found.problem


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Directory of a run, and an output directory for it."""
    path = tmp_path / "landing" / "my run"
    path.mkdir(parents=True)
    (tmp_path / "output" / "my run").mkdir(parents=True)
    return path


@pytest.fixture
def output(run: Path) -> Path:
    return run.parents[1] / "output" / run.name


@pytest.fixture
def pipeline(run: Path, output: Path) -> Path:
    assert flags.adopt(opened(run), LOCAL, output)
    return run / "pipeline"


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A `pipeline/` that is empty."""
    path = tmp_path / "pipeline"
    path.mkdir()
    return path


def test_adopt(run: Path, output: Path) -> None:
    """A run is registered once, with both facts, and no other file is left in it."""
    assert flags.adopt(opened(run), LOCAL, output) is True
    assert flags.adopt(opened(run), "host:/other", output.parent) is False
    assert os.listdir(run) == ["pipeline"]
    assert sorted(os.listdir(run / "pipeline")) == ["messages", "output", "upstream"]
    assert flags.read_upstream(pipeline_at(run / "pipeline")) == LOCAL
    assert find_output(run / "pipeline", output.parent) == (output, "")
    lines = flags.read_flags(pipeline_at(run / "pipeline")).all(process.judge_here)
    assert not [line for line in lines if "not known" in line.meaning]


def test_adopt_many(run: Path, output: Path) -> None:
    """When many processes register the same run at once, one does, and the others leave nothing."""
    barrier = threading.Barrier(16)
    won: list[bool] = []

    def racer() -> None:
        barrier.wait()
        won.append(flags.adopt(opened(run), LOCAL, output))

    threads = [threading.Thread(target=racer) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False] * 15 + [True]
    assert os.listdir(run) == ["pipeline"]
    assert flags.read_upstream(pipeline_at(run / "pipeline")) == LOCAL


@pytest.mark.parametrize("kind", ["empty directory", "file", "dangling link", "fifo"])
def test_adopt_nothing_of_a_person(kind: str, run: Path, output: Path) -> None:
    """Anything that a person put there is not changed, also an empty directory."""
    path = run / "pipeline"
    put: dict[str, Callable[[], object]] = {
        "empty directory": path.mkdir,
        "file": path.touch,
        "dangling link": lambda: path.symlink_to("nowhere"),
        "fifo": lambda: os.mkfifo(path),
    }
    put[kind]()
    before = path.lstat()
    assert flags.adopt(opened(run), LOCAL, output) is False
    assert path.lstat().st_ino == before.st_ino
    assert os.listdir(run) == ["pipeline"]
    assert flags.read_upstream(pipeline_at(path)) is None


def test_adopt_after_a_crash(run: Path, output: Path) -> None:
    """The process that succeeds removes leftovers of killed attempts; other files stay."""
    left = run / ".pipeline.tmp.0123"
    left.mkdir()
    (left / "upstream").touch()
    (left / "output").symlink_to("x")
    (run / ".pipeline.tmp.link").symlink_to(output)
    (output / "upstream").touch()
    foreign = run / ".pipeline.tmp.4567"
    foreign.mkdir()
    (foreign / "data").touch()
    assert flags.adopt(opened(run), LOCAL, output)
    assert sorted(os.listdir(run)) == [".pipeline.tmp.4567", ".pipeline.tmp.link", "pipeline"]
    assert os.listdir(foreign) == ["data"]
    assert os.listdir(output) == ["upstream"]


@pytest.mark.parametrize(
    ("call", "number", "kind"),
    [
        ("mkdir", errno.EACCES, PermanentError),
        ("mkdir", errno.ENOSPC, TemporaryError),
        ("symlink", errno.ENOSPC, TemporaryError),
        ("fsync", errno.EIO, TemporaryError),
        ("rename", errno.EROFS, TemporaryError),
    ],
)
def test_adopt_refused(
    call: str,
    number: int,
    kind: type[Exception],
    run: Path,
    output: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A refusal of the file system leaves nothing, and says whether a retry can help."""

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, call, refuse)
        with pytest.raises(kind, match=os.strerror(number)):
            flags.adopt(opened(run), LOCAL, output)
    assert os.listdir(run) == []


def test_adopt_lost_response(run: Path, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A successful rename counts, whatever error the file system reports."""
    real = os.rename

    def rename(*arguments: Any, **options: Any) -> None:
        real(*arguments, **options)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "rename", rename)
    assert flags.adopt(opened(run), LOCAL, output) is True


@pytest.mark.parametrize("upstream", ["", " \n", "a\nb"])
def test_adopt_without_an_upstream(upstream: str, run: Path, output: Path) -> None:
    """An upstream that cannot be read back as one line is not written."""
    with pytest.raises(PermanentError, match="one line"):
        flags.adopt(opened(run), upstream, output)
    assert os.listdir(run) == []


def test_adopt_without_a_directory(tmp_path: Path) -> None:
    """A run that is missing, or is not a directory, is an error that names it."""
    with pytest.raises(TemporaryError, match="my run"):
        flags.adopt(opened(tmp_path / "my run"), LOCAL, tmp_path)
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(PermanentError, match="link"):
        flags.adopt(opened(tmp_path / "link"), LOCAL, tmp_path)


@pytest.mark.parametrize(
    ("text", "upstream"),
    [
        (b"LOCAL\n", "LOCAL"),
        (b"LOCAL", "LOCAL"),
        (b"  prom@promethion:/data/my run \r\n\n", "prom@promethion:/data/my run"),
        (b"/data/\xff\n", "/data/\udcff"),
        (b"prom@promethion:/data//run\n", "prom@promethion:/data/run"),
        (b"", None),
        (b"\n", None),
        (b"LOCAL\n/data\n", None),
        (b"x" * 100_000, None),
    ],
)
def test_upstream(text: bytes, upstream: str | None, bare: Path) -> None:
    """A source is one line; with any other content no process touches the run."""
    (bare / "upstream").write_bytes(text)
    assert flags.read_upstream(pipeline_at(bare)) == upstream


@pytest.mark.parametrize("kind", ["fifo", "link"])
def test_upstream_is_a_file(kind: str, bare: Path) -> None:
    """A FIFO does not block, and a link is not followed."""
    if kind == "fifo":
        os.mkfifo(bare / "upstream")
    else:
        (bare / "other").write_text(LOCAL)
        (bare / "upstream").symlink_to("other")
    assert flags.read_upstream(pipeline_at(bare)) is None


def test_output(run: Path, pipeline: Path, output: Path) -> None:
    """Links on the way are followed if the end is below the output root."""
    root = output.parent
    (run / "root link").symlink_to(root)
    assert find_output(pipeline, run / "root link") == (output, "")
    link = pipeline / "output"
    link.unlink()
    assert find_output(pipeline, root) == (None, f"{link} is missing")
    link.symlink_to(root / "gone")
    assert (
        find_output(pipeline, root)[1] == f"{link} leads to {root / 'gone'}, which does not exist"
    )
    link.unlink()
    link.mkdir()
    assert find_output(pipeline, root)[1] == f"{link} is not a symlink"


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("output", "outside the output directory"),
        (".", "outside the output directory"),
        ("output/../landing", "outside the output directory"),
        ("landing/my run", "outside the output directory"),
        ("output/file", "not a directory"),
        ("output/my run/away", "outside the output directory"),
        ("landing/my run/pipeline/output", "circle"),
        ("output/" + "x" * 300, "cannot be followed"),
    ],
)
def test_output_elsewhere(target: str, reason: str, tmp_path: Path, pipeline: Path) -> None:
    """A target that is not its own directory below the output root is refused with the reason."""
    (tmp_path / "output" / "file").touch()
    (tmp_path / "output" / "my run" / "away").symlink_to(tmp_path)
    (pipeline / "output").unlink()
    (pipeline / "output").symlink_to(tmp_path / target)
    found, why = find_output(pipeline, tmp_path / "output")
    assert found is None
    assert reason in why


def test_missing_output_root(pipeline: Path, tmp_path: Path) -> None:
    """An output root that is not mounted is reported."""
    found, why = find_output(pipeline, tmp_path / "not mounted")
    assert found is None
    assert "does not exist" in why


def everything(pipeline: Path) -> set[str]:
    return {str(path.relative_to(pipeline)) for path in pipeline.rglob("*")} - {
        "upstream",
        "output",
        "messages",
        "attic",
    }


def test_attic(pipeline: Path) -> None:
    """A cell's claims and failures are archived with who, where and why.

    Facts about data stay.
    """
    keep = {
        f"{STEM}.synced",
        f"{STEM}.aborted",
        f"{STEM}.backup.done",
        "other.started",
        f"{STEM}.x.failed",
        "failed",
    }
    go = {
        f"{STEM}.{name}"
        for name in ("started", "started.worker", "started.2", "started.2.yielded", "failed")
    }
    go |= {f"{STEM}.ingest.started", f"{STEM}.backup.failed"}
    for name in keep | go:
        (pipeline / name).write_text(name)
    drawer = flags.archive_flags(pipeline_at(pipeline), STEM, why="I have checked")
    assert drawer
    assert drawer.parent == pipeline / "attic"
    place = str(drawer.relative_to(pipeline))
    assert everything(pipeline) == keep | {place, f"{place}/why"} | {
        f"{place}/{name}" for name in go
    }
    assert all((drawer / name).read_text() == name for name in go)
    record = json.loads((drawer / "why").read_text())
    assert record["reason"] == "I have checked"
    assert record["host"] == os.uname().nodename
    assert record["user"]
    assert record["time"]
    assert flags.read_flags(pipeline_at(pipeline)).epoch_numbers(STEM) == []


def test_attic_in_order(pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`started` is the last of the claims; the flag that blocks all processes moves after it."""
    claims = [
        spell(STEM, epoch)
        for epoch in (1, 2, 3)
        for spell in (flags.started, flags.worker, flags.yielded, flags.died)
    ]
    for name in (*claims, flags.failed(STEM), flags.aborted(STEM)):
        (pipeline / name).touch()
    real = os.rename
    moved: list[str] = []

    def rename(source: str, target: str, **options: Any) -> None:
        moved.append(source)
        real(source, target, **options)

    monkeypatch.setattr(os, "rename", rename)
    flags.archive_flags(pipeline_at(pipeline), STEM, why="", aborted=True)
    assert moved[len(claims) - 1 :] == [
        flags.started(STEM),
        flags.aborted(STEM),
        flags.failed(STEM),
    ]
    assert moved.index(flags.started(STEM, 3)) < moved.index(flags.started(STEM, 2))


@pytest.mark.parametrize("stem", [STEM, None], ids=["a cell", "the run"])
def test_attic_of_an_attempt_that_was_being_ended(pipeline: Path, stem: str | None) -> None:
    """The flag of a process that ends a dead attempt is archived with that attempt."""
    work = flags.ingest(stem) if stem else flags.SYNC
    over = f"{work}.over.0123456789ab"
    for name in (f"{work}.started", over):
        (pipeline / name).touch()
    drawer = flags.archive_flags(pipeline_at(pipeline), stem, why="that host is unavailable")
    assert drawer
    assert set(os.listdir(drawer)) >= {f"{work}.started", over}
    assert not [name for name in os.listdir(pipeline) if name.startswith(work)]


def test_attic_on_request(pipeline: Path) -> None:
    """`aborted` is archived on request, and the names to keep stay."""
    for name in ("aborted", "started", "failed"):
        (pipeline / f"{STEM}.{name}").touch()
    drawer = flags.archive_flags(
        pipeline_at(pipeline), STEM, why="", keep=frozenset({flags.failed(STEM)}), aborted=True
    )
    assert drawer
    assert set(os.listdir(drawer)) == {f"{STEM}.aborted", f"{STEM}.started", "why"}
    assert (pipeline / f"{STEM}.failed").exists()


def test_attic_without_failure(pipeline: Path) -> None:
    """While claims move the cell is failed, so that no process claims it; after that it is free."""
    flags.claim_cell(pipeline_at(pipeline), STEM, ME, judge=process.judge_here)
    drawer = flags.archive_flags(pipeline_at(pipeline), STEM, why="the host is unavailable")
    assert drawer
    assert set(os.listdir(drawer)) == {f"{STEM}.failed", f"{STEM}.started", "why"}
    flags.claim_cell(pipeline_at(pipeline), STEM, ME, judge=process.judge_here)


def test_attic_killed_half_way(pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a kill in the middle the cell stays failed, and the same call moves the rest."""
    for name in (flags.started(STEM), flags.started(STEM, 2), flags.worker(STEM)):
        flags.create(pipeline_at(pipeline), name, ME)
    real = os.rename
    moved: list[Any] = []

    def rename(*arguments: Any, **options: Any) -> None:
        if len(moved) == 2:
            raise KeyboardInterrupt
        moved.append(arguments)
        real(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", rename)
        with pytest.raises(KeyboardInterrupt):
            flags.archive_flags(pipeline_at(pipeline), STEM, why="")
    assert (pipeline / flags.started(STEM)).exists()
    with pytest.raises(FlagExists, match="not to be processed"):
        flags.claim_cell(pipeline_at(pipeline), STEM, ME, judge=process.judge_here)
    flags.archive_flags(pipeline_at(pipeline), STEM, why="")
    assert flags.read_flags(pipeline_at(pipeline)).stems == set()


def test_attic_of_the_run(pipeline: Path) -> None:
    """The run's own failure and sync claims are archived; its cells, and `stripped`, stay."""
    for name in (
        "failed",
        "sync.started",
        "sync.failed",
        "sync.done",
        "aborted",
        "stripped",
        f"{STEM}.failed",
    ):
        (pipeline / name).touch()
    assert flags.archive_flags(pipeline_at(pipeline), None, why="")
    assert flags.read_flags(pipeline_at(pipeline)).run_flags == {"sync.done", "aborted", "stripped"}
    assert flags.archive_flags(pipeline_at(pipeline), None, why="", aborted=True)
    assert flags.read_flags(pipeline_at(pipeline)).run_flags == {"sync.done", "stripped"}
    assert flags.read_flags(pipeline_at(pipeline)).stems == {STEM}


def test_attic_with_nothing_to_move(pipeline: Path) -> None:
    """Without a flag to move no directory is made."""
    (pipeline / f"{STEM}.synced").touch()
    assert flags.archive_flags(pipeline_at(pipeline), STEM, why="") is None
    assert flags.archive_flags(pipeline_at(pipeline), None, why="") is None
    assert everything(pipeline) == {f"{STEM}.synced"}


def test_attic_twice_in_a_second(pipeline: Path) -> None:
    """Each call has its own directory, also within one second."""
    drawers = set()
    for _ in range(3):
        (pipeline / f"{STEM}.failed").touch()
        drawers.add(flags.archive_flags(pipeline_at(pipeline), STEM, why=""))
    assert len(drawers) == 3


def test_attic_is_a_link(pipeline: Path, output: Path) -> None:
    """A planted link does not lead flags out of the run."""
    (pipeline / "attic").symlink_to(output)
    (pipeline / f"{STEM}.failed").touch()
    with pytest.raises(PermanentError, match="attic"):
        flags.archive_flags(pipeline_at(pipeline), STEM, why="")
    assert os.listdir(output) == []
    assert (pipeline / f"{STEM}.failed").exists()
