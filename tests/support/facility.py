"""A site with sequencers behind ssh: cells are written there, copied, and compared."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

from sites import Site
from sshd_pair import Pair
from upstream_cells import tree
from younger_files import end_with_summaries

from hesiod_watch.cli.simulator import SimulatedCell

LIBRARY = "sample_A"
CELL = "20261122_2210_1A_PAW00001_0a1b2c3d"
OTHER = "20261122_2211_1B_PAW00002_1a2b3c4d"
INSTRUMENT = "PROM"


class Facility(Site):
    """One installation; its upstreams are `hosta` and `hostb`, each with a separate directory."""

    def __init__(self, root: Path, pair: Pair) -> None:
        self.pair = pair
        self.there = {host.name: host.data / root.name for host in (pair.hosta, pair.hostb)}
        for data in self.there.values():
            data.mkdir()
        self.upstreams: dict[str, dict[str, object]] = {}
        super().__init__(root)

    def reach(
        self, *hosts: str, mode: str = "pull", watch: str = "upstream_interval: 1s", **more: object
    ) -> None:
        """Configure these hosts (`hosta`, `hostb`) as the only upstreams."""
        for host in hosts or ("hosta",):
            self.upstreams[host] = {
                "location": f"{host}:{self.there[host]}",
                "instrument": INSTRUMENT,
                "mode": mode,
                "timeout": "4s",
                "connect_timeout": "4s",
                "ssh_options": list(self.pair.options),
                **({"landing_there": str(self.landing)} if mode == "push" else {}),
                **more,
            }
        self.write(watch)

    def write(
        self,
        watch: str = "upstream_interval: 1s",
        processing: str = "workers: 2, ingest_interval: 1s",
    ) -> None:
        watch = f"sweep_interval: 1s, {watch}"
        self.configure(
            watch=watch, processing=processing, more=f"upstreams: {json.dumps(self.upstreams)}\n"
        )

    def cell(
        self,
        experiment: str = "alpha",
        cell: str = CELL,
        *,
        host: str = "hosta",
        files: int = 2,
        reads: int = 20,
    ) -> SimulatedCell:
        """A simulated cell on a sequencer, not written yet."""
        return SimulatedCell(
            self.there[host],
            experiment,
            LIBRARY,
            cell,
            barcodes=("barcode01", "barcode02"),
            files_per_barcode=files,
            reads_per_file=reads,
        )

    def location(self, experiment: str = "alpha", host: str = "hosta") -> str:
        return f"{host}:{self.there[host]}/{experiment}"

    def processed(self, run: str, cell: str = CELL) -> bool:
        return f"{cell}.done" in self.flags(run)

    def poll(self) -> subprocess.CompletedProcess[str]:
        """Run a poll that must print nothing, except that something is solved."""
        done = self.run("poll")
        solved = "hesiod-watch: solved: "
        lines = [line for line in done.stderr.splitlines() if not line.startswith(solved)]
        assert (done.stdout, lines) == ("", [])
        return done

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command that runs in parallel to the test."""
        return subprocess.Popen(
            self.command(*arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environ,
        )


def run_of(experiment: str = "alpha") -> str:
    return f"20261122_{INSTRUMENT}_{experiment}"


def contents(site: Site, run: str, cell: str = CELL) -> dict[str, str]:
    """Checksum of the inflated content of each output of a cell."""
    place = site.output / run / LIBRARY / cell
    return {
        path.name: hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest()
        for path in place.glob("*.fastq.gz")
    }


def assert_arrived(there: Path, here: Path) -> None:
    """Assert that two directories of a cell are equal, byte by byte."""
    expected, found = tree(there), tree(here)
    for what, names in (
        ("missing", expected.keys() - found.keys()),
        ("not from there", found.keys() - expected.keys()),
    ):
        assert not names, f"{what}: {sorted(names)}"
    differing = [name for name in expected if found[name] != expected[name]]
    assert not differing, f"not the same: {differing}"


def assert_like_local(
    facility: Facility, local_root: Path, experiment: str = "alpha", cell: str = CELL
) -> None:
    """Assert that a cell arrived, with the same outputs as if the sequencer wrote it here."""
    run = run_of(experiment)
    source = facility.there["hosta"] / experiment / LIBRARY / cell
    assert_arrived(source, facility.landing / run / LIBRARY / cell)
    local_root.mkdir()
    local = Site(local_root)
    local.configure(processing="ingest: false")
    shutil.copytree(source, local.landing / run / LIBRARY / cell, symlinks=True)
    end_with_summaries(local.landing)
    local.run("poll")
    assert contents(local, run, cell)
    assert contents(facility, run, cell) == contents(local, run, cell)
    ours, theirs = (
        json.loads((s.output / run / LIBRARY / cell / "qc.json").read_text())
        for s in (facility, local)
    )
    for key in ("total", "pass", "fail", "barcodes", "counts", "completeness", "mean_q", "state"):
        assert ours[key] == theirs[key]
    facility.run("verify", run)


def state(root: Path) -> dict[str, tuple[int, int, int]]:
    """Inode, size and time of every entry below a directory, to detect any change."""
    found = {}
    for path in sorted(root.rglob("*")):
        status = os.lstat(path)
        found[str(path.relative_to(root))] = (status.st_ino, status.st_size, status.st_mtime_ns)
    return found
