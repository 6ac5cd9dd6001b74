"""Simulated sequencer: writes cells as MinKNOW does, for the demo, tests and benchmarks.

`SimulatedCell` is the library; `add_arguments` and `run` are the command `hesiod-watch simulate`.
The reads are random. Names, layout, order of arrival and the counts in the final_summary are those
of real instruments.
"""

from hesiod_watch.cli.simulator.cell import ReadAmount, SimulatedCell
from hesiod_watch.cli.simulator.command import add_arguments, run

__all__ = ["ReadAmount", "SimulatedCell", "add_arguments", "run"]
