"""Fork server of the workers: it loads the work once, then forks `hesiod-watch perform …`.

Started by the executor of this host as `python -m hesiod_watch.cli.fork_server … DESCRIPTOR`, never
by a person. `host.fork_server` says how it works.
"""

from __future__ import annotations

import gc
import os
import sys
from importlib import import_module

from hesiod_watch.cli import leave, main
from hesiod_watch.core.action_kinds import ACTIONS
from hesiod_watch.host.fork_server import serve
from hesiod_watch.report.page import compile_templates

THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables that limit the threads of numpy's libraries."""


def load_work() -> None:
    """Load the code of every action, so that no worker loads code of another version later."""
    # Otherwise numpy starts one thread for each CPU: without use here, and a process that forks
    # must have only one.
    os.environ.update(dict.fromkeys(THREADS, "1"))
    actions = (f"actions.{kind.module}" for kind in ACTIONS.values())
    for module in ("cli.perform", "host.log", *actions):
        import_module(f"hesiod_watch.{module}")
    compile_templates()  # a quarter of the CPU time of a worker for a small cell
    # The memory of everything loaded is shared with the workers as long as it is not written to.
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    load_work()
    leave(serve(int(sys.argv[-2]), main))
