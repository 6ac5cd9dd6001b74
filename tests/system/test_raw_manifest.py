"""raw.json of every cell, made after the processing; damaged ends of raw data are reported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from backup_mount import BackupMount
from open_runs import opened
from sites import Site

from hesiod_watch.core.errors import TemporaryError
from hesiod_watch.core.model import CellId
from hesiod_watch.remote.backup.manifests import (
    PARTIAL,
    RawManifest,
    publish_raw,
    read_begun,
    read_raw_data,
    save_begun,
)

pytestmark = pytest.mark.system

RUN = "20261122_TEST_alpha"
LIBRARY = "sample_A"
CELL = "20261122_2210_1A_PAW00001_0a1b2c3d"
NAME = f"{LIBRARY}/{CELL}"
POD5 = b"\x8bPOD\r\n\x1a\n"
BAM_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
WHOLE = {
    "pod5/a_0.pod5": POD5 + b"signal" * 100 + POD5,
    "pod5/a_1.pod5": POD5 + b"signal" * 200 + POD5,
    "dorado/a_0.bam": b"\x1f\x8b\x08\x04" + b"reads" * 100 + BAM_END,
    "fastq_pass/a_0.fastq": b"@r\nACGT\n+\n5555\n",
}


def write_cell(landing: Path, damage: str = "", run: str = RUN) -> Path:
    """Write a finished cell; the file `damage` of it is cut off."""
    cell = landing / run / LIBRARY / CELL
    for name, data in WHOLE.items():
        path = cell / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data[:-5] if name == damage else data)
    counts = "fastq_files_in_final_dest=1\npod5_files_in_final_dest=2\n"
    (cell / "final_summary.txt").write_text(counts)
    return cell


def raw_of(site: Site, run: str = RUN) -> dict[str, Any]:
    raw = json.loads((site.output / run / NAME / "raw.json").read_text())
    assert isinstance(raw, dict)
    return raw


def test_a_cell_without_a_backup_gets_checksums(site: Site) -> None:
    """The poll that processes a cell also reads its raw data, and writes no new text."""
    write_cell(site.landing)
    site.run("poll")
    raw = raw_of(site)
    assert {each["name"] for each in raw["files"]} == {*WHOLE, "final_summary.txt"}
    assert "damaged" not in raw
    done = site.run("poll")
    assert (done.stdout, done.stderr) == ("", "")
    assert "verification" not in site.run("messages", RUN, "--text").stdout
    assert json.loads(site.run("plan", RUN, "--json").stdout)["runs"][0]["actions"] == []


def test_verify_uses_the_checksums(site: Site) -> None:
    """`verify` finds raw data that changed after the processing, also without a backup."""
    cell = write_cell(site.landing)
    site.run("poll")
    site.run("verify", RUN, CELL)
    path = cell / "pod5" / "a_0.pod5"
    path.write_bytes(path.read_bytes().replace(b"signal", b"damage", 1))
    done = site.run("verify", RUN, CELL, check=1)
    assert "pod5/a_0.pod5" in done.stdout + done.stderr


@pytest.mark.parametrize("name", ["pod5/a_1.pod5", "dorado/a_0.bam"])
@pytest.mark.parametrize("way", ["local", "upstream", "backup", "backup without raw data"])
def test_a_cut_file_is_reported_like_damage(
    site: Site, mounted: BackupMount, name: str, way: str
) -> None:
    """A file without its end is named everywhere, and blocks every deletion until it is mended."""
    there = site.root / "there" if way == "upstream" else site.landing
    cell = write_cell(there, name)
    if way == "upstream":
        site.configure(more=f"upstreams: {{PROM: {{location: {there}}}}}\n")
    if way.startswith("backup"):
        raw = str(way == "backup").lower()
        place = f"{{location: {mounted.place}, raw: {raw}}}"
        site.configure(more=f"backups: {{second: {place}}}\n")
        site.run("backup-init", "second")
    site.run("poll", check=None)
    (run,) = site.status()
    site.run("poll", check=1)
    assert site.stages() == {f"{run}/{NAME}": "processed"}
    for text in (
        site.run("explain", run, CELL).stdout,
        site.run("messages", run, "--text").stdout,
        site.status()[run]["cells"][NAME]["why"],
        (site.output / run / "report.html").read_text(),
    ):
        assert name in text
    assert [each["name"] for each in raw_of(site, run)["damaged"]] == [name]
    here = site.landing / run / NAME / name
    refused = site.run("strip", run, CELL, "--yes", check=None)
    assert here.exists(), refused.stdout
    (cell / name).write_bytes(WHOLE[name])
    here.write_bytes(WHOLE[name])
    explained = json.loads(site.run("explain", run, CELL, "--json").stdout)["you_can"]
    (step,) = (each for each in explained if each.startswith("after copying damaged raw data"))
    command = step.partition(": ")[2].replace(
        "hesiod-watch ", f"{sys.executable} -m hesiod_watch --config {site.config} "
    )
    subprocess.run(["sh", "-ec", command], check=True, env=site.environ)
    site.run("poll")
    assert "damaged" not in raw_of(site, run)
    assert "damaged" not in site.status()[run]["cells"][NAME]["why"]


def test_old_cells_are_not_read(site: Site) -> None:
    """A cell that an earlier version processed gets no new work."""
    write_cell(site.landing)
    site.run("poll")
    flag = site.landing / RUN / "pipeline" / f"{CELL}.done"
    record = json.loads(flag.read_text())
    del record["raw_due"]
    flag.write_text(json.dumps(record))
    (site.output / RUN / NAME / "raw.json").unlink()
    (site.landing / RUN / "pipeline" / f"{CELL}.verify.done").unlink()
    site.run("poll")
    assert not (site.output / RUN / NAME / "raw.json").exists()


def test_an_interrupted_reading_continues(site: Site) -> None:
    """A reading that was stopped continues after the files that it has read."""
    write_cell(site.landing)
    place = site.output / RUN / NAME
    place.mkdir(parents=True)
    landing = site.landing / RUN
    cell = CellId(LIBRARY, CELL)
    read: list[int] = []
    with pytest.raises(TemporaryError, match="stopped"):
        read_raw_data(
            opened(landing),
            cell,
            RawManifest(""),
            on_progress=lambda done, total: read.append(done),
            stop=lambda: len(read) > 2,
            save=lambda begun: save_begun(place, begun),
        )
    begun = read_begun(place)
    assert len(begun.files) == 3
    read.clear()
    whole = read_raw_data(
        opened(landing), cell, begun, on_progress=lambda done, total: read.append(done)
    )
    assert len(read) == len(WHOLE) + 1 - 3
    assert whole == read_raw_data(opened(landing), cell, RawManifest(""))
    publish_raw(place, whole, lambda: None)
    assert not (place / PARTIAL).exists()
