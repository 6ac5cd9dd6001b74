"""CPU time of the copy of a sequencing summary, beside gzip and bgzip on the same table.

    python -m benchmarks.summaries [--megabytes N] [--threads N]

The copy is compressed, made durable and read back, with the MD5 of both files; gzip and bgzip only
compress. A peer that is not installed is left out.
"""

from __future__ import annotations

import argparse
import random
import resource
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path

from hesiod_watch.fastq.sources import look
from hesiod_watch.fastq.text_copy import copy_text
from hesiod_watch.host.files import OpenDirectory


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        table, copy = place / "table.txt", place / "copy.gz"
        write_table(table, arguments.megabytes * 1_000_000)

        def copied() -> object:
            source = look(table, table.name)
            return copy_text(
                source, OpenDirectory(place), copy, threads=arguments.threads, with_sha256=False
            )

        print(f"{'':12} {'s':>7} {'CPU s':>7} {'size':>7}")
        report("copy", copied, copy, table)
        for command in (("gzip", "-6c"), ("bgzip", "-c")):
            if shutil.which(command[0]):
                peer = place / f"{command[0]}.gz"
                report(command[0], partial(compress, command, table, peer), peer, table)
    return 0


def write_table(path: Path, size: int) -> None:
    """Write a table like that of MinKNOW, of about `size` bytes."""
    generator = random.Random(1)

    def row() -> str:
        values = (
            f"PAW00001_pass_barcode01_0a1b2c3d_aaaaaaaa_{generator.randrange(1000)}.fastq",
            uuid.UUID(int=generator.getrandbits(128)),
            "a" * 40,
            generator.randint(1, 3000),
            f"{generator.uniform(0, 260_000):.6f}",
            f"{generator.uniform(0, 60):.6f}",
            "TRUE",
            generator.randint(100, 50_000),
            f"{generator.uniform(5, 30):.6f}",
            "signal_positive",
            "barcode01",
        )
        return "\t".join(map(str, values)) + "\n"

    rows = "".join(row() for _ in range(50_000)).encode()
    with path.open("wb") as file:
        file.write(b"filename\tread_id\n")
        while file.tell() < size:
            file.write(rows)


def compress(command: tuple[str, ...], table: Path, to: Path) -> None:
    with to.open("wb") as file:
        subprocess.run([*command, str(table)], stdout=file, check=True)


def report(name: str, step: Callable[[], object], to: Path, table: Path) -> None:
    started, before = time.monotonic(), _cpu()
    step()
    share = to.stat().st_size / table.stat().st_size
    print(
        f"{name:12} {time.monotonic() - started:7.1f} {_cpu() - before:7.1f} {share:7.3f}",
        flush=True,
    )


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


if __name__ == "__main__":
    raise SystemExit(main())
