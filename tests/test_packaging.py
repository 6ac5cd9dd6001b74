"""Files shipped with the code: sample, systemd units, scripts, licence, changelog, Makefile."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import hesiod_watch
from hesiod_watch.config import parse, sample
from hesiod_watch.config.loading import SYSTEM_FILE

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
SCRIPTS = sorted(
    [
        *(ROOT / "bin").iterdir(),
        *(path for path in (ROOT / ".ci").iterdir() if not path.suffix and path.name != "run"),
    ]
)
UNITS = sorted((ROOT / "contrib" / "systemd").iterdir())
UNIT = ROOT / "contrib" / "systemd" / "hesiod-watch.service"
POLL = ROOT / "contrib" / "systemd" / "hesiod-watch-poll.service"
OWN_PROC = {"ProtectKernelTunables", "ProtectControlGroups", "ProtectProc", "ProcSubset"}
MAIL = ROOT / "contrib" / "systemd" / "hesiod-watch-mail.service"
SERVICES = [POLL, UNIT]


def test_sample_in_contrib() -> None:
    """The sample in contrib/ is the output of `config sample`, and it loads."""
    shipped = ROOT / "contrib" / "hesiod-watch.yaml"
    assert shipped.read_text("utf-8") == sample()
    assert parse(shipped.read_text("utf-8"), shipped).landing.is_absolute()


def test_data_files_are_packaged() -> None:
    """Every file beside the code is installed with it, or compiled."""
    package = ROOT / "hesiod_watch"
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["hesiod_watch"]
    modules = PROJECT["tool"]["setuptools"]["ext-modules"]
    compiled = [ROOT / source for module in modules for source in module["sources"]]
    files = [
        file.relative_to(package)
        for file in package.rglob("*")
        if file.is_file() and file not in compiled
    ]
    data = [file for file in files if file.suffix not in (".py", ".pyc", ".so")]
    assert data
    assert [file for file in data if not any(file.match(pattern) for pattern in patterns)] == []


def test_scripts_are_installed() -> None:
    """Exactly the scripts in bin/ are installed."""
    listed = PROJECT["tool"]["setuptools"]["script-files"]
    assert sorted(listed) == sorted(f"bin/{path.name}" for path in (ROOT / "bin").iterdir())


def test_completions_and_manual_pages_are_installed() -> None:
    """Exactly the files of contrib/completion/ and contrib/man/ are installed."""
    places = PROJECT["tool"]["setuptools"]["data-files"]
    shipped = [
        str(file.relative_to(ROOT))
        for name in ("completion", "man")
        for file in (ROOT / "contrib" / name).iterdir()
    ]
    assert sorted(file for files in places.values() for file in files) == sorted(shipped)


@pytest.mark.system
@pytest.mark.parametrize("page", ["hesiod-watch.1", "hesiod-watch.yaml.5"])
def test_manual_page_is_shown(page: str) -> None:
    """`man` shows each page without a complaint, and wraps all but examples at 80 columns."""
    if shutil.which("man") is None or shutil.which("groff") is None:
        pytest.skip("man or groff is not installed")
    environ = {**os.environ, "MANWIDTH": "80", "LC_ALL": "C.UTF-8"}
    command = ["man", "--warnings", "-l", str(ROOT / "contrib" / "man" / page)]
    run = subprocess.run(command, capture_output=True, text=True, env=environ, check=True)
    assert run.stderr == ""
    assert "NAME" in run.stdout
    long = [line for line in run.stdout.splitlines() if len(line) > 80]
    assert [line for line in long if not line.startswith(" " * 11)] == []


@pytest.mark.parametrize("script", SCRIPTS, ids=[path.name for path in SCRIPTS])
@pytest.mark.parametrize("shell", ["sh", "bash", pytest.param("dash", marks=pytest.mark.system)])
def test_scripts_are_posix_sh(script: Path, shell: str) -> None:
    """The scripts are executable, and every installed shell can parse them."""
    assert os.access(script, os.X_OK)
    assert script.read_text("utf-8").startswith("#!/bin/sh\n")
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    assert subprocess.run([shell, "-n", script], capture_output=True, text=True).stderr == ""


def test_licence() -> None:
    """LICENSE contains the whole GPL, the licence that pyproject.toml names."""
    text = (ROOT / "LICENSE").read_text("utf-8")
    assert PROJECT["project"]["license"] == "GPL-3.0-or-later"
    assert "GNU GENERAL PUBLIC LICENSE" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_changelog_has_this_version() -> None:
    """The changelog has a section for the version of the program."""
    assert re.search(
        rf"^## {re.escape(hesiod_watch.__version__)}\b",
        (ROOT / "CHANGELOG.md").read_text("utf-8"),
        re.M,
    )


def test_make_help() -> None:
    """`make` without a target lists every target for people."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.M)
    run = subprocess.run(
        ["make", "-s", "-C", str(ROOT)], capture_output=True, text=True, check=True
    )
    assert re.findall(r"^make (\w+)", run.stdout, re.M) == [
        name for name in phony.split() if name not in ("help", "lint")
    ]


def test_packages_of_mutation_testing() -> None:
    """Each package that `make mutants` changes exists, and so does each file of its tests."""
    tests = runpy.run_path(str(ROOT / ".ci" / "mutants.py"))["TESTS"]
    assert tests
    for package, patterns in tests.items():
        assert (ROOT / "hesiod_watch" / package / "__init__.py").is_file()
        assert [pattern for pattern in patterns if not list(ROOT.glob(pattern))] == []


def test_ci_runs_the_make_targets() -> None:
    """CI runs exactly `make lint` and `make test`."""
    lines = (ROOT / ".ci" / "run").read_text("utf-8").splitlines()
    assert [line for line in lines if line.startswith("make ")] == ["make lint", "make test"]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


@pytest.mark.slow
@pytest.mark.system
def test_wheel_and_sdist(tmp_path: Path) -> None:
    """`python -m build` makes an sdist, and from it a wheel with all parts of the program."""
    tree = tmp_path / "tree"
    ignored = shutil.ignore_patterns(".*", "build", "*.egg-info", "_coder*", "__pycache__")
    shutil.copytree(ROOT, tree, symlinks=True, ignore=ignored)
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", tmp_path / "dist", tree],
        capture_output=True,
        check=True,
        timeout=100,
    )
    (sdist,) = (tmp_path / "dist").glob("*.tar.gz")
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with tarfile.open(sdist) as packed:
        assert any(name.endswith("/hesiod_watch/fastq/scan.c") for name in packed.getnames())
    with zipfile.ZipFile(wheel) as packed_wheel:
        names = set(packed_wheel.namelist())
    package = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "hesiod_watch").rglob("*")
        if path.is_file() and path.suffix not in (".pyc", ".so", ".c")
    }
    assert package <= names
    data = {name.partition(".data/")[2] for name in names}
    assert {f"scripts/{path.name}" for path in (ROOT / "bin").iterdir()} <= data
    for place, files in PROJECT["tool"]["setuptools"]["data-files"].items():
        assert {f"data/{place}/{file.rpartition('/')[2]}" for file in files} <= data
    if list((ROOT / "hesiod_watch" / "fastq").glob("_coder*.so")):
        assert any(name.startswith("hesiod_watch/fastq/_coder") for name in names)


def installation(page: str) -> list[str]:
    """Command lines of the installation that a page describes."""
    text = (ROOT / page).read_text("utf-8").partition("\n## Install\n")[2]
    (block, *_) = re.findall(r"(?:^ {4}.*\n)+", text, re.M)
    return [line.strip() for line in block.splitlines()]


def test_installation_fits_the_units() -> None:
    """README.md and docs/operations.md install the user, paths and units that the units name.

    `.ci/try-install` runs these lines in a fresh Debian under its systemd.
    """
    lines = installation("README.md")
    assert lines == installation("docs/operations.md")
    assert len(lines) == 10
    words = {line.split()[0]: line.split() for line in lines}
    virtual, user = words["python3"][-1], words["useradd"][-1]
    assert words["ln"][2:] == [f"{virtual}/bin/hesiod-*", "/usr/local/bin/"]
    assert f"cp -rsf {virtual}/share /usr/local/" in lines
    for unit in SERVICES:
        text = unit.read_text("utf-8")
        assert f"\nUser={user}\n" in text
        assert f"\nExecStart={virtual}/bin/hesiod-watch --config {SYSTEM_FILE} " in text
    cron = (ROOT / "contrib" / "cron" / "hesiod-watch").read_text("utf-8").splitlines()[-1]
    assert cron.split()[5] == user
    made = words["install"][-2:]
    assert words["hesiod-watch"][1:] == ["init", "--landing", made[0], "--output", made[1]]
    sample_of = parse(sample(), None)
    assert [str(sample_of.landing), str(sample_of.output)] == made
    assert "cp contrib/systemd/hesiod-watch* /etc/systemd/system/" in lines
    assert {*words["systemctl"][3:]} <= {unit.name for unit in UNITS}


@pytest.mark.system
@pytest.mark.parametrize("name", [path.name for path in UNITS])
def test_systemd_unit(tmp_path: Path, name: str) -> None:
    """systemd reports no problem of the units."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    for unit in UNITS:
        # systemd also checks that the program exists, and the tests have none in /opt.
        text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit.read_text("utf-8"), flags=re.M)
        (tmp_path / unit.name).write_text(text)
    run = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / name], capture_output=True, text=True
    )
    complaints = [line for line in run.stderr.splitlines() if "hesiod-watch" in line]
    assert (run.returncode, complaints) == (0, [])


@pytest.mark.parametrize(
    "setting",
    [
        "Type=notify",
        "KillMode=process",
        "OOMPolicy=continue",
        "Restart=on-failure",
        "RestartPreventExitStatus=2",
        "UMask=0007",
    ],
)
def test_unit_lets_workers_live(setting: str) -> None:
    """A restart of the service does not end its workers.

    A mistake in the configuration is not retried.
    """
    assert setting in UNIT.read_text("utf-8").splitlines()


@pytest.mark.parametrize("unit", [UNIT, POLL], ids=lambda unit: unit.name)
def test_units_see_the_same_proc(unit: Path) -> None:
    """No unit has a /proc of its own, in which a container's boot id is another one."""
    set_here = {line.partition("=")[0] for line in unit.read_text("utf-8").splitlines()}
    assert not set_here & OWN_PROC


@pytest.mark.parametrize(
    "setting", ["Type=oneshot", "KillMode=process", "TimeoutStartSec=infinity"]
)
def test_poll_may_run_long(setting: str) -> None:
    """A poll may run as long as its work, and its workers continue after it is stopped."""
    assert setting in POLL.read_text("utf-8").splitlines()


def test_poll_is_started_every_five_minutes() -> None:
    """The timer starts the poll unit every five minutes; cron runs the same command."""
    timer, cron = POLL.with_suffix(".timer"), ROOT / "contrib" / "cron" / "hesiod-watch"
    assert "OnCalendar=*:0/5" in timer.read_text("utf-8").splitlines()
    (command,) = re.findall(r"^ExecStart=(.*)$", POLL.read_text("utf-8"), re.M)
    assert cron.read_text("utf-8").splitlines()[-1].endswith(f"  umask 007 && {command}")


@pytest.mark.parametrize(
    ("journal", "mailed"),
    [
        ("hesiod-watch: a & b\n", "hesiod-watch: a & b\n"),
        ("Finished a poll.\nhesiod-watch: 1 % \\n\nhesiod-watch: 2\n", None),
        ("Finished a poll.\n", ""),
    ],
    ids=["a line", "two lines and a note of systemd", "nothing new"],
)
def test_mail_of_a_poll(tmp_path: Path, journal: str, mailed: str | None) -> None:
    """The unit after each poll mails the lines of that poll, and nothing if there is none."""
    for line in ("OnFailure=hesiod-watch-mail.service", "OnSuccess=hesiod-watch-mail.service"):
        assert line in POLL.read_text("utf-8").splitlines()
    (command,) = re.findall(r"^ExecStart=/bin/sh -c '(.*)'$", MAIL.read_text("utf-8"), re.M)
    (tmp_path / "journal").write_text(journal)
    for name, text in {
        "journalctl": f"printf '%s' \"$*\" >{tmp_path}/asked; cat {tmp_path}/journal",
        "mail": f"cat >{tmp_path}/sent",
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "MONITOR_INVOCATION_ID": "abc"}
    shell = command.replace("$$", "$").replace("%%", "%")
    subprocess.run(["/bin/sh", "-c", shell], env=environ, check=True)
    assert "_SYSTEMD_INVOCATION_ID=abc" in (tmp_path / "asked").read_text()
    sent = tmp_path / "sent"
    assert (sent.read_text() if sent.exists() else "") == (
        journal.partition("\n")[2] if mailed is None else mailed
    )


@pytest.mark.parametrize("unit", SERVICES, ids=[path.stem for path in SERVICES])
@pytest.mark.parametrize("setting", ["PrivateTmp", "ProtectProc", "PrivatePIDs", "ReadWritePaths"])
def test_units_do_not_hide_what_workers_share(setting: str, unit: Path) -> None:
    """The units do not hide locks in /tmp, processes of others, or a mount that returns."""
    assert not re.search(rf"^{setting}=", unit.read_text("utf-8"), re.M)


def test_units_have_equal_restrictions() -> None:
    """The service and the poll have equal restrictions on the rest of the host."""
    limits = [
        {
            line
            for line in unit.read_text("utf-8").splitlines()
            if re.match(
                r"(UMask|Protect|Private|NoNew|RestrictA|RestrictN|RestrictR|RestrictSUID|Cap|Lock|System)",
                line,
            )
        }
        for unit in (UNIT, POLL)
    ]
    assert limits[0] == limits[1]
    assert limits[0]
