"""Command of rsync for some files of a cell: pulled, pushed, or copied from a mount.

Files are never selected by patterns. They are named one by one on standard input, separated by NUL,
so no name can be read as a pattern, an option or another file. A file appears under its name only
when it is complete: rsync writes a temporary file and renames it. An interrupted file is kept in
PARTIAL and continued by the next attempt.

Left out on purpose: `-p`, `-o`, `-g` (this host decides who owns a file), devices and FIFOs (never
data), and `--append`, `--size-only` and similar options (they corrupt data with exit code 0, see
`rules.rsync_template`).
"""

from __future__ import annotations

import math
import re
from pathlib import Path

from hesiod_watch.config import UpstreamSettings
from hesiod_watch.core.inventory import PARTIAL
from hesiod_watch.core.location import Location
from hesiod_watch.core.text import number_of
from hesiod_watch.remote import ssh
from hesiod_watch.rules.rsync_template import expand

# For every template: copy exactly the named files, and print progress that this program can parse.
# They come last, because rsync uses the last value of an option.
_ALWAYS = (
    *(
        "--no-recursive",
        "--dirs",
        "--relative",
        "--from0",
        "--files-from=-",
        "--ignore-missing-args",
    ),
    *("--info=progress2", "--no-human-readable", "--outbuf=L"),
)
_PATTERN = re.compile(r"([*?\[\]\\])")


def options(upstream: UpstreamSettings, rsh: str) -> tuple[str, ...]:
    """Value of `{options}`; `rsh` is rsync's remote shell, "" if both sides are on this host."""
    return (
        *("--times", "--links", "--safe-links", "--secluded-args"),
        # Between two mounts rsync would otherwise restart an interrupted file from its beginning.
        *("--no-whole-file", f"--partial-dir={PARTIAL}"),
        f"--timeout={math.ceil(upstream.timeout)}",
        *((f"--bwlimit={upstream.bandwidth_limit}",) if upstream.bandwidth_limit else ()),
        *((f"--rsh={rsh}",) if rsh else ()),
    )


def transfer(
    upstream: UpstreamSettings,
    run: Location,
    relative: Path,
    *,
    control: Path | None,
    nice: int,
    ignore_times: bool = False,
) -> tuple[str, ...]:
    """Command that copies the files named on its standard input, relative to the run.

    `run` is the run's location upstream, `relative` its directory in the landing area. Pulling and
    copying work in the current directory, which must be the run's directory on this host: so no
    path is used that another process could change meanwhile. With `ignore_times`, files are
    compared by content also if size and time agree.
    """
    pushing = upstream.mode == "push"
    pulling = run.over_ssh and not pushing
    # The remote side expands patterns in the one path that it gets as an argument.
    escaped = _PATTERN.sub(r"\\\1", run.path)
    values = {
        "source": f"{run.rsync_host}:{escaped}/" if pulling else f"{run.path}/",
        "destination": f"{upstream.landing_there.rstrip('/')}/{relative}/" if pushing else "./",
    }
    command = expand(
        upstream.rsync, options(upstream, ssh.rsh(upstream, control) if pulling else ""), values
    )
    always = (*_ALWAYS, *(("--ignore-times",) if ignore_times else ()))
    nicely = ("nice", "-n", str(nice), *command, *always)
    return ssh.remote(upstream, nicely, control) if pushing else nicely


class RsyncProgress:
    """Parser of rsync's progress output: `bytes` and `files` copied so far."""

    _LINE = re.compile(rb"\s*([0-9]+) +[0-9]+% .*?(?:\(xfr#([0-9]+), .*)?")

    def __init__(self) -> None:
        self.bytes = 0
        self.files = 0
        self._rest = b""

    def __str__(self) -> str:
        return f"{number_of(self.files, 'file')}, {number_of(self.bytes, 'byte')}"

    def feed(self, data: bytes) -> bool:
        """Parse a piece of output; whether the progress changed."""
        *lines, self._rest = re.split(rb"[\r\n]", self._rest[-4096:] + data)
        before = (self.bytes, self.files)
        for line in lines:
            if found := self._LINE.fullmatch(line):
                self.bytes = int(found[1])
                self.files = int(found[2] or self.files)
        return (self.bytes, self.files) != before
