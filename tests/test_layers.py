"""Rules about imports that import-linter cannot express.

The contracts of import-linter are in pyproject.toml, and `make lint` checks them. Imports anywhere
in a module count, also those inside functions: an import that is late for speed is still a
dependency.
"""

from __future__ import annotations

import ast
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hesiod_watch.cli import COMMANDS, top_parser
from hesiod_watch.core.watch_state import SiteTotals, WatchState

PACKAGE = Path(__file__).parents[1] / "hesiod_watch"
STANDARD = frozenset(sys.stdlib_module_names)

# Third-party packages, and the only modules or packages of hesiod-watch that use them.
THIRD_PARTY: dict[str, tuple[str, ...]] = {
    "yaml": ("config", "runs.flags", "actions"),
    "watchdog": ("service.watch",),
    "numpy": ("fastq", "bam", "report", "cli.simulator"),
    "isal": ("fastq", "cli.simulator"),
    "pysam": ("bam.sorting", "cli.simulator"),
    "jinja2": ("report",),
    "markupsafe": ("report",),
    "prometheus_client": ("report.metrics",),
    "rich": ("cli",),
    "sh": ("host.command",),
    "rt": ("notify.rt_session", "notify.rt_errors"),
    "httpx2": ("notify.rt_http", "notify.rt_errors"),  # the HTTP library that rt uses
    "apprise": ("notify.apprise_channel",),
    "_typeshed": ("config",),  # exists for the type checker only
}

HEAVY = (
    *("numpy", "isal", "pysam", "jinja2", "rich", "rt", "watchdog", "sh", "multiqc"),
    "prometheus_client",
)

# Modules of the standard library that a rule may use: none of them reads the disk, the clock or the
# network.
PURE = frozenset(
    {
        *(
            "__future__",
            "bisect",
            "collections",
            "collections.abc",
            "contextlib",
            "csv",
            "dataclasses",
            "datetime",
            "enum",
            "errno",  # only numbers
            "functools",
        ),
        *(
            "hashlib",
            "itertools",
            "json",
            "math",
            "operator",
            "pathlib",
            "re",
            "shlex",  # of it, only its quoting
            "stat",  # only numbers
            "string",
            "typing",
            "unicodedata",
            "urllib.parse",
        ),
    }
)
EFFECTS = frozenset(
    {
        *("now", "today", "utcnow"),
        *(
            "exists",
            "is_dir",
            "is_file",
            "is_symlink",
            "iterdir",
            "glob",
            "rglob",
            "stat",
            "lstat",
            "resolve",
            "cwd",
        ),
        *(
            "open",
            "read_bytes",
            "read_text",
            "write_bytes",
            "write_text",
            "mkdir",
            "touch",
            "unlink",
            "print",
            "input",
        ),
    }
)


def modules() -> list[str]:
    """Dotted names of all modules below the package; "" is the package itself."""
    files = sorted(PACKAGE.rglob("*.py"))
    return [
        ".".join(file.relative_to(PACKAGE).with_suffix("").parts)
        .removesuffix("__init__")
        .rstrip(".")
        for file in files
    ]


MODULES = modules()
RULES = [module for module in MODULES if module.split(".")[0] in ("core", "rules")]


def source_of(module: str) -> str:
    """The text of a module."""
    path = PACKAGE.joinpath(*module.split(".")) if module else PACKAGE
    return (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text("utf-8")


def imports(source: str) -> Iterator[str]:
    """Dotted names of a module's imports; `from package import module` gives `package.module`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written out in full"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def inside(module: str, places: tuple[str, ...]) -> bool:
    """Whether a module is in the list `places`, or in a package of that list."""
    return any(module == place or module.startswith(f"{place}.") for place in places)


def misplaced(module: str, source: str) -> list[str]:
    """Every import of a third-party package that this module must not use."""
    tops = {name.split(".")[0] for name in imports(source)} - STANDARD - {PACKAGE.name}
    return [
        f"{module} imports {top}"
        for top in sorted(tops)
        if not inside(module, THIRD_PARTY.get(top, ()))
    ]


def impure(module: str, source: str) -> list[str]:
    """Every import and every call that reads the disk, the clock or the network."""
    standard = [name for name in imports(source) if name.split(".")[0] in STANDARD]
    found = [
        f"{module} imports {name}"
        for name in standard
        if not {name, name.rpartition(".")[0]} & PURE
    ]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            function = node.func
            name = (
                function.attr
                if isinstance(function, ast.Attribute)
                else getattr(function, "id", "")
            )
            if name in EFFECTS:
                found.append(f"{module} calls {name}")
    return found


@pytest.mark.parametrize("module", MODULES, ids=[module or PACKAGE.name for module in MODULES])
def test_third_party_packages_stay_in_place(module: str) -> None:
    """A third-party package is imported only by the modules of the table."""
    assert misplaced(module, source_of(module)) == []


@pytest.mark.parametrize("module", [module for module in RULES if module != "core.logfields"])
def test_rules_are_pure(module: str) -> None:
    """A rule reads neither the disk nor the clock: its arguments contain everything it needs."""
    assert impure(module, source_of(module)) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("rules.plan", "import os"),
        ("rules.plan", "from time import time"),
        ("rules.plan", "import logging"),
        ("rules.plan", "from datetime import datetime\nnow = datetime.now()"),
        ("rules.plan", "from pathlib import Path\nfound = Path('x').exists()"),
        ("core.model", "import subprocess"),
    ],
)
def test_impurity_is_found(module: str, source: str) -> None:
    """The check finds each way in which a rule could read the disk or the clock."""
    assert impure(module, source)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("runs.observe", "import numpy"),
        ("host.process", "import yaml"),
        ("cli", "import requests"),
        ("service.reconcile", "def late():\n    import rich"),
    ],
)
def test_misplaced_package_is_found(module: str, source: str) -> None:
    """The check finds a third-party package in the wrong module, also in a late import."""
    assert misplaced(module, source)


def test_modules_of_the_table_exist() -> None:
    """Every module in the table of third-party packages exists."""
    assert [
        place for places in THIRD_PARTY.values() for place in places if place not in MODULES
    ] == []


def test_top_holds_packages_only() -> None:
    """The package contains thirteen packages and only the two modules that Python requires."""
    found = {path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert len(packages) == 13
    assert found - packages == {"__init__.py", "__main__.py", "py.typed"}


def test_architecture_describes_every_package() -> None:
    """docs/architecture.md has one line for each package, and no other lines."""
    text = (PACKAGE.parent / "docs/architecture.md").read_text("utf-8")
    described = re.findall(r"^\| `(\w+)` \| ", text, re.MULTILINE)
    assert sorted(described) == sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))


def loaded_by(statements: str) -> set[str]:
    """Names of the modules that a fresh interpreter loads for these statements."""
    code = (
        f"import sys; before = set(sys.modules); {statements};"
        " print(*sorted(set(sys.modules) - before), file=sys.stderr)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return set(run.stderr.split())


def test_parsers_load_no_heavy_package() -> None:
    """Building the parsers of all commands loads no package that only the work needs."""
    loaded = loaded_by("from hesiod_watch import cli; cli.build_parser()")
    assert {"hesiod_watch.rules.plan", "hesiod_watch.service.circumstances"} <= loaded
    assert {name for name in loaded if name.split(".")[0] in HEAVY} == set()


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_version_and_help_load_no_command(option: str) -> None:
    """`--version` and `--help` load only the parser, so they are fast."""
    loaded = loaded_by(f"from hesiod_watch.cli import main; assert main([{option!r}]) == 0")
    ours = {name for name in loaded if name.split(".")[0] == PACKAGE.name}
    assert "hesiod_watch.cli" in ours
    assert {
        name
        for name in ours - {"hesiod_watch", "hesiod_watch.cli", "hesiod_watch.cli.examples"}
        if not inside(name, ("hesiod_watch.core",))
    } == set()
    assert {
        name
        for name in loaded
        if name.split(".")[0] in {*HEAVY, "yaml", "tempfile", "hashlib", "urllib"}
    } == set()


@pytest.mark.parametrize(
    ("call", "frozen"), [("main()", True), ("main(sys.argv[1:])", False)], ids=["own", "called"]
)
def test_modules_of_a_command_are_never_searched_for_garbage(call: str, frozen: bool) -> None:
    """A command in its own process excludes its modules from the search for garbage.

    A caller in another process, such as a test, keeps its own garbage collection.
    """
    code = (
        "import gc, sys; from hesiod_watch.cli import main;"
        " sys.argv = ['hesiod-watch', 'config', 'sample']; before = gc.get_stats();"
        f" assert {call} == 0; assert gc.isenabled();"
        " print(gc.get_freeze_count() > 10_000, gc.get_stats() == before, file=sys.stderr)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stderr.split()[0] == str(frozen)
    if frozen:
        assert run.stderr.split()[1] == "True"


def test_process_that_makes_the_page_never_searches_for_garbage() -> None:
    """The process that makes the overview page excludes all its objects from that search."""
    now = datetime(2026, 11, 30, tzinfo=UTC)
    state = WatchState("poll", "host", "/landing", now)
    code = (
        "import gc, runpy, sys; gc.set_threshold(20_000); before = gc.get_stats();"
        " runpy.run_module('hesiod_watch.report.site_files', run_name='__main__');"
        " print(gc.get_freeze_count() > 10_000, gc.get_stats() == before, file=sys.stderr)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        input=pickle.dumps((state, SiteTotals.of(()), (), "title", now)),
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert run.stderr.split() == [b"True", b"True"]
    metrics, page = pickle.loads(run.stdout)  # noqa: S301
    assert b"hesiod_watch_runs" in metrics
    assert b"No run has been seen" in page


@pytest.mark.parametrize(
    "words",
    [
        ["status"],
        ["-q", "-v", "status"],
        ["--config", "poll", "status"],
        ["-q", "--config", "file", "status"],
    ],
    ids=" ".join,
)
def test_command_builds_its_own_parser_only(words: list[str]) -> None:
    """The parser of a command line has only its command, whatever general options it has."""
    assert [each.command for each in top_parser(words)[1]] == ["status"]


@pytest.mark.parametrize("words", [[], ["-q"], ["--config"], ["file", "status"], ["--x", "status"]])
def test_unclear_command_line_builds_every_parser(words: list[str]) -> None:
    """A command line whose command is not certain has all commands, so that a mistake is shown."""
    assert [each.command for each in top_parser(words)[1]] == list(COMMANDS)


def test_lines_of_status_in_a_pipe_need_no_rich() -> None:
    """`status` in a pipe loads no rich, and in a terminal neither tables nor a progress bar."""
    lines = "terminal.print_lines(('RUN', 'STATE'), [terminal.StatusRow('a', 'new')], sys.stdout)"
    pipe = loaded_by(f"from hesiod_watch.cli import terminal; {lines}")
    assert {name for name in pipe if name.split(".")[0] == "rich"} == set()
    color = "import os; os.environ['FORCE_COLOR'] = '1'"
    terminal = loaded_by(f"{color}; from hesiod_watch.cli import terminal; {lines}")
    assert "rich.text" in terminal
    assert terminal & {"rich.table", "rich.progress", "rich.live"} == set()


def test_status_loads_nothing_that_it_does_not_need(tmp_path: Path) -> None:
    """`status` loads nothing that runs commands, asks Slurm, makes pages or corrects mistakes."""
    for area in ("landing", "output"):
        (tmp_path / area).mkdir()
    config = tmp_path / "site.yaml"
    config.write_text("landing: landing\noutput: output\n")
    call = f"main(['--config', {str(config)!r}, 'status'])"
    loaded = loaded_by(f"from hesiod_watch.cli import main; assert {call} == 0")
    assert "hesiod_watch.runs.observe" in loaded
    unneeded = {"subprocess", "tempfile", "importlib.resources", "difflib", "email", "http", "ssl"}
    unneeded |= {"secrets", "random"}
    unneeded |= {"hesiod_watch.host.command", "hesiod_watch.remote.slurm", "hesiod_watch.report"}
    unneeded |= {"hesiod_watch.rules.plan", "hesiod_watch.rules.explain"}
    assert loaded & {*unneeded, *HEAVY} == set()


def test_looks_load_no_proof_of_a_deletion() -> None:
    """Reading a run loads nothing of deletions, so that a look stays cheap."""
    assert "hesiod_watch.rules.deletion_proof" not in loaded_by(
        "import hesiod_watch.cli.status_command"
    )


def test_command_loads_its_own_module_only() -> None:
    """A command's help loads the module of that command only."""
    loaded = loaded_by("from hesiod_watch.cli import main; assert main(['doctor', '--help']) == 0")
    commands = {f"hesiod_watch.cli.{module}" for module, _ in COMMANDS.values()}
    assert loaded & commands == {"hesiod_watch.cli.doctor_command"}


@pytest.mark.parametrize(
    "module",
    ["hesiod_watch.service.reconcile", "hesiod_watch.service.daemon", "hesiod_watch.service.poll"],
)
def test_deciding_loads_no_code_of_the_work(module: str) -> None:
    """A process that decides does not load the code of the work, not even through other modules."""
    work = {
        name
        for name in loaded_by(f"import {module}")
        if inside(name.removeprefix("hesiod_watch."), ("actions", "bam", "fastq", "report"))
    }
    assert work == set()


def test_one_place_chooses_the_judge_of_owners() -> None:
    """Every other module is given the judge, so that two hosts can be posed in one test.

    The judge that asks Slurm extends the one of this host.
    """
    naming = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if re.search(r"\b(?:judge_here|look_up)\b", path.read_text(encoding="utf-8"))
    }
    assert naming == {"config/values.py", "host/process.py", "remote/slurm_judge.py"}


def test_class_names_are_unique() -> None:
    """A class name means one thing in the whole package."""
    places: dict[str, list[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(str(path.relative_to(PACKAGE)))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
