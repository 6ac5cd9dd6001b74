"""The command `hesiod-watch`: parse, call, print, return the exit code. No decision is made here.

Exit codes: 0 done, 1 failed, 2 usage or configuration, 75 try again, 130 interrupted, 143
terminated.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from hesiod_watch import __version__
from hesiod_watch.cli import (
    backup_init,
    config,
    decide,
    demo_command,
    doctor_command,
    messages,
    perform,
    show,
    strip,
    upstreams,
    watch,
)
from hesiod_watch.core.errors import ConfigError, HesiodError, TemporaryError, UsageError
from hesiod_watch.core.naming import display
from hesiod_watch.host import log

DONE, FAILED, USAGE, AGAIN, INTERRUPTED = 0, 1, 2, 75, 130

QUIET = -1
"""Of commands that people and cron call only warnings are logged; a command that is a service says
more.
"""

EXIT_STATUS = """\
exit status:
  0  done
  1  failed: a person should look
  2  the command line or the configuration is wrong
  75 not possible just now: try again
  130, 143  interrupted, terminated
"""

DESCRIPTION = """\
Watches nanopore sequencing runs land and turns every finished flow cell into proven, compressed, QC'd and
reported data. Everything it knows is in the flag files of RUN/pipeline/.
"""


def build_parser() -> argparse.ArgumentParser:
    """The whole command line; tests hold the documentation against it."""
    parser = argparse.ArgumentParser(
        prog="hesiod-watch",
        description=DESCRIPTION,
        epilog=EXIT_STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"hesiod-watch {__version__}")
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="the configuration; else $HESIOD_WATCH_CONFIG, ./hesiod-watch.yaml, /etc/hesiod-watch.yaml",
    )
    parser.add_argument(
        "-v", "--verbose", action="count", default=0, help="say more on standard error"
    )
    parser.add_argument("-q", "--quiet", action="count", default=0, help="say less")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (
        watch,
        show,
        messages,
        upstreams,
        perform,
        decide,
        config,
        doctor_command,
        backup_init,
        strip,
        demo_command,
    ):
        module.add_commands(commands)
    for command in commands.choices.values():
        command.formatter_class = argparse.RawDescriptionHelpFormatter
        command.epilog = f"{command.epilog}\n\n{EXIT_STATUS}" if command.epilog else EXIT_STATUS
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; never raises for what is foreseen."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        options = build_parser().parse_args(arguments)
    except SystemExit as stop:  # argparse has printed help or the mistake
        return stop.code if isinstance(stop.code, int) else USAGE
    log.configure(
        options.verbose - options.quiet + getattr(options, "verbosity", QUIET), sys.stderr
    )
    try:
        code: int = options.call(options)
        sys.stdout.flush()
    except (ConfigError, UsageError) as error:
        return _say(error, USAGE)
    except TemporaryError as error:
        return _say(error, AGAIN)
    except HesiodError as error:
        return _say(error, FAILED)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough (`… | head`); the interpreter must not complain at
        # its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    return code


def _say(error: Exception, code: int) -> int:
    for line in str(error).splitlines():
        print(f"hesiod-watch: {display(line)}", file=sys.stderr)
    return code
