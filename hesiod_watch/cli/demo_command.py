"""`simulate`: a simulated sequencer. `demo`: that sequencer with the real service."""

from __future__ import annotations

import argparse


def simulate_arguments(parser: argparse.ArgumentParser) -> None:
    from hesiod_watch.cli import simulator

    parser.description = (
        "Writes barcoded runs below DIR, file by file, final_summary last. The next run starts"
        " while the one before is still written."
    )
    simulator.add_arguments(parser)
    parser.set_defaults(call=simulator.run)


def demo_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Makes DIR with a landing area, an output directory and a configuration. Starts the service"
        " and a simulated sequencer on them, and prints every change. Ends with the path of each"
        " report."
    )
    parser.add_argument(
        "directory",
        nargs="?",
        default="hesiod-watch-demo",
        metavar="DIR",
        help="default: %(default)s",
    )
    parser.add_argument(
        "--speed", type=float, default=1.0, metavar="FACTOR", help="how fast the sequencer writes"
    )
    parser.set_defaults(call=call_demo)


def call_demo(options: argparse.Namespace) -> int:
    from hesiod_watch.cli.demo import demonstrate

    return demonstrate(options.directory, options.speed)
