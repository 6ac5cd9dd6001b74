"""Search for the configuration file, and the message for an unreadable one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hesiod_watch.config import load
from hesiod_watch.core.errors import ConfigError

MINIMAL = "landing: /data/runs\noutput: /data/results\n"


def write(path: Path, landing: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"landing: {landing}\noutput: /elsewhere\n")
    return path


@pytest.mark.parametrize("given_at", ["option", "variable", "here", "system"])
def test_where_it_is_found(tmp_path: Path, given_at: str) -> None:
    """The option wins over the variable, then the working directory, then the system's file."""
    places = ["option", "variable", "here", "system"]
    paths = {
        "option": tmp_path / "option.yaml",
        "variable": tmp_path / "variable.yaml",
        "here": tmp_path / "cwd" / "hesiod-watch.yaml",
        "system": tmp_path / "etc" / "hesiod-watch.yaml",
    }
    (tmp_path / "cwd").mkdir()
    for place in places[places.index(given_at) :]:
        write(paths[place], f"/{place}")
    config = load(
        paths["option"] if given_at == "option" else None,
        environ={
            "HESIOD_WATCH_CONFIG": str(paths["variable"])
            if given_at in ("option", "variable")
            else ""
        },
        cwd=tmp_path / "cwd",
        system=paths["system"],
    )
    assert (config.landing, config.path) == (Path(f"/{given_at}"), paths[given_at])


def test_relative_option(tmp_path: Path) -> None:
    """`--config` and the variable may be relative; the path in the configuration is absolute."""
    path = write(tmp_path / "a.yaml", "runs")
    by_option = load(Path("a.yaml"), environ={}, cwd=tmp_path)
    by_variable = load(None, environ={"HESIOD_WATCH_CONFIG": "a.yaml"}, cwd=tmp_path)
    assert by_option == by_variable
    assert (by_option.path, by_option.landing) == (path, tmp_path / "runs")


def test_none_found(tmp_path: Path) -> None:
    """Without any configuration the message lists the searched places and the first command."""
    with pytest.raises(ConfigError) as caught:
        load(None, environ={}, cwd=tmp_path, system=tmp_path / "etc" / "hesiod-watch.yaml")
    text = str(caught.value)
    assert "--config, $HESIOD_WATCH_CONFIG" in text
    assert f"{tmp_path}/hesiod-watch.yaml, {tmp_path}/etc/hesiod-watch.yaml" in text
    assert "hesiod-watch init" in text
    assert "hesiod-watch config sample" in text


OBSTACLES = ["missing", "directory", "fifo", "device", "huge", "latin-1", "dangling", "nul"]
FOUND_BY = ["option", "variable", "here"]
UNREADABLE = [
    (by, obstacle)
    for by in FOUND_BY
    for obstacle in OBSTACLES
    if (by, obstacle) != ("here", "missing")
]


@pytest.mark.parametrize(("by", "obstacle"), UNREADABLE)
def test_unreadable_file(tmp_path: Path, by: str, obstacle: str) -> None:
    """A file that is named, or found first, and is unreadable is an error with its name."""
    path, system = tmp_path / "hesiod-watch.yaml", write(tmp_path / "etc" / "x.yaml", "/system")
    match obstacle:
        case "directory":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "huge":
            path.write_bytes(b"# " + b"x" * 2_000_000)
        case "latin-1":
            path.write_bytes(MINIMAL.encode() + b"reports: {title: \xe9}\n")
        case "dangling":
            path.symlink_to("nowhere")
        case "nul":
            path.write_bytes(MINIMAL.encode() + b"\x00")
    environ = {"HESIOD_WATCH_CONFIG": str(path)} if by == "variable" else {}
    with pytest.raises(ConfigError) as caught:
        load(path if by == "option" else None, environ=environ, cwd=tmp_path, system=system)
    (problem,) = caught.value.problems
    assert problem.startswith(str(path))
    if obstacle == "latin-1":
        assert problem == f"{path}:3: not UTF-8"


def test_byte_order_mark(tmp_path: Path) -> None:
    """A file with a byte order mark, as some editors write it, is read."""
    path = tmp_path / "hesiod-watch.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + MINIMAL.replace("\n", "\r\n").encode())
    assert load(None, environ={}, cwd=tmp_path).landing == Path("/data/runs")
