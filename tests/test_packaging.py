"""What is shipped around the code: the sample, the units, the scripts, the licence, the two commands of the README."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

import hesiod_watch
from hesiod_watch.config import parse, sample

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
SCRIPTS = sorted([*(ROOT / "bin").iterdir(), *(path for path in (ROOT / ".ci").iterdir() if path.name != "run")])
UNIT = ROOT / "contrib" / "systemd" / "hesiod-watch.service"


def test_sample_in_contrib() -> None:
    """The sample in contrib/ is the one that `config sample` prints, and it loads."""
    shipped = ROOT / "contrib" / "hesiod-watch.yaml"
    assert shipped.read_text("utf-8") == sample()
    assert parse(shipped.read_text("utf-8"), shipped).landing.is_absolute()


def test_data_files_are_packaged() -> None:
    """Whatever lies beside the code is installed with it."""
    package = ROOT / "hesiod_watch"
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["hesiod_watch"]
    files = [file.relative_to(package) for file in package.rglob("*") if file.is_file()]
    data = [file for file in files if file.suffix not in (".py", ".pyc")]
    assert data
    assert [file for file in data if not any(file.match(pattern) for pattern in patterns)] == []


def test_scripts_are_installed() -> None:
    """Every script in bin/ is installed, and none that is not there."""
    listed = PROJECT["tool"]["setuptools"]["script-files"]
    assert sorted(listed) == sorted(f"bin/{path.name}" for path in (ROOT / "bin").iterdir())


@pytest.mark.parametrize("script", SCRIPTS, ids=[path.name for path in SCRIPTS])
@pytest.mark.parametrize("shell", ["sh", "bash", pytest.param("dash", marks=pytest.mark.system)])
def test_scripts_are_posix_sh(script: Path, shell: str) -> None:
    """The scripts are executable and every shell at hand can read them."""
    assert os.access(script, os.X_OK)
    assert script.read_text("utf-8").startswith("#!/bin/sh\n")
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    assert subprocess.run([shell, "-n", script], capture_output=True, text=True).stderr == ""


def test_licence() -> None:
    """The whole text of the GPL is there, as pyproject.toml says."""
    text = (ROOT / "LICENSE").read_text("utf-8")
    assert PROJECT["project"]["license"] == "GPL-3.0-or-later"
    assert "GNU GENERAL PUBLIC LICENSE" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_changelog_has_this_version() -> None:
    """The version that the program says it is has a section in the changelog."""
    assert re.search(rf"^## {re.escape(hesiod_watch.__version__)}\b", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)


def test_make_help() -> None:
    """`make` alone names every target that a person may call."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.M)
    run = subprocess.run(["make", "-s", "-C", str(ROOT)], capture_output=True, text=True, check=True)
    assert re.findall(r"^make (\w+)", run.stdout, re.M) == [
        name for name in phony.split() if name not in ("help", "lint")
    ]


def test_ci_runs_what_people_run() -> None:
    """CI runs `make test` and nothing that the Makefile does not have."""
    lines = (ROOT / ".ci" / "run").read_text("utf-8").splitlines()
    assert [line for line in lines if line.startswith("make ")] == ["make lint", "make test"]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


@pytest.mark.system
def test_systemd_unit(tmp_path: Path) -> None:
    """systemd finds nothing to complain about in the unit."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / UNIT.name
    # The program is not installed in /opt where the tests run, and that it is executable is checked too.
    unit.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text("utf-8"), flags=re.M))
    run = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True)
    complaints = [line for line in run.stderr.splitlines() if UNIT.name in line]
    assert (run.returncode, complaints) == (0, [])


@pytest.mark.parametrize(
    "setting",
    ["Type=notify", "KillMode=process", "OOMPolicy=continue", "Restart=on-failure", "RestartPreventExitStatus=2"],
)
def test_unit_lets_workers_live(setting: str) -> None:
    """A restart of the service does not end its workers, and a mistake in the configuration is not retried."""
    assert setting in UNIT.read_text("utf-8").splitlines()


@pytest.mark.parametrize("setting", ["PrivateTmp", "ProtectProc", "PrivatePIDs", "ReadWritePaths"])
def test_unit_leaves_the_protocol_its_ground(setting: str) -> None:
    """Nothing in the unit hides the locks in /tmp, the processes of others, or a mount that comes back."""
    assert not re.search(rf"^{setting}=", UNIT.read_text("utf-8"), re.M)
