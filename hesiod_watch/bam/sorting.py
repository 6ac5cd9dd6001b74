"""Process that sorts a BAM file by coordinate and indexes it, with htslib.

It is started as `python -m hesiod_watch.bam.sorting PARENT INPUT OUTPUT INDEX PREFIX BYTES
THREADS`. Of the parts of this program, only this one loads pysam. It is a process of its own
because code in C may end its process, and because its memory is free again afterwards. The kernel
kills it when its parent dies.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pysam
from pysam.utils import SamtoolsError

from hesiod_watch.fastq.worker import die_with_parent

CSI = ".csi"
"""Ending of an index for references longer than the other form of index, `.bai`, can describe."""


def main() -> None:
    parent, source, sorted_file, index, prefix, memory, threads = sys.argv[1:]
    die_with_parent(int(parent))
    try:
        pysam.sort(
            *("--no-PG", "-@", str(int(threads) - 1), "-m", memory, "-T", prefix),
            *("-o", sorted_file, source),
        )
        form = "-c" if index.endswith(CSI) else "-b"
        pysam.index(form, sorted_file, index)
    except SamtoolsError as error:
        sys.exit(str(error))
    if not Path(index).is_file():
        sys.exit("no index was written")


if __name__ == "__main__":
    main()
