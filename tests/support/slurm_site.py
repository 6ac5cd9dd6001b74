"""A site whose work runs as jobs of a real Slurm."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mounts import in_memory
from sites import Site
from slurm_cluster import SlurmCluster

from hesiod_watch.cli.simulator import SimulatedCell
from hesiod_watch.rules.slurm_jobs import job_mark

RUN = "20261122_SLURM_alpha"
LIBRARY = "sample_A"


class SlurmSite(Site):
    """One installation with `processing.executor: slurm`."""

    def __init__(self, root: Path, slurm: SlurmCluster) -> None:
        super().__init__(root)
        self.slurm = slurm
        self.environ = {
            **self.environ,
            "SLURM_CONF": str(slurm.conf),
            "PATH": f"{root / 'bin'}:{slurm.environ['PATH']}",
        }
        self.set_up()

    def set_up(self, slurm: str = "", processing: str = "", more: str = "") -> None:
        """Write the configuration; the arguments are keys with their values."""
        jobs = {"memory": "200M", "cpus": "1", "poll": "1s", "answer_within": "12s"}
        jobs |= dict(each.split(": ", 1) for each in slurm.split(", ") if each)
        keys = ", ".join(f"{key}: {value}" for key, value in jobs.items())
        self.configure(
            watch="sweep_interval: 0.5s, full_sweep_interval: 5s",
            processing=", ".join(["executor: slurm", "processes: 1", *filter(None, [processing])]),
            more=f"slurm: {{{keys}}}\n{more}",
        )

    def land(self, number: int = 0, run: str = RUN, **keys: Any) -> SimulatedCell:
        """Write a whole cell, with a little data."""
        cell = SimulatedCell(
            self.landing,
            run,
            LIBRARY,
            f"20261122_22{number:02}_1A_PAW{number:05}_0a1b2c{number:02}",
            **{"barcodes": (), "files_per_barcode": 1, "reads_per_file": 20, **keys},
            seed=number,
        )
        cell.write()
        return cell

    def lose_next_answer(self) -> None:
        """Suspend the controller as soon as sbatch is called: the submission gets no answer."""
        sbatch = shutil.which("sbatch", path=self.slurm.environ["PATH"])
        assert sbatch
        armed, program = self.root / "armed", self.root / "bin" / "sbatch"
        armed.touch()
        program.parent.mkdir()
        program.write_text(
            f"#!/bin/sh\nrm {shlex.quote(str(armed))} 2>/dev/null &&"
            f' kill -STOP {self.slurm.pid("slurmctld")}\nexec {sbatch} "$@"\n'
        )
        program.chmod(0o755)

    @contextmanager
    def full_output(self) -> Iterator[None]:
        """An output area without space for a large cell: inside the block workers wait for it."""
        with in_memory(self.output, "400k"):
            yield

    def make_space(self) -> None:
        subprocess.run(["mount", "-o", "remount,size=64m", self.output], check=True)

    def land_large(self, number: int = 0) -> SimulatedCell:
        """Land a cell that does not fit into a full output area."""
        return self.land(number, reads_per_file=500)

    def record(self, cell: SimulatedCell, fact: str) -> dict[str, Any]:
        """Content of a flag of a cell; empty without the flag."""
        try:
            text = (self.landing / cell.run / "pipeline" / f"{cell.cell}.{fact}").read_text()
        except FileNotFoundError:
            return {}
        found: dict[str, Any] = json.loads(text)
        return found

    def has(self, cell: SimulatedCell, fact: str) -> bool:
        return f"{cell.cell}.{fact}" in self.flags(cell.run)

    def wait_for(self, cell: SimulatedCell, fact: str, seconds: float = 90) -> None:
        """Wait for a flag of a cell."""
        self.eventually(lambda: self.has(cell, fact), f"{cell.cell}.{fact}", seconds)

    def jobs(self, action: str = "process") -> Counter[str]:
        """Names of the site's jobs that the controller remembers, with the number of each."""
        return Counter(name for name, _, _ in self._listed() if name.startswith(f"hw-{action}-"))

    def states(self, action: str = "process") -> dict[str, str]:
        """States of the site's jobs that the controller remembers, by name."""
        return {name: self.state(name) for name in self.jobs(action)}

    def state(self, name: str) -> str:
        return self.slurm.run("squeue", "-h", "-t", "all", "-o", "%T", f"--name={name}")

    def _listed(self) -> list[list[str]]:
        ours = job_mark(str(self.output), RUN, None).installation
        lines = self.slurm.run("squeue", "-h", "-t", "all", "-o", "%j|%T|%k").splitlines()
        return [cells for line in lines if ours in (cells := line.split("|"))[2]]

    def job_id(self, name: str) -> str:
        return self.slurm.run("squeue", "-h", "-t", "all", "-o", "%i", f"--name={name}")

    def becomes(self, name: str, *states: str) -> None:
        """Wait until the controller shows a job in one of these states."""
        self.eventually(lambda: self.state(name) in states, f"{name} is {states}")

    def explain(self, cell: SimulatedCell) -> str:
        return self.run("explain", cell.run, cell.cell, check=None).stdout

    def poll(self, check: int | None = None) -> subprocess.CompletedProcess[str]:
        return self.run("poll", check=check)

    def claims(self, cell: SimulatedCell) -> int:
        """Number of claims of a cell."""
        pipeline = self.landing / cell.run / "pipeline"
        return sum(
            1
            for name in os.listdir(pipeline)
            if name.startswith(f"{cell.cell}.started")
            and name.rpartition(".")[2] not in ("worker", "yielded", "died")
        )
