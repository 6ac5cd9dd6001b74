"""The commands in the hands of a user: output, exit codes, and the record of decisions."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from sites import Site

from hesiod_watch.cli.simulator import SimulatedCell

pytestmark = pytest.mark.system

RUN = "20261122_TEST_alpha"
LIBRARY = "sample_A"
CELL = "20261122_2210_1A_PAW00001_0a1b2c3d"


def land(site: Site) -> SimulatedCell:
    simulated = SimulatedCell(
        site.landing, RUN, LIBRARY, CELL, files_per_barcode=2, reads_per_file=10
    )
    simulated.write()
    return simulated


def test_explain_follows_a_cell_through_its_life(site: Site) -> None:
    """At each step `explain` shows the state and the next step, with the same facts in JSON."""
    land(site)
    assert "is new" in site.run("explain", RUN).stdout
    assert "At the next look" in site.run("explain", RUN).stdout.replace("Next: at", "At")
    site.run("poll")
    output = site.run("explain", RUN, CELL).stdout
    assert f"{RUN} {LIBRARY}/{CELL} is processed" in output
    assert "hesiod-watch verify" in output
    document = json.loads(site.run("explain", RUN, CELL, "--json").stdout)
    assert {"subject", "state", "why", "evidence", "next", "you_can"} == set(document)
    assert document["state"] == "processed"


def test_plan_does_nothing(site: Site) -> None:
    """`plan` prints the planned work with its reasons, and changes nothing."""
    land(site)
    planned = json.loads(site.run("plan", "--json").stdout)
    assert [action["action"] for action in planned["runs"][0]["actions"]] == ["new-run"]
    assert f"new-run {RUN}: " in site.run("plan", RUN).stdout
    assert site.flags(RUN) == set()
    assert list(site.output.iterdir()) == []


def test_dry_run_is_the_same_plan_and_claims_nothing(site: Site) -> None:
    """The executor `dry-run` prints the actions of the same plan and claims nothing."""
    site.configure(processing="executor: dry-run")
    land(site)
    output = site.run("-v", "poll").stderr
    assert "would start" in output
    assert "new-run" in output
    assert site.flags(RUN) == set()


def test_inline_executor_works_in_the_deciding_process(site: Site) -> None:
    """With the executor `inline`, a poll does all work in its own process."""
    site.configure(processing="executor: inline")
    land(site)
    site.run("poll")
    assert site.stages() == {f"{RUN}/{LIBRARY}/{CELL}": "processed"}


def test_actions_by_hand_in_their_order(site: Site) -> None:
    """`perform` does one action of the plan at a time, and refuses any other action."""
    land(site)
    refused = site.run("perform", "process", RUN, CELL, check=1)
    assert "not to be processed now" in refused.stderr
    for action, *cell in (["new-run"], ["synced", CELL], ["process", CELL], ["report"]):
        site.run("perform", action, RUN, *cell)
    assert site.status()[RUN]["status"] == "complete"
    assert "there was nothing left to do" in site.run("perform", "new-run", RUN).stderr
    assert site.run("perform", "process", RUN, CELL, check=1)


def test_a_run_that_is_only_upstream_is_taken_up_by_hand(site: Site) -> None:
    """The logged `perform` command takes up a run that is still only upstream.

    Bad names are refused.
    """
    location = "prom@promethion:/data/alpha"
    site.run("perform", "--upstream", location, "new-run", str(site.landing / RUN))
    assert (site.landing / RUN / "pipeline" / "upstream").read_text().strip() == location
    assert (site.output / RUN / "rundata").resolve() == site.landing / RUN
    site.run("perform", "--upstream", location, "new-run", "20261123_TEST_beta")
    assert "upstream" in site.flags("20261123_TEST_beta")
    for name in ("bad;name", "../20261123_TEST_beta", "nowhere/20261123_TEST_beta"):
        site.run("perform", "--upstream", location, "new-run", name, check=2)
    assert {path.name for path in site.landing.iterdir()} == {RUN, "20261123_TEST_beta"}


def test_flags_table_and_its_script_agree(site: Site) -> None:
    """`hesiod-watch flags` and the script for hosts without Python show the same flags."""
    land(site)
    site.run("poll")
    document = json.loads(site.run("flags", RUN, "--json").stdout)
    names = {entry["flag"] for entry in document["flags"]}
    assert {f"{CELL}.started", f"{CELL}.done", f"{CELL}.synced", "upstream", "output"} <= names
    assert all(entry["meaning"] for entry in document["flags"])
    table = site.run("flags", RUN).stdout
    script = Path(__file__).parents[2] / "bin" / "hesiod-flags"
    printed = subprocess.run(
        [script, site.landing / RUN], capture_output=True, text=True, check=True
    ).stdout
    for name in names - {"upstream", "output"}:
        assert name in table
        assert name in printed


def test_abort_is_recorded_and_stops_the_cell(site: Site) -> None:
    """An aborted cell is not processed; the flag and the log name user and reason.

    A further abort is refused.
    """
    land(site)
    site.run("perform", "new-run", RUN)
    site.run("abort", RUN, CELL, "--why", "wrong sample")
    site.run("poll")
    assert site.stages() == {f"{RUN}/{LIBRARY}/{CELL}": "aborted"}
    record = json.loads((site.landing / RUN / "pipeline" / f"{CELL}.aborted").read_text())
    assert record["reason"] == "wrong sample"
    assert record["user"]
    assert "wrong sample" in (site.output / RUN / "pipeline.log").read_text()
    assert site.run("abort", RUN, CELL, "--why", "again", check=1).stderr


@pytest.mark.parametrize("command", [["strip", "--yes"], ["strip"]])
def test_raw_data_of_a_cell_without_results_are_kept(site: Site, command: list[str]) -> None:
    """A cell that is not processed is not deleted, and the command names the reasons."""
    land(site)
    site.run("perform", "new-run", RUN)
    done = site.run(*command, RUN, f"{LIBRARY}/{CELL}", check=1)
    assert "Traceback" not in done.stderr
    assert "it is not processed" in done.stdout + done.stderr


def test_release_frees_a_claim_of_an_unknown_owner(site: Site) -> None:
    """An empty `started` flag holds its cell until a user says that its owner is dead."""
    land(site)
    site.run("perform", "new-run", RUN)
    site.run("perform", "synced", RUN, CELL)
    (site.landing / RUN / "pipeline" / f"{CELL}.started").touch()
    site.run("poll")
    assert site.stages() == {f"{RUN}/{LIBRARY}/{CELL}": "processing"}
    assert "release" in site.run("retry", RUN, CELL, "--why", "x", check=1).stderr
    site.run("release", RUN, CELL, "--why", "that host was scrapped")
    site.run("poll")
    assert site.stages() == {f"{RUN}/{LIBRARY}/{CELL}": "processed"}
    (why,) = (site.landing / RUN / "pipeline" / "attic").glob("*/why")
    assert "scrapped" in why.read_text()
    assert site.run("release", RUN, CELL, "--why", "x", check=1).stderr


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_verify_names_the_file_that_is_wrong(site: Site, damage: str) -> None:
    """A flipped bit, a truncated file and a missing file are found and named."""
    land(site)
    site.run("poll")
    victim = sorted((site.output / RUN / LIBRARY / CELL).glob("*.fastq.gz"))[0]
    data = bytearray(victim.read_bytes())
    match damage:
        case "flip":
            data[len(data) // 2] ^= 1
            victim.write_bytes(data)
        case "cut":
            victim.write_bytes(data[:-10])
        case "remove":
            victim.unlink()
    assert victim.name in site.run("verify", RUN, check=1).stdout
    document = json.loads(site.run("verify", RUN, CELL, "--json", check=1).stdout)
    assert len(document["cells"][f"{LIBRARY}/{CELL}"]["problems"]) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "output"),
    [
        (["status", "no_such_run"], 2, "no run of this name"),
        (["explain", RUN, "no_such_cell"], 2, "no such cell"),
        (["perform", "process", RUN], 2, "needs a cell"),
        (["abort", RUN], 2, "--why"),
        (["nonsense"], 2, "invalid choice"),
        (["status", "/etc"], 2, "not a run in the landing area"),
        (["flags", RUN], 2, "it has not been taken up yet"),
        (["abort", RUN, "--why", "x"], 1, "it has not been taken up yet"),
    ],
    ids=[
        "unknown-run",
        "unknown-cell",
        "perform-without-cell",
        "abort-without-reason",
        "unknown-command",
        "path-outside-landing",
        "flags-of-a-new-run",
        "abort-of-a-new-run",
    ],
)
def test_mistakes_are_reported_with_the_documented_exit_code(
    site: Site, arguments: list[str], code: int, output: str
) -> None:
    """A wrong command says what is wrong, with code 2 for usage and 1 for a failure."""
    land(site)
    assert output in site.run(*arguments, check=code).stderr


def test_doctor_leaves_nothing_behind(site: Site) -> None:
    """The doctor tests the real directories, finds no fault on a good host, and leaves no files."""
    land(site)
    checks = json.loads(site.run("doctor", "--json").stdout)["checks"]
    assert {check["name"] for check in checks} >= {
        *("landing", "events", "flags", "clock", "owners", "output", "workers", "tools", "coder")
    }
    assert not [check for check in checks if check["ok"] is False]
    assert [path.name for path in site.landing.iterdir()] == [RUN]
    assert list(site.output.iterdir()) == []
    site.output.rmdir()
    assert "BAD   output" in site.run("doctor", check=1).stdout


def test_a_run_can_be_given_by_its_path(site: Site) -> None:
    """A run can be given by its path, its pipeline directory or its output directory."""
    land(site)
    site.run("poll")
    for path in (site.landing / RUN, site.landing / RUN / "pipeline", site.output / RUN):
        assert json.loads(site.run("status", str(path), "--json").stdout)["runs"][0]["run"] == RUN


def test_configuration_errors_are_reported_all_at_once(site: Site) -> None:
    """All mistakes of a configuration are reported at once, with the exit code for usage."""
    site.config.write_text(
        f"landing: {site.landing}\noutput: {site.landing}/x\nwatch: {{engin: poll}}\nnice: 3\n"
    )
    output = site.run("config", "check", check=2).stderr
    assert len(output.splitlines()) == 3
    assert "did you mean" in output


def test_a_closed_pipe_is_no_error(site: Site) -> None:
    """`hesiod-watch … | head -1` ends without an error message."""
    land(site)
    read, write = os.pipe()
    with subprocess.Popen(
        site.command("config", "sample"), stdout=write, stderr=subprocess.PIPE, env=site.environ
    ) as command:
        os.close(write)
        os.close(read)
        assert command.stderr is not None
        assert command.stderr.read() == b""


def test_poll_without_a_landing_area_asks_to_try_again(site: Site) -> None:
    """A missing landing area is not an empty one: exit code 75."""
    site.landing.rmdir()
    assert "landing" in site.run("poll", check=75).stderr


def run_in_removed(site: Site, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command whose working directory was removed."""
    removed = site.root / "removed"
    removed.mkdir()
    shell = ("sh", "-c", 'cd "$1" && rmdir "$1" && shift && exec "$@"', "sh", str(removed))
    return subprocess.run([*shell, *command], capture_output=True, text=True, env=site.environ)


@pytest.mark.parametrize("command", ["status", "poll", "doctor", "check"])
def test_commands_in_a_directory_that_was_removed(site: Site, command: str) -> None:
    """A command does the same there as anywhere else."""
    land(site)
    site.run("poll")
    arguments = command.split()
    expected = site.run(*arguments, check=None)
    done = run_in_removed(site, *site.command(*arguments))
    assert done.returncode == expected.returncode
    assert _without_times(done.stdout) == _without_times(expected.stdout)
    assert done.stderr == expected.stderr


def test_relative_configuration_in_a_directory_that_was_removed(site: Site) -> None:
    """The error is the usual one."""
    python = [sys.executable, "-m", "hesiod_watch"]
    done = run_in_removed(site, *python, "--config", "a.yaml", "status")
    assert done.returncode == 2
    assert "a.yaml: cannot be read: No such file or directory" in done.stderr
    assert "Traceback" not in done.stderr


def _without_times(text: str) -> str:
    return re.sub(r" *-?[\d.]+", "0", text)
