"""Configuration: every accepted value, and the message for every mistake."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hesiod_watch.config import (
    Config,
    ProcessingSettings,
    RunTypeSettings,
    TrackerSettings,
    UpstreamSettings,
    parse,
    sample,
)
from hesiod_watch.config.values import default_workers
from hesiod_watch.core.errors import ConfigError
from hesiod_watch.core.model import Policy
from hesiod_watch.core.take_up import TakeUpRule

FILE = Path("/etc/place/hesiod-watch.yaml")
MINIMAL = "landing: /data/runs\noutput: /data/results\n"


def problems(text: str, path: Path | None = FILE) -> list[str]:
    """Problems reported for `text`, without the directory of the file."""
    with pytest.raises(ConfigError) as caught:
        parse(text, path)
    return [problem.replace("/etc/place/", "") for problem in caught.value.problems]


def test_sample_is_the_defaults() -> None:
    """The sample equals a file with only the two required directories."""
    from_sample = parse(sample(), FILE)
    minimal = parse(f"landing: {from_sample.landing}\noutput: {from_sample.output}\n", FILE)
    assert from_sample == minimal == Config(from_sample.landing, from_sample.output, path=FILE)


def test_defaults() -> None:
    """The defaults that people rely on do not change unnoticed."""
    config = parse(MINIMAL, FILE)
    assert config.batch == "none"
    assert (config.watch.engine, config.watch.sweep_interval, config.watch.full_sweep_interval) == (
        "auto",
        10,
        600,
    )
    assert config.upstreams == (UpstreamSettings("local", "LOCAL"),)
    cpus = len(os.sched_getaffinity(0))
    assert config.processing == ProcessingSettings(
        "local",
        max(1, cpus // 2),
        1,
        10,
        "low",
        True,
        60,
        max(1, cpus // 4),
        "default",
        False,
        3600,
        86400,
        3,
        60,
    )
    assert config.types == (RunTypeSettings("internal", ".*", process=True, notify=True, queue=""),)
    assert config.reports.title == ""
    assert config.policy() == Policy(
        local=True,
        grace=3600,
        attempts_per_day=3,
        ingest_interval=60,
        sync_interval=300,
        types=config.types,
    )


def test_every_key() -> None:
    """Every key sets the value of its name."""
    config = parse(
        """
landing: /d/runs
output: /d/results
batch: month
landing_owners: [root, 1001, "2"]
watch: {engine: poll, sweep_interval: 2, full_sweep_interval: 1h, upstream_interval: 1 min}
upstreams: {}
types:
  visitor: {runs: "[0-9]{8}_[^_]+_v_.*", process: no, notify: no, queue: q1}
  2nd: {runs: 7}
processing:
  executor: inline
  workers: 7
  processes: 2
  nice: 0
  disk: idle
  ingest: off
  ingest_interval: 5 min
  ingest_workers: 3
  compression: small
  recompress: yes
  grace: 90 min
  quiet: 2 h
  attempts_per_day: 5
  attempt_pause: 10s
notify:
  rt:
    url: https://rt.example.org/
    credentials: rt.secret
    queue: q
    requestors: [a@b.org]
    cc: [c@d.org, e@f.org]
    statuses: {complete: resolved}
    ca_bundle: /etc/ca.pem
    proxy: http://p:1
    timeout: 5
  channels: {room: {url_file: room, events: [cell-failed]}, all: {url_file: all}}
  events: {run-new: nothing, cell-done: comment}
  retry: 2 min
  report_url: https://r/{run}
reports: {title: "Núcleo <b>"}
""",
        FILE,
    )
    assert (config.landing, config.output, config.batch) == (
        Path("/d/runs"),
        Path("/d/results"),
        "month",
    )
    assert config.landing_owners == (0, 1001, 2)
    assert dataclasses.astuple(config.watch) == ("poll", 2, 3600, 60)
    assert config.processing == ProcessingSettings(
        "inline", 7, 2, 0, "idle", False, 300, 3, "small", True, 5400, 7200, 5, 10
    )
    assert config.reports.title == "Núcleo <b>"
    assert not config.local
    assert config.policy() == Policy(
        local=False,
        grace=5400,
        quiet=7200,
        attempts_per_day=5,
        attempt_pauses=(10, 50, 300),
        ingest_interval=None,
        sync_interval=60,
        types=config.types,
        channels=config.notify.kinds(),
    )
    assert config.types == (
        RunTypeSettings("visitor", "[0-9]{8}_[^_]+_v_.*", process=False, notify=False, queue="q1"),
        RunTypeSettings("2nd", "7"),
    )
    assert config.notify.rt == TrackerSettings(
        *(
            "https://rt.example.org/",
            Path("/etc/place/rt.secret"),
            "q",
            ("a@b.org",),
            ("c@d.org", "e@f.org"),
        ),
        *({"complete": "resolved"}, Path("/etc/ca.pem"), "http://p:1", 5),
    )
    assert (config.notify.retry, config.notify.report_url) == (120, "https://r/{run}")
    kinds = config.policy().channels
    assert list(kinds) == ["rt", "room", "all"]
    assert "run-new" not in kinds["rt"]
    assert (kinds["rt"]["cell-done"], kinds["rt"]["run-complete"]) == ("comment", "reply")
    assert kinds["room"] == {"cell-failed": "comment"}
    assert kinds["all"] == dict.fromkeys(kinds["rt"], "comment")
    assert config.type_of("20261122_PROM_v_ada").name == "visitor"
    assert config.type_of("20261122_PROM_x_v_ada").name == "unknown"


MISTAKES = [
    ("sweep_interval: 3\n", "3: sweep_interval: unknown key; known here: landing, output, batch, "),
    (
        "watch:\n  sweep_intervall: 3\n",
        "4: watch.sweep_intervall: unknown key; did you mean sweep_interval?",
    ),
    (
        "notify: {events: {cell-dne: reply}}\n",
        "3: notify.events.cell-dne: there is no such event; did you mean",
    ),
    (
        "notify: {events: {cell-done: mail}}\n",
        "3: notify.events.cell-done: should be one of comment, reply, nothing,",
    ),
    (
        "notify: {events: {run-new: [reply]}}\n",
        "3: notify.events.run-new: should be one of comment, reply, nothing,",
    ),
    (
        "notify: {rt: {url: x, credentials: c, queue: q}}\n",
        "3: notify.rt.url: should begin with https:// or http://",
    ),
    (
        "notify:\n  rt:\n    url: https://x/\n    queue: q\n",
        "4: notify.rt.credentials: missing; it names a file",
    ),
    ("notify:\n  rt: {url: https://x/, credentials: c}\n", "4: notify.rt.queue: missing"),
    (
        "notify: {rt: {statuses: {done: resolved}}}\n",
        "3: notify.rt.statuses.done: is not a status of a run",
    ),
    (
        "notify: {rt: {statuses: {complete: [a]}}}\n",
        "3: notify.rt.statuses.complete: should be text, not a list",
    ),
    ("notify: {rt: {password: x}}\n", "3: notify.rt.password: unknown key"),
    (
        "notify: {channels: {rt: {url_file: x}}}\n",
        "3: notify.channels.rt: is the tracker's own name; choose another",
    ),
    (
        "notify: {channels: {a: {url_file: ''}}}\n",
        "3: notify.channels.a.url_file: should name a file",
    ),
    (
        "notify: {channels: {a: {}}}\n",
        "3: notify.channels.a.url_file: missing, and it has no default",
    ),
    (
        "notify: {channels: {a: {url_file: x, events: [z]}}}\n",
        "3: notify.channels.a.events: there is no event z",
    ),
    (
        "notify: {report_url: https://x/}\n",
        "3: notify.report_url: should hold {run}, and no other braces",
    ),
    (
        "notify: {report_url: 'https://x/{run}/{cell}'}\n",
        "3: notify.report_url: should hold {run}, and no other",
    ),
    (
        "notify: {report_url: 'https://x/{'}\n",
        "3: notify.report_url: should hold {run}, and no other braces",
    ),
    ("types: {a: {runs: '(' }}\n", "3: types.a.runs: should be a regular expression: missing ), "),
    ("types: {a: {runs: [x]}}\n", "3: types.a.runs: should be a regular expression, not a list"),
    ("types: {a: {process: true}}\n", "3: types.a.runs: missing, and it has no default"),
    (
        "types: {a b: {runs: x}}\n",
        "3: types.a b: a name should be letters, digits, _, - and ., beginning with",
    ),
    ("wach: {}\n", "3: wach: unknown key; did you mean watch?"),
    ("path: /x\n", "3: path: unknown key"),
    ("landing: /other\n", "3: landing: given twice, first on line 1"),
    ("watch:\n  engine: poll\n  engine: auto\n", "5: watch.engine: given twice, first on line 4"),
    ("watch: 3\n", "3: watch: should be keys with values, not `3`"),
    ("watch: [a]\n", "3: watch: should be keys with values, not a list"),
    ("[a, b]: 3\n", "3: a key should be a word, not a list"),
    ("batch: weekly\n", "3: batch: should be one of none, year, month, not `weekly`"),
    (
        "batch: Year\n",
        "3: batch: should be one of none, year, month, not `Year`; did you mean year?",
    ),
    ("batch:\n", "3: batch: should be one of none, year, month, not empty"),
    ("batch: {}\n", "3: batch: should be one of none, year, month, not keys with values"),
    ("processing: {workers: 0}\n", "3: processing.workers: should be from 1 to 1024, not 0"),
    (
        "processing: {workers: two}\n",
        "3: processing.workers: should be a whole number or auto, not `two`",
    ),
    ("processing: {nice: auto}\n", "3: processing.nice: should be a whole number, not `auto`"),
    ("processing: {nice: 20}\n", "3: processing.nice: should be from 0 to 19, not 20"),
    ("processing: {nice: -1}\n", "3: processing.nice: should be from 0 to 19, not -1"),
    ("processing: {nice: 1.5}\n", "3: processing.nice: should be a whole number, not `1.5`"),
    ("processing: {nice: 1:30}\n", "3: processing.nice: should be a whole number, not `1:30`"),
    ("processing: {nice: 0x10}\n", "3: processing.nice: should be a whole number, not `0x10`"),
    ("processing: {recompress: 1}\n", "3: processing.recompress: should be true or false, not `1`"),
    (
        "processing: {recompress: 'yes'}\n",
        "3: processing.recompress: should be true or false, not `yes`",
    ),
    (
        "processing: {grace: soon}\n",
        "3: processing.grace: should be a time span such as 10s, 5 min, 1h 30m",
    ),
    ("processing: {grace: -5}\n", "3: processing.grace: should be a time span"),
    ("processing: {grace: 5 parsecs}\n", "3: processing.grace: should be a time span"),
    ("processing: {grace: 1:30}\n", "3: processing.grace: should be a time span"),
    ("processing: {grace: .inf}\n", "3: processing.grace: should be a time span"),
    (
        "processing: {grace: 400d}\n",
        "3: processing.grace: should be from 0 seconds to 366 days, not `400d`",
    ),
    (
        "watch: {sweep_interval: 0}\n",
        "3: watch.sweep_interval: should be from 0.1 seconds to 366 days, not `0`",
    ),
    (
        "watch: {sweep_interval: 1h}\n",
        "3: watch.full_sweep_interval: shorter than watch.sweep_interval",
    ),
    (
        "watch:\n  full_sweep_interval: 1s\n",
        "4: watch.full_sweep_interval: shorter than watch.sweep_interval",
    ),
    (
        "reports: {title: 2026}\n",
        "3: reports.title: should be text, not `2026`; put it in quotes to make it text",
    ),
    (
        'reports: {title: "a\\nb"}\n',
        "3: reports.title: should be text on one line, without control characters",
    ),
    ("upstreams: {prom: {}}\n", "3: upstreams.prom.location: missing, and it has no default"),
    (
        "upstreams: {a: {location: LOCAL, mode: push}}\n",
        "3: upstreams.a.mode: has no effect where the location is LOCAL",
    ),
    (
        "upstreams: {a: {location: LOCAL}, b: {location: LOCAL}}\n",
        "3: upstreams.b: a is LOCAL already",
    ),
    (
        "upstreams: {a: {location: here}}\n",
        "3: upstreams.a.location: the location `here` should be LOCAL, /directory or",
    ),
    (
        "upstreams: {a: {location: 'x:data'}}\n",
        "3: upstreams.a.location: the directory in the location `x:data` is not",
    ),
    (
        "upstreams: {a: {location: '-oProxyCommand=id:/d'}}\n",
        "3: upstreams.a.location: the location `-oProxyCommand=id",
    ),
    (
        "upstreams: {a: {location: /d, mode: copy}}\n",
        "3: upstreams.a.mode: should be one of pull, push, not `copy`",
    ),
    (
        "upstreams: {a: {location: /d, mode: push}}\n",
        "3: upstreams.a.mode: push needs a host that is reached over ssh",
    ),
    (
        "upstreams: {a: {location: 'x:/d', mode: push}}\n",
        "3: upstreams.a.landing_there: a location is empty",
    ),
    (
        "upstreams: {a: {location: /d, landing_there: /l}}\n",
        "3: upstreams.a.landing_there: has no effect unless the mode",
    ),
    (
        "upstreams: {a: {location: /d, instrument: a_b}}\n",
        "3: upstreams.a.instrument: should be letters, digits, - and .",
    ),
    (
        "upstreams: {a: {location: /d, bandwidth_limit: fast}}\n",
        "3: upstreams.a.bandwidth_limit: should be such as 500K",
    ),
    (
        "upstreams: {a: {location: /d, timeout: 0}}\n",
        "3: upstreams.a.timeout: should be from 1 second to 366 days",
    ),
    (
        "upstreams: {a: {location: /d, ssh_options: -4}}\n",
        "3: upstreams.a.ssh_options: should be a list of words, such as",
    ),
    (
        "upstreams: {a: {location: /d, ssh_options: [[x]]}}\n",
        "3: upstreams.a.ssh_options: should be a list of words, not a",
    ),
    (
        "upstreams: {a: {location: /d, rsync: [x, '{destination}']}}\n",
        "3: upstreams.a.rsync: should have {source}",
    ),
    (
        "upstreams: {a: {location: /d, rsync: [rsync, -ltu, '{source}', '{destination}']}}\n",
        "3: upstreams.a.rsync: `-ltu` may not be used: it leaves files that are not the same",
    ),
    (
        "upstreams: {a: {location: /d}, b: {location: /d/}}\n",
        "3: upstreams.b.location: the same directory as that of a",
    ),
    (
        "upstreams: {a: {location: /data/runs/x}}\n",
        "3: upstreams.a.location: landing is the same directory, or one is inside",
    ),
    (
        "upstreams: {a: {location: /data/results}}\n",
        "3: upstreams.a.location: output is the same directory, or one is inside",
    ),
    (
        "upstreams: {'a b': {location: LOCAL}}\n",
        "3: upstreams.a b: a name should be letters, digits",
    ),
    ("upstreams: {'a\\nb': {location: LOCAL}}\n", "3: upstreams.a"),
    ("upstreams: [LOCAL]\n", "3: upstreams: should be keys with values, not a list"),
    ("watch: {engine: &x auto\n", "4: not YAML: "),
    ("---\nlanding: x\n", "3: not YAML: but found another document"),
    ("reports: {title: *nothing}\n", "3: not YAML: found undefined alias"),
    (
        "watch: !!python/object/apply:os.system [id]\n",
        "3: watch: should be keys with values, not a list",
    ),
    ("reports: {title: !!python/name:os.system ''}\n", "3: reports.title: should be text"),
    ("landing_owners: root\n", "3: landing_owners: should be a list of users"),
    (
        "landing_owners: [no-such-user]\n",
        "3: landing_owners: there is no user `no-such-user` on this host",
    ),
    ("landing_owners: [-1]\n", "3: landing_owners: there is no user `-1` on this host"),
    ("landing_owners: [[]]\n", "3: landing_owners: should be a list of users, not a list"),
]


@pytest.mark.parametrize(("text", "expected"), MISTAKES, ids=[text.strip() for text, _ in MISTAKES])
def test_mistakes(text: str, expected: str) -> None:
    """Each mistake is reported once, with its line, its key and the expected value."""
    (problem,) = problems(MINIMAL + text)
    assert problem.startswith(f"hesiod-watch.yaml:{expected}")


@pytest.mark.parametrize(
    ("landing", "output", "expected"),
    [
        ("/d/x", "/d/x", "2: output: the same directory as landing"),
        ("/d/x", "/d/../d/x/", "2: output: the same directory as landing"),
        ("/d/x", "/d/x/y", "2: output: is inside landing"),
        ("/d/x/y", "/d/x", "2: output: landing is inside it"),
        ("~/runs", "/d/x", "1: landing: `~` and `$` are not expanded: write the path out"),
        ("$HOME/runs", "/d/x", "1: landing: `~` and `$` are not expanded: write the path out"),
        ("''", "/d/x", "1: landing: should be a directory, not empty"),
        ("/d/y", "7", "2: output: should be text, not `7`; put it in quotes to make it text"),
    ],
)
def test_invalid_directories(landing: str, output: str, expected: str) -> None:
    """Landing and output are two absolute directories, neither inside the other."""
    assert problems(f"landing: {landing}\noutput: {output}\n") == [f"hesiod-watch.yaml:{expected}"]


def test_directories_apart_by_name_only(tmp_path: Path) -> None:
    """Two names of one directory count as one directory."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "alias").symlink_to("runs")
    text = f"landing: {tmp_path}/runs\noutput: {tmp_path}/alias/results\n"
    assert problems(text) == ["hesiod-watch.yaml:2: output: is inside landing"]


def test_relative_directories() -> None:
    """A relative directory is relative to the configuration file, not to the working directory."""
    config = parse("landing: ../runs\noutput: results", FILE)
    assert (config.landing, config.output) == (Path("/etc/runs"), Path("/etc/place/results"))
    assert problems("landing: runs\noutput: /x\n", None) == [
        "configuration:1: landing: should be an absolute path"
    ]


def test_every_key_of_an_upstream() -> None:
    """Every key of an upstream sets the value of its name; words stay as written."""
    text = """
upstreams:
  local: {location: LOCAL}
  EGS_1:
    location: prom@promethion:/data/
    mode: push
    landing_there: /mnt/runs
    bandwidth_limit: 1.5G
    timeout: 2 min
    connect_timeout: 3
    ssh_options: [-p, 2222, -o, User=a b]
    rsync: [/opt/rsync, "{options}", --fsync, "{source}", "{destination}"]
  other: {location: /mnt/other, instrument: P2S-00581}
"""
    _, first, other = parse(MINIMAL + text, FILE).upstreams
    assert first == UpstreamSettings(
        name="EGS_1",
        location="prom@promethion:/data/",
        mode="push",
        landing_there="/mnt/runs",
        bandwidth_limit="1.5G",
        timeout=120,
        connect_timeout=3,
        ssh_options=("-p", "2222", "-o", "User=a b"),
        rsync=("/opt/rsync", "{options}", "--fsync", "{source}", "{destination}"),
    )
    assert str(first.place) == "prom@promethion:/data"
    assert (first.instrument_name, other.instrument_name) == ("EGS-1", "P2S-00581")
    assert other.mode == "pull"


def test_take_up() -> None:
    """A day is not a YAML date, a pattern needs no list, and each mistake is named."""
    given = "take_up: {since: 2026-11-30, include: a.*, exclude: [b, 'c+']}\n"
    upstream = (
        "upstreams: {seq: {location: /data, take_up: {since: now}}, own: {location: LOCAL}}\n"
    )
    config = parse(f"landing: /l\noutput: /o\n{given}{upstream}", FILE)
    assert config.landing_take_up == TakeUpRule("2026-11-30", ("a.*",), ("b", "c+"))
    assert config.upstreams[0].take_up.over(config.take_up).since == "now"
    for since in ("2026-13-01", "20261130", "yesterday", "2026-11-30T10:00:00", "[now]"):
        (mistake,) = problems(f"landing: /l\noutput: /o\ntake_up: {{since: {since}}}\n")
        assert "take_up.since: should be now, always or a day such as 2026-11-30" in mistake
    (mistake,) = problems("landing: /l\noutput: /o\ntake_up: {exclude: ['*_qc']}\n")
    assert "take_up.exclude: should be a regular expression" in mistake


@pytest.mark.parametrize(
    ("command", "word"),
    [
        ("[bin/start]", "absolute path"),
        ("[./start, x]", "absolute path"),
        ("['']", "absolute path"),
        ("start x", "list of words"),
    ],
)
def test_mistakes_in_on_done(command: str, word: str) -> None:
    """A command is a list of words, and its program does not depend on a working directory."""
    (mistake,) = problems(f"landing: /l\noutput: /o\non_done: {{command: {command}}}\n")
    assert mistake.startswith("hesiod-watch.yaml:3: on_done.command: should be")
    assert word in mistake


def test_all_mistakes_at_once() -> None:
    """All mistakes are reported at once, in the order of the file."""
    assert problems("batch: x\nwatch:\n  engine: y\nfoo: 1\nprocessing: {nice: 99}\n") == [
        "hesiod-watch.yaml:1: batch: should be one of none, year, month, not `x`",
        "hesiod-watch.yaml:1: landing: missing, and it has no default",
        "hesiod-watch.yaml:1: output: missing, and it has no default",
        "hesiod-watch.yaml:3: watch.engine: should be one of auto, inotify, poll, not `y`",
        "hesiod-watch.yaml:4: foo: unknown key; "
        "known here: landing, output, batch, landing_owners, watch, upstreams, take_up, types, "
        "processing, slurm, backups, backup, strip, notify, reports, qc, on_done, locks",
        "hesiod-watch.yaml:5: processing.nice: should be from 0 to 19, not 99",
    ]


@pytest.mark.parametrize("section", ["watch", "processing", "reports"])
def test_empty_section(section: str) -> None:
    """A section whose keys are all commented out has its defaults."""
    assert parse(f"{MINIMAL}{section}:\n", FILE) == parse(MINIMAL, FILE)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("90", 90.0),
        ("2.5", 2.5),
        ("10s", 10.0),
        ("10 sec", 10.0),
        ("5 min", 300.0),
        ("1h 30m", 5400.0),
        ("1h30m", 5400.0),
        ("1.5 hours", 5400.0),
        ("2 days", 172800.0),
        ("010", 10.0),
        ("'10'", 10.0),
    ],
)
def test_time_spans(text: str, seconds: float) -> None:
    """Time spans are accepted as people write them; a bare number is seconds."""
    assert parse(f"{MINIMAL}processing: {{grace: {text}}}", FILE).processing.grace == seconds


@given(st.text(max_size=300) | st.text("{}[]:,- &*!|>'\"\n\tab0~", max_size=60))
def test_any_text(text: str) -> None:
    """Any text gives a configuration or a ConfigError whose problems are one line each."""
    found: tuple[str, ...] = ("a configuration",)
    try:
        parse(text, FILE)
    except ConfigError as error:
        found = error.problems
    assert found
    assert all(len(problem.splitlines()) == 1 for problem in found)


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_deeply_nested_document(opening: str) -> None:
    """A document nested a hundred thousand levels deep is an error, not a crash."""
    (problem,) = problems(MINIMAL + "x: " + opening * 100_000)
    assert problem.startswith("hesiod-watch.yaml:")


def test_workers_follow_the_cpus() -> None:
    """The default number of workers is half of the CPUs of this process, and at least one."""
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert default_workers() == 1
    finally:
        os.sched_setaffinity(0, allowed)
