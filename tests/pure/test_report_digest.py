"""Digest in the first kilobyte of a run's page, and other files in place of the page."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from qc_documents import run_document

from hesiod_watch.report.run import render_run
from hesiod_watch.runs.report_digest import HEAD, read_report_digest


@pytest.mark.parametrize("digest", ["0123456789abcdef", "a" * 64])
def test_round_trip(tmp_path: Path, digest: str) -> None:
    """The digest of a page is read back from it, even if the run's name is long and hostile."""
    page = tmp_path / "report.html"
    page.write_text(render_run(run_document(covers=digest, run="<meta " * 200)), encoding="utf-8")
    assert read_report_digest(page) == digest


@pytest.mark.parametrize(
    "digest", ["", "xyz", "0123456", "0123456789ABCDEF", '0123456789abcdef"><b>']
)
def test_refused(digest: str) -> None:
    """No page is made with a digest that could not be read back."""
    with pytest.raises(ValueError, match="hex digest"):
        render_run(run_document(covers=digest))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 5000,
        b"\0" * 5000,
        b"<!doctype html><html>",
        b'<meta name="hesiod-watch:covers" content="">',
        b'<meta name="hesiod-watch:covers" content="0123456789abcdef',
        b'<meta name="hesiod-watch:covers" content="<script>">',
        b" " * HEAD + b'<meta name="hesiod-watch:covers" content="0123456789abcdef">',
    ],
    ids=["empty", "no text", "zeros", "other page", "no digest", "cut off", "hostile", "too late"],
)
def test_invalid_files_have_no_digest(tmp_path: Path, content: bytes) -> None:
    """A file that is not our page has no digest."""
    page = tmp_path / "report.html"
    page.write_bytes(content)
    assert read_report_digest(page) is None


def test_missing_file(tmp_path: Path) -> None:
    """A missing page, a directory, or an invalid path has no digest and raises no error.

    Invalid paths contain a NUL or lead through a file.
    """
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").touch()
    for path in ("absent", "directory", "nul\0", "file/below", "x" * 5000, "bad\ud800"):
        assert read_report_digest(tmp_path / path) is None


def test_links_are_not_followed(tmp_path: Path) -> None:
    """A symlink to a good page is not a page: its target may change."""
    good = tmp_path / "good.html"
    good.write_text(render_run(run_document()), encoding="utf-8")
    link = tmp_path / "report.html"
    link.symlink_to(good)
    assert read_report_digest(good) == "0123456789abcdef"
    assert read_report_digest(link) is None


def test_special_files_are_not_opened(tmp_path: Path) -> None:
    """A FIFO or a socket in place of the page neither blocks nor raises."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    assert read_report_digest(fifo) is None
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        assert read_report_digest(tmp_path / "socket") is None


def test_reading_loads_no_template_engine() -> None:
    """Reading a digest loads no template engine, because every pass reads one."""
    code = (
        "import sys, hesiod_watch.runs.report_digest;"
        " print('jinja2' in sys.modules or 'markupsafe' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stdout.strip() == "False"
