"""Odd records in one run: the commands that read still show all the other runs.

Each test puts one kind of record into many runs, each with one odd value at one place, beside one
intact run.
"""

from __future__ import annotations

import copy
import json
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from open_runs import opened, pipeline_at

from hesiod_watch.cli import main
from hesiod_watch.cli.common import now
from hesiod_watch.cli.doctor import CHECKS
from hesiod_watch.config import load
from hesiod_watch.core.model import CellId
from hesiod_watch.host import process
from hesiod_watch.rules.explain import explain_cell, explain_run
from hesiod_watch.rules.plan import plan
from hesiod_watch.runs import flags
from hesiod_watch.runs.observe import observe

CELL = "20261122_2210_1A_PAW00001_0a1b2c3d"
GOOD = "20261122_TEST_good"
HUGE = 10**400
ODD: dict[str, str] = {
    "huge": str(HUGE),
    "past 64 bits": str(2**64),
    "negative": "-5",
    "not a number": "NaN",
    "infinite, spelled out": "1e999",
    "true": "true",
    "null": "null",
    "a text": '"\\ud800\\u0000 \\u202e"',
    "a time without end": '"9999-12-31T23:59:59-23:59"',
    "a list": "[[1], {}]",
    "an object": '{"reads": {"reads": []}}',
    "nested": "[" * 400 + "]" * 400,
    "nested without end": "[" * 100_000,
}
TIME = "2026-11-22T22:10:00+00:00"
OWNER = asdict(process.this_owner("process", "local", token="t")) | {
    "pid": 2**22 - 1,
    "pid_start": 1,
}
ENDED = {**OWNER, "ended": TIME, "manifest": "m", "trouble": "away", "cell": f"lib/{CELL}"}
COPY: dict[str, Any] = {
    **dict.fromkeys(("identity", "device", "location", "raw_digest"), "x"),
    "backup": "second",
    "manifest_md5": "m",
    "files": 1,
    "bytes": 4200,
    "verified_at": TIME,
    "raw": True,
}
DONE = {
    "results": {
        "reads": 3,
        "bases": 12,
        "n50": 4,
        "mean_q": 9.5,
        "passed_reads": 2,
        "passed_bases": 8,
    },
    "manifest_md5": "m",
    "cell": f"lib/{CELL}",
    "epoch": 1,
    "time": TIME,
    "counted": "2 of 2",
    "why": "because",
}
LETTER = {
    "token": "0" * 32,
    "key": "cell-done.x",
    "event": "cell-done",
    "text": "a text",
    "time": TIME,
    "cell": CELL,
    "channels": {"chat": "comment"},
}
PROGRESS = {
    "phase": "x",
    "bytes_done": 1,
    "bytes_total": 4,
    "reads": 2,
    "bases": 8,
    "updated": 1e9,
    "note": "y",
}
SOURCES = [{"name": "x", "bytes": 700}, {"name": "y", "bytes": 700}]

Record = dict[str, Any]
FLAG = "pipeline/" + CELL
OUT = f"pipeline/output/lib/{CELL}/"
Files = dict[str, Record | str]
"""Where each record is in a run, and what it says; the first one is that which becomes odd."""

KINDS: dict[str, Files] = {
    "done": {f"{FLAG}.done": DONE},
    "failed": {f"{FLAG}.failed": DONE},
    "aborted": {f"{FLAG}.aborted": DONE},
    "claim": {f"{FLAG}.started": OWNER, f"{OUT}.progress.json": PROGRESS},
    "backup that was done": {
        f"{FLAG}.backup.done": {**ENDED, "copies": [COPY]},
        f"{FLAG}.done": DONE,
    },
    "backup that failed": {f"{FLAG}.backup.failed": {**ENDED, "copies": []}, f"{FLAG}.done": DONE},
    "backup under way": {
        f"{OUT}.copies.json": PROGRESS,
        f"{FLAG}.backup.started": ENDED | asdict(process.this_owner("backup", "local")),
        f"{FLAG}.done": DONE,
    },
    "verification": {
        f"{FLAG}.verify.failed": {**ENDED, "problems": ["rot"], "here": True},
        f"{FLAG}.done": DONE,
    },
    "verification that was done": {
        f"{FLAG}.verify.done": {**ENDED, "copies": []},
        f"{FLAG}.done": DONE,
    },
    "mark": {
        f"{FLAG}.deletable.done": {
            **ENDED,
            "marked": True,
            "files": 1,
            "bytes": 2,
            "until": TIME,
            "places": ["x"],
        },
        f"{FLAG}.backup.done": {**ENDED, "copies": [COPY]},
        f"{FLAG}.done": DONE,
    },
    "strip": {
        f"{FLAG}.strip.failed": {
            **ENDED,
            "kept": ["x: small"],
            "files": 0,
            "again": True,
            "why": "no",
        },
        f"{FLAG}.backup.done": {**ENDED, "copies": [COPY]},
        f"{FLAG}.done": DONE,
    },
    "state of ingest": {
        f"{OUT}.ingest.json": {
            "seen_ns": 1,
            "unfinished": 1,
            "newest": {"x": {"size": 1, "mtime_ns": 1, "since": 1.0}},
            "results": {**DONE["results"], "files": 3},  # type: ignore[dict-item]  # an object
        },
        f"{FLAG}.ingest.done": ENDED,
    },
    "attempt of ingest": {f"{FLAG}.ingest.failed": ENDED},
    "progress": {f"{OUT}.progress.json": PROGRESS, f"{FLAG}.started": OWNER},
    "copying": {
        f"{OUT}.copying.json": PROGRESS,
        "pipeline/sync.started": asdict(process.this_owner("sync", "local")),
    },
    "sync": {"pipeline/sync.failed": {**ENDED, "person": True, "time": TIME}},
    "delivery": {
        "pipeline/notify.failed": {
            **OWNER,
            "channels": {
                "chat": {
                    "why": "away",
                    "attempts": 3,
                    "since": TIME,
                    "until": TIME,
                    "person": False,
                }
            },
        },
        "pipeline/messages/cell-done.x": LETTER,
    },
    "message": {"pipeline/messages/cell-done.x": LETTER},
    "past": {"pipeline/messages/past": {"keys": ["run-new"]}},
    "run failed": {"pipeline/failed": DONE},
    "stripped": {"pipeline/stripped": {"action": "strip"}, f"{FLAG}.done": DONE},
    "manifest": {
        f"{OUT}manifest.json": {"files": [{"name": "a", "bytes": 5}], "sources": SOURCES},
        f"{FLAG}.done": DONE,
    },
    "raw data": {f"{OUT}raw.json": {"bytes": 1400, "files": SOURCES}, f"{FLAG}.done": DONE},
    "type": {"pipeline/type.yaml": {"type": "internal"}},
    "ticket": {"pipeline/rt_ticket": {"": 42}},
}


def odd_texts(record: Record) -> Iterator[str]:
    """The correct record, and the record with each odd value in place of each value."""
    yield json.dumps(record)
    owner = (
        OWNER.keys() if record.keys() > OWNER.keys() else ()
    )  # the owner is read in the same way for each kind
    for path in places({key: value for key, value in record.items() if key not in owner}):
        changed = copy.deepcopy(record)
        inner: Any = changed
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = "HERE"
        yield from (json.dumps(changed).replace('"HERE"', odd) for odd in ODD.values())
    yield from ODD.values()


def places(value: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, each in inner:
        yield (*path, key)
        yield from places(each, (*path, key))


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[[str, dict[str, str]], None]:
    landing, output = tmp_path / "landing", tmp_path / "output"
    (tmp_path / "hesiod-watch.yaml").write_text(
        f"landing: {landing}\noutput: {output}\nprocessing: {{executor: dry-run}}\n"
        "backups: {second: {location: /nonexistent/place}}\nstrip: {after: 1s}\n"
        f"notify: {{channels: {{chat: {{url_file: {tmp_path / 'urls'}}}}}}}\n"
    )
    (tmp_path / "urls").touch(0o600)
    (tmp_path / "urls").write_text("json://localhost:9\n")

    def make(name: str, files: dict[str, str]) -> None:
        run, results = landing / name, output / name
        (run / "lib" / CELL / "fastq_pass").mkdir(parents=True)
        (run / "lib" / CELL / "fastq_pass" / "a_0.fastq").write_text("@r\nACGT\n+\n5555\n")
        (results / "lib" / CELL).mkdir(parents=True)
        (run / "pipeline" / "messages").mkdir(parents=True)
        (run / "pipeline" / "messages" / "0001").symlink_to("cell-done.x")
        (run / "pipeline" / "output").symlink_to(results)
        (run / "pipeline" / "upstream").write_text("LOCAL\n")
        for place, text in files.items():
            (run / place).write_text(text)

    return make


@pytest.mark.parametrize("kind", KINDS)
def test_the_other_runs_are_shown(
    kind: str,
    make_run: Callable[[str, dict[str, str]], None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All commands end as they should and show the intact run.

    The commands are status, plan, explain, flags, messages, doctor and poll.
    """
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    make_run(GOOD, {f"{FLAG}.done": json.dumps(DONE)})
    files = KINDS[kind]
    odd, *others = files
    record = files[odd]
    assert isinstance(record, dict)
    runs = []
    for number, text in enumerate(odd_texts(record)):
        runs.append(f"20261122_TEST_{number:04d}")
        make_run(runs[-1], {odd: text, **{place: json.dumps(files[place]) for place in others}})

    def call(*arguments: str, code: int = 0) -> str:
        assert main(["--config", str(tmp_path / "hesiod-watch.yaml"), *arguments]) == code, (
            arguments
        )
        return capsys.readouterr().out

    shown = {
        each["run"]: each
        for each in json.loads(call("status", "--json"), parse_constant=pytest.fail)["runs"]
    }
    assert set(shown) == {GOOD, *runs}
    good = shown[GOOD]["cells"][f"lib/{CELL}"]
    assert (good["stage"], good["reads"], good["present"]) == ("processed", 3, True)
    for command in ("status", "--hesiod"), ("status",):
        assert GOOD in call(*command)
    call("plan")
    assert GOOD in call("plan", "--json")
    for run in (GOOD, runs[-1]):
        for looking in (
            ("explain", run),
            ("explain", run, CELL),
            ("flags", run),
            ("messages", run),
        ):
            assert call(*looking)
            assert call(*looking, "--json")
    config = load(tmp_path / "hesiod-watch.yaml", environ={}, cwd=tmp_path)
    for run in runs:  # as the command, without a process for each run
        snapshot = observe(
            opened(config.landing / run),
            config.output,
            channels=config.notify.kinds(),
            judge=process.judge_here,
        )
        decision = plan(snapshot, config.policy(), now())
        assert explain_run(snapshot, decision, config.policy(), now()).next
        assert explain_cell(snapshot, CellId("lib", CELL), decision, config.policy(), now()).next
        assert flags.read_flags(pipeline_at(config.landing / run / "pipeline")).all(
            process.judge_here
        )
    monkeypatch.setattr(
        "hesiod_watch.cli.doctor.CHECKS", [check for check in CHECKS if check[0] == "space"]
    )
    assert "landing" in call("doctor")
    assert main(["--config", str(tmp_path / "hesiod-watch.yaml"), "poll"]) in (0, 1)
    assert not [entry for entry in caplog.records if entry.levelno >= logging.ERROR]


def test_a_bug_ends_no_command(
    make_run: Callable[[str, dict[str, str]], None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An error that no code foresees, in one run, is reported for that run; the others are shown.

    The fault is in the file system: a listing of that run fails as no listing should.
    """
    bad = "20261122_TEST_bad"
    make_run(GOOD, {f"{FLAG}.done": json.dumps(DONE)})
    make_run(bad, {f"{FLAG}.done": json.dumps(DONE)})
    scan = os.scandir

    def scandir(path: Any) -> Any:
        if str(path).endswith(bad):
            raise RuntimeError("odd listing")
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    why = "cannot be shown: a bug in hesiod-watch: RuntimeError: odd listing"

    def call(*arguments: str, code: int = 0) -> str:
        caplog.clear()
        assert main(["--config", str(tmp_path / "hesiod-watch.yaml"), *arguments]) == code
        assert [entry.exc_info is not None for entry in caplog.records if entry.levelno >= 40]
        taken = capsys.readouterr()
        return taken.err if code else taken.out

    rows = [line.split() for line in call("status").splitlines()]
    assert next(row for row in rows if row[0] == bad)[1] == "unknown"
    assert [row[0] for row in rows].count(GOOD) == 1
    found = {run["run"]: run for run in json.loads(call("status", "--json"))["runs"]}
    assert (found[bad]["status"], found[bad]["why"]) == ("unknown", why)
    assert found[GOOD]["status"] == "complete"
    assert f"# {bad}: waiting: {why}" in call("plan")
    planned = {run["run"]: run for run in json.loads(call("plan", "--json"))["runs"]}
    assert (planned[bad]["waiting"], planned[GOOD]["actions"] != []) == ([why], True)
    assert "PipelineStatus: unknown" in call("status", "--hesiod")
    explained = call("explain", bad)
    assert why in explained
    assert "echo LOCAL" not in explained  # it may have an upstream
    assert why in call("explain", bad, CELL)
    polled = call("poll", code=1)
    assert f"hesiod-watch: {bad}: nothing is done, because of a bug in hesiod-watch" in polled
