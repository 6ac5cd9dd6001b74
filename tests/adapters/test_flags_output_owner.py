"""Owner of an output directory, according to the directory itself."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from open_runs import pipeline_at

from hesiod_watch.core.errors import HesiodError
from hesiod_watch.runs import flags
from hesiod_watch.runs.flags.output_owner import OWNER_FILE


def find_output(pipeline: Path, root: Path) -> tuple[Path | None, str]:
    """Output directory of a run, and the reason why it has none."""
    found = flags.find_output(pipeline_at(pipeline), root)
    return found.path, found.problem


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Output area with a directory for the run `one`."""
    (tmp_path / "output" / "one").mkdir(parents=True)
    return tmp_path / "output"


def linked(root: Path, name: str, output: Path) -> Path:
    """Pipeline directory of a run, whose link leads to `output`."""
    pipeline = root.parent / "landing" / name / "pipeline"
    pipeline.mkdir(parents=True)
    (pipeline / "output").symlink_to(output)
    return pipeline


def test_an_output_is_owned_once(root: Path) -> None:
    """When runs of one name write at the same time, one of them gets the directory."""
    pipelines = [linked(root, f"batch{number}/one", root / "one") for number in range(8)]
    barrier = threading.Barrier(len(pipelines))
    won: list[Path] = []

    def racer(pipeline: Path) -> None:
        barrier.wait()
        try:
            flags.own_output(pipeline_at(pipeline), root)
        except HesiodError:
            return
        won.append(pipeline)

    threads = [threading.Thread(target=racer, args=(pipeline,)) for pipeline in pipelines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = won
    assert (root / "one" / "rundata").resolve() == winner.parent
    assert [each for each in pipelines if flags.find_output(pipeline_at(each), root).path] == [
        winner
    ]
    assert sorted(path.name for path in (root / "one").iterdir()) == [OWNER_FILE, "rundata"]


@pytest.mark.parametrize("text", ["", "{", '{"run": 1}', '{"inode": "x", "run": "other"}', "[]"])
def test_an_invalid_record_is_another_run(text: str, root: Path) -> None:
    """A record that names no run does not allow a write: the back link or a person decides."""
    pipeline = linked(root, "one", root / "one")
    (root / "one" / OWNER_FILE).write_text(text)
    assert flags.find_output(pipeline_at(pipeline), root).foreign
    (root / "one" / "rundata").symlink_to(pipeline.parent)
    assert flags.own_output(pipeline_at(pipeline), root) == root / "one"
    (root / "one" / "rundata").unlink()
    assert find_output(pipeline, root) == (root / "one", "")


def test_an_inode_number_alone_is_no_proof(root: Path) -> None:
    """A new run with the inode number of a deleted run does not get the results of that run."""
    pipeline = linked(root, "one", root / "one")
    assert flags.own_output(pipeline_at(pipeline), root)
    (pipeline / "output").unlink()
    (root / "one" / "rundata").unlink()
    (pipeline / "output").symlink_to(root / "one")
    assert flags.find_output(pipeline_at(pipeline), root).foreign


@pytest.mark.parametrize("kind", ["directory", "file", "circle"])
def test_a_back_link_of_another_kind(kind: str, root: Path) -> None:
    """A `rundata` that leads to no run does not allow a write."""
    back = root / "one" / "rundata"
    if kind == "directory":
        back.mkdir()
    elif kind == "file":
        back.touch()
    else:
        back.symlink_to(back)
    path, why = find_output(linked(root, "one", root / "one"), root)
    assert path is None
    assert str(root / "one") in why


def test_the_log_without_a_landing_area(root: Path) -> None:
    """Without a landing area the log is in the directory of the run's name.

    It is not written there if the directory belongs to another run.
    """
    pipeline = linked(root, "one", root / "one")
    flags.own_output(pipeline_at(pipeline), root)
    (root.parent / "landing").rename(root.parent / "away")
    assert flags.log_directory(pipeline_at(pipeline), root) == root / "one"
    assert (
        flags.log_directory(
            pipeline_at(root.parent / "landing" / "batch" / "one" / "pipeline"), root
        )
        is None
    )
    assert (
        flags.log_directory(pipeline_at(root.parent / "landing" / "two" / "pipeline"), root) is None
    )
