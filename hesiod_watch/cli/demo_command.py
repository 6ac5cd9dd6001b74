"""`simulate`, a make-believe sequencer, and `demo`, that sequencer with the real service behind it."""

from __future__ import annotations

import argparse

from hesiod_watch.cli.common import Commands


def add_commands(commands: Commands) -> None:
    from hesiod_watch.cli import simulator as simulate

    simulator = commands.add_parser(
        "simulate",
        help="a make-believe sequencer: writes plausible runs the way MinKNOW does",
        description="Writes barcoded runs below DIR, file by file, final_summary last; the next run starts meanwhile.",
    )
    simulate.add_arguments(simulator)
    simulator.set_defaults(call=simulate.run)

    demo = commands.add_parser(
        "demo",
        help="see it work: a simulated sequencer, the real service, a finished report",
        description="Makes DIR with a landing area, an output directory and a configuration; starts the service and a "
        "simulated sequencer on them; shows what happens; ends with the path of a report.",
    )
    demo.add_argument(
        "directory",
        nargs="?",
        default="hesiod-watch-demo",
        metavar="DIR",
        help="default: %(default)s",
    )
    demo.add_argument(
        "--speed", type=float, default=1.0, metavar="FACTOR", help="how fast the sequencer writes"
    )
    demo.set_defaults(call=call_demo)


def call_demo(options: argparse.Namespace) -> int:
    from hesiod_watch.cli.demo import demonstrate

    return demonstrate(options.directory, options.speed)
