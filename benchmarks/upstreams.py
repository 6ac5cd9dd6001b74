"""Cost of polling settled runs, and cost of a verified copy compared with plain rsync.

    python -m benchmarks.upstreams [--runs 500] [--files 10000] [--size 4000] [--rounds 3]
    [--directory DIR]

The first measurement polls many runs of four processed cells each, which an upstream still lists.
It gives seconds, and system calls per run that ask the file system for a name or list a directory.
strace counts them, where installed; the calls of a poll over no runs are subtracted.

The second copies one cell of many small files, from a mount and over a real ssh: by rsync, by rsync
and once more with --checksum (a verification by hand), and by `perform sync`. Ratios compare
numbers of the same round. Copies are made in empty directories, and the page cache is warm for all.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from open_runs import opened

from hesiod_watch.host import process
from hesiod_watch.rules.stages import digest_of_report
from hesiod_watch.runs import flags
from hesiod_watch.runs.observe import observe

CELLS = 4
SUPPORT = Path(__file__).parents[1] / "tests" / "support"
CALLS = "%file,getdents64,fstat"


class Installation:
    """A landing area, an output area, and one upstream."""

    def __init__(self, root: Path, upstream: dict[str, object]) -> None:
        self.landing, self.output = root / "landing", root / "output"
        self.config = root / "hesiod-watch.yaml"
        for directory in (self.landing, self.output, root / "tmp"):
            directory.mkdir(parents=True)
        self.config.write_text(
            f"landing: {self.landing}\noutput: {self.output}\ntake_up: {{since: always}}\n"
            f"upstreams: {json.dumps({'BENCH': upstream})}\n"
        )
        self.environ = {**os.environ, "TMPDIR": str(root / "tmp")}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "hesiod_watch", "--config", str(self.config), *arguments]

    def run(self, command: Sequence[str]) -> float:
        """Run a command and return its seconds. Raises if it fails or prints an error."""
        began = time.monotonic()
        done = subprocess.run(command, env=self.environ, capture_output=True, text=True)
        took = time.monotonic() - began
        if done.returncode or done.stderr:
            raise RuntimeError(f"{command}: {done.returncode}\n{done.stdout}{done.stderr}")
        return took

    def adopt(self, name: str, location: str) -> Path:
        run, output = self.landing / name, self.output / name
        run.mkdir()
        output.mkdir()
        (output / "rundata").symlink_to(run)
        flags.adopt(opened(run), location, output)
        return run


# A poll over settled runs.


def cell_name(run: int, cell: int) -> str:
    return f"20261122_221{cell}_1{'ABCD'[cell]}_PAW{run:05}_{run * CELLS + cell:08x}"


def settle(installation: Installation, upstream_dir: Path, runs: int) -> None:
    """Make runs whose cells are all processed and reported, locally and on the upstream."""
    for number in range(runs):
        run = installation.adopt(f"20261122_BENCH_run{number}", str(upstream_dir / f"run{number}"))
        for index in range(CELLS):
            cell = Path("sample_A") / cell_name(number, index)
            for place in (upstream_dir / f"run{number}", run):
                (place / cell / "fastq_pass").mkdir(parents=True)
            for flag in ("synced", "started", "started.worker", "done"):
                (run / "pipeline" / f"{cell.name}.{flag}").write_text(
                    json.dumps({"cell": str(cell)})
                )
        output = installation.output / run.name
        digest = digest_of_report(
            observe(opened(run), installation.output, judge=process.judge_here)
        )
        page = f'<meta name="hesiod-watch:covers" content="{digest}">'
        (output / "report.html").write_text(page)


def counted(installation: Installation, directory: Path) -> int:
    """Number of system calls of a poll that ask for a name or list a directory.

    Counts all processes of the poll.
    """
    table = directory / "strace"
    strace = ["strace", "-f", "-c", "-U", "calls,name", "-e", f"trace={CALLS}", "-o", str(table)]
    installation.run([*strace, *installation.command("poll")])
    found = re.findall(r"^\s*(\d+)\s+(\w+)$", table.read_text(), re.M)
    return sum(int(calls) for calls, name in found if name != "total")


def measure_polls(directory: Path, runs: int, rounds: int) -> None:
    measured = {}
    for count in (0, runs):
        root = directory / f"runs{count}"
        upstream_dir = root / "upstream_dir"
        upstream_dir.mkdir(parents=True)
        installation = Installation(root, {"location": str(upstream_dir)})
        settle(installation, upstream_dir, count)
        installation.run(installation.command("poll"))
        seconds = min(installation.run(installation.command("poll")) for _ in range(rounds))
        calls = counted(installation, root) if shutil.which("strace") else None
        measured[count] = (seconds, calls)
    (idle, few), (busy, many) = measured[0], measured[runs]
    print(f"A poll over {runs} settled runs of {CELLS} cells, best of {rounds}\n")
    print(f"  in all                   {busy:8.2f} s   (over no runs: {idle:.2f} s)")
    print(f"  per run                  {(busy - idle) / runs * 1e3:8.2f} ms")
    if few is None or many is None:
        print("  system calls per run         not counted: strace is not installed")
    else:
        print(f"  system calls per run     {(many - few) / runs:8.1f}      ({CALLS})")


# A copy compared with rsync's.


def make_cell(place: Path, files: int, size: int) -> None:
    reads = place / "fastq_pass" / "barcode01"
    reads.mkdir(parents=True)
    for number in range(files):
        (reads / f"PAW00001_pass_barcode01_0a1b2c3d_1b2c3d4e_{number}.fastq").write_bytes(
            os.urandom(size)
        )
    (place / "final_summary_PAW00001_0a1b2c3d_1b2c3d4e.txt").write_text(
        "instrument=BENCH\nflow_cell_id=PAW00001\n"
        "acquisition_run_id=1b2c3d4e00000000000000000000000000000000\n"
        f"fastq_files_in_final_dest={files}\nfastq_files_in_fallback=0\n"
    )


@contextmanager
def places(
    directory: Path,
) -> Iterator[dict[str, tuple[Path, dict[str, object], tuple[str, ...], str]]]:
    """Upstreams by name.

    Each has its directory, its configuration, rsync's arguments for it, and the prefix of its
    paths.
    """
    mount = directory / "mount"
    mount.mkdir()
    found: dict[str, tuple[Path, dict[str, object], tuple[str, ...], str]] = {
        "mounted": (mount, {"location": str(mount)}, (), "")
    }
    sys.path.insert(0, str(SUPPORT))
    import sshd_pair

    if sshd_pair.MISSING:
        print(f"over ssh: not measured; not installed: {', '.join(sshd_pair.MISSING)}\n")
        yield found
        return
    with sshd_pair.sshd_pair() as pair:
        data = pair.hosta.data
        upstream: dict[str, object] = {
            "location": f"hosta:{data}",
            "ssh_options": list(pair.options),
        }
        found["over ssh"] = (data, upstream, ("-e", f"ssh {' '.join(pair.options)}"), "hosta:")
        yield found


def measure_copies(directory: Path, files: int, size: int, rounds: int) -> None:
    print(
        f"\nOne cell of {files} files of {size} bytes, {rounds} rounds:"
        " median, and median of ratios to rsync alone\n"
    )
    with places(directory) as found:
        for name, (upstream_dir, upstream, arguments, host) in found.items():
            cell = Path("sample_A") / cell_name(0, 0)
            make_cell(upstream_dir / "exp" / cell, files, size)
            ways: dict[str, list[float]] = {
                "rsync": [],
                "rsync, rsync --checksum": [],
                "perform sync": [],
            }
            for number in range(rounds):
                installation = Installation(directory / f"{name}{number}", upstream)
                run = installation.adopt("20261122_BENCH_exp", f"{upstream['location']}/exp")
                bare = ["rsync", "-rlt", *arguments, f"{host}{upstream_dir}/exp/"]
                copies = directory / f"{name}{number}"
                once = installation.run([*bare, f"{copies}/once/"])
                ways["rsync"].append(once)
                again = [*bare[:1], "--checksum", *bare[1:], f"{copies}/once/"]
                ways["rsync, rsync --checksum"].append(once + installation.run(again))
                ways["perform sync"].append(
                    installation.run(installation.command("perform", "sync", str(run)))
                )
                if not (run / "pipeline" / f"{cell.name}.synced").exists():
                    raise RuntimeError((installation.output / run.name / "sync.log").read_text())
                shutil.rmtree(copies)
            for way, seconds in ways.items():
                ratio = statistics.median(
                    mine / bare for mine, bare in zip(seconds, ways["rsync"], strict=True)
                )
                print(f"  {name:9}  {way:24} {statistics.median(seconds):7.2f} s   {ratio:5.2f}")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--size", type=int, default=4_000, help="bytes of each file")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--directory", type=Path, help="working directory (a temporary directory)")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        measure_polls(Path(directory), arguments.runs, arguments.rounds)
        measure_copies(Path(directory), arguments.files, arguments.size, arguments.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
