"""Find the configuration file, parse it, and check the relations between its keys.

The first that is given counts: `--config FILE`, `$HESIOD_WATCH_CONFIG`, `hesiod-watch.yaml` in the
working directory, `/etc/hesiod-watch.yaml`. The files are never merged. A file that is named and
cannot be read is an error, and no other file is tried: a service that silently uses other
directories is worse than none.
"""

from __future__ import annotations

import dataclasses
import errno
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import yaml

from hesiod_watch.config.notify import notify_problems
from hesiod_watch.config.on_done import on_done_problems
from hesiod_watch.config.reading import ReadContext, read_section, suggestion
from hesiod_watch.config.slurm import slurm_problems
from hesiod_watch.config.values import (
    BackupPlaceSettings,
    Config,
    EndpointSettings,
    UpstreamSettings,
)
from hesiod_watch.core.errors import ConfigError
from hesiod_watch.core.location import Location, parse_location
from hesiod_watch.core.model import LOCAL
from hesiod_watch.core.naming import display
from hesiod_watch.core.system_errors import NotRegularFile
from hesiod_watch.host.files import md5, read_head
from hesiod_watch.rules.rsync_template import template_problems

FILE_NAME = "hesiod-watch.yaml"
SYSTEM_FILE = Path("/etc") / FILE_NAME
VARIABLE = "HESIOD_WATCH_CONFIG"
LARGEST = 1_000_000  # bytes; a configuration has a few thousand


def load(
    explicit: Path | None, *, environ: Mapping[str, str], cwd: Path, system: Path = SYSTEM_FILE
) -> Config:
    """Load the configuration; raises ConfigError with all mistakes in it.

    `explicit` is the argument of `--config`. Relative names are relative to `cwd`.
    """
    return parse_file(find(explicit, environ=environ, cwd=cwd, system=system))


def find(
    explicit: Path | None, *, environ: Mapping[str, str], cwd: Path, system: Path = SYSTEM_FILE
) -> Path:
    """Absolute path of the configuration file; raises ConfigError if there is none.

    The file may be unreadable.
    """
    if explicit is not None:
        return cwd / explicit
    if named := environ.get(VARIABLE):
        return cwd / named
    places = [cwd / FILE_NAME, system]
    for place in places:
        if os.path.lexists(place):
            return place
    looked = ", ".join(["--config", f"${VARIABLE}", *(display(str(place)) for place in places)])
    raise ConfigError(
        [
            f"no configuration found (looked at {looked}); begin with: hesiod-watch init; for all"
            f" keys: hesiod-watch config sample > {FILE_NAME}"
        ]
    )


def working_directory() -> Path:
    """The working directory; if it was removed, a name of it that works for absolute names only."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return Path("/proc/self/cwd")


def parse_file(path: Path) -> Config:
    """Parse the file at the absolute `path`; raises ConfigError."""
    shown = display(str(path))
    try:
        data = read_head(path, LARGEST + 1, follow=True)
    except NotRegularFile:
        raise ConfigError([f"{shown}: not a regular file"]) from None
    except OSError as error:
        hint = (
            f"; see hesiod-watch config sample > {FILE_NAME}" if error.errno == errno.ENOENT else ""
        )
        raise ConfigError([f"{shown}: cannot be read: {error.strerror}{hint}"]) from error
    if len(data) > LARGEST:
        raise ConfigError([f"{shown}: larger than {LARGEST} bytes: this is not a configuration"])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{shown}:{line}: not UTF-8"]) from None
    return parse(text, path)


def parse(text: str, path: Path | None) -> Config:
    """Parse `text`; raises ConfigError with all mistakes, each with its line and key.

    `path` is the absolute path of the file. Directories are relative to its directory.
    """
    reading = ReadContext(
        display(str(path)) if path else "configuration", path.parent if path else None
    )
    config = None
    try:
        # compose() returns the tree with line numbers and makes no objects, whatever tags are used.
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reading.problem(
            mark.line + 1 if mark else 1, "", f"not YAML: {display(error.problem or str(error))}"
        )
    except yaml.YAMLError as error:  # a character that YAML does not allow
        reading.problem(1, "", f"not YAML: {display(str(error).splitlines()[0])}")
    except RecursionError:
        reading.problem(1, "", "not a configuration: nested too deeply")
    else:
        if node is None:
            reading.problem(1, "", f"empty; begin with: hesiod-watch config sample > {FILE_NAME}")
        else:
            config = read_section(reading, Config, node, path=path, digest=_digest(text))
    if config is not None:
        check_directories(config, reading)
        check_intervals(config, reading)
        check_upstreams(config, reading)
        check_backups(config, reading)
        check_slurm(config, reading)
        check_notify(config, reading)
        check_qc(config, reading)
        check_on_done(config, reading)
    if reading.problems or config is None:
        raise ConfigError(
            [problem for _, problem in sorted(reading.problems, key=lambda problem: problem[0])]
        )
    return config


def _digest(text: str) -> str:
    lines = (line.strip() for line in text.splitlines())
    kept = "\n".join(line for line in lines if line and not line.startswith("#"))
    return md5(kept.encode("utf-8", "backslashreplace"))


def check_directories(config: Config, reading: ReadContext) -> None:
    """Report `landing` and `output` if they overlap.

    Results in the landing area would be treated as runs, and runs among the results would be
    overwritten.
    """
    landing, output = (Path(os.path.realpath(each)) for each in (config.landing, config.output))
    if landing == output:
        reading.problem(reading.lines["output"], "output", "the same directory as landing")
    elif landing in output.parents:
        reading.problem(reading.lines["output"], "output", "is inside landing")
    elif output in landing.parents:
        reading.problem(reading.lines["output"], "output", "landing is inside it")


def check_intervals(config: Config, reading: ReadContext) -> None:
    if config.watch.full_sweep_interval < config.watch.sweep_interval:
        key = "watch.full_sweep_interval"
        line = reading.lines.get(key) or reading.lines["watch.sweep_interval"]
        reading.problem(line, key, "shorter than watch.sweep_interval")


def check_qc(config: Config, reading: ReadContext) -> None:
    """Report limits for a type that does not exist: they would have no effect."""
    names = [each.name for each in config.types]
    for limits in config.qc:
        if limits.name not in names:
            key = f"qc.{limits.name}"
            text = f"there is no such type of run{suggestion(limits.name, names)}"
            reading.problem(reading.lines[key], key, text)


def check_upstreams(config: Config, reading: ReadContext) -> None:
    local = [upstream.name for upstream in config.upstreams if upstream.location == LOCAL]
    for upstream in config.upstreams:
        key = f"upstreams.{upstream.name}"
        for name, text in upstream_problems(upstream):
            reading.problem(
                reading.lines.get(f"{key}.{name}", reading.lines[key]), f"{key}.{name}", text
            )
        if upstream.location == LOCAL and upstream.name != local[0]:
            reading.problem(
                reading.lines[key],
                key,
                f"{local[0]} is {LOCAL} already, and there is only one landing area",
            )
    check_apart(config, reading)


def upstream_problems(upstream: UpstreamSettings) -> Iterator[tuple[str, str]]:
    """Mistakes in one upstream: the key, and a sentence."""
    if upstream.location == LOCAL:
        for each in dataclasses.fields(upstream):
            if (
                each.name not in ("name", "location", "take_up")
                and getattr(upstream, each.name) != each.default
            ):
                yield each.name, f"has no effect where the location is {LOCAL}"
        return
    problems = list(_endpoint_problems(upstream))
    yield from problems
    if any(name == "location" for name, _ in problems):
        return
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]*", upstream.instrument_name):
        yield (
            "instrument",
            "should be letters, digits, - and ., as it becomes a part of the names of runs",
        )
    place = upstream.place
    if upstream.mode == "push" and not place.over_ssh:
        yield (
            "mode",
            f"push needs a host that is reached over ssh; use pull for {upstream.location}",
        )
    elif upstream.mode == "push":
        try:
            if parse_location(upstream.landing_there).over_ssh or upstream.landing_there == LOCAL:
                raise ValueError("should be a directory, as the sequencer sees it")
        except ValueError as error:
            yield "landing_there", str(error)
    elif upstream.landing_there:
        yield "landing_there", "has no effect unless the mode is push"
    yield from (("rsync", problem) for problem in template_problems(upstream.rsync))


def check_apart(config: Config, reading: ReadContext) -> None:
    """Report an upstream that overlaps our directories, and two upstreams of one directory.

    Such runs would be copied in circles.
    """
    places: dict[tuple[str, str], str] = {}
    for upstream in config.upstreams:
        try:
            place = parse_location(upstream.location)
        except ValueError:
            continue  # reported already
        key = f"upstreams.{upstream.name}.location"
        first = places.setdefault((place.host, place.path), upstream.name)
        if first != upstream.name and not place.is_local:
            reading.problem(reading.lines[key], key, f"the same directory as that of {first}")
        if place.is_local or place.over_ssh:
            continue
        for name, ours in (("landing", config.landing), ("output", config.output)):
            one, other = Path(os.path.realpath(place.path)), Path(os.path.realpath(ours))
            if one == other or one in other.parents or other in one.parents:
                reading.problem(
                    reading.lines[key],
                    key,
                    f"{name} is the same directory, or one is inside the other",
                )


def check_backups(config: Config, reading: ReadContext) -> None:
    """Report a backup beside its source, or on the sequencer that is to be cleaned.

    Such a copy does not protect the data.
    """
    ours = [("landing", "", str(config.landing)), ("output", "", str(config.output))]
    for upstream in config.upstreams:
        with suppress(ValueError):
            place = parse_location(upstream.location)
            ours += (
                [(f"the upstream {upstream.name}", place.host, place.path)]
                if not place.is_local
                else []
            )
    for backup in config.backups:
        key = f"backups.{backup.name}"
        problems = list(backup_problems(backup))
        for name, text in problems:
            reading.problem(
                reading.lines.get(f"{key}.{name}", reading.lines[key]), f"{key}.{name}", text
            )
        if any(name == "location" for name, _ in problems):
            continue
        place = backup.place
        for name, host, path in ours:
            if host == place.host and overlap(place, path):
                text = f"{name} is the same directory, or one is inside the other"
                reading.problem(reading.lines[f"{key}.location"], f"{key}.location", text)
        ours.append((f"the backup {backup.name}", place.host, place.path))


def check_slurm(config: Config, reading: ReadContext) -> None:
    for name, text in slurm_problems(config.slurm):
        key = f"slurm.{name}"
        reading.problem(reading.lines[key], key, text)


def check_on_done(config: Config, reading: ReadContext) -> None:
    for name, text in on_done_problems(config.on_done):
        key = f"on_done.{name}"
        reading.problem(reading.lines[key], key, text)


def check_notify(config: Config, reading: ReadContext) -> None:
    for name, text in notify_problems(config.notify):
        key = f"notify.{name}"
        # A missing key is reported at the line where its section begins.
        around = [key.rsplit(".", number)[0] for number in range(key.count(".") + 1)]
        line = next((reading.lines[each] for each in around if each in reading.lines), 1)
        reading.problem(line, key, text)


def overlap(place: Location, path: str) -> bool:
    """Whether two directories of one host are the same, or one is inside the other."""
    one, other = (
        Path(each if place.over_ssh else os.path.realpath(each)) for each in (place.path, path)
    )
    return one == other or one in other.parents or other in one.parents


def backup_problems(backup: BackupPlaceSettings) -> Iterator[tuple[str, str]]:
    """Mistakes in one backup: the key, and a sentence."""
    if backup.location == LOCAL:
        yield "location", "should be a mounted directory or [user@]host:/directory"
        return
    yield from _endpoint_problems(backup)


def _endpoint_problems(endpoint: EndpointSettings) -> Iterator[tuple[str, str]]:
    try:
        parse_location(endpoint.location)
    except ValueError as error:
        yield "location", str(error)
    if endpoint.bandwidth_limit and not re.fullmatch(
        r"[1-9][0-9]{0,8}(\.[0-9]{1,3})?[KMG]?", endpoint.bandwidth_limit
    ):
        yield "bandwidth_limit", "should be such as 500K, 50M or 1.5G"


def sample() -> str:
    """Sample configuration with every key, its meaning and its default."""
    from importlib.resources import files  # many commands never need it

    return files("hesiod_watch.config").joinpath(FILE_NAME).read_text("utf-8")


def text_of(settings: Mapping[str, object]) -> str:
    """Text of a configuration, with a line for each key; a section is in braces."""

    def line(key: str, value: object) -> str:
        in_braces = None if isinstance(value, Mapping) else False
        text: str = yaml.safe_dump(
            {key: value}, default_flow_style=in_braces, width=LARGEST, allow_unicode=True
        )
        return text

    return "".join(line(key, value) for key, value in settings.items())
