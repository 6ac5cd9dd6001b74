"""The command `hesiod-watch`: parse, call, print, return the exit code.

This package decides nothing about runs and cells.

Exit codes: 0 done, 1 failed, 2 usage or configuration, 75 try again, 130 interrupted, 143
terminated.

Only the module of the named command is imported, so that `--version` and `--help` are fast. For
each of its commands a module has a function `COMMAND_arguments(parser)`, which adds the
description, the options and the call to the command's parser. This module itself imports at its top
only what `--version` needs; tests/test_layers.py checks it.
"""

from __future__ import annotations

import argparse
import gc
import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any, NoReturn

from hesiod_watch import __version__

DONE, FAILED, USAGE, AGAIN, INTERRUPTED = 0, 1, 2, 75, 130

COLLECT_AFTER = 20_000
"""New objects until Python searches them for garbage; at its 700 that takes a tenth of `status`."""

QUIET = -1
"""Default verbosity, only warnings; a command that is a service sets a higher one."""

EXIT_STATUS = """\
exit status:
  0  done
  1  failed: a person should look
  2  the command line or the configuration is wrong
  75 not possible just now: try again
  130, 143  interrupted, terminated
"""

DESCRIPTION = """\
Watches for nanopore sequencing runs and turns every finished flow cell into verified, compressed
and reported data with quality statistics. All its state is in the flag files of RUN/pipeline/.
"""

COMMANDS: dict[str, tuple[str, str]] = {
    "watch": (
        "watch",
        "the service: detect new data and start the work it needs, until stopped by a signal",
    ),
    "poll": ("watch", "one full pass over all runs, for cron; waits for the work that it starts"),
    "status": ("status_command", "a table of runs and cells: how far each is, and why"),
    "explain": (
        "explain_command",
        "why a run or a cell is in its state, what happens next, and what you can do",
    ),
    "check": (
        "check_command",
        "one line for Nagios and other monitoring: does a process look, and is a person needed",
    ),
    "plan": ("show", "what would be done now, with reasons; does nothing"),
    "flags": ("show", "every flag of a run: age, owner, alive or not, meaning"),
    "messages": ("messages", "messages about a run: delivered, and waiting to be delivered"),
    "list-upstream": (
        "upstreams",
        "list the cells on the upstreams: RUN TAB LOCATION TAB LIBRARY/CELL",
    ),
    "perform": ("perform", "do one action now, in this process"),
    "verify": (
        "perform",
        "read the results of processed cells again and compare them with their manifest",
    ),
    "take-up": ("take_up", "take up runs that are older than the configuration wants"),
    "abort": ("decide", "ignore a run or a cell from now on"),
    "retry": ("decide", "clear a failure and try again"),
    "release": ("decide", "release a claim whose owner is dead, after you have checked that it is"),
    "init": ("init_command", "write the first configuration, and show what would be done"),
    "config": ("config", "print a sample configuration, or check yours"),
    "doctor": (
        "doctor_command",
        "check this host: file events, flags, owners of claims, results, upstreams, backups",
    ),
    "backup-init": (
        "backup_init",
        "initialise a configured backup's directory, once; without its marker it gets no copies",
    ),
    "strip": (
        "strip",
        "remove raw data from the landing area if two verified copies exist elsewhere",
    ),
    "simulate": (
        "demo_command",
        "a simulated sequencer: writes plausible runs as MinKNOW does",
    ),
    "demo": (
        "demo_command",
        "see it work: a simulated sequencer, the real service, a finished report",
    ),
}
"""Module in this package and help line of each command, in the order of `--help`."""

_VERBOSITY = re.compile(r"-v+|-q+|--verbose|--quiet")


class HelpFormatter(argparse.HelpFormatter):
    """Wraps text at blanks only: file names and commands stay whole."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        from textwrap import wrap

        return wrap(" ".join(text.split()), width, break_on_hyphens=False, break_long_words=False)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(indent + line for line in self._split_lines(text, width - len(indent)))


class HelpParser(argparse.ArgumentParser):
    """Parser whose help ends with examples and the exit codes."""

    exit_status = EXIT_STATUS

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"formatter_class": HelpFormatter, **settings})

    def format_help(self) -> str:
        from hesiod_watch.cli.examples import help_text

        examples = help_text(self.prog.partition(" ")[2])
        return f"{super().format_help()}\n{examples}\n{self.exit_status}"


class CommandParser(HelpParser):
    """Parser of one command. It imports the command's module when its arguments are parsed."""

    command: str | None = None
    """Name of a command whose arguments are still to be added; None once they are."""
    usage_code = USAGE
    """Exit code after a wrong command line."""

    def load(self) -> None:
        """Add the command's description and arguments. Safe to repeat."""
        if self.command is None:
            return
        command, self.command = self.command, None
        module = import_module(f"hesiod_watch.cli.{COMMANDS[command][0]}")
        getattr(module, f"{command.replace('-', '_')}_arguments")(self)

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(self.usage_code, f"{self.prog}: error: {message}\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Load the command first: the top parser calls this method of the named command only."""
        self.load()
        options, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return options, unknown


def build_parser() -> argparse.ArgumentParser:
    """The whole command line with every command loaded; tests compare the documentation with it."""
    parser, commands = top_parser()
    for command in commands:
        command.load()
    return parser


def top_parser(
    words: Sequence[str] = (),
) -> tuple[argparse.ArgumentParser, list[CommandParser]]:
    """The parser of the general options, and a parser for each command that is not loaded yet.

    With the `words` of a command line whose command is certain, it has only that one: the others
    would need most of the time.
    """
    parser = HelpParser(prog="hesiod-watch", description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"hesiod-watch {__version__}")
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="the configuration; else $HESIOD_WATCH_CONFIG, ./hesiod-watch.yaml,"
        " /etc/hesiod-watch.yaml",
    )
    parser.add_argument(
        "-v", "--verbose", action="count", default=0, help="say more on standard error"
    )
    parser.add_argument("-q", "--quiet", action="count", default=0, help="say less")
    table = parser.add_subparsers(
        title="commands", metavar="COMMAND", required=True, parser_class=CommandParser
    )
    commands = []
    for name in _command_in(words) or COMMANDS:
        _, help_line = COMMANDS[name]
        command = table.add_parser(name, help=help_line)
        command.command = name
        commands.append(command)
    return parser, commands


def _command_in(words: Sequence[str]) -> list[str]:
    """The command after `-v`, `-q` and --config FILE; empty if other words come before it."""
    rest = iter(words)
    for word in rest:
        if word == "--config":
            next(rest, None)
        elif not _VERBOSITY.fullmatch(word):
            return [word] if word in COMMANDS else []
    return []


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Raises nothing for a foreseen error.

    `--complete` is for the completion scripts of the shells, and not in the help.

    Without arguments, the whole process is this command: its modules stay until its end, so Python
    never searches them for garbage, neither now nor at the end.
    """
    own_process = argv is None
    if own_process:
        gc.disable()
    gc.set_threshold(COLLECT_AFTER)
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["--complete"]:
        from hesiod_watch.cli.completion import complete

        return complete(arguments[1:])
    try:
        arguments = _verbosity_first(arguments)
        options = top_parser(arguments)[0].parse_args(arguments)
    except SystemExit as stop:  # argparse has printed help or the mistake
        return stop.code if isinstance(stop.code, int) else USAGE
    if own_process:
        gc.freeze()
        gc.enable()
    return _call(options)


def run() -> NoReturn:
    """Run the command of this process and end the process."""
    leave(main())


def leave(code: int) -> NoReturn:
    """End this process with its output written, and without clearing its memory.

    Python would destroy each object: 3 ms of CPU time for `status`. A worker would so copy all
    memory that it shares: 27 ms. With another thread under way, the process ends as usual.
    """
    # A module that was not loaded has nothing to end, and `--version` loads neither.
    threads, logs = sys.modules.get("threading"), sys.modules.get("logging")
    if threads is None or threads.active_count() == 1:
        if logs:
            logs.shutdown()
        with suppress(OSError):  # then the end as usual reports it
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    sys.exit(code)


def _verbosity_first(arguments: list[str]) -> list[str]:
    """Move `-v` and `-q` before the command: people type them at the end."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    general = [each for each in arguments[:end] if _VERBOSITY.fullmatch(each)]
    others = [each for each in arguments[:end] if not _VERBOSITY.fullmatch(each)]
    return [*general, *others, *arguments[end:]]


def _call(options: argparse.Namespace) -> int:
    """Call the command and turn a foreseen error into a line on standard error and an exit code."""
    from hesiod_watch.core.errors import ConfigError, HesiodError, TemporaryError, UsageError
    from hesiod_watch.host import log

    log.configure(
        options.verbose - options.quiet + getattr(options, "verbosity", QUIET), sys.stderr
    )
    try:
        code: int = options.call(options)
        sys.stdout.flush()
    except (ConfigError, UsageError) as error:
        return _report(error, USAGE)
    except TemporaryError as error:
        return _report(error, AGAIN)
    except HesiodError as error:
        return _report(error, FAILED)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has ended (`… | head`). Without this the interpreter would
        # complain at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    return code


def _report(error: Exception, code: int) -> int:
    from hesiod_watch.cli.common import print_wrapped
    from hesiod_watch.core.naming import display

    for line in str(error).splitlines():
        print_wrapped(f"hesiod-watch: {display(line)}", "  ", sys.stderr)
    return code
