"""CPU time for a cell of BAM, compared with samtools and md5sum on the same files.

    python -m benchmarks.bam [--reads 20000] [--directory DIR]

The peers do less: they neither read back what they wrote nor compare the reads. CPU seconds of all
processes are compared, because they depend little on other work of the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from hesiod_watch.cli.simulator import SimulatedCell
from hesiod_watch.cli.simulator.bam import BamForm

FILES = 5
OURS = """
import json, re, resource, sys
from pathlib import Path
from hesiod_watch.bam.complete import complete
from hesiod_watch.fastq.ingest import Ingest
from hesiod_watch.fastq.model import Output, Settings
from hesiod_watch.fastq.sources import look
from hesiod_watch.host.files import OpenDirectory
place, *paths = map(Path, sys.argv[1:])
place.mkdir()
sources = tuple(look(path, path.name) for path in paths)
cell = OpenDirectory(paths[0].parent)
with Ingest.open(place / "ingest", cell, Settings(), owner={}, check_all=False) as ingest:
    (written,) = ingest.finish([Output("a.bam", None, "pass", sources)])
complete(written, place, "default", 1)
(peak,) = re.findall(r"VmHWM:\\s+([0-9]+)", Path("/proc/self/status").read_text())
print(json.dumps([int(peak), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss]))
"""


def make(place: Path, form: BamForm, reads: int) -> list[Path]:
    """Write the files of one simulated output."""
    cell = SimulatedCell(
        place / form,
        *("run", "sample", "20261122_2210_1A_PAW00001_0a1b2c3d"),
        barcodes=(),
        files_per_barcode=FILES,
        reads_per_file=reads // FILES,
        fail_fraction=0,
        mean_length=5000,
        era="2026",
        fastq=False,
        bam=form,
        pod5=False,
    )
    cell.write()
    return sorted(cell.path.glob("bam_pass/*.bam"))


def seconds(*command: object) -> tuple[float, str]:
    """CPU seconds of a command and its output."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        tuple(map(str, command)), check=True, stdout=subprocess.PIPE, text=True, env=os.environ
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return spent, done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures a cell of BAM against samtools.")
    parser.add_argument("--reads", type=int, default=20000)
    parser.add_argument("--directory", type=Path, default=None)
    args = parser.parse_args()
    if not shutil.which("samtools"):
        sys.exit("samtools is not installed")
    with tempfile.TemporaryDirectory(dir=args.directory) as directory:
        place = Path(directory)
        forms: tuple[BamForm, ...] = ("unaligned", "aligned")
        for form in forms:
            paths = make(place, form, args.reads)
            size = sum(path.stat().st_size for path in paths)
            joined = place / f"{form}.bam"
            command = "cat" if form == "unaligned" else "merge"
            peers = [seconds("samtools", command, "-o", joined, *paths)[0]]
            if form == "aligned":
                peers.append(seconds("samtools", "index", joined)[0])
            peers += [seconds("md5sum", joined)[0], seconds("samtools", "stats", joined)[0]]
            ours, output = seconds(sys.executable, "-c", OURS, place / f"{form}_ours", *paths)
            memory = " and ".join(f"{each // 1024} MB" for each in json.loads(output) if each)
            print(
                f"{form}: {size / 1e6:.0f} MB; ours {ours:.1f} s, peers {sum(peers):.1f} s,"
                f" ratio {ours / sum(peers):.2f}; memory {memory}"
            )


if __name__ == "__main__":
    main()
