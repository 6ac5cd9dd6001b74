"""A cell as its sequencer writes it: what each file contains, and what has arrived so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from minknow_cells import summary_text

POD5 = b"\x8bPOD\r\n\x1a\n"
SUMMARY = "final_summary_"


def records(cell: int, acquisition: int, number: int) -> bytes:
    """Text of a FASTQ file of two reads, which no other file has."""
    return b"".join(
        b"@c%da%df%dr%d ch=5 start_time=2026-11-22T22:%02d:00Z\nACGTACGTAC\n+\n5555555555\n"
        % (cell, acquisition, number, read, 10 + number)
        for read in range(2)
    )


def reads_of(text: bytes) -> list[bytes]:
    """Names of the reads in the text of a FASTQ file."""
    return [line.split()[0] for line in text.split(b"\n")[::4] if line]


@dataclass
class SequencedCell:
    """One cell. `truth` has every file of it, as the sequencer wrote it."""

    number: int
    run: str
    library: str
    place: Path  # directory of the run where the sequencer writes
    landing: Path | None = None  # directory of the run in the landing area, if that is another one
    day: str = "20261122"  # on which it began
    truth: dict[str, bytes] = field(default_factory=dict)
    pending: list[str] = field(default_factory=list)  # files that have not been written
    arrived: set[str] = field(default_factory=set)  # files that were here whole at some time
    growing: str = ""  # file of which only a part is here
    acquisitions: int = 0
    lost: bool = False  # the sequencer has crashed: what is pending never comes
    cleaned: bool = False  # the sequencer has deleted it

    def __post_init__(self) -> None:
        self.begin()

    @property
    def name(self) -> str:
        return f"{self.day}_22{10 + self.number}_1A_PAW0000{self.number}_0a1b2c3{self.number}"

    @property
    def path(self) -> Path:
        return self.place / self.library / self.name

    @property
    def here(self) -> Path:
        """Directory of the cell in the landing area."""
        return (self.landing or self.place) / self.library / self.name

    @property
    def id(self) -> str:
        return f"{self.library}/{self.name}"

    def begin(self) -> None:
        """Begin an acquisition: two data files and a raw file, with the summary at the end."""
        acquisition = f"{self.number}{self.acquisitions}" * 20
        stem = f"PAW0000{self.number}_{{}}0a1b2c3{self.number}_{acquisition[:8]}"
        first = 2 * self.acquisitions
        files = {
            f"fastq_pass/{stem.format('pass_')}_0.fastq": records(
                self.number, self.acquisitions, first
            ),
            f"fastq_fail/{stem.format('fail_')}_0.fastq": records(
                self.number, self.acquisitions, first + 1
            ),
            f"pod5/{stem.format('')}_0.pod5": POD5,
        }
        summary = summary_text(acquisition, fastq=2, pod5=1).encode()
        self.acquisitions += 1
        files[f"{SUMMARY}{stem.format('')}.txt"] = summary
        self.truth |= files
        self.pending += files

    @property
    def data(self) -> list[str]:
        """Names of the data files."""
        return sorted(name for name in self.truth if name.endswith(".fastq"))

    @property
    def exists(self) -> bool:
        return self.path.is_dir()

    def write(self, name: str, place: Path | None = None) -> None:
        """Write a file of the cell whole, in one step."""
        path = (place or self.path) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.part")
        aside.write_bytes(self.truth[name])
        aside.rename(path)
        self.arrived.add(name)

    def land(self, which: int = 0) -> None:
        """Write one of the pending files, or the rest of the one that is growing."""
        if self.growing:
            name, self.growing = self.growing, ""
            with (self.path / name).open("ab") as file:
                file.write(self.truth[name][file.tell() :])
            self.arrived.add(name)
        elif self.pending:
            self.write(self.pending.pop(which % len(self.pending)))

    def grow(self, percent: int) -> None:
        """Write the first part of the next file in its place; half of it ends with a whole read."""
        if self.pending and not self.growing:
            self.growing = self.pending.pop(0)
            path = self.path / self.growing
            path.parent.mkdir(parents=True, exist_ok=True)
            text = self.truth[self.growing]
            path.write_bytes(text[: len(text) * percent // 100])

    def finish(self) -> None:
        """Write everything that has not been written."""
        while self.growing or self.pending:
            self.land()

    def copy_here(self) -> None:
        """Copy from the sequencer to the landing area what is missing or damaged there."""
        for name in sorted(self.truth.keys() - self.pending):
            path = self.here / name
            if (self.path / name).is_file() and not (
                path.is_file() and path.read_bytes() == self.truth[name]
            ):
                self.write(name, place=self.here)

    def repair(self, stripped: bool = False) -> None:
        """Bring each file that the sequencer has written back as it was; remove all others.

        Of a stripped cell no file is brought back.
        """
        place = self.here if self.cleaned else self.path
        for name in sorted(self.truth.keys() - self.pending):
            path = place / name
            if not path.is_file() and stripped:
                continue
            if not path.is_file() or path.read_bytes() != self.truth[name]:
                self.write(name, place=place)
        for copy in {place, self.here}:
            for path in sorted(copy.rglob("*")):
                if path.is_file() and str(path.relative_to(copy)) not in self.truth:
                    path.unlink()
        self.growing = ""
