"""The command of rsync for some files of a cell: pulled, pushed, or copied from a mount.

Which files is never a matter of patterns: they are named one by one on standard input, separated by
NUL, so no name can be read as a pattern, an option or another file. What is copied appears under
its name only when it is whole: rsync writes beside it and renames. What it has of a file when it is
interrupted waits in PARTIAL for the next time.

Left out on purpose: `-p`, `-o`, `-g` (who owns a file here is a matter of here), devices and FIFOs
(never data), `--append`, `--size-only` and their like (they corrupt with exit code 0, see
`templates`).
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

# Whatever a template says: exactly the files that are named, and progress that can be read. At the
# end, where an option wins over the same one before it.
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
    """What `{options}` stands for; `rsh` is how rsync reaches the other side, "" where both are
    here.
    """
    return (
        *("--times", "--links", "--safe-links", "--secluded-args"),
        # Between two mounts rsync would begin a file again from its start.
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
    """The command that copies the files named on its standard input, relative to the run.

    `run` is the run's place upstream, `relative` its directory in the landing area. Pulling and
    copying work in the current directory, which must be the run's here: no path leads there that
    could be changed meanwhile. With `ignore_times` files are compared by content also where size
    and time agree.
    """
    pushing = upstream.mode == "push"
    pulling = run.over_ssh and not pushing
    escaped = _PATTERN.sub(
        r"\\\1", run.path
    )  # of the one name that it is given the other side expands patterns
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
    """Reads rsync's progress as it comes: `bytes` and `files` copied so far."""

    _LINE = re.compile(rb"\s*([0-9]+) +[0-9]+% .*?(?:\(xfr#([0-9]+), .*)?")

    def __init__(self) -> None:
        self.bytes = 0
        self.files = 0
        self._rest = b""

    def __str__(self) -> str:
        return f"{number_of(self.files, 'file')}, {number_of(self.bytes, 'byte')}"

    def feed(self, data: bytes) -> bool:
        """Take a piece of output; whether there is anything new."""
        *lines, self._rest = re.split(rb"[\r\n]", self._rest[-4096:] + data)
        before = (self.bytes, self.files)
        for line in lines:
            if found := self._LINE.fullmatch(line):
                self.bytes = int(found[1])
                self.files = int(found[2] or self.files)
        return (self.bytes, self.files) != before
