"""The documentation lists every command, option, key, flag and exit code, and no others."""

from __future__ import annotations

import argparse
import ast
import dataclasses
import inspect
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from open_runs import opened, pipeline_at
from site_states import site_state

from hesiod_watch import cli, config
from hesiod_watch.cli.examples import EXAMPLES
from hesiod_watch.config import reading, values
from hesiod_watch.core.model import Stage, Status
from hesiod_watch.core.watch_state import SiteTotals
from hesiod_watch.fastq import qc
from hesiod_watch.fastq.statistics import ReadStatistics
from hesiod_watch.host import process
from hesiod_watch.report.metrics import metrics_text
from hesiod_watch.rules import events
from hesiod_watch.runs import flags
from hesiod_watch.runs.flags import names
from hesiod_watch.runs.observe import PROGRESS_FILE

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def page(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def section(text: str, title: str) -> str:
    """Text of the section `## title`."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    assert found, f"no section {title!r}"
    return found[1]


def table(text: str, heading: str) -> list[list[str]]:
    """Rows of the tables whose first column is `heading`; each row is a list of cells."""
    rows = []
    for found in re.finditer(rf"^\| {heading} \|.*\n\|[-|]+\|\n((?:\|.*\n?)+)", text, re.M):
        rows += [
            [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            for line in found[1].splitlines()
        ]
    return rows


def code(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


# Configuration.


def config_keys(kind: type[Any] = config.Config, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Every key with its default, as YAML returns it; MISSING for a required key."""
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for name, reader in reading.keys_of(kind).items():
        if isinstance(reader, reading.SectionValue):
            yield from config_keys(reader.kind, f"{prefix}{name}.")
        elif isinstance(reader, reading.NamedSectionsValue):
            yield f"{prefix}{name}", fields[name].default
            yield from config_keys(reader.kind, f"{prefix}{name}.NAME.")
        else:
            yield f"{prefix}{name}", fields[name].default


def test_every_key_is_documented() -> None:
    """docs/configuration.md has a row for each key, in the order of the code, and no other row."""
    rows = table(page("docs/configuration.md"), "key")
    assert [code(row[0])[0] for row in rows] == [name for name, _ in config_keys()]


def test_documented_defaults() -> None:
    """A file with the documented default of every key equals a file without these keys."""
    lines: dict[str, Any] = {}
    for key, default, _ in table(page("docs/configuration.md"), "key"):
        if default == "must be given" or key in ("`upstreams`", "`types`"):
            continue
        # A default of every upstream or type is also that of the one that exists by default.
        for kind, name in (("upstreams", "local"), ("types", "internal")):
            key = key.replace(f"{kind}.NAME.", f"{name}.")
        outer, _, inner = code(key)[0].rpartition(".")
        value = yaml.safe_load(code(default)[0])
        (lines.setdefault(outer, {}) if outer else lines)[inner] = value
    local = {**lines.pop("local"), "take_up": lines.pop("local.take_up")}
    lines["upstreams"] = {"local": {"location": "LOCAL", **local}}
    lines["types"] = {"internal": {"runs": ".*", **lines.pop("internal")}}
    backup = {"location": "/c"}  # there is no backup by default
    lines["backups"] = {"second": {**backup, **lines.pop("backups.NAME")}}
    lines["qc"] = {"internal": lines.pop("qc.NAME")}  # there are no limits by default
    lines["notify"]["rt"] = lines.pop("notify.rt")
    chat = {"url_file": "/d"}  # there is no channel of this kind by default
    lines["notify"]["channels"] = {"chat": {**chat, **lines.pop("notify.channels.NAME")}}
    lines["slurm"]["per_action"] = {"backup": lines.pop("slurm.per_action.NAME")}
    document = yaml.safe_dump({"landing": "/a", "output": "/b", **lines})
    given = {
        "qc": {"internal": {}},
        "backups": {"second": backup},
        "notify": {"channels": {"chat": chat}},
        "slurm": {"per_action": {"backup": {}}},
    }
    least = yaml.safe_dump({"landing": "/a", "output": "/b", **given})
    assert config.parse(document, None) == config.parse(least, None)


def test_every_field_is_described() -> None:
    """Each field of a configuration value is followed by a sentence that describes it."""
    for node in ast.parse(inspect.getsource(values)).body:
        if isinstance(node, ast.ClassDef):
            fields = [
                index for index, each in enumerate(node.body) if isinstance(each, ast.AnnAssign)
            ]
            for index in fields:
                sentence = node.body[index + 1]
                assert isinstance(sentence, ast.Expr), ast.unparse(node.body[index])
                assert str(ast.literal_eval(sentence.value)).strip().endswith(".")


def places_of(node: yaml.Node | None, prefix: str = "") -> Iterator[tuple[str, int]]:
    """Every dotted key of a document, with the index of its line."""
    for name, value in node.value if isinstance(node, yaml.MappingNode) else ():
        yield f"{prefix}{name.value}", name.start_mark.line
        yield from places_of(value, f"{prefix}{name.value}.")


def uncommented(sample: str, key: str) -> str:
    """Uncomment the section `key` of the sample; it is a comment because its default is empty."""
    lines = sample.splitlines(keepends=True)
    (begin,) = [
        number for number, line in enumerate(lines) if re.fullmatch(rf" *#   {key}:\n", line)
    ]
    (end,) = [
        number for number, line in enumerate(lines) if re.fullmatch(rf" *{key}: {{}}\n", line)
    ]
    return "".join(
        [
            *lines[:begin],
            *(line.replace("#   ", "", 1) for line in lines[begin:end]),
            *lines[end + 1 :],
        ]
    )


def test_sample_has_every_key() -> None:
    """The sample shows every key, with a comment above each."""
    sample = config.sample()
    for key in ("backups", "channels", "per_action", "qc"):
        sample = uncommented(sample, key)
    lines = sample.splitlines()
    places = dict(places_of(yaml.compose(sample, Loader=yaml.SafeLoader)))
    for name, _ in config_keys():
        index = places[
            name.replace("backups.NAME", "backups.second")
            .replace("channels.NAME", "channels.chat")
            .replace("per_action.NAME", "per_action.backup")
            .replace("upstreams.NAME", "upstreams.local")
            .replace("types.NAME", "types.internal")
            .replace("qc.NAME", "qc.internal")
        ]
        around = lines[max(0, index - 4) : index]
        assert any(line.lstrip().startswith("#") for line in around), f"no comment above {name}"


def test_every_event_is_documented() -> None:
    """docs/messages.md and the sample list each event with its default.

    Their order is that of the messages.
    """
    rows = table(page("docs/messages.md"), "event")
    expected = [(name, kind.default, kind.says) for name, kind in events.EVENTS.items()]
    assert [(code(row[0])[0], code(row[1])[0], row[2]) for row in rows] == expected
    assert yaml.safe_load(config.sample())["notify"]["events"] == events.default_kinds()


def manual(name: str) -> str:
    """Text of a manual page, without the marks for bold and for special characters."""
    text = re.sub(r"\\f[BR]", "", page(f"contrib/man/{name}").replace(r"\&", ""))
    return text.replace(r"\-", "-").replace(r"\(dq", '"').replace(r"\(aq", "'")


def test_manual_page_has_every_key() -> None:
    """hesiod-watch.yaml(5) has each key of the sample, with its default."""
    sample = config.sample()
    shown = manual("hesiod-watch.yaml.5").splitlines()
    for key, number in places_of(yaml.compose(sample, Loader=yaml.SafeLoader)):
        value = sample.splitlines()[number].partition(": ")[2]
        line = f"{key}: {value}" if value else key
        assert {line, f".SS {line}"} & set(shown), line


def test_shortest_configuration() -> None:
    """The sample begins with a configuration of three lines, which is a whole one."""
    lines = [line.removeprefix("#   ") for line in config.sample().splitlines()[1:4]]
    assert config.parse("\n".join(lines), None).landing_take_up.since == "now"
    assert "\n".join(lines) in manual("hesiod-watch.yaml.5")


# Commands.


def commands() -> dict[str, argparse.ArgumentParser]:
    """Every command with its parser, also `config sample` and `config check`."""
    found: dict[str, argparse.ArgumentParser] = {}
    for name, parser in subparsers(cli.build_parser()).items():
        inner = subparsers(parser)
        found |= (
            {f"{name} {verb}": each for verb, each in inner.items()} if inner else {name: parser}
        )
    return found


def subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def options(parser: argparse.ArgumentParser) -> set[str]:
    return {option for action in parser._actions for option in action.option_strings} - {
        "-h",
        "--help",
    }


def test_every_command_is_documented() -> None:
    """docs/commands.md has a section for each command, and for nothing else."""
    assert sorted(re.findall(r"^## (.*)$", page("docs/commands.md"), re.M)) == sorted(commands())


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_option_is_documented(name: str) -> None:
    """The table of a command names all its options and no others."""
    rows = table(section(page("docs/commands.md"), name), "option")
    assert {span.split()[0] for row in rows for span in code(row[0])} == options(commands()[name])


def test_general_options() -> None:
    """The options before the command are documented."""
    general = page("docs/commands.md").partition("\n## ")[0]
    documented = {span.split()[0] for row in table(general, "option") for span in code(row[0])}
    assert documented - {"-h", "--help"} == options(cli.build_parser())


@pytest.mark.parametrize("name", sorted(commands()))
def test_help_of_every_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The help of each command says what it does; the general help lists the exit codes."""
    assert cli.main([*name.split(), "--help"]) == 0
    assert "exit status:" in cli.build_parser().format_help()
    assert len(capsys.readouterr().out.split("\n\n")) >= 2


@pytest.mark.parametrize("name", ["", *sorted(commands()), "config"])
def test_examples_of_every_command(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every help has examples, each of which the program accepts, and fits into 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.main([*name.split(), "--help"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line for line in shown if len(line) > 80] == []
    parser = cli.build_parser()
    for line, _ in EXAMPLES[name]:
        assert f"  {line}" in shown
        parts = [shlex.split(part.partition(" > ")[0]) for part in line.split(" | ")]
        of_command = [words[1:] for words in parts if words[0] == "hesiod-watch"]
        assert of_command or line.startswith("systemctl ")
        for arguments in of_command:
            assert parser.parse_args(arguments).call


def test_manual_page_has_every_command() -> None:
    """hesiod-watch(1) has each command with its options and examples."""
    shown = manual("hesiod-watch.1")
    for name, parser in commands().items():
        top = name.partition(" ")[0]
        section = shown.partition(f"\n.SS {top}\n")[2].partition("\n.SS ")[0]
        assert all(option in section for option in options(parser))
        assert all(line in section for line, _ in EXAMPLES[name])


def test_exit_codes() -> None:
    """The exit codes are the same in --help and in docs/commands.md."""
    documented = {int(row[0]) for row in table(page("docs/commands.md"), "exit code")}
    assert documented == {0, 1, 2, 75, 130, 143}
    text = cli.build_parser().format_help()
    paragraph = text[text.lower().index("exit ") :]
    assert documented <= {int(number) for number in re.findall(r"\b\d+\b", paragraph)}


# JSON.

DONE, WORKED_ON, SHORT = (
    f"20190710_172{number}_1A_PAD3857{number}_c6ded78{number}" for number in (1, 2, 3)
)


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    """A landing area with a run that gives every command something to report."""
    run, output = tmp_path / "runs" / "run1", tmp_path / "results" / "run1"
    for cell in (DONE, WORKED_ON, SHORT, "20190710_1720_1A_CTC00001_c6ded780"):
        (run / "lib1" / cell / "fastq_pass").mkdir(parents=True)
    (run / "-rf").mkdir()
    # A person wrote this summary; the file that it announces is missing.
    (run / "lib1" / SHORT / "final_summary.txt").write_text(
        "# by hand\nfastq_files_in_final_dest=1\n"
    )
    output.mkdir(parents=True)
    flags.adopt(opened(run), "LOCAL", output)
    pipeline = run / "pipeline"
    headline = {
        "reads": 1,
        "bases": 2,
        "n50": 2,
        "mean_q": 9.5,
        "passed_reads": 1,
        "passed_bases": 2,
    }
    flags.create(
        pipeline_at(pipeline), flags.done(DONE), {"cell": f"lib1/{DONE}", "results": headline}
    )
    message = {
        "event": "run-new",
        "channels": {"rt": "comment"},
        "time": "2026-11-22T10:15:00+00:00",
        "text": "new",
    }
    flags.put_message(pipeline_at(pipeline), "run-new", message)
    flags.create(pipeline_at(pipeline), flags.synced(WORKED_ON), {})
    flags.claim_cell(
        pipeline_at(pipeline),
        WORKED_ON,
        process.this_owner("process", "local"),
        judge=process.judge_here,
    )
    work = output / "lib1" / WORKED_ON
    work.mkdir(parents=True)
    (work / PROGRESS_FILE).write_text('{"phase": "compressing"}')
    path = tmp_path / "hesiod-watch.yaml"
    path.write_text("landing: runs\noutput: results\n")
    return path


def shape(value: object, at: str = "") -> set[str]:
    """Every path of keys in a document.

    A list counts as its elements, the name of a cell as `*`, and null as any value.
    """
    found = set()
    if isinstance(value, dict):
        for key, inner in value.items():
            found |= shape(inner, f"{at}.{'*' if '/' in key else key}")
    elif isinstance(value, list):
        for inner in value:
            found |= shape(inner, at)
    return {path for path in found if not any(other.startswith(f"{path}.") for other in found)} or {
        at
    }


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("status", ["run1"]),
        ("explain", ["run1", SHORT]),
        ("messages", ["run1"]),
        ("plan", []),
        ("flags", ["run1"]),
        ("verify", ["run1"]),
        ("doctor", []),
    ],
    ids=["status", "explain", "messages", "plan", "flags", "verify", "doctor"],
)
def test_documented_json(
    name: str, arguments: list[str], configuration: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The JSON that docs/commands.md shows for a command has exactly the keys of the real one."""
    (shown,) = re.findall(r"```json\n(.*?)```", section(page("docs/commands.md"), name), re.S)
    assert cli.main(["--config", str(configuration), name, *arguments, "--json"]) == (
        1 if name == "verify" else 0
    )
    assert shape(json.loads(capsys.readouterr().out)) == shape(json.loads(shown))


def test_documented_hesiod_keys(configuration: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The keys of `status --hesiod` are documented in their order."""
    assert cli.main(["--config", str(configuration), "status", "--hesiod"]) == 0
    real = [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()]
    text = section(page("docs/commands.md"), "status")
    assert code(text.partition("The keys:")[2].partition(".\n")[0]) == real


def test_keys_of_a_qc_group() -> None:
    """docs/qc-json.md has every key of a group of reads, in the order of the file."""
    rows = table(page("docs/qc-json.md"), "key")
    assert [key for row in rows for key in code(row[0])] == list(
        qc.cell_group(ReadStatistics(), "whole")
    )


# Flags.


def flag_names() -> list[str]:
    return [name for row in table(page("docs/flags.md"), "flags") for name in code(row[0])]


def test_every_flag_is_documented() -> None:
    """docs/flags.md lists exactly the flags that the program knows."""
    documented = set(flag_names())
    facts = {f"{{cell}}.{fact}" for fact in (*names.CELL_MEANINGS, *names.STAGE_MEANINGS)}
    facts |= {f"{{cell}}.started.{fact}" for fact in (*names.CLAIM_MEANINGS, 2)}
    facts.add(names.over("{cell}.ingest", "{key}"))
    assert documented == facts | names.RUN_FLAGS | {
        names.UPSTREAM,
        names.OUTPUT,
        names.TYPE,
        names.MESSAGES,
        names.TICKET,
        names.ATTIC,
    }


@pytest.mark.parametrize("name", [name for name in flag_names() if name != names.ATTIC])
def test_documented_flags_are_understood(name: str) -> None:
    """The program recognises each flag that docs/flags.md names."""
    flag = name.replace("{cell}", "20190710_1723_2-A5-D5_PAD38578_c6ded78b")
    flag = flag.replace("{key}", "0123456789ab")
    assert names.meaning(flag) != names.UNKNOWN


def test_every_stage_and_status_is_documented() -> None:
    """docs/flags.md lists every stage and status, the stages in the order of the decision."""
    text = page("docs/flags.md")
    assert [code(row[0])[0] for row in table(text, "stage")] == [str(stage) for stage in Stage]
    assert {code(row[0])[0] for row in table(text, "status")} == {str(status) for status in Status}


# README and links.


def command_lines(text: str) -> list[str]:
    """Indented lines that call hesiod-watch, without their comments."""
    return [
        line.strip().split("  #")[0].strip()
        for line in re.findall(r"^ {4,8}(hesiod-watch .*)$", text, re.M)
    ]


@pytest.mark.parametrize(
    "line",
    [
        line
        for name in ("README.md", "docs/configuration.md", "docs/migration.md")
        for line in command_lines(page(name))
    ],
)
def test_command_lines_parse(line: str) -> None:
    """The program accepts each command that the documentation shows."""
    if "FILE" not in line and not line.startswith("hesiod-watch: "):
        arguments = shlex.split(line.partition(" > ")[0])[1:]
        assert cli.build_parser().parse_args(arguments).call


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_make_targets_exist(name: str) -> None:
    """Every `make …` in the documentation is a target of the Makefile."""
    targets = set(re.findall(r"^(\w+):", page("Makefile"), re.M))
    shown = set(re.findall(r"^ {4}make (\w+)", page(name), re.M))
    assert shown
    assert shown <= targets


@pytest.mark.parametrize("path", PAGES, ids=[str(path.relative_to(ROOT)) for path in PAGES])
def test_links_have_targets(path: Path) -> None:
    """A link to a file of the project leads to an existing file, and to a heading of it."""
    links = re.findall(r"\]\(([^)#]*)(?:#([^)]+))?\)", path.read_text("utf-8"))
    own = [
        (path.parent / link if link else path, head) for link, head in links if "://" not in link
    ]
    assert [target for target, _ in own if not target.exists()] == []
    assert [(target, head) for target, head in own if head and head not in anchors(target)] == []


def anchors(path: Path) -> set[str]:
    """Names of the headings of a page, as links have them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text("utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


def test_every_page_is_in_the_index() -> None:
    """docs/README.md leads to each page of the documentation, and README.md to it."""
    linked = set(re.findall(r"\]\(([^)#]+)", page("docs/README.md")))
    assert {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"} == linked
    assert "(docs/README.md)" in page("README.md")


def test_every_metric_is_documented() -> None:
    """docs/metrics.md has each metric with its labels and meaning, in the order of the file."""
    state = site_state(1)
    text = metrics_text(state, SiteTotals.of(state.runs)).decode()
    documented = [
        (code(row[0])[0], code(row[1]), row[2]) for row in table(page("docs/metrics.md"), "metric")
    ]
    assert [(name, words) for name, _, words in documented] == re.findall(
        r"^# HELP (\S+) (.*)$", text, re.M
    )
    for name, labels, _ in documented:
        for found in re.findall(rf"^{name}\{{(.*)\}}", text, re.M):
            assert sorted(re.findall(r"(\w+)=", found)) == sorted(labels)
