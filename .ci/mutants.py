#!/usr/bin/env python3
"""Test the tests: make one small fault in the program at a time, and see whether a test fails.

    mutants.py [--jobs NUMBER] [--sample NUMBER] [--show] [PACKAGE | PACKAGE.MODULE ...]

Without a name, all packages of `TESTS` are tested. mutmut makes the faults, and for each it runs
the tests that reach the changed function. It works on copies, in `.mutants/PACKAGE`. An interrupted
run is continued. The next run repeats the faults that no test noticed, and those of functions that
were changed. --sample takes this number of faults of each package, for a package whose tests are
slow: always the same ones, as long as their functions keep their names. --show prints the faults
that no test noticed, and runs nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

WORK = Path(".mutants")
MUTMUT = Path(sys.executable).parent.resolve() / "mutmut"
COPIED = ("bin", "contrib", "docs")  # files outside the package that tests read
SOURCE = ("hesiod_watch", "tests", "pyproject.toml", *COPIED)

TESTS: dict[str, tuple[str, ...]] = {
    "rules": ("tests/pure",),
    "runs/flags": ("tests/pure/test_flag_names.py", "tests/adapters/test_flags_*.py"),
    "fastq": (
        "tests/pure/test_fastq_*.py",
        "tests/pure/test_joint_figures.py",
        "tests/adapters/test_fastq_*.py",
        "tests/adapters/ingest",
    ),
    "actions": (
        "tests/adapters/test_actions_*.py",
        "tests/adapters/test_backups_*.py",
        "tests/adapters/test_copy_*.py",
        "tests/adapters/test_summary_copies.py",
        "tests/adapters/retention",
    ),
    "remote": (
        "tests/pure/test_check_rsync.py",
        "tests/pure/test_copy_command.py",
        "tests/pure/test_inventory.py",
        "tests/pure/test_lost_nodes.py",
        "tests/pure/test_slurm_answers.py",
        "tests/adapters/test_run_files_copied.py",
        "tests/adapters/test_slurm_*.py",
        "tests/adapters/test_ssh_commands.py",
        "tests/adapters/test_upstream_*.py",
        "tests/adapters/test_hostile_inventory.py",
        "tests/adapters/test_backups_*.py",
        "tests/adapters/test_copy_*.py",
    ),
    "notify": ("tests/adapters/test_rt_*.py", "tests/adapters/test_apprise_channel.py"),
}
"""The tests that are run for the faults of a package, without the slow ones."""

LEFT_OUT = "not test_cost_of and not test_without_a_coder"
"""Tests that count calls, since mutmut adds a call to each function, or that start an interpreter
without the environment of mutmut."""
NOTICED = {1, 3, 36, -24, 24, 152, 255, -9, -11}
"""What mutmut records of tests that notice a fault: a failed test, a time limit or a crash."""
NO_FAULT = "no-fault"
"""No fault has this name: mutmut makes the faults, measures the tests, and then refuses it."""


def prepare(package: str) -> Path:
    """Directory in which mutmut works: links to the sources, and its configuration."""
    place = WORK / package.replace("/", ".")
    place.mkdir(parents=True, exist_ok=True)
    for name in SOURCE:
        link = place / name
        if not link.is_symlink():
            link.symlink_to(Path(name).resolve())
    tests = [str(path) for pattern in TESTS[package] for path in sorted(Path().glob(pattern))]
    lists = {
        "source_paths": ("hesiod_watch",),
        "only_mutate": (f"hesiod_watch/{package}/*",),
        "also_copy": COPIED,
        "pytest_add_cli_args": ("-p", "no:cacheprovider", "-m", "not slow", "-k", LEFT_OUT),
        "pytest_add_cli_args_test_selection": tests,
    }
    lines = [f"{key} =\n    " + "\n    ".join(values) for key, values in lists.items()]
    lines.append("use_git_change_detection = false")
    # Seconds, and a factor of the time that the tests took: mutmut's own limits are 1 and 15.
    lines += ["timeout_constant = 5", "timeout_multiplier = 5"]
    # Pure tests may share a process that has run tests; others leave threads and locks there.
    lines.append(f"process_isolation = {'fork' if package == 'rules' else 'forkserver'}")
    (place / "setup.cfg").write_text("\n".join(["[mutmut]", *lines, ""]))
    return place


def results(place: Path, names: list[str], sample: int | None) -> Iterator[tuple[str, int | None]]:
    """Yield each fault by name, and what its tests ended with; None if they were not run."""
    found = {}
    for path in place.glob("mutants/hesiod_watch/**/*.py.meta"):
        codes = json.loads(path.read_text())["exit_code_by_key"]
        found.update({name: codes[name] for name in codes if is_in(module_of(name), names)})
    for name in sorted(sorted(found, key=digest)[:sample]):
        yield name, found[name]


def digest(name: str) -> str:
    """Order of the faults from which a sample is taken: as good as a random one, and repeatable."""
    return hashlib.sha256(name.encode()).hexdigest()


def is_in(module: str, names: list[str]) -> bool:
    """Whether a module is one of these modules, or in one of these packages."""
    return any(f"{module}.".startswith(f"{name}.") for name in names)


def module_of(fault: str) -> str:
    return fault.rpartition(".")[0].removeprefix("hesiod_watch.")


def run(place: Path, names: list[str], jobs: int, sample: int | None) -> None:
    """Run the tests for all faults that no test has noticed yet."""
    # mutmut would continue with the tests that reached a function before.
    reached = place / "mutants" / "mutmut-stats.json"
    newest = max(path.stat().st_mtime for path in (Path(__file__), *Path("tests").rglob("*.py")))
    if reached.exists() and reached.stat().st_mtime < newest:
        reached.unlink()
    mutmut = (str(MUTMUT), "run", "--max-children", str(jobs))
    made = subprocess.run((*mutmut, NO_FAULT), cwd=place, check=False, capture_output=True)
    if not reached.exists():
        sys.exit((made.stdout + made.stderr).decode())
    chosen = [name for name, code in results(place, names, sample) if code not in NOTICED]
    if chosen and (code := subprocess.run((*mutmut, *chosen), cwd=place, check=False).returncode):
        sys.exit(code)


def show(place: Path, names: list[str], sample: int | None) -> None:
    for name, code in results(place, names, sample):
        if code is not None and code not in NOTICED:
            subprocess.run((str(MUTMUT), "show", name), cwd=place, check=True)


def summary(place: Path, names: list[str], sample: int | None) -> Iterator[str]:
    """Lines about noticed and unnoticed faults: one for each module, and their total."""
    counts: Counter[tuple[str, bool]] = Counter()
    for name, code in results(place, names, sample):
        for each in {module_of(name), " ".join(names)} if code is not None else ():
            counts[each, code in NOTICED] += 1
    for each in sorted({module for module, _ in counts}, key=lambda each: (each in names, each)):
        noticed, tested = counts[each, True], counts[each, True] + counts[each, False]
        yield f"{100 * noticed / tested:5.1f} %  {noticed:5} of {tested:5}  {each}"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="PACKAGE")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--sample", type=int, metavar="NUMBER")
    parser.add_argument("--show", action="store_true")
    options = parser.parse_args()
    asked = [name.replace("/", ".") for name in options.names]
    packages = {package.replace("/", "."): package for package in TESTS}
    if unknown := [name for name in asked if not is_in(name, list(packages))]:
        parser.error(f"{', '.join(unknown)}: in none of the packages {', '.join(TESTS)}")
    for dotted, package in packages.items():
        names = [name for name in asked if is_in(name, [dotted])] if asked else [dotted]
        if names:
            place = prepare(package)
            if options.show:
                show(place, names, options.sample)
            else:
                run(place, names, options.jobs, options.sample)
            print(*summary(place, names, options.sample), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
