"""An attacker with an account of his own swaps links in a loop while the service looks and works.

He owns a run in a sticky landing area, and may rename everything in it. The service is a third
account. The looks are those of the product's own parts; a compiled program makes the exchanges.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import count as numbers
from pathlib import Path

import pytest
from growing import directory_in_memory
from hostile_landing import (
    CELL,
    EVIL,
    LIBRARY,
    READS,
    SECRET,
    SERVICE,
    VICTIM,
    HostileLanding,
    build_swapper,
    changed,
    needs_accounts_and_compiler,
    reads_in,
    texts,
)
from second_user import UID as ATTACKER

pytestmark = [pytest.mark.system, *needs_accounts_and_compiler]

TRUSTED = f"landing_owners: [{ATTACKER}]\n"
BARCODE = Path("fastq_pass", "barcode01")


@pytest.fixture(scope="module")
def swapper() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        yield build_swapper(Path(place))


@pytest.fixture
def landing(swapper: Path) -> Iterator[HostileLanding]:
    with (
        tempfile.TemporaryDirectory() as otherwise,
        directory_in_memory(Path(otherwise)) as root,
    ):
        yield HostileLanding(root, swapper)


# Another run's flags.


@pytest.mark.parametrize("complete", [False, True], ids=["incomplete", "complete"])
@pytest.mark.parametrize(
    ("what", "count", "uid"),
    [
        (".", 1_000, SERVICE),
        (".", 1_000, 0),
        (LIBRARY, 1_000, SERVICE),
        ("pipeline", 1_000, SERVICE),
        pytest.param(".", 10_000, SERVICE, marks=pytest.mark.slow),
    ],
)
def test_looks_at_a_run_that_is_swapped(
    landing: HostileLanding, what: str, complete: bool, count: int, uid: int
) -> None:
    """Nothing of the other run changes while the attacker's run is looked at and claimed."""
    landing.land_victim(complete=complete)
    landing.land_evil()
    with landing.account(workers=False, uid=uid) as account:
        account.ask("adopt", VICTIM)
        account.ask("adopt", EVIL)
        assert account.ask("looks", EVIL, 1, CELL) == {
            "synced": 1,
            "started": 1,
            "started.yielded": 1,
        }
        before = landing.others()
        own = landing.evil / what
        with landing.swapping(own, landing.link(landing.victim / what, own.with_name("link"))):
            made = account.ask("looks", EVIL, count, CELL)
        assert changed(before, landing.others()) == []
        assert made["started"] > 0
        # Without an attacker both runs are looked at as ever.
        assert account.ask("looks", EVIL, 1, CELL)["started"] == 1
        assert account.ask("looks", VICTIM, 1, CELL).get("started", 0) == complete


def test_looks_at_a_run_in_a_batch_that_is_swapped(landing: HostileLanding) -> None:
    """A batch directory that the attacker made does not lead to the runs in another one.

    He gives his run the name of the other after the service has taken it up.
    """
    landing.in_batches()
    landing.land_victim()
    landing.land_evil()
    with landing.account(workers=False, more="batch: month\n") as account:
        account.ask("adopt", f"2026-11/{VICTIM}")
        account.ask("adopt", f"2026-12/{EVIL}")
        landing.attack("mv", landing.evil, landing.evil.with_name(VICTIM))
        account.ask("adopt", run := f"2026-12/{VICTIM}")
        before = landing.others()
        batch = landing.evil.parent
        with landing.swapping(batch, landing.link(landing.victim.parent, batch.with_name("link"))):
            made = account.ask("looks", run, 1_000, CELL)
        assert changed(before, landing.others()) == []
        assert made["started"] > 0


@pytest.mark.parametrize("what", [".", "pipeline"])
def test_commands_for_a_run_that_is_swapped(landing: HostileLanding, what: str) -> None:
    """What a person decides about the attacker's run is no decision about the other run."""
    landing.land_victim()
    landing.land_evil()
    cell = f"{LIBRARY}/{CELL}"
    commands = [
        ["abort", "{}", "--why", "a test"],
        ["abort", "{}", cell, "--why", "a test"],
        ["retry", "{}", cell, "--why", "a test"],
        ["release", "{}", cell, "--why", "a test"],
        ["perform", "synced", "{}", cell],
        ["perform", "tell", "{}"],
        ["perform", "report", "{}"],
        ["perform", "give-up", "{}", cell],
        ["strip", "{}", cell, "--yes"],
        ["verify", "{}"],
    ]
    with landing.account(workers=False) as account:
        account.ask("adopt", VICTIM)
        account.ask("adopt", EVIL)
        before = landing.others()
        own = landing.evil / what
        with landing.swapping(own, landing.link(landing.victim / what, own.with_name("link"))):
            codes = account.ask("commands", EVIL, 50, commands)
        assert changed(before, landing.others()) == []
    assert codes["abort 0"] > 0


# Another laboratory's reads.


def parts_of_a_cell(place: Path) -> dict[str, Path]:
    """Names that the attacker can exchange, from the cell down to a single file."""
    return {
        "cell": place,
        "fastq_pass": place / "fastq_pass",
        "barcode": place / BARCODE,
        "file": min((place / BARCODE).iterdir()),
    }


PARTS = ("cell", "fastq_pass", "barcode", "file")


@pytest.mark.parametrize("what", PARTS)
@pytest.mark.parametrize("count", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_sources_of_a_cell_that_is_swapped(landing: HostileLanding, what: str, count: int) -> None:
    """No read of the other laboratory is in a source of the attacker's cell."""
    landing.land_victim()
    own = parts_of_a_cell(landing.land_evil())[what]
    link = landing.link(
        parts_of_a_cell(landing.victim / LIBRARY / CELL)[what], landing.evil / "link"
    )
    with landing.account(workers=False) as account:
        account.ask("adopt", EVIL)
        with landing.swapping(own, link):
            found = account.ask("sources", EVIL, f"{LIBRARY}/{CELL}", count, SECRET)
    assert found["forbidden"] == 0
    assert found["read"] > 0


@pytest.mark.parametrize("action", ["process", "ingest"])
def test_work_on_a_cell_that_is_swapped(landing: HostileLanding, action: str) -> None:
    """No read of the other laboratory is published, whatever is exchanged under the worker.

    A cell that is processed has all of its own reads, and only these.
    """
    landing.land_victim()
    ended, begins = (True, "started.worker") if action == "process" else (False, "ingest.started")
    names = (f"20261122_2210_1A_PAW{number:05}_{number:08x}" for number in numbers(1))
    with landing.account(workers=True) as account:
        landing.land_evil(first := next(names), ended=ended)
        account.ask("adopt", VICTIM)
        account.ask("adopt", EVIL)
        account.ask("look", EVIL)
        before = landing.others()
        for what in PARTS:
            for exchanges in (1, 60):
                cell = next(names)
                own = parts_of_a_cell(landing.land_evil(cell, ended=ended))[what]
                theirs = parts_of_a_cell(landing.victim / LIBRARY / CELL)[what]
                link = landing.link(theirs, landing.evil / f"link{cell}")
                flag = landing.evil / "pipeline" / f"{cell}.{begins}"
                with landing.swapping(own, link, exchanges, flag):
                    account.ask("look", EVIL)
        leaked = [path for path, text in texts(landing.site.output) if SECRET.encode() in text]
        assert leaked == []
        assert changed(before, landing.others()) == []
    flags = landing.site.flags(EVIL)
    assert f"{first}.done" in flags or f"{first}.ingest.done" in flags
    for place in (landing.site.output / EVIL / LIBRARY).iterdir():
        assert sum(map(reads_in, place.glob("*.fastq.gz"))) in (0, 6 * READS)


# Another run's results.


OTHERS = "{output}/" + VICTIM
SPELLINGS = {
    "as-it-is": OTHERS,
    "slash": OTHERS + "/",
    "dots": "{output}/{evil}/.././" + VICTIM + "/.",
    "through-a-library": OTHERS + f"/{LIBRARY}/..",
    "relative": "../../../output/" + VICTIM,
    "link-to-a-link": "{landing}/{evil}/second",
    "link-of-the-other-run": "{landing}/" + VICTIM + "/pipeline/output",
    "back-link-and-forth": OTHERS + "/rundata/pipeline/output",
    "library": OTHERS + f"/{LIBRARY}",
    "cell": OTHERS + f"/{LIBRARY}/{CELL}",
    "process": "/proc/self/root{output}/" + VICTIM,
}


@pytest.mark.parametrize("trusted", [False, True])
def test_output_leads_to_the_results_of_another_run(landing: HostileLanding, trusted: bool) -> None:
    """The other run's results stay as they are, however the attacker spells his link to them."""
    landing.land_victim()
    with landing.account(workers=True, more=TRUSTED if trusted else "") as account:
        account.ask("adopt", VICTIM)
        account.ask("look", VICTIM)
        before = landing.others()
        for number, spelling in enumerate(SPELLINGS.values()):
            run = f"{EVIL}_{number}"
            landing.land_evil(run=run)
            target = spelling.format(
                landing=landing.site.landing, output=landing.site.output, evil=run
            )
            landing.pipeline_of_his_own(run, target)
            landing.link(landing.results, landing.site.landing / run / "second")
            account.ask("adopt", run)
            made = account.ask("look", run)
            assert not [name for name in made if "started" in name or "done" in name]
            assert not [name for name in made if "failed" in name]
        assert changed(before, landing.others()) == []
    assert f"{CELL}.done" in landing.site.flags(VICTIM)


def test_output_is_swapped_under_the_worker(landing: HostileLanding) -> None:
    """Results of a run whose maker is trusted are only in its own directory, while he swaps it."""
    landing.land_victim()
    landing.land_evil()
    landing.own_output(EVIL)
    landing.pipeline_of_his_own(EVIL, str(landing.site.output / EVIL))
    with landing.account(workers=True, more=TRUSTED) as account:
        account.ask("adopt", VICTIM)
        account.ask("look", VICTIM)
        account.ask("adopt", EVIL)
        before = landing.others()
        own = landing.evil / "pipeline" / "output"
        with landing.swapping(own, landing.link(landing.results, own.with_name("link"))):
            for number in range(20):
                landing.land_evil(f"20261122_2210_1A_PAW{number:05}_{number:08x}")
                account.ask("look", EVIL)
        assert changed(before, landing.others()) == []
        last = "20261122_2211_1A_PAW00099_00000099"
        landing.land_evil(last)
        assert f"{last}.done" in account.ask("look", EVIL)


def test_looks_at_a_swapped_run_that_leads_to_the_results_of_another(
    landing: HostileLanding,
) -> None:
    """The other run's results are not this run's because its name leads there for a moment."""
    landing.land_victim()
    landing.land_evil()
    landing.pipeline_of_his_own(EVIL, str(landing.results))
    with landing.account(workers=False, more=TRUSTED) as account:
        account.ask("adopt", VICTIM)
        account.ask("adopt", EVIL)
        before = landing.others()
        link = landing.link(landing.victim, landing.evil.with_name("link"))
        with landing.swapping(landing.evil, link):
            account.ask("looks", EVIL, 1_000, CELL)
        assert changed(before, landing.others()) == []
