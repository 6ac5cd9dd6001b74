"""raw.json: a cell's raw data, read once; every change is reported."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from open_runs import opened

from hesiod_watch.core.errors import PermanentError, TemporaryError
from hesiod_watch.core.model import CellId
from hesiod_watch.fastq.sources import look
from hesiod_watch.remote.backup.manifests import (
    RawManifest,
    publish_raw,
    read_raw,
    read_raw_data,
    result_facts,
    sources_of,
)
from hesiod_watch.remote.backup.minknow_hashes import compare
from hesiod_watch.runs.minknow.output_hash import parse_output_hash
from hesiod_watch.runs.observe import RAW_MANIFEST

CELL = CellId("sample_A", "20261122_2210_1A_PAW00001_0a1b2c3d")
NAMES = ("pod5/a.pod5", "#x", " b\n", "-c", "\udcff.txt", "fastq_pass/barcode01/ä.fastq")
NOTHING = RawManifest("")


class Place:
    """A landing area with one cell, and its output."""

    def __init__(self, root: Path) -> None:
        self.landing, self.output = root / "landing", root / "output"
        self.run = self.landing / "run"
        self.cell = self.run / CELL.library / CELL.name
        self.output.mkdir()
        for name in NAMES:
            self.write(name, name.encode("utf-8", "surrogateescape") * 1000)
        self.reported: list[str] = []

    def write(self, name: str, data: bytes) -> None:
        (self.cell / name).parent.mkdir(parents=True, exist_ok=True)
        (self.cell / name).write_bytes(data)

    def take(self, former: RawManifest = NOTHING) -> RawManifest:
        self.reported = []
        return read_raw_data(opened(self.run), CELL, former, on_problem=self.reported.append)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def test_all_files_whatever_their_names(place: Place) -> None:
    """Every regular file is listed with its size and MD5, and names are read back unchanged."""
    taken = place.take()
    publish_raw(place.output, taken, lambda: None)
    assert read_raw(place.output) == taken
    facts = read_raw(place.output).files
    assert set(facts) == set(NAMES)
    for name, fact in facts.items():
        data = (place.cell / name).read_bytes()
        assert (fact.size, fact.md5) == (len(data), md5(data))
    (place.output / RAW_MANIFEST).read_text("ascii")
    assert not list(place.output.glob(".*"))


def test_unchanged_files_are_not_read_again(place: Place) -> None:
    """A file with unchanged size and times is not read again: terabytes are read only once."""
    former = place.take()
    file = former.files["#x"]
    other = replace(file, md5="0" * 32)  # no reading would find this MD5
    now = place.take(RawManifest(str(CELL), {**former.files, "#x": other}))
    assert now.files["#x"].md5 == "0" * 32
    assert place.reported == []


@pytest.mark.parametrize("name", ["pod5/a.pod5", " b\n"])
def test_a_changed_file_is_read_again_and_reported(place: Place, name: str) -> None:
    """Changed content of the same size and time is found by ctime, and reported."""
    former = place.take()
    path = place.cell / name
    times, size = path.stat(), path.stat().st_size
    path.write_bytes(b"x" * size)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    now = place.take(former)
    assert now.files[name].md5 == md5(b"x" * size)
    assert any(
        "other content" in sentence and now.files[name].md5 in sentence
        for sentence in place.reported
    )


def test_a_missing_file_stays_in_the_list(place: Place) -> None:
    """A missing file was part of the cell: it is reported, and its copy is still checked."""
    former = place.take()
    (place.cell / "-c").unlink()
    now = place.take(former)
    assert now.files == former.files
    assert place.reported == ["-c was among the raw data and is not there any more"]


def test_only_regular_files(place: Place, tmp_path: Path) -> None:
    """Links and special files are reported and never opened; no directory link is followed."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "secret").write_text("x")
    (place.cell / "link").symlink_to(tmp_path / "elsewhere" / "secret")
    (place.cell / "linked").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(place.cell / "fifo")
    assert set(place.take().files) == set(NAMES)
    assert [sentence.split(" is ")[0] for sentence in place.reported] == ["fifo", "link", "linked"]


def test_missing_and_linked_cells(place: Place, tmp_path: Path) -> None:
    """A missing cell has no files; a cell that is a link is refused."""
    place.cell.rename(tmp_path / "moved")
    assert place.take().files == {}
    place.cell.symlink_to(tmp_path / "moved")
    with pytest.raises(PermanentError, match="no directory, or a link"):
        place.take()
    place.cell.unlink()
    place.cell.parent.rmdir()
    place.run.rmdir()
    with pytest.raises(TemporaryError):
        place.take()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": "hesiod-watch raw 2", "cell": "x", "files": []}',
        '{"format": "hesiod-watch raw 1", "cell": "x", "files": [{"name": "a"}]}',
        '{"format": "hesiod-watch raw 1", "cell": "x", "files": 3}',
        *(
            json.dumps(
                {
                    "format": "hesiod-watch raw 1",
                    "cell": "x",
                    "files": [{"name": name, "bytes": size, "md5": "0" * digits, "mtime_ns": 1}],
                }
            )
            for name, size, digits in (
                ("../a", 1, 32),
                ("/a", 1, 32),
                ("a//b", 1, 32),
                ("a\0", 1, 32),
                ("", 1, 32),
                ("a", -1, 32),
                ("a", 1.5, 32),
                ("a", 1, 31),
            )
        ),
        "[" * 100_000,
    ],
    ids=[
        "empty",
        "list",
        "no fields",
        "another format",
        "file without fields",
        "number of files",
        "path out of the cell",
        "absolute path",
        "empty part of a path",
        "NUL in a path",
        "empty path",
        "negative size",
        "size not whole",
        "short checksum",
        "nested without end",
    ],
)
def test_damaged(place: Place, text: str) -> None:
    """A damaged raw.json is an error that names it, never an empty list."""
    (place.output / RAW_MANIFEST).write_text(text)
    with pytest.raises(PermanentError, match=r"raw\.json is damaged"):
        read_raw(place.output)


def test_no_raw_json(place: Place) -> None:
    """A missing raw.json is an empty list; a directory in its place is an error."""
    assert read_raw(place.output).files == {}
    (place.output / RAW_MANIFEST).mkdir()
    with pytest.raises(PermanentError, match="not a regular file"):
        read_raw(place.output)


def test_minknow_s_own_checksums(place: Place) -> None:
    """Each checksum of MinKNOW is compared with its file: equal files are counted, others named."""
    paths = {
        f"run/{CELL}/pod5/a.pod5": hashlib.sha256(
            (place.cell / "pod5/a.pod5").read_bytes()
        ).hexdigest(),
        "fastq_pass/barcode01/ä.fastq": "0" * 64,
        "not_there.pod5": "1" * 64,
    }
    rows = [f",,,,{sha256},{path},," for path, sha256 in paths.items()]
    header = (
        "runid,protocol_group_id,flow_cell_id,sample_id,file_hash,file_path,barcode,barcode_alias"
    )
    place.write("output_hash_PAW00001_0a1b2c3d.csv", "\n".join([header, *rows, "garbage"]).encode())
    taken = place.take()
    assert taken.hashes == {
        "files": ["output_hash_PAW00001_0a1b2c3d.csv"],
        "agreeing": 1,
        "differing": ["fastq_pass/barcode01/ä.fastq"],
        "absent": ["not_there.pod5"],
        "rows_skipped": 1,
    }
    assert any("not_there.pod5 is missing" in sentence for sentence in place.reported)
    assert any("is not what MinKNOW wrote" in sentence for sentence in place.reported)
    publish_raw(place.output, taken, lambda: None)
    assert place.take(read_raw(place.output)) == taken  # known now, so not read again


def test_paths_of_hashes() -> None:
    """A path may be relative to the run's folder or its parent, or be a Windows path."""
    text = "file_hash,file_path\n" + "".join(
        f"{'a' * 64},{path}\n"
        for path in (f"data/{CELL.name}/x", "./y", f"C:\\data\\{CELL.name}\\z")
    )
    assert set(parse_output_hash(text, CELL, {"x", "y", "z"})) == {"x", "y", "z"}


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(f"{'a' * 63},pod5/x.pod5", id="63 digits"),
        pytest.param(",pod5/x.pod5", id="no checksum"),
        pytest.param(f"{'a' * 64},", id="no path"),
        pytest.param(f"{'a' * 64},pod5/", id="a directory"),
        pytest.param(f"{'a' * 64},../other/x.pod5", id="another cell"),
        pytest.param(f"{'a' * 64},{CELL.name}/../../x.pod5", id="dots out of the cell"),
        pytest.param(
            f"{'a' * 64},/data/run/lib/20261122_2211_1B_PAW00002_1a2b3c4d/pod5/x.pod5",
            id="absolute path of another cell",
        ),
        pytest.param(
            f"{'a' * 64},run/lib/20261122_2211_1B_PAW00002_1a2b3c4d/pod5/x.pod5",
            id="path of another cell",
        ),
        pytest.param(f"{'a' * 64},C:\\data\\x.pod5", id="Windows path"),
        pytest.param(f"{'a' * 64},/etc/passwd", id="system file"),
        pytest.param(f"{'a' * 64},{CELL.name}", id="the cell itself"),
        pytest.param(f"{'a' * 64}", id="one column"),
        pytest.param(f"{'a' * 64},pod5/x,y.pod5", id="three columns"),
        pytest.param(f"{'a' * 64},pod5/\0.pod5", id="NUL in the path"),
    ],
)
def test_invalid_rows(row: str) -> None:
    """A row without a SHA-256, or with a path outside the cell, is counted; no file is absent."""
    skipped: list[str] = []
    found = parse_output_hash(
        f"file_hash,file_path\n{row}\n{'b' * 64},y\n", CELL, {"y"}, skipped.append
    )
    assert found == {"y": {"b" * 64}}
    assert len(skipped) == 1


def test_a_file_with_two_checksums(place: Place) -> None:
    """If two acquisitions give a file different checksums, either may be right."""
    digest_of_a = hashlib.sha256((place.cell / "pod5/a.pod5").read_bytes()).hexdigest()
    for number, digests in enumerate((["0" * 64, digest_of_a], ["1" * 64])):
        rows = "".join(f"{each},pod5/a.pod5\n" for each in digests)
        place.write(f"output_hash_{number}.csv", f"file_hash,file_path\n{rows}".encode())
    checksums = place.take().checksums
    assert (checksums.agreeing, checksums.wrong) == (1, "")


def test_a_file_removed_later_is_not_absent(place: Place) -> None:
    """A missing file that raw.json lists is not called absent: a strip may have removed it."""
    former = place.take()
    (place.cell / "pod5/a.pod5").unlink()
    place.write("output_hash_x.csv", f"file_hash,file_path\n{'0' * 64},pod5/a.pod5\n".encode())
    checksums = place.take(former).checksums
    assert (checksums.wrong, checksums.not_compared) == ("", 1)


def test_comparing_without_raw_json(place: Place) -> None:
    """Up to a size the named files are read.

    Above it only names are compared, and this is reported.
    """
    place.write(
        "output_hash_x.csv",
        f"file_hash,file_path\n{'0' * 64},pod5/a.pod5\n{'0' * 64},b.pod5\n".encode(),
    )
    size = (place.cell / "pod5/a.pod5").stat().st_size
    named = ("pod5/a.pod5",)
    for at_most, differing, left in ((None, named, 0), (size, named, 0), (size - 1, (), 1)):
        checksums = compare(opened(place.run), CELL, at_most=at_most)
        assert (checksums.differing, checksums.absent, checksums.not_compared) == (
            differing,
            ("b.pod5",),
            left,
        )
    (place.cell / "pod5/a.pod5").unlink()
    (place.cell / "pod5/a.pod5").symlink_to("/etc/passwd")
    assert compare(opened(place.run), CELL).absent == ("b.pod5", "pod5/a.pod5")
    (place.cell / "output_hash_x.csv").unlink()
    assert not compare(opened(place.run), CELL)


def test_files_that_were_read_before_are_not_read_again(place: Place) -> None:
    """A known SHA-256 counts for the file as it was read; other files count for the limit alone.

    After a change of its hints, or without a known SHA-256, the file is read.
    """
    name, other = "fastq_pass/barcode01/ä.fastq", "pod5/a.pod5"
    rows = "".join(f"{'1' * 64},{each}\n" for each in (name, other))
    place.write("output_hash_x.csv", f"file_hash,file_path\n{rows}".encode())
    known = replace(look(place.cell / name, name), sha256="1" * 64)  # no reading finds this
    size = (place.cell / other).stat().st_size
    for one, at_most, agreeing, differing in (
        (known, size, 1, (other,)),
        (known, size - 1, 1, ()),
        (replace(known, sha256=""), None, 0, (name, other)),
        (replace(known, ctime_ns=known.ctime_ns + 1), None, 0, (name, other)),
        (replace(known, mtime_ns=known.mtime_ns + 1), None, 0, (name, other)),
        (replace(known, size=known.size + 1), None, 0, (name, other)),
        (replace(known, name="not_there.fastq"), None, 0, (name, other)),
    ):
        checksums = compare(opened(place.run), CELL, already_read=[one], at_most=at_most)
        assert (checksums.agreeing, checksums.differing) == (agreeing, differing)
        assert checksums.not_compared == 2 - agreeing - len(differing)


def test_an_output_hash_that_cannot_be_used(place: Place) -> None:
    """A file that is not a table proves nothing, and its rejection is reported."""
    place.write("output_hash_x.csv", b'"' + b"x" * 200_000)
    checksums = compare(opened(place.run), CELL)
    assert "output_hash_x.csv cannot be read" in checksums.sentence
    assert (checksums.wrong, checksums.finding("2026-11-22T10:00:00Z").record()) == ("", {})


def test_results(place: Place) -> None:
    """Results are the files in manifest.json, itself and raw.json.

    Sources are the FASTQ files whose reads the results contain.
    """
    manifest = {
        "files": [{"name": "a", "bytes": 1, "md5": "0" * 32}],
        "sources": [{"name": "fastq_pass/x.fastq"}],
    }
    text = json.dumps(manifest).encode()
    assert result_facts(place.output) == {}
    (place.output / "manifest.json").write_bytes(text)
    assert set(result_facts(place.output)) == {"a", "manifest.json"}
    publish_raw(place.output, place.take(), lambda: None)
    facts = result_facts(place.output)
    assert set(facts) == {"a", "manifest.json", "raw.json"}
    assert (facts["manifest.json"].size, facts["manifest.json"].md5) == (len(text), md5(text))
    assert sources_of(place.output) == {"fastq_pass/x.fastq"}
    (place.output / "manifest.json").write_bytes(text[:-3])
    with pytest.raises(PermanentError, match=r"manifest\.json is damaged"):
        result_facts(place.output)
