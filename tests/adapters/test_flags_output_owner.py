"""Owner of an output directory, according to the directory itself."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from open_runs import opened, pipeline_at

from hesiod_watch.core.errors import HesiodError, PermanentError
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


FOREIGN: dict[str, tuple[str, Callable[[Path], object], str, bool]] = {
    "another back link": (
        "two",
        lambda root: (root / "two" / "rundata").symlink_to(root.parent),
        "{root}/two/rundata leads to {root.parent}",
        False,
    ),
    "a back link that is none": (
        "two",
        lambda root: (root / "two" / "rundata").mkdir(),
        "{root}/two/rundata is not a link",
        False,
    ),
    "a record": (
        "one",
        lambda root: (root / "one" / OWNER_FILE).write_text('{"run": "a\\nb"}'),
        "{root}/one/.owner.json names the run a\\nb",
        True,
    ),
    "a record without a name": (
        "one",
        lambda root: (root / "one" / OWNER_FILE).write_text("{}"),
        "{root}/one/.owner.json names the run ?",
        True,
    ),
    "another name": (
        "two",
        lambda root: None,
        "{root}/two/rundata does not lead to this run",
        True,
    ),
    "within another": (
        "two/inner",
        lambda root: (root / "two" / "rundata").symlink_to("/a/run"),
        "it is within {root}/two, where rundata leads to /a/run",
        False,
    ),
    "around another": (
        "one",
        lambda root: (root / "one" / "inner" / "rundata").symlink_to("/a/run"),
        "it contains the output directory inner of another run",
        False,
    ),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_the_reason_names_the_other_run(case: str, root: Path) -> None:
    """A refused output directory is reported with the evidence and with commands that help."""
    place, prepare, why, may_be_ours = FOREIGN[case]
    for name in ("two/inner", "one/inner"):
        (root / name).mkdir(parents=True)
    pipeline = linked(root, "one", root / place)
    prepare(root)
    found = flags.find_output(pipeline_at(pipeline), root)
    assert found.foreign
    assert found.path is None
    expected = why.format(root=root)
    sentence = (
        f"{pipeline / 'output'} leads to {root / place}, which does not belong to this run:"
        f" {expected}; to give this run a directory of its own: "
    )
    own = root / "one"
    if place == "one":
        sentence += "rename this run, and link it to a new output directory of that name"
    else:
        sentence += f"mkdir -p {own} && ln -sfn {own} {pipeline / 'output'}"
    if may_be_ours:
        back = root / place / "rundata"
        sentence += f"; if the results there are from this run: ln -sfn {pipeline.parent} {back}"
    assert found.problem == sentence
    with pytest.raises(PermanentError, match=re.escape(f"one: {sentence}")):
        flags.own_output(pipeline_at(pipeline), root)
    assert not (root / place / OWNER_FILE).exists() or case.startswith("a record")


def test_the_record_is_repaired(root: Path) -> None:
    """A run that was renamed keeps its results: the record and the back link follow its name."""
    pipeline = linked(root, "one", root / "one")
    assert flags.own_output(pipeline_at(pipeline), root) == root / "one"
    before = flags.read_record(root / "one")
    assert before == (flags.identify(opened(pipeline.parent)).lasting, "one")  # type: ignore[union-attr]
    renamed = pipeline.parent.with_name("renamed")
    pipeline.parent.rename(renamed)
    assert flags.own_output(pipeline_at(renamed / "pipeline"), root) == root / "one"
    assert flags.read_record(root / "one") == (before[0], "renamed")
    assert (root / "one" / "rundata").readlink() == renamed
    record = json.loads((root / "one" / OWNER_FILE).read_text())
    assert record["about"] == "Made by hesiod-watch: the run whose results are in this directory."


def test_a_run_that_does_not_exist_yet(root: Path) -> None:
    """A new run may use the prepared directory of its name, or one whose back link names it."""
    run = root.parent / "landing" / "one"
    assert flags.identify(opened(run)) is None

    def why(output: Path) -> str:
        found = flags.foreign_owner(output, run, None, root)
        return found.why if found else ""

    assert why(root / "one") == ""
    (root / "two").mkdir()
    assert why(root / "two") == f"{root / 'two'}/rundata does not lead to this run"
    (root / "two" / "rundata").symlink_to(run)
    assert why(root / "two") == ""
    assert flags.read_record(root / "two") == (None, "")
