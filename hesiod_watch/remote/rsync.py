"""rsync of named files: its one command, which pulls, pushes or copies, and its progress.

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
from collections.abc import Callable, Collection, Sequence

from hesiod_watch.core.errors import TemporaryError
from hesiod_watch.core.inventory import PARTIAL, SLOWEST_READING, names_given
from hesiod_watch.core.text import number_of
from hesiod_watch.host.runlog import RunLog
from hesiod_watch.remote.endpoint import Endpoint
from hesiod_watch.rules.exit_codes import error_of, judge
from hesiod_watch.rules.rsync_template import expand

# For every template: copy exactly the named files, and print progress that this program can parse.
# They come last, because rsync uses the last value of an option.
_ALWAYS = (
    *("--no-recursive", "--dirs", "--relative", "--from0", "--files-from=-"),
    *("--info=progress2", "--no-human-readable", "--outbuf=L"),
)


def copy_command(
    endpoint: Endpoint,
    source: str,
    destination: str,
    *,
    nice: int,
    options: Sequence[str],
    always: Sequence[str] = (),
    template: Sequence[str] = (),
    pushed: bool = False,
) -> tuple[str, ...]:
    """Command that copies the files named on its standard input, relative to `source`.

    One of the two sides is `./`, the directory in which the command works: so no path of this host
    is used that another process could change meanwhile. A `pushed` command works at the endpoint,
    and both its sides are paths there. `options` are added to those that `{options}` of the
    template stands for; `always` apply also to a template without them.
    """
    settings = endpoint.settings
    rsh = "" if pushed else endpoint.rsh
    ours = (
        *("--times", *options, "--secluded-args"),
        # Between two mounts rsync would otherwise restart an interrupted file from its beginning.
        *("--no-whole-file", f"--partial-dir={PARTIAL}"),
        f"--timeout={math.ceil(settings.timeout)}",
        *((f"--bwlimit={settings.bandwidth_limit}",) if settings.bandwidth_limit else ()),
        *((f"--rsh={rsh}",) if rsh else ()),
    )
    expanded = expand(template, ours, {"source": source, "destination": destination})
    command = ("nice", "-n", str(nice), *expanded, *_ALWAYS, *always)
    return endpoint.command(command) if pushed else command


def copy_files(
    endpoint: Endpoint,
    command: Sequence[str],
    names: Sequence[str],
    directory: int,
    *,
    largest: int,
    log: RunLog,
    label: str,
    on_progress: Callable[[int], None],
) -> None:
    """Run a command of `copy_command` for some files, in an open directory of this host.

    `largest` is the size of the largest file, in bytes. The lines of the log begin with `label`.
    `on_progress` gets the bytes that were copied. Code 0 of rsync does not prove equal files.
    Raises TemporaryError, PermanentError.
    """
    progress = RsyncProgress()

    def on_output(data: bytes) -> None:
        if progress.feed(data):
            on_progress(progress.bytes)

    log.command(command)
    ended = endpoint.runner(
        command,
        # rsync's own time limits are shorter. This one is for what they miss, such as a frozen
        # rsync that pushes.
        quiet=endpoint.silence + endpoint.settings.timeout + largest / SLOWEST_READING,
        given=names_given(names),
        directory=directory,
        on_output=on_output,
        stop=endpoint.stop,
    )
    for line in ended.errors.splitlines()[-50:]:
        log.line(f"  {line}")
    log.line(f"{label}: exit code {ended.code}: {progress}")
    if ended.why:
        raise TemporaryError(f"{endpoint.prefix}copying was ended: {ended.why}")
    judgement = judge(ended.code, ended.errors)
    if judgement.outcome != "done":
        raise error_of(
            judgement, f"{endpoint.prefix}copying: {judgement.why}{endpoint.advice(ended)}"
        )


def compare_and_repair(
    compare: Callable[[Collection[str] | None], dict[str, str]],
    repair: Callable[[dict[str, str]], Collection[str]],
) -> dict[str, str]:
    """Compare copied files by content, repair those that differ, and compare these again.

    `compare` returns the problem of each file by name, of all files or of those that it gets.
    `repair` gets the problems, copies files once more, and returns their names.
    """
    problems = compare(None)
    if problems and (repaired := repair(problems)):
        rest = {name: why for name, why in problems.items() if name not in repaired}
        problems = rest | compare(repaired)
    return problems


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
