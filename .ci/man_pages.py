#!/usr/bin/env python3
"""Write the manual pages in contrib/man/, or check them there.

    man_pages.py --write
    man_pages.py --check

hesiod-watch(1) is made from the parsers that also print `--help`, hesiod-watch.yaml(5) from
`config sample`. With --check nothing is written: if a page differs, its name is printed, and the
exit code is 1.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator
from itertools import groupby

from generated import run

from hesiod_watch import __version__, cli
from hesiod_watch.cli.examples import EXAMPLES
from hesiod_watch.config import sample

_SPECIAL = str.maketrans(
    {
        "\\": r"\(rs",
        "-": r"\-",
        "'": r"\(aq",
        '"': r"\(dq",
        "`": r"\(ga",
        "^": r"\(ha",
        "~": r"\(ti",
    }
)
_KEY = re.compile(r"(?P<indent> *)(?P<name>\w[\w-]*):(?: (?P<value>.+))?")
_COMMENT = re.compile(r" *# ?(.*)")


def escaped(text: str) -> str:
    """Text as roff shows it unchanged, on one line."""
    shown = re.sub(
        r"[^\x20-~]", lambda letter: f"\\[u{ord(letter[0]):04X}]", text.translate(_SPECIAL)
    )
    return rf"\&{shown}" if shown.startswith((".", r"\(aq")) else shown


def prose(text: str) -> str:
    """A paragraph; words in backticks become bold."""
    parts = text.split("`")
    return "".join(bold(part) if number % 2 else escaped(part) for number, part in enumerate(parts))


def bold(text: str) -> str:
    return rf"\fB{escaped(text)}\fR"


def heading(name: str, section: int, purpose: str) -> Iterator[str]:
    yield r".\" Written by .ci/man_pages.py"
    yield f'.TH {name.upper()} {section} "" "hesiod-watch {__version__}" "hesiod-watch"'
    # Neither hyphenated nor stretched: people copy commands and keys.
    yield from (".nh", ".ad l", ".SH NAME", rf"{escaped(name)} \- {escaped(purpose)}")


def command_page() -> Iterator[str]:
    """Lines of hesiod-watch(1)."""
    parser = cli.build_parser()
    (table,) = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    yield from heading("hesiod-watch", 1, "turn finished nanopore flow cells into verified data")
    yield ".SH SYNOPSIS"
    yield escaped(usage(parser))
    yield from (".SH DESCRIPTION", prose(" ".join(cli.DESCRIPTION.split())), ".SH OPTIONS")
    yield from arguments(parser)
    yield ".SH COMMANDS"
    for name, (_, purpose) in cli.COMMANDS.items():
        yield f".SS {escaped(name)}"
        yield f"{prose(purpose[0].upper() + purpose[1:])}."
        yield from command(table.choices[name], name)
    yield ".SH EXIT STATUS"
    for line in cli.EXIT_STATUS.splitlines()[1:]:
        code, meaning = re.split(r"(?<=\d) +(?=[a-z])", line.strip(), maxsplit=1)
        yield from (".TP", bold(code), prose(meaning))
    yield from (".SH ENVIRONMENT", ".TP", bold("HESIOD_WATCH_CONFIG"))
    yield "The configuration, unless the command line has one."
    yield from (
        ".SH FILES",
        ".TP",
        bold("./hesiod-watch.yaml"),
        ".TQ",
        bold("/etc/hesiod-watch.yaml"),
    )
    yield "The configuration, unless it is given: the first that exists."
    yield from (".TP", bold("RUN/pipeline/"), "The flags of a run.")
    yield ".SH EXAMPLES"
    yield from examples("")
    yield from (".SH SEE ALSO", r"\fBhesiod\-watch.yaml\fR(5)")


def command(parser: argparse.ArgumentParser, name: str) -> Iterator[str]:
    """Usage, description, arguments and examples of a command, or of each of its verbs."""
    verbs = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    yield from (".PP", escaped(usage(parser))) if not verbs else ()
    if parser.description:
        yield from (".PP", prose(parser.description))
    if verbs:
        for verb, inner in verbs[0].choices.items():
            yield from command(inner, f"{name} {verb}")
        return
    yield from arguments(parser)
    yield from (".PP", "Examples:" if len(EXAMPLES[name]) > 1 else "Example:")
    yield from examples(name)
    if isinstance(parser, cli.HelpParser) and parser.exit_status != cli.EXIT_STATUS:
        yield from (".PP", "Its exit codes are others:")
        yield from paragraphs(parser.exit_status.splitlines()[1:])


def usage(parser: argparse.ArgumentParser) -> str:
    """Usage on one line."""
    os.environ["COLUMNS"] = "10000"
    return " ".join(parser.format_usage().removeprefix("usage: ").split()).replace(" [-h]", "")


def arguments(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction | argparse._HelpAction):
            continue
        value = "" if action.nargs == 0 else action.metavar or action.dest.upper()
        names = [f"{name} {value}".rstrip() for name in action.option_strings] or [str(value)]
        text = (action.help or "") % {"default": action.default}
        yield from (".TP", ", ".join(map(bold, names)), prose(" ".join(text.split())))


def examples(name: str) -> Iterator[str]:
    for line, purpose in EXAMPLES[name]:
        yield from (".TP", bold(line), prose(purpose))


def configuration_page() -> Iterator[str]:
    """Lines of hesiod-watch.yaml(5): the comments and defaults of the sample."""
    head, _, keys = sample().partition("\n\n")
    yield from heading("hesiod-watch.yaml", 5, "configuration of hesiod-watch")
    yield ".SH DESCRIPTION"
    for paragraph in head.split("\n#\n"):
        yield from (".PP", *paragraphs([line[2:] for line in paragraph.splitlines()]))
    yield ".SH KEYS"
    yield "Each key is shown with its default; dots separate the names of sections from it."
    yield from described_keys(keys)
    yield from (".SH FILES", ".TP", bold("/etc/hesiod-watch.yaml"), ".SH SEE ALSO")
    yield r"\fBhesiod\-watch\fR(1)"


def described_keys(text: str) -> Iterator[str]:
    """Every key of the sample, with the comment above it."""
    comment: list[str] = []
    path: list[str] = []
    below: list[str] = []  # description of the last keys, which has not been written yet
    for line in text.splitlines():
        if found := _COMMENT.fullmatch(line):
            comment.append(found[1])
        if (key := _KEY.fullmatch(line)) is None:
            continue
        depth = len(key["indent"]) // 2
        # A key without a comment of its own shares that of the key before it in the same section.
        shares = not comment and depth == len(path) - 1 and depth > 0
        path[depth:] = [key["name"]]
        name = ".".join(path) + (f": {key['value']}" if key["value"] else "")
        if not shares:
            yield from below
            below = list(paragraphs(comment, 11 if depth else 4))
        yield from (
            (".SS " + escaped(name),)
            if not depth
            else (
                ".TQ" if shares else ".TP",
                bold(name),
            )
        )
        comment = []
    yield from below


def paragraphs(lines: list[str], indent: int = 4) -> Iterator[str]:
    """Running text, and examples, which are indented."""
    for is_example, group in groupby(lines, key=lambda line: line.startswith("  ")):
        if is_example:
            yield from (
                f".RS {indent}",
                ".nf",
                *(escaped(line[2:]) for line in group),
                ".fi",
                ".RE",
            )
        else:
            yield prose(" ".join(group))


def main(arguments: list[str]) -> int:
    texts = {
        f"contrib/man/{name}": "\n".join(lines) + "\n"
        for name, lines in (
            ("hesiod-watch.1", command_page()),
            ("hesiod-watch.yaml.5", configuration_page()),
        )
    }
    return run(texts, __doc__ or "", "man_pages", arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
