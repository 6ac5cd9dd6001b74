"""Runs as EdinburghGenomics/hesiod 3.x leaves them: its flags, links, logs and results.

Its flags are empty files, or text of its own. A claim becomes `.done` by a rename; a failure of one
cell is the flag `failed` of the whole run, and the cell's claim stays.
"""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

from hesiod_watch.cli.simulator import SimulatedCell

OLD = "20230914_1210_1A_PAM4{:04}_{:08x}"
"""Name of a cell, for a number from 0 on."""
LIBRARY = "25070AT0003"
RUN = "20230914_EGS2_25070AT_{}"


class HesiodRun:
    """One run in `prom_runs`, with its directory in `prom_fastqdata`."""

    def __init__(
        self, landing: Path, output: Path, name: str, upstream: str = "LOCAL", kind: str = ""
    ) -> None:
        self.name = name
        self.path = landing / name
        self.pipeline = self.path / "pipeline"
        self.output = output / name
        self.pipeline.mkdir(parents=True)
        self.output.mkdir()
        (self.pipeline / "upstream").write_text(f"{upstream}\n")
        (self.pipeline / "output").symlink_to(self.output)
        (self.output / "rundata").symlink_to(self.path)
        if kind:
            (self.pipeline / "type.yaml").write_text(f"type: {kind}\n")
        self.log("starting action_new")

    def log(self, line: str) -> None:
        with (self.output / "pipeline.log").open("a") as log:
            log.write(f">>>\n>>>\n>>> driver.sh {line} at Thu 14 Sep 18:00:02 BST 2023\n")

    def flag(self, *names: str, text: str = "") -> None:
        for name in names:
            (self.pipeline / name).write_text(text)

    def cell(self, name: str, library: str = LIBRARY) -> Path:
        """Write a finished cell of two FASTQ files, as MinKNOW does."""
        SimulatedCell(self.path.parent, self.name, library, name, files_per_barcode=2).write()
        return self.path / library / name

    def results(self, name: str, library: str = LIBRARY, *, whole: bool = True) -> None:
        """Write what Snakefile.main makes of a cell; if not `whole`, it was killed early."""
        place = self.output / library / name
        place.mkdir(parents=True)
        flow_cell, short_id = name.split("_")[-2:]
        base = f"{self.name}_{library}_{flow_cell}_{short_id}"
        sums = self.output / "md5sums" / library / name
        sums.mkdir(parents=True)
        for end in ("pass", "fail") if whole else ("pass",):
            path = place / f"{base}_{end}.fastq.gz"
            path.write_bytes(b"made by pigz for " + path.name.encode())
            digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
            (sums / f"{path.name}.md5").write_text(f"{digest}  {path.name}\n")
        if whole:
            (place / "cell_info.yaml").write_text(f"Base: {library}/{name}/{base}\n")
            (self.output / "all_reports").mkdir(exist_ok=True)
            (self.output / "all_reports" / "report.1cells.pan.html").write_text("<html></html>")
        (self.output / ".snakemake" / "locks").mkdir(parents=True, exist_ok=True)
        (self.output / "sc_data.yaml").write_text("{}\n")

    def processed(self, name: str, library: str = LIBRARY) -> None:
        """Write a cell that Hesiod has finished."""
        self.cell(name, library)
        self.results(name, library)
        self.flag(f"{name}.synced", f"{name}.done")
        self.flag("start_times", text="3.4.2@Thursday, 14 Sep 2023 18:00:02\n")
        self.flag("report_upload_url.txt", text="http://web1/runinfo/hesiod_reports/x\n")
        self.flag("notify_1_cells_complete.done")

    def begun(self, name: str, library: str = LIBRARY) -> None:
        """Write a cell that Hesiod was processing when it was stopped."""
        self.cell(name, library)
        self.results(name, library, whole=False)
        self.flag(f"{name}.synced", f"{name}.started")


def everything(*roots: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """Every file, directory and link below some directories: mode, times and content."""
    found = {}
    for root in roots:
        for path in sorted([root, *root.rglob("*")]):
            status = path.lstat()
            if path.is_symlink():
                content = str(path.readlink()).encode()
            elif stat.S_ISREG(status.st_mode):
                content = path.read_bytes()
            else:
                content = b""
            found[str(path)] = (status.st_mode, status.st_mtime_ns, status.st_ctime_ns, content)
    return found
