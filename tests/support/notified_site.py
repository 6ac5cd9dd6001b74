"""A site with messages to a tracker, and readers for the content of its tickets."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from rt_server import RtServer, Ticket
from sites import Site

from hesiod_watch.cli.simulator import SimulatedCell

LIBRARY = "sample_A"
RUN = "20261122_TEST_alpha"
CELLS = ("20261122_2210_1A_PAW00001_0a1b2c3d", "20261122_2211_1B_PAW00002_1a2b3c4d")
QUEUE = "promrun_internal"
TOKEN = re.compile(r"\[hesiod-watch ([0-9]+) ([0-9a-f]{32})\]")


class NotifiedSite(Site):
    """One installation with a tracker behind `url`."""

    def __init__(self, root: Path, tracker: RtServer, url: str = "") -> None:
        self.tracker = tracker
        self.url = url or tracker.url
        super().__init__(root)

    def configure(
        self,
        watch: str = "sweep_interval: 1s",
        processing: str = "workers: 2, ingest: false",
        more: str = "",
        **notify: object,
    ) -> None:
        secret = self.root / "rt"
        secret.touch(0o600)
        secret.write_text(f"token: {self.tracker.token}\n")
        tracker = {"url": self.url, "credentials": str(secret), "queue": QUEUE, "timeout": "5s"}
        given = {
            "rt": tracker,
            "retry": "0.2s",
            "report_url": "https://reports.invalid/{run}",
            **notify,
        }
        super().configure(
            watch, processing, f"notify: {yaml.safe_dump(given, default_flow_style=True)}{more}"
        )

    def cell(self, run: str = RUN, cell: str = CELLS[0], *, reads: int = 20) -> SimulatedCell:
        """A simulated small cell in the landing area, not written yet."""
        return SimulatedCell(
            self.landing,
            run,
            LIBRARY,
            cell,
            barcodes=("barcode01",),
            files_per_barcode=1,
            reads_per_file=reads,
        )

    def messages(self, run: str = RUN) -> list[str]:
        """Keys of a run's messages in order, without their distinguishing suffixes."""
        place = self.landing / run / "pipeline" / "messages"
        links = sorted(path for path in place.iterdir() if re.fullmatch("[0-9]+", path.name))
        return [str(link.readlink()).split(".")[0] for link in links]

    def undelivered(self, run: str = RUN) -> int:
        count = self.status()[run]["messages"]["undelivered"]
        assert isinstance(count, int)
        return count


def numbers(ticket: Ticket) -> list[int]:
    """Numbers of hesiod-watch messages in a ticket, in the order of its history."""
    return [int(found[1]) for _, text in ticket.texts for found in TOKEN.finditer(text)]


def tokens(ticket: Ticket) -> list[str]:
    return [found[2] for _, text in ticket.texts for found in TOKEN.finditer(text)]


def first_lines(ticket: Ticket) -> list[tuple[str, str]]:
    """Kind and first line of each entry in a ticket's history."""
    return [(kind, text.splitlines()[0]) for kind, text in ticket.texts]
