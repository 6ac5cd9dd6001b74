"""Who may import whom. A new module must be given its place here before it can be used.

Imports anywhere in a module count, also those made late inside functions and those for type checking: an import
that is late for speed is still a dependency.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "hesiod_watch"
STANDARD = frozenset(sys.stdlib_module_names)

# Layer → modules, low to high. A package stands for all that is in it, unless a module of it has its own place.
PLACES: dict[str, tuple[str, ...]] = {
    "words": (
        "",
        "model",
        "minknow_checksums",
        "naming",
        "errors",
        "fields",
        "times",
        "amounts",
        "records",
        "check",
        "channels",
    ),
    "rules": (
        *("status", "run_types", "plan", "liveness", "completeness", "messages", "proof"),
        "attention",
        *("events", "telling", "delivery", "copies", "checksum_findings", "keeping", "letting_go"),
        # What the configuration needs to know of upstreams, and what needs nothing but itself.
        *(f"upstreams.{rule}" for rule in ("location", "run_names", "templates", "exit_codes", "inventory", "marks")),
        "channels.rt_words",
    ),
    "adapters": (
        *("config", "flags", "machine", "minknow", "child", "runlog", "hostlock", "slots", "sources", "sdnotify"),
        "upstreams",
        "backups",
        *(f"channels.{each}" for each in ("credentials", "rt_tracker", "rt_session", "rt_http", "rt_answers")),
        *("channels.opening", "channels.chat", "outage"),
        "report.covers",  # reads the digest off a finished page; the observer asks it at every look
    ),
    "data path": ("fastq",),
    "observing": ("observe", "executors", "doctor", "space"),
    "doing": ("actions", "report", "executors.inline"),
    "deciding": ("workqueue", "reconcile", "service"),
    "edge": ("cli", "log", "simulate", "demo", "__main__"),
}

MAY_IMPORT: dict[str, set[str]] = {
    "words": {"words"},
    "rules": {"words", "rules"},
    "adapters": {"words", "rules", "adapters"},
    "data path": {"words", "rules", "data path"},  # knows nothing of flags or runs
    "observing": {"words", "rules", "adapters", "observing"},
    "doing": {"words", "rules", "adapters", "data path", "observing", "doing"},
    "deciding": {"words", "rules", "adapters", "observing", "deciding"},  # work is a process of its own
    "edge": set(PLACES),
}

# The lines across: the table of executors names all its members, and one of them works in the same process; the doctor
# asks whether the coder was compiled, and nobody but the command line calls the doctor.
EXCEPTIONS = {("executors", "executors.inline"), ("doctor", "fastq.coder")}

# Packages from elsewhere, and the only places that use them.
THIRD_PARTY: dict[str, tuple[str, ...]] = {
    "yaml": ("config", "flags", "actions"),
    "watchdog": ("sources",),
    "numpy": ("fastq", "report", "simulate"),
    "isal": ("fastq", "simulate"),
    "jinja2": ("report",),
    "markupsafe": ("report",),
    "rich": ("cli", "demo"),
    "sh": ("upstreams",),
    "rt": ("channels.rt_session", "channels.rt_answers"),
    "httpx2": ("channels.rt_http", "channels.rt_answers"),  # what rt speaks HTTP with
    "apprise": ("channels.chat",),
    "_typeshed": ("config",),  # exists for the type checker only
}

HEAVY = ("numpy", "isal", "jinja2", "rich", "rt", "watchdog", "sh", "multiqc")

# What a rule may use of the standard library: nothing that looks at the world.
PURE = frozenset(
    {
        *("__future__", "bisect", "collections", "collections.abc", "dataclasses", "datetime", "enum", "functools"),
        *("hashlib", "itertools", "json", "math", "pathlib", "re", "string", "typing", "unicodedata", "urllib.parse"),
    }
)
EFFECTS = frozenset(
    {
        *("now", "today", "utcnow"),
        *("exists", "is_dir", "is_file", "is_symlink", "iterdir", "glob", "rglob", "stat", "lstat", "resolve", "cwd"),
        *("open", "read_bytes", "read_text", "write_bytes", "write_text", "mkdir", "touch", "unlink", "print", "input"),
    }
)


def modules() -> list[str]:
    """Every module of the package, dotted, without the package's own name; "" is the package itself."""
    files = sorted(PACKAGE.rglob("*.py"))
    return [
        ".".join(file.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").rstrip(".") for file in files
    ]


MODULES = modules()


def source_of(module: str) -> str:
    path = PACKAGE.joinpath(*module.split(".")) if module else PACKAGE
    return (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text("utf-8")


def layer_of(module: str) -> str | None:
    """The layer whose table names the module, or the nearest package around it."""
    places = {place: layer for layer, members in PLACES.items() for place in members}
    if module == "":
        return places[""]
    parts = module.split(".")
    around = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((places[place] for place in around if place in places), None)


def imports(source: str) -> Iterator[str]:
    """Dotted names of all that a module imports, `from package import module` as `package.module`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written out in full"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(source: str) -> Iterator[str]:
    """The modules of this package that a module imports, without the package's own name."""
    for name in imports(source):
        if name.split(".")[0] == PACKAGE.name:
            inside = name.removeprefix(PACKAGE.name).lstrip(".")
            # What is imported from a module is the module's; from the package itself, the package's.
            while inside and inside not in MODULES:
                inside = inside.rpartition(".")[0]
            yield inside


def inside(module: str, places: tuple[str, ...]) -> bool:
    return any(module == place or module.startswith(f"{place}.") for place in places)


def violations(module: str, source: str) -> list[str]:
    """Every import of `module` that its layer does not allow."""
    layer = layer_of(module)
    if layer is None:
        return [f"{module}: give it a layer in {Path(__file__).name}"]
    found = []
    for name in imports(source):
        top = name.split(".")[0]
        if top == PACKAGE.name:
            continue
        if top not in STANDARD and not inside(module, THIRD_PARTY.get(top, ())):
            found.append(f"{module} imports {top}")
        if layer == "rules" and top in STANDARD and not {name, name.rpartition(".")[0]} & PURE:
            found.append(f"{module}, a rule, imports {name}")
    for target in own_imports(source):
        if (module, target) not in EXCEPTIONS and layer_of(target) not in MAY_IMPORT[layer]:
            found.append(f"{module} ({layer}) imports {target} ({layer_of(target)})")
    return found


@pytest.mark.parametrize("module", MODULES, ids=[module or PACKAGE.name for module in MODULES])
def test_imports_point_down(module: str) -> None:
    """A module imports only what lies below it, and foreign packages only where they belong."""
    assert violations(module, source_of(module)) == []


@pytest.mark.parametrize("module", [module for module in MODULES if layer_of(module) == "rules"])
def test_rules_are_pure(module: str) -> None:
    """A rule asks neither the disk nor the clock: it is given what it needs."""
    called = set()
    for node in ast.walk(ast.parse(source_of(module))):
        if isinstance(node, ast.Call):
            function = node.func
            name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
            called.add(name)
    assert called & EFFECTS == set()


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("plan", "from hesiod_watch import flags"),
        ("plan", "import os"),
        ("plan", "from time import time"),
        ("plan", "import logging"),
        ("model", "from hesiod_watch.status import stage_of"),
        ("flags", "from hesiod_watch.observe import observe"),
        ("config.loading", "from hesiod_watch.log import configure"),
        ("fastq.files", "from hesiod_watch import flags"),
        ("reconcile", "from hesiod_watch.actions import perform"),
        ("reconcile", "def late():\n    import hesiod_watch.fastq"),
        ("service", "from hesiod_watch.report.run import render_run"),
        ("service", "import hesiod_watch.cli"),
        ("executors.local", "from hesiod_watch.actions import perform"),
        ("observe", "import numpy"),
        ("machine", "import yaml"),
        ("cli", "import requests"),
        ("brand_new", ""),
    ],
)
def test_what_is_caught(module: str, source: str) -> None:
    """The check itself notices each kind of import that it is there for."""
    assert violations(module, source)


def test_places_exist() -> None:
    """The table of layers names no module that is not there."""
    assert [place for members in PLACES.values() for place in members if place not in MODULES] == []


def documented() -> dict[str, set[str]]:
    """What the table of docs/architecture.md says: layer → modules directly in the package."""
    text = (PACKAGE.parent / "docs/architecture.md").read_text("utf-8")
    rows = [re.fullmatch(r"\| ([a-z ]+) \| ((?:`\w+` ?)+)\|.*\|", line) for line in text.splitlines()]
    return {row[1]: set(re.findall(r"\w+", row[2])) for row in rows if row and row[1] in PLACES}


def test_architecture_names_every_module() -> None:
    """The document names each module and package directly in ours, where most of it lies, and no other."""
    names = {name for name in MODULES if name and "." not in name and name != "__main__"}
    told = documented()
    assert set().union(*told.values()) == names
    for name in names:
        assert name in told[layer_of(name) or ""]
    for layer, members in told.items():
        below = {name: {layer_of(each) for each in MODULES if inside(each, (name,))} for name in members}
        assert [name for name, layers in below.items() if layer not in layers] == []


def test_architecture_describes_every_package() -> None:
    """The document has a line about each package in ours."""
    text = (PACKAGE.parent / "docs/architecture.md").read_text("utf-8")
    told = set(re.findall(r"^\| `(\w+)` \| ", text, re.MULTILINE))
    assert told == {path.parent.name for path in PACKAGE.glob("*/__init__.py")}


def loaded_by(module: str) -> set[str]:
    """Names of the modules that a fresh interpreter has after importing `module`."""
    code = f"import sys, {module}; print(*sorted(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return set(run.stdout.split())


def test_command_starts_light() -> None:
    """`hesiod-watch --help` and the poll every five minutes load nothing that only the work needs."""
    assert {name for name in loaded_by("hesiod_watch.cli") if name.split(".")[0] in HEAVY} == set()


@pytest.mark.parametrize("module", ["hesiod_watch.reconcile", "hesiod_watch.service"])
def test_deciding_loads_no_work(module: str) -> None:
    """A process that decides has not loaded the code that does the work, not even through others."""
    work = {
        name
        for name in loaded_by(module)
        if inside(name.removeprefix("hesiod_watch."), ("actions", "fastq", "report"))
        and name not in ("hesiod_watch.report", "hesiod_watch.report.covers")
    }
    assert work == set()
