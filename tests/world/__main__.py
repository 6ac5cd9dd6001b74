"""Replay a schedule (`replay FILE`), explore many (`nightly COUNT`), or find faults (`mutants`).

`repeat COUNT` lives each schedule twice, and prints where the second life differs.
"""

from __future__ import annotations

import argparse
import difflib
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from tests.world.faults import MUTANTS
from tests.world.mutants import first_violated, search
from tests.world.schedule import Figures, Step, Violation, parse, perform, schedule, shortest


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.world", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("replay").add_argument("file", type=Path)
    nightly = commands.add_parser("nightly")
    nightly.add_argument("count", type=int)
    nightly.add_argument("--first", type=int, default=0, help="number of the first schedule")
    nightly.add_argument("--jobs", type=int, default=2, help="schedules at the same time")
    mutants = commands.add_parser("mutants", help="find deliberate faults in the program")
    mutants.add_argument("names", nargs="*", choices=[[], *(each.name for each in MUTANTS)])
    mutants.add_argument("--count", type=int, default=0, help="schedules of numbers for each")
    mutants.add_argument("--random", action="store_true", help="without the schedules of its own")
    commands.add_parser("try").add_argument("schedules", nargs="+")
    repeat = commands.add_parser("repeat")
    repeat.add_argument("count", type=int)
    repeat.add_argument("--first", type=int, default=0, help="number of the first schedule")
    trace = commands.add_parser("trace")
    trace.add_argument("number", type=int)
    options = parser.parse_args()
    if options.command == "try":
        print(found := first_violated(options.schedules))
        return 1 if found else 0
    if options.command == "mutants":
        return find_mutants(options.names, options.count, random=options.random)
    if options.command == "replay":
        try:
            perform(parse(options.file.read_text()))
        except Violation as violation:
            print(violation)
            return 1
        return 0
    if options.command == "trace":
        print("\n".join(trace_of(schedule(options.number))))
        return 0
    if options.command == "repeat":
        numbers = range(options.first, options.first + options.count)
        return repeat_all(numbers)
    return explore(range(options.first, options.first + options.count), options.jobs)


def find_mutants(names: list[str], count: int, *, random: bool) -> int:
    """Look for these mutants, or all; print for each what has found it."""
    numbers = [str(number) for number in range(count)]
    missed = 0
    for mutant in MUTANTS:
        if names and mutant.name not in names:
            continue
        try:
            found = search(mutant, numbers if random else [*mutant.schedules, *numbers])
        except ValueError as error:
            print(error, flush=True)
            found = None
        missed += not found
        if found:
            said = f"{found.check}, {found.count} schedules, the last {found.schedule}"
            print(f"{mutant.name}: {said}: {found.sentence}", flush=True)
        else:
            print(f"{mutant.name}: not found", flush=True)
    return 1 if missed else 0


def trace_of(steps: list[Step]) -> list[str]:
    """What is on the disk after each step of a schedule, and what is violated at its end."""
    trace: list[str] = []
    try:
        perform(steps, trace=trace)
    except Violation as violation:
        trace.append(str(violation))
    return trace


def difference(number: int) -> list[str]:
    """How the lives of a schedule in two processes differ; empty if they are the same."""
    first, second = (
        subprocess.run(
            (sys.executable, "-m", "tests.world", "trace", str(number)),
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout.splitlines()
        for seed in ("1", "2")
    )
    names = f"{number}, first life", f"{number}, second life"
    return list(difflib.unified_diff(first, second, *names, n=1, lineterm=""))


def repeat_all(numbers: range) -> int:
    """Print how the two lives of each schedule differ; returns 1 if any do."""
    code = 0
    for number in numbers:
        if found := difference(number):
            code = 1
            print("\n".join(found), flush=True)
    return code


def explore(numbers: range, jobs: int) -> int:
    """Perform the schedules of these numbers; print each violation with its shortest schedule."""
    total, violations, began = Figures(), 0, time.monotonic()
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        for number, figures, text in pool.imap_unordered(_one, numbers):
            total += figures
            if total.schedules % 20 == 0:
                print(f"{total.schedules} schedules", file=sys.stderr)
            if text:
                violations += 1
                print(f"== schedule {number}\n{text}", flush=True)
    took = time.monotonic() - began
    print(f"{total.schedules} schedules, {total.steps} steps, {took:.0f} s")
    print(f"{violations} violations")
    for name, count in sorted(total.by_name.items()):
        print(f"  {name}: {count}")
    return 1 if violations else 0


def _one(number: int) -> tuple[int, Figures, str]:
    figures, steps = Figures(), schedule(number)
    try:
        perform(steps, figures)
    except Violation as violation:
        print(f"== schedule {number}: {str(violation).splitlines()[0]}", flush=True)
        return number, figures, str(shortest(steps, violation))
    return number, figures, ""


if __name__ == "__main__":
    sys.exit(main())
