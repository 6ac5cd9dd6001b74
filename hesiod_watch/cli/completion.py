"""Completion of command lines in a shell: the words that may stand at the cursor.

The scripts in contrib/completion/ call `hesiod-watch --complete WORD…` with the words after the
program's name, up to the one at the cursor. So all shells complete alike, and as this version
parses.

Each candidate is a line: the word, a tab, and what it is about. The single line `:files` asks the
shell for names of files. A name that a shell would have to quote is no candidate: names in the
landing area are hostile.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hesiod_watch.cli import CommandParser, top_parser
from hesiod_watch.core.errors import HesiodError

if TYPE_CHECKING:
    from hesiod_watch.config import Config

FILES = ":files"
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+,/-]*")


@dataclass
class CommandLine:
    """Finished words of a command line, as far as the parsers understand them."""

    parser: argparse.ArgumentParser
    options: dict[str, Any] = field(default_factory=dict)  # general options and their values
    values: list[str] = field(default_factory=list)  # of the command's positional arguments
    waiting: argparse.Action | None = None  # option whose value is the next word
    only_values: bool = False  # whether the word `--` was among them

    def add(self, word: str) -> bool:
        """Understand the next word; whether that is possible."""
        if self.waiting is not None:
            self.options[self.waiting.dest], self.waiting = word, None
        elif word == "--" and not self.only_values:
            self.only_values = True
        elif word.startswith("-") and not self.only_values:
            option = next((each for each in self.actions() if word in each.option_strings), None)
            self.waiting = option if option is not None and option.nargs != 0 else None
        elif isinstance(action := self.positional(), argparse._SubParsersAction):
            chosen = action.choices.get(word)
            if chosen is None:
                return False
            if isinstance(chosen, CommandParser):
                chosen.load()
            self.parser, self.values = chosen, []
        else:
            self.values.append(word)
        return True

    def actions(self) -> list[argparse.Action]:
        return self.parser._actions

    def positional(self) -> argparse.Action | None:
        """Positional argument to which the next word belongs."""
        free = [each for each in self.actions() if not each.option_strings]
        for position, action in enumerate(free):
            if position == len(self.values) or action.nargs in ("*", "+"):
                return action
        return None

    def value_of(self, name: str) -> str:
        """Value of a positional argument that was given already; "" without one."""
        names = [each.dest for each in self.actions() if not each.option_strings]
        return dict(zip(names, self.values, strict=False)).get(name, "")


def complete(words: Sequence[str]) -> int:
    """Print the candidates for the last word. Prints nothing if none is known."""
    *finished, current = words or [""]
    line = CommandLine(top_parser()[0])
    if all(line.add(word) for word in finished):
        try:
            found = sorted(set(_candidates(line, current)))
        except (HesiodError, OSError):
            return 0  # another command says what is wrong
        for word, about in found:
            if word == FILES or word.startswith(current):
                print(f"{word}\t{about}" if about else word)
    return 0


def _candidates(line: CommandLine, current: str) -> Iterator[tuple[str, str]]:
    if line.waiting is None and current.startswith("-") and not line.only_values:
        for option in line.actions():
            for name in option.option_strings:
                yield name, " ".join((option.help or "").split()).replace("%(default)s", "")
        return
    action = line.waiting or line.positional()
    if isinstance(action, argparse._SubParsersAction):
        for choice in action._choices_actions:
            yield choice.dest, choice.help or ""
    elif action is not None and action.choices is not None:
        for value in action.choices:
            yield str(value), ""
    elif action is not None and action.metavar in ("FILE", "DIR"):
        yield FILES, ""
    elif action is not None:
        for name in _names(line, action.dest, current):
            if _PLAIN.fullmatch(name):
                yield name, ""


def _names(line: CommandLine, what: str, current: str) -> Iterator[str]:
    """Names from the configuration and the landing area."""
    if what == "backup":
        yield from (each.name for each in _config(line).backups)
    elif what == "upstream":
        yield from (each.name for each in _config(line).upstreams)
    elif what in ("run", "runs"):
        yield from (path.rpartition("/")[2] for path in _runs(_config(line)))
    elif what == "cell":
        yield from _cells(_config(line), line.value_of("run"), current)


def _config(line: CommandLine) -> Config:
    from hesiod_watch.config import load, working_directory

    named = line.options.get("config")
    explicit = Path(named).expanduser() if named else None
    return load(explicit, environ=os.environ, cwd=working_directory())


def _runs(config: Config) -> list[str]:
    from hesiod_watch.runs.landing import LandingArea

    return LandingArea(config.landing, config.batch).paths()


def _cells(config: Config, run: str, current: str) -> Iterator[str]:
    """Cells with their libraries, and without them if the word does not begin with a library."""
    from hesiod_watch.host.files import OpenDirectory
    from hesiod_watch.runs.run_directories import find_cells

    for path in _runs(config):
        if path == run or path.endswith(f"/{run}"):
            cells = find_cells(OpenDirectory(Path(path), config.landing)).cells
            whole = [str(cell) for cell in cells]
            begun = any(name.startswith(current) for name in whole)
            yield from whole if begun else (cell.name for cell in cells)
