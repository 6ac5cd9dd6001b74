"""The one command of rsync, in each direction between this host and an endpoint."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from hesiod_watch.config import BackupPlaceSettings, EndpointSettings, UpstreamSettings
from hesiod_watch.remote.endpoint import Endpoint
from hesiod_watch.remote.rsync import copy_command
from hesiod_watch.rules.rsync_template import FORBIDDEN

MOUNTED = UpstreamSettings("x", "/data")
FAR = UpstreamSettings("x", "prom@[::1]:/data", bandwidth_limit="5M", timeout=7.5)
BACKUP = BackupPlaceSettings("second", "host:/backup")


def command(
    settings: EndpointSettings, source: str, destination: str, *, pushed: bool = False
) -> tuple[str, ...]:
    """The command for two sides; an absolute path is one of the endpoint."""
    endpoint = Endpoint(settings, Path("/run/socket"))
    sides = [
        endpoint.rsync_path(side) if side.startswith("/") and not pushed else side
        for side in (source, destination)
    ]
    return copy_command(
        endpoint, *sides, nice=3, options=("--links",), always=("--ignore-times",), pushed=pushed
    )


@pytest.mark.parametrize(
    ("settings", "source", "destination", "paths", "over_ssh"),
    [
        pytest.param(MOUNTED, "/data/a [b]*", "./", ("/data/a [b]*/", "./"), False, id="mount"),
        pytest.param(
            FAR, "/data/a [b]*", "./", (r"prom@[::1]:/data/a \[b\]\*/", "./"), True, id="pull"
        ),
        pytest.param(
            BACKUP, "./", "/backup/r?/x", ("./", r"host:/backup/r\?/x/"), True, id="to a backup"
        ),
    ],
)
def test_here(
    settings: EndpointSettings,
    source: str,
    destination: str,
    paths: tuple[str, str],
    over_ssh: bool,
) -> None:
    """rsync on this host names a remote directory with its host, and escapes patterns only there;
    it never gets an option that corrupts files.
    """
    words = command(settings, source, destination)
    assert words[:4] == ("nice", "-n", "3", "rsync")
    assert paths == tuple(word for word in words[4:] if not word.startswith("-"))
    assert any(word.startswith("--rsh=ssh ") for word in words) == over_ssh
    assert {"--from0", "--files-from=-", "--no-recursive", "--secluded-args"} <= set(words)
    assert words[-1] == "--ignore-times"
    assert not (FORBIDDEN.keys() - {"--files-from"}) & {word.partition("=")[0] for word in words}


def test_pushed() -> None:
    """A push is one ssh command whose rsync copies between two paths of the sequencer."""
    words = command(FAR, "/data/a [b]*/", "/mnt/runs/x/", pushed=True)
    assert (words[0], words[-3:-1]) == ("ssh", ("--", "prom@::1"))
    there = shlex.split(words[-1])
    assert there[:4] == ["nice", "-n", "3", "rsync"]
    assert [word for word in there[4:] if not word.startswith("-")] == [
        "/data/a [b]*/",
        "/mnt/runs/x/",
    ]
    assert {"--timeout=8", "--bwlimit=5M"} <= set(there)
    assert not any(word.startswith("--rsh") for word in there)
