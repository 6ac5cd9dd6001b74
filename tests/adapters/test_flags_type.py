"""`pipeline/type.yaml`: written once, changed by people, parsed or rejected with a reason."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from open_runs import opened, pipeline_at

from hesiod_watch.core.model import LOCAL
from hesiod_watch.host import process
from hesiod_watch.runs import flags


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    path = tmp_path / "pipeline"
    path.mkdir()
    return path


def test_with_the_run(tmp_path: Path) -> None:
    """A run is registered with its type, and no process overwrites it."""
    (tmp_path / "run").mkdir()
    assert flags.adopt(opened(tmp_path / "run"), LOCAL, tmp_path, "visitor")
    pipeline = tmp_path / "run" / "pipeline"
    assert flags.read_type(pipeline_at(pipeline)) == ("visitor", "")
    assert not flags.write_type(pipeline_at(pipeline), "internal")
    assert flags.read_type(pipeline_at(pipeline)) == ("visitor", "")
    assert not [
        line
        for line in flags.read_flags(pipeline_at(pipeline)).all(process.judge_here)
        if "not known" in line.meaning
    ]


def test_written_once(pipeline: Path) -> None:
    """When many write a type at once, one succeeds; no half-written or other file is left."""
    won: list[str] = []
    seen: set[tuple[str, str]] = set()
    barrier = threading.Barrier(8)

    def racer(name: str) -> None:
        barrier.wait()
        if flags.write_type(pipeline_at(pipeline), name):
            won.append(name)
        seen.add(flags.read_type(pipeline_at(pipeline)))

    threads = [threading.Thread(target=racer, args=(f"type{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {(won[0], "")}
    assert len(won) == 1
    assert os.listdir(pipeline) == ["type.yaml"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("type: visitor\n", "visitor"),
        ("type: visitor\nuun: ada\n", "visitor"),  # as Hesiod writes it
        ("{type: 'in house', other: [1]}", "in house"),
        ("type: 2024\n", "2024"),
        ("type: !!python/object/apply:os.abort []\n", ""),
        ("type: [a]\n", ""),
        ("type:\n", ""),
        ("type: " + "x" * 101, ""),
        ("visitor\n", ""),
        ("", ""),
        ("type: [\n", ""),
        ("[" * 5000, ""),
        ("type: \udcff\n", ""),
        ('type: "a\\u202eb"\n', "a\\u202eb"),
    ],
)
def test_what_people_write(text: str, expected: str, pipeline: Path) -> None:
    """The file is read as YAML without objects; a missing type is a reason, not an error."""
    (pipeline / "type.yaml").write_bytes(text.encode("utf-8", "surrogateescape"))
    kind, problem = flags.read_type(pipeline_at(pipeline))
    assert kind == expected
    assert bool(problem) is not bool(expected)


@pytest.mark.parametrize(
    "make",
    [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/etc/hostname")],
    ids=["FIFO", "directory", "link"],
)
def test_special_files(make: object, pipeline: Path) -> None:
    """A special file is not opened."""
    assert callable(make)
    make(pipeline / "type.yaml")
    assert flags.read_type(pipeline_at(pipeline)) == ("", "is no small regular file")
    assert not flags.write_type(pipeline_at(pipeline), "internal")


def test_missing_type(pipeline: Path) -> None:
    """A missing file gives no type, and no problem."""
    assert flags.read_type(pipeline_at(pipeline)) == ("", "")


def test_type_that_a_person_corrects(pipeline: Path) -> None:
    """A text that was read before is not read again, and another text counts at once."""
    for text, expected in (("type: a\n", "a"), ("type: b\n", "b"), ("[", ""), ("type: a\n", "a")):
        (pipeline / "type.yaml").write_text(text)
        assert flags.read_type(pipeline_at(pipeline))[0] == expected
